"""Windows of series for the jobs: what a baseline is fitted to, what a network's scaling is fitted to, test scores.

A window is x (look_back, C), channel 0 the target, and the `horizon` target values that follow it.
"""

from collections.abc import Sequence

import numpy as np
import torch

from advisor.data.rows import Rows
from advisor.data.stack import SeriesStack
from advisor.search.problem import Plan, Problem
from hybrids import SequenceModel
from hybrids.frontends.window import WindowFrontend
from hybrids.heads.pooled import RegressHead

MOST_WINDOWS, MOST_VALUES, ENOUGH = 20_000, 2**23, 8000
"""Windows that a baseline is fitted to, and numbers in them, unless these are fewer than `ENOUGH` windows."""
MOST_STEPS = 200_000


def spread(n: int, most: int) -> np.ndarray:
    """Return at most `most` of n indices, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def some_windows(
    series: Sequence[np.ndarray], look_back: int, plan: Plan, most: int = MOST_WINDOWS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return about `most` windows at most, in the order of time, spread over all series; fewer where they are large.

    Args:
        series: Each (length, C); a shorter one than a window and its future repeats its first row in front.
        look_back: Steps of a window.
        plan: Its horizon and channels.
        most: Windows wanted.

    Returns:
        x (N, look_back, C), lengths (N,), y (N, horizon).
    """
    need = look_back + plan.horizon
    known = [i for i, values in enumerate(series) if len(values)]
    channels = series[known[0]].shape[1]
    most = min(most, max(ENOUGH, MOST_VALUES // (need * channels)))
    chosen = [series[known[i]] for i in spread(len(known), most)]
    starts = [spread(max(1, len(values) - need + 1), max(1, most // len(chosen))) for values in chosen]
    which = np.repeat(np.arange(len(chosen)), [len(some) for some in starts])
    order = np.argsort(np.concatenate([np.linspace(0, 1, len(some)) for some in starts]), kind="stable")
    at = np.concatenate(starts)
    x = np.empty((len(at), look_back, channels), np.float32)
    y = np.empty((len(at), plan.horizon), np.float32)
    within = np.arange(need)
    for row, i in enumerate(order.tolist()):
        values = chosen[which[i]]
        start = int(at[i]) - max(0, need - len(values))
        cut = values[start : start + need] if start >= 0 else values[np.maximum(start + within, 0)]
        x[row], y[row] = cut[:look_back], cut[look_back:, 0]
    return x, np.full(len(x), look_back, np.int64), y


def fit_units(model: SequenceModel, data: Rows | SeriesStack) -> None:
    """Set the model's input scaling, and its target's unit, from what it may learn from.

    Of more than 200,000 steps of series to forecast so many are taken, evenly spread.
    """
    if isinstance(data, SeriesStack):
        values = _some_steps(data)
    else:
        values = data.x[np.arange(data.x.shape[1])[None] < data.lengths[:, None]]
    mean, scale = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    if isinstance(data, Rows) or isinstance(model.frontend, WindowFrontend):
        model.frontend.fit(torch.from_numpy(mean).float(), torch.from_numpy(scale).float())
    if isinstance(data, Rows) and isinstance(model.head, RegressHead):
        model.head.fit(float(data.y.mean()), float(data.y.std()))


def _some_steps(series: SeriesStack) -> np.ndarray:
    """Return (steps, C) of all series together, evenly spread where there are many."""
    ends = np.cumsum(series.sizes)
    at = spread(int(ends[-1]), MOST_STEPS)
    which = np.searchsorted(ends, at, side="right")
    return np.asarray(series.flat[series.end[which] - (ends[which] - at)])


def test_rows(problem: Problem, look_back: int) -> Rows:
    """Return the units of the test part; of a forecast the last `look_back` steps of each."""
    test = problem.test
    if problem.plan.task != "forecast":
        return test
    keep = np.minimum(test.lengths, look_back)
    x = np.zeros((len(test), look_back, test.x.shape[2]), np.float32)
    for i, (row, size, k) in enumerate(zip(test.x, test.lengths, keep, strict=True)):
        x[i, :k] = row[size - k : size]
    return Rows(x, keep, test.y, test.scale, test.group)
