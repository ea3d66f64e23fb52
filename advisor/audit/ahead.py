"""A column that is called known ahead and is the target itself, at the same step or up to a horizon later.

By first differences, as in `columns`: u tells y where |corr(du_{t+k}, dy_t)| >= 0.999 for some 0 <= k < H. Each series
is compared with its own columns only. Cost: O(K H n) a series, 16 million values in all: of a longer series the last
steps are looked at, series beyond that are not, and the finding counts those that were.
"""

import numpy as np

from advisor.audit.columns import COPY, FEWEST_MOVES, FEWEST_STEPS, MOST_WORK, calm, count_moves
from advisor.audit.finding import Finding, some
from advisor.data.dataset import Dataset


def told_ahead(dataset: Dataset, horizon: int | None) -> list[Finding]:
    """Return a warning where what is known ahead tells the answer.

    Args:
        dataset: A forecasting set; one with nothing known ahead has no findings.
        horizon: H, steps to forecast; None: only the same step is looked at.
    """
    found, looked, work = [], 0, 0
    most = MOST_WORK // (max(1, len(dataset.known)) * (horizon or 1))
    for name, one in zip(dataset.ids, dataset.series, strict=True):
        work += min(len(one), most)
        if not dataset.known or (looked and work > most):
            break
        looked, last = looked + 1, one[-most:]
        for column, place in zip(dataset.known, dataset.known_places, strict=True):
            late = _tells(last[:, place], last[:, 0], horizon or 1)
            if late is not None:
                found.append(f"{column}[t{f' + {late}' if late else ''}] = {name}[t]")
    if not found:
        return []
    return [
        Finding(
            code="known_ahead_tells_the_target",
            severity="warning",
            counted=len(found),
            of=looked * len(dataset.known),
            says=f"{len(found)} of {looked * len(dataset.known)} columns of series that are called known ahead are the "
            f"target, at once or within the horizon (correlation of differences {COPY} or more): they tell the answer.",
            do="Leave them out of --known unless they are truly known before the target is.",
            examples=some(found),
        )
    ]


def _tells(known: np.ndarray, target: np.ndarray, horizon: int) -> int | None:
    """Return the steps after which the known column is the target, or None."""
    moves, answer = (calm(np.diff(values.astype(np.float64))) for values in (known, target))
    if min(count_moves(moves), count_moves(answer)) < FEWEST_MOVES:
        return None
    for late in range(min(horizon, len(moves) - FEWEST_STEPS)):
        pair = moves[late:], answer[: len(answer) - late]
        if all(one.std() > 0 for one in pair) and abs(np.corrcoef(*pair)[0, 1]) >= COPY:
            return late
    return None
