"""The choice: the best on the folds, or the cheapest of those that are no worse than a stated margin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from advisor.compare import Comparison, Scores, compare, luck_of
from advisor.metrics import METRICS
from advisor.stats import corrected_t, holm
from profiles.task import Task

MARGIN = {"classify": 0.005, "regress": 0.01, "forecast": 0.01}
"""Differences that do not matter: in accuracy, or as a share of the error."""
ERRORS = 1.5
"""And in a classification, a difference of one error is none: fewer than this many errors do not matter."""
LEVEL = 0.05
NAIVE: dict[Task, tuple[str, ...]] = {
    "classify": ("majority",),
    "regress": ("mean",),
    "forecast": ("last_value", "seasonal_naive"),
}
"""Names of the baselines that use nothing but the last values or the average."""


class Price(Protocol):
    """What the choice reads of a cost."""

    @property
    def flops(self) -> int:
        """Operations of one answer."""

    @property
    def size_mib(self) -> float:
        """Weights and buffers as stored."""


class Entry(Protocol):
    """What the choice reads of a contender."""

    @property
    def family(self) -> str:
        """Of a network, or the name of a baseline."""

    @property
    def cost(self) -> Price:
        """What one answer costs."""

    @property
    def folds(self) -> Mapping[int, float]:
        """Quality on each fold; every contender has the same folds."""

    @property
    def mean(self) -> float:
        """Mean over the folds."""


class Division(Protocol):
    """What the choice reads of the plan."""

    @property
    def task(self) -> Task:
        """What is asked of the data."""

    @property
    def folds(self) -> int:
        """How many there are."""


Judged = TypeVar("Judged", bound=Entry)


@dataclass(frozen=True)
class Choice(Generic[Judged]):
    """What won, and what could have.

    Attributes:
        chosen: The recommended contender.
        best: The best mean over the folds.
        tied: Families that the test cannot tell from the best (p-value above 5 %, corrected and adjusted); the best
            itself, where it is not chosen and cannot be told from the chosen. Empty where no test was made.
        p_values: Adjusted p-value of each contender against the best; empty where no test is possible. 1 for one whose
            luck in training is not known.
        tested: What the test took as independent, in words; empty where no test was made.
    """

    chosen: Judged
    best: Judged
    tied: tuple[str, ...]
    p_values: dict[str, float]
    tested: str = ""


def train_share(plan: Division) -> float:
    """Return the share of the data that the models judged on a fold are trained on."""
    return plan.folds / (plan.folds + 1) if plan.task == "forecast" or plan.folds < 2 else 1 - 1 / plan.folds


def difference(a: Entry, b: Entry, plan: Division, scores: Mapping[str, Scores] | None = None) -> Comparison:
    """Return how A differs from B: on their units where the scores of both are known, else on the fold means."""
    if scores and a.family in scores and b.family in scores:
        luck = luck_of(scores.values(), plan.task)
        return compare(scores[a.family], scores[b.family], plan.task, train_share(plan), luck)
    gaps = np.array([a.folds[k] - b.folds[k] for k in sorted(b.folds)])
    if len(gaps) < 2:
        return Comparison(float(gaps.mean()), None, "nothing", 0)
    return Comparison(float(gaps.mean()), corrected_t(gaps, train_share(plan)), "folds", len(gaps))


def margin_of(plan: Division, quality: float, units: int) -> float:
    """Return the difference from `quality` that does not matter, in the metric's unit."""
    if plan.task == "classify":
        return max(MARGIN["classify"], ERRORS / max(1, units))
    return MARGIN[plan.task] * abs(quality)


def choose(
    contenders: Sequence[Judged], plan: Division, units: int, scores: Mapping[str, Scores] | None = None
) -> Choice[Judged]:
    """Return the cheapest contender within the margin of the best.

    Cheapest is fewest operations, then smallest file: facts that do not change from run to run, unlike a latency.
    A tie is what the corrected test cannot tell from the best; it is printed, and the margin decides. Where no test is
    possible there is no tie.

    Args:
        contenders: At least one; all with the same folds.
        plan: Task and number of folds.
        units: Series that the folds hold together.
        scores: Name of a contender -> its scores unit by unit, where they are known; else fold means are compared.
    """
    metric = METRICS[plan.task]
    sign = -1.0 if metric.higher_is_better else 1.0
    best = min(contenders, key=lambda c: (sign * c.mean, c.cost.flops, c.family))
    found = {c.family: difference(c, best, plan, scores) for c in contenders if c is not best}
    p_values = {}
    judged = [c for c in found.values() if c.p_value is not None]
    if judged:
        raw = [1.0 if c.p_value is None else c.p_value for c in found.values()]
        pairs = len(contenders) * (len(contenders) - 1) // 2
        p_values = dict(zip(found, holm(raw, pairs), strict=True))
        rivals_of_naive = sum(c.family not in NAIVE[plan.task] for c in contenders)
        for name, p in zip(found, raw, strict=True):
            if name in NAIVE[plan.task] and best.family not in NAIVE[plan.task]:  # named before anything was seen
                p_values[name] = min(p_values[name], p * rivals_of_naive)
    margin = margin_of(plan, best.mean, units)
    near = [c for c in contenders if abs(c.mean - best.mean) <= margin]
    chosen = min(near, key=lambda c: (c.cost.flops, c.cost.size_mib, c.family))
    rivals = {c.family: chosen.family if c is best else c.family for c in contenders if c is not chosen}
    tied = tuple(family for family, other in rivals.items() if p_values.get(other, 0.0) > LEVEL)
    return Choice(chosen, best, tied, p_values, judged[0].words(plan.task) if judged else "")
