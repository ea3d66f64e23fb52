"""The choice: the best on the folds, or the cheapest of those that are no worse than a stated margin."""

from dataclasses import dataclass

import numpy as np

from advisor.metrics import METRICS
from advisor.search.outcome import Contender
from advisor.search.problem import Plan
from advisor.stats import corrected_t, holm

MARGIN = {"classify": 0.005, "regress": 0.01, "forecast": 0.01}
"""Differences that do not matter: in accuracy, or as a share of the error."""
ERRORS = 1.5
"""And in a classification, a difference of one error is none: fewer than this many errors do not matter."""
LEVEL = 0.05


@dataclass(frozen=True)
class Choice:
    """What won, and what could have.

    Attributes:
        chosen: The recommended contender.
        best: The best mean over the folds.
        tied: Families that cannot be told apart from the best (p-value above 5 %, corrected and adjusted).
        p_values: Adjusted p-value of each contender against the best.
    """

    chosen: Contender
    best: Contender
    tied: tuple[str, ...]
    p_values: dict[str, float]


def margin_of(plan: Plan, quality: float, units: int) -> float:
    """Return the difference from `quality` that does not matter, in the metric's unit."""
    if plan.task == "classify":
        return max(MARGIN["classify"], ERRORS / max(1, units))
    return MARGIN[plan.task] * abs(quality)


def choose(contenders: list[Contender], plan: Plan, units: int) -> Choice:
    """Return the cheapest contender within the margin of the best.

    Cheapest is fewest operations, then smallest file: facts that do not change from run to run, unlike a latency.
    A tie is what the corrected test cannot tell from the best; it is printed, and the margin decides. `units` is
    the number of series that the folds hold together.
    """
    metric = METRICS[plan.task]
    sign = -1.0 if metric.higher_is_better else 1.0
    best = min(contenders, key=lambda c: (sign * c.mean, c.cost.flops, c.family))
    others = [c for c in contenders if c is not best]
    folds = sorted(best.folds)
    train_share = 1 - 1 / plan.folds if plan.task != "forecast" else 1 - 1 / (plan.folds + 1)
    raw = [corrected_t(np.array([c.folds[k] - best.folds[k] for k in folds]), train_share) for c in others]
    p_values = {c.family: p for c, p in zip(others, holm(raw), strict=True)}
    margin = margin_of(plan, best.mean, units)
    near = [c for c in contenders if abs(c.mean - best.mean) <= margin]
    chosen = min(near, key=lambda c: (c.cost.flops, c.cost.size_mib, c.family))
    tied = tuple(c.family for c in contenders if c is not chosen and p_values.get(c.family, 1.0) > LEVEL)
    return Choice(chosen, best, tied, p_values)
