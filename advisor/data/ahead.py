"""Covariates that are known ahead, such as a holiday or a price that was set: their future as channels of the past.

A channel u whose future is known becomes one more channel, u_{t + H} at step t, with H the horizon. At the origin its
last H steps are what the forecast may know of u: so a model that reads windows of the past reads the known future too,
and nothing else of it needs to know. At the end of the file, rows without a target give u beyond the last one.
"""

from collections.abc import Sequence

import numpy as np

from advisor.data.stack import SeriesStack


def ahead_of(values: np.ndarray, future: np.ndarray, horizon: int) -> np.ndarray:
    """Return what known channels are `horizon` steps after each step; the last known value where that is unknown.

    Args:
        values: (length, channels).
        future: Their values after these, (steps, channels), perhaps none.
        horizon: Steps.
    """
    both = np.concatenate([values, future])
    return np.asarray(both[np.minimum(np.arange(len(values)) + horizon, len(both) - 1)])


def look_ahead(stack: SeriesStack, known: Sequence[int], futures: Sequence[np.ndarray], horizon: int) -> None:
    """Write what the channels `known` are `horizon` steps later into the last channels of each series, in place.

    Args:
        stack: Series whose last `len(known)` channels are still to be filled.
        known: Places of the channels.
        futures: For each series the values of these channels after its end, (steps, known).
        horizon: Steps.
    """
    for one, future in zip(stack, futures, strict=True):
        one[:, -len(known) :] = ahead_of(one[:, list(known)], future, horizon)
