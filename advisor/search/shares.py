"""A share of what may be learnt from, smaller shares inside larger ones.

Rows: the same share of every class, at least one each. Series: of 20 or more a share of them; of fewer the newest share
of each one's steps, since a forecaster is asked for what follows.
"""

from typing import overload

import numpy as np

from advisor.data.rows import Rows
from advisor.data.stack import SeriesStack

MANY_SERIES = 20


@overload
def share_of(data: Rows, share: float, seed: int, classify: bool) -> Rows: ...
@overload
def share_of(data: SeriesStack, share: float, seed: int, classify: bool) -> SeriesStack: ...
def share_of(data: Rows | SeriesStack, share: float, seed: int, classify: bool) -> Rows | SeriesStack:
    """Return `share` of the data.

    Args:
        data: Rows, or series.
        share: Above 0, at most 1.
        seed: Of the order in which rows or series are taken.
        classify: Whether the rows' targets are classes.
    """
    if share >= 1:
        return data
    order = np.random.default_rng(seed).permutation(len(data))
    if isinstance(data, Rows):
        strata = [order[data.y[order] == k] for k in np.unique(data.y)] if classify else [order]
        return data.take(np.sort(np.concatenate([some[: max(1, round(share * len(some)))] for some in strata])))
    if len(data) >= MANY_SERIES:
        return data.take(np.sort(order[: max(1, round(share * len(data)))]))
    kept = np.ceil(share * data.sizes).astype(np.int64)
    return SeriesStack(data.flat, data.end - kept, data.end)
