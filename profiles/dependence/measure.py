"""One question for every task: how far back does the past matter?"""

import time
from collections.abc import Sequence

import numpy as np

from profiles.dependence.model import Dependence
from profiles.seasonality import Season
from profiles.task import Task


def measure_dependence(
    series: Sequence[np.ndarray],
    task: Task,
    labels: np.ndarray | None = None,
    *,
    horizon: int | None = None,
    seasons: Sequence[Season] = (),
    seconds: float = 10.0,
    seed: int = 0,
) -> Dependence:
    """Return how far back the past matters.

    Args:
        series: Each of shape (length, channels), finite.
        task: What is asked.
        labels: classify: class indices; regress: numbers; forecast: None.
        horizon: forecast: steps to forecast; None is one.
        seasons: forecast: periods that `profiles.seasonality` found.
        seconds: About how long it may take. It sets how much of the data is read, by counting operations, not by the
            clock: the same arguments give the same answer on a slower machine.
        seed: Of the part that is read and of the permutations.

    Raises:
        ValueError: no series, a classify or regress set without one label for each series, or a value or label that is
            not finite.
    """
    started = time.perf_counter()
    if not series or (task != "forecast" and (labels is None or len(labels) != len(series))):
        raise ValueError(f"{task} needs one series at least and one label for each, got {len(series)} series.")
    _check_finite(series, labels if task != "forecast" else None)
    if task == "forecast":
        from profiles.dependence.lags import dependence_on_lags

        found = dependence_on_lags(series, horizon or 1, seasons, seconds, seed)
        found = found.model_copy(update={"reach_from_end": found.reach_steps})
    else:
        from profiles.dependence.context import dependence_on_context

        assert labels is not None
        found = dependence_on_context(series, labels, task == "classify", seconds, seed)
    return found.model_copy(update={"seconds": round(time.perf_counter() - started, 2)})


def _check_finite(series: Sequence[np.ndarray], labels: np.ndarray | None) -> None:
    """Raise a ValueError that names the first series or label that is not finite."""
    for i, one in enumerate(series):
        if not np.isfinite(one).all():
            raise ValueError(f"Series {i} holds a value that is not finite; fill it or leave the series out.")
    if labels is not None and len(wrong := np.flatnonzero(~np.isfinite(np.asarray(labels, np.float64)))):
        raise ValueError(f"The label {labels[wrong[0]]} of series {wrong[0]} is not finite; leave the series out.")
