"""Quality of predictions: one number a unit (row or series), their mean, and an interval."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from advisor.records import Measured
from profiles.task import Task

LEAST_DRAWN = 3
"""Units, or groups, from which a bootstrap is drawn: of two it would give these two."""
FLAT = 1e-6
"""Mean differences below this share of the largest value are rounding."""
Z_95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


class Metric(BaseModel):
    """How the quality of a task is measured."""

    model_config = ConfigDict(frozen=True)
    name: str
    higher_is_better: bool
    words: str

    def better(self, a: float, b: float) -> bool:
        """Return whether quality `a` is better than `b`."""
        return a > b if self.higher_is_better else a < b


METRICS: dict[Task, Metric] = {
    "classify": Metric(name="accuracy", higher_is_better=True, words="share of series put into the right class"),
    "regress": Metric(name="rmse", higher_is_better=False, words="root of the mean squared error"),
    "forecast": Metric(
        name="mase",
        higher_is_better=False,
        words="mean absolute error over that of the seasonal naive step inside the training data (Hyndman 2006)",
    ),
}


def units(task: Task, answer: np.ndarray, truth: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """Return one score a unit: hit (classify), squared error (regress), scaled absolute error (forecast).

    Args:
        task: Which metric.
        answer: logits (N, K); numbers (N,); quantiles (N, H, Q) with the median in the middle, or it alone. The score
            of one that is no number is none either.
        truth: class indices (N,); numbers (N,); values (N, H), NaN where there is none, but at least one a unit.
        scale: For forecast, the seasonal naive error of each unit's series, (N,).
    """
    if task == "classify":
        return np.asarray(answer.argmax(1) == truth, dtype=np.float64)
    if task == "regress":
        return np.asarray((answer - truth) ** 2, dtype=np.float64)
    assert scale is not None
    known = ~np.isnan(truth)
    missed = np.where(known, np.abs(answer[..., answer.shape[-1] // 2] - truth), 0.0)
    return np.asarray(missed.sum(axis=1, dtype=np.float64) / known.sum(axis=1) / scale, dtype=np.float64)


def summarise(task: Task, scores: np.ndarray) -> float:
    """Return the metric from its unit scores."""
    mean = float(np.mean(scores))
    return float(np.sqrt(mean)) if task == "regress" else mean


def measured(task: Task, scores: np.ndarray, split: str, groups: np.ndarray | None = None, seed: int = 0) -> Measured:
    """Return the metric with a 95 % interval: Wilson's for an accuracy, else a bootstrap; none from one or two units.

    Args:
        task: Which metric.
        scores: One a unit.
        split: What data the units are, in words.
        groups: Units of one group (a series, a subject, a stretch of time) are drawn together, and are one trial of an
            accuracy; None: each alone.
        seed: Of the bootstrap.
    """
    value = summarise(task, scores)
    count = len(scores if groups is None else np.unique(groups))
    low: float | None = None
    high: float | None = None
    if task == "classify":
        low, high = wilson_interval(value, count)
    elif count >= LEAST_DRAWN:
        low, high = _bootstrap(task, scores, groups, seed)
    metric = METRICS[task]
    return Measured(
        metric=metric.name,
        value=value,
        low=low,
        high=high,
        split=split,
        higher_is_better=metric.higher_is_better,
    )


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share of `count` independent trials (Wilson 1927).

    With z = 1.96, the shares p for which |share - p| <= z sqrt(p (1 - p) / count). It has a width at shares of 0 and
    1, where a bootstrap of equal scores has none.
    """
    z2 = Z_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 / (1 + z2 / count) * float(np.sqrt(share * (1 - share) / count + z2 / (4 * count**2)))
    return max(0.0, middle - half) if share > 0 else 0.0, min(1.0, middle + half) if share < 1 else 1.0


def _bootstrap(task: Task, scores: np.ndarray, groups: np.ndarray | None, seed: int) -> tuple[float, float]:
    """Return the middle 95 % of the metric over 400 draws with replacement."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)] if groups is not None else None
    draws = []
    for _ in range(400):
        if members is None:
            sample = scores[rng.integers(0, len(scores), len(scores))]
        else:
            sample = scores[np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])]
        draws.append(summarise(task, sample))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def seasonal_scale(history: np.ndarray, season: int) -> float:
    """Return the mean absolute seasonal difference of `history` (L,), the denominator of MASE; NaN where it has none.

    Of a history that is no longer than a season, or repeats it exactly, it is the mean absolute difference of
    neighbours; one of fewer than two steps, or a flat one, has no unit.
    """
    least = FLAT * float(np.abs(history).max(initial=0.0))
    for lag in (season, 1):
        if len(history) > lag:
            scale = float(np.mean(np.abs(history[lag:] - history[:-lag])))
            if scale > least:
                return scale
    return float("nan")
