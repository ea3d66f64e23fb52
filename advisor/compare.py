"""Which test tells two contenders apart, and what it says.

A score is one number a judged unit (a case; a forecast origin of a series). Seeds are averaged first: they are no
replicates of the data. With d the difference of the scores (for forecasts 2 (a - b) / (a + b), so that a few steep
days do not drown the rest), T its steps in time (origins, or folds of cases) and G
groups that share no luck (cases, subjects, whole series):

    T < 4, G >= 30        V = V_G                                          over groups; luck shared by all is not seen
    T >= 5, G < 30        V = c max(V_T, V_F)                              over origins or folds
    T >= 4, G >= 30       V = c (V_G + max(0, V_T - V_I))                  over groups: Cameron, Gelbach, Miller 2011
    T < 5, G < 30         no test

V_G, V_F, V_T, V_I are the variances of the mean that groups, folds, steps and single units show, each as if its like
were independent; V_T is raised by (1 + r) / (1 - r), with r the lag-1 autocorrelation of the steps, corrected for its
bias (Kendall 1954). c = 1 + k (1 - p) / p for few groups, with k folds trained on shares p of the data (Nadeau and
Bengio 2003). c = k / (k - 1) for many cases, whose fold models share training data, and 1 for many series, whose
forecasters are trained once: what keeps false alarms below 7 % (benchmarks/results/statistics.json). Where several
trainings on the same data are known, the variance that the training seed brings to the mean is added: the contender's
own, or that of all together where that is more. Degrees of freedom are Welch's. Cost: linear in the units.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import stats

from profiles.task import Task

MANY_GROUPS = 30
"""From here on the mean of independent groups is close enough to normal for a t-test (t(29) differs by 4 %)."""
LEAST_STEPS = 4
"""Of fewer steps in time no variance can be told: with 3 a difference of eight standard errors would be a tie."""
MOST_AUTOCORRELATION = 0.97
LEAST_ALONE = 5
"""And so many where there are few groups: with 4 that overlap 7.5 % of ten equals were called different."""
Over = Literal["folds", "origins", "groups", "nothing"]


@dataclass(frozen=True)
class Scores:
    """The scores of one contender, unit by unit; all contenders have the same units in the same order.

    Attributes:
        values: (S, N), one row a seed: hit (classify), squared error (regress), scaled absolute error (forecast).
        fold: (N,) fold of each unit.
        group: (N,) what the unit shares its luck with: its series (forecast), its subject or itself (else).
        seeded: Whether another seed would give another model; False for a closed form such as the naive forecast.
    """

    values: np.ndarray
    fold: np.ndarray
    group: np.ndarray
    seeded: bool = True


@dataclass(frozen=True)
class Comparison:
    """What a test says of A and B.

    Attributes:
        difference: Mean over the folds of A's metric less B's.
        p_value: Two-sided, not adjusted; None where no test is possible.
        over: What was taken as independent.
        count: Of them.
        error: Standard error of the difference, for forecasts of the relative one; NaN without a test.
        freedom: Degrees of freedom of t; NaN without a test.
    """

    difference: float
    p_value: float | None
    over: Over
    count: int
    error: float = field(default=math.nan)
    freedom: float = field(default=math.nan)

    def words(self, task: Task) -> str:
        """Return what was taken as independent, such as "over 414 series"; empty without a test."""
        if self.over == "nothing":
            return ""
        name = {"groups": "series" if task == "forecast" else "independent cases"}.get(self.over, self.over)
        return f"over {self.count} {name}"


def pseudo(scores: Scores, task: Task) -> np.ndarray:
    """Return (S, N) scores whose mean on each fold is the metric on that fold.

    Hits and scaled errors are that already. A squared error e becomes e / (2 r) + r / 2, with r the RMSE of its fold:
    the first-order share of the unit in r.
    """
    if task != "regress":
        return scores.values
    out = np.empty_like(scores.values, dtype=np.float64)
    for k in np.unique(scores.fold):
        at = scores.fold == k
        r = np.maximum(np.sqrt(scores.values[:, at].mean(1, keepdims=True)), 1e-12)
        out[:, at] = scores.values[:, at] / (2 * r) + r / 2
    return out


def relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return 2 (a - b) / (a + b) of errors, between -2 and 2; 0 where both are 0."""
    return np.asarray(2 * (a - b) / np.maximum(a + b, 1e-12))


@dataclass(frozen=True)
class Luck:
    """Variance that the training seed brings to a contender's mean.

    Attributes:
        variance: Of the mean of one training.
        freedom: Trainings less contenders behind it.
    """

    variance: float
    freedom: float


def luck_of(many: Iterable[Scores], task: Task) -> Luck | None:
    """Return the luck of all contenders together; None where none was trained twice on the same data."""
    parts = [means for one in many if len(means := _means(one, task)) > 1]
    freedom = sum(len(means) - 1 for means in parts)
    return Luck(sum(float(m.var()) * len(m) for m in parts) / freedom, freedom) if freedom else None


def compare(a: Scores, b: Scores, task: Task, train_share: float, luck: Luck | None = None) -> Comparison:
    """Return whether A and B differ by more than chance.

    Args:
        a: One contender.
        b: Another, on the same units.
        task: Whose metric the scores make. Forecasters are trained once, before the first fold; others on each fold.
        train_share: Share of the data that a fold's models are trained on.
        luck: Of all contenders together; None: of these two.
    """
    fold = np.unique(a.fold, return_inverse=True)[1]
    group = np.unique(a.group, return_inverse=True)[1]
    k, groups = int(fold.max()) + 1, int(group.max()) + 1
    weight = 1.0 / (k * np.bincount(fold)[fold])
    left, right = (pseudo(one, task).mean(0) for one in (a, b))
    d = left - right
    difference = float(weight @ d)
    if task == "forecast":
        d = relative(left, right)
    mean = float(weight @ d)
    once = task == "forecast" or k == 1
    step = _rank(group) if task == "forecast" else fold
    many, steps = groups >= MANY_GROUPS, int(step.max()) + 1
    luck = luck or luck_of((a, b), task)
    unknown = once and luck is None and (a.seeded or b.seeded)
    if unknown or (steps < LEAST_ALONE and not many):
        return Comparison(difference, None, "nothing", 0)
    share = weight * (d - mean)
    c = 1 + k * (1 - train_share) / train_share
    parts: list[tuple[float, float]] = []
    over: Over = "groups"
    count = groups
    if many:
        c = 1.0 if once else k / (k - 1)
        parts.append((c * _variance(np.bincount(group, share)), groups - 1))
    if steps >= LEAST_STEPS:
        in_time, effective = _in_time(np.bincount(step, share), ordered=task == "forecast")
        if many:
            excess = in_time - float(share @ share)
            parts += [(c * excess, effective - 1)] if excess > 0 else []
        else:
            by_fold = _variance(np.bincount(fold, share)) if k > 1 else 0.0
            over, count = ("origins", steps) if task == "forecast" else ("folds", k)
            if by_fold >= in_time:
                over, count, in_time, effective = "folds", k, by_fold, float(k)
            parts.append((c * in_time, effective - 1))
    if once and luck:
        parts += [_own_luck(one, task, luck) for one in (a, b) if one.seeded]
    return _judged(difference, mean, parts, over, count)


def _rank(group: np.ndarray) -> np.ndarray:
    """Return for each unit how many units of its group come before it: its origin, as units are in order of time."""
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _variance(totals: np.ndarray) -> float:
    """Return the variance of the sum of `totals` (n,), whose mean is 0, as if they were independent."""
    n = len(totals)
    return n / (n - 1) * float(totals @ totals)


def _in_time(totals: np.ndarray, ordered: bool) -> tuple[float, float]:
    """Return the variance of the sum of an autocorrelated series (T,), and the independent steps it is worth.

    Folds of cases are not `ordered`: they have no autocorrelation.
    """
    n, plain = len(totals), float(totals @ totals)
    if plain == 0.0:
        return 0.0, float(n)
    if not ordered:
        return _variance(totals), float(n)
    r = float(totals[1:] @ totals[:-1]) / plain
    r = min(MOST_AUTOCORRELATION, max(0.0, r + (1 + 3 * r) / n))
    raised = (1 + r) / (1 - r)
    return _variance(totals) * raised, max(2.0, n / raised)


def _means(one: Scores, task: Task) -> np.ndarray:
    """Return the mean over the folds of each seed, (S,), in the unit of what is tested."""
    fold = np.unique(one.fold, return_inverse=True)[1]
    counts = np.bincount(fold)
    values = pseudo(one, task)
    if task == "forecast":
        values = relative(values, values.mean(0))
    return np.asarray(values @ (1.0 / (len(counts) * counts[fold])))


def _own_luck(one: Scores, task: Task, luck: Luck) -> tuple[float, float]:
    """Return the variance that luck brings to the mean over the seeds, and its degrees of freedom."""
    means = _means(one, task)
    own = float(means.var(ddof=1)) if len(means) > 1 else 0.0
    return (own / len(means), len(means) - 1.0) if own > luck.variance else (luck.variance / len(means), luck.freedom)


def _judged(difference: float, mean: float, parts: list[tuple[float, float]], over: Over, count: int) -> Comparison:
    """Return the t-test of `mean` whose variance is the sum of `parts`, with Welch's degrees of freedom.

    Where the mean of the relative differences points the other way than the difference, neither is called better.
    """
    variance = sum(v for v, _ in parts)
    if variance <= 1e-24:
        same = abs(mean) <= 1e-12
        return Comparison(difference, 1.0 if same else 0.0, over, count, 0.0, parts[0][1])
    freedom = variance**2 / sum(v**2 / f for v, f in parts)
    error = math.sqrt(variance)
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom)) if difference * mean >= 0 else 1.0
    return Comparison(difference, p_value, over, count, error, freedom)
