"""Does anything beat the naive answer by more than chance: the last value, the last season, the mean, the majority?

Every other contender is compared with the best of the naive ones by the tests of `advisor.compare`, adjusted for their
number (Holm). A contender beats it where its adjusted p-value is at most 5 % and its lead exceeds the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.choose import LEVEL, NAIVE, Division, Entry, difference, margin_of
from advisor.compare import Scores
from advisor.metrics import METRICS
from profiles.task import Task

WORDS: dict[Task, str] = {
    "classify": "the most frequent class",
    "regress": "the mean",
    "forecast": "the naive forecast",
}


@dataclass(frozen=True)
class AgainstNaive:
    """The verdict.

    Attributes:
        naive: The best of the naive contenders.
        beaten_by: Those that beat it, best first; empty where nothing does, or no test could tell.
        best: The best of the others.
        p_value: Adjusted, of the best of the others against the naive one; None where no test is possible.
        says: All of it in one sentence.
    """

    naive: str
    beaten_by: tuple[str, ...]
    best: str
    p_value: float | None
    says: str


def beats_naive(
    contenders: Sequence[Entry], plan: Division, units: int, scores: Mapping[str, Scores] | None = None
) -> AgainstNaive | None:
    """Return whether anything beats the naive answer; None where there is no naive contender or nothing else.

    Args:
        contenders: All of the final.
        plan: Task and number of folds.
        units: Series that the folds hold together.
        scores: Name of a contender -> its scores unit by unit, where they are known.
    """
    metric = METRICS[plan.task]
    sign = -1.0 if metric.higher_is_better else 1.0
    ranked = sorted(contenders, key=lambda c: (sign * c.mean, c.family))
    plain = [c for c in ranked if c.family in NAIVE[plan.task]]
    others = [c for c in ranked if c.family not in NAIVE[plan.task]]
    if not plain or not others:
        return None
    naive, best = plain[0], others[0]
    found = [difference(c, naive, plan, scores) for c in others]
    adjusted = [min(1.0, len(found) * (1.0 if c.p_value is None else c.p_value)) for c in found]  # as in `choose`
    margin = margin_of(plan, naive.mean, units)
    beaten_by = tuple(
        c.family for c, p in zip(others, adjusted, strict=True) if p <= LEVEL and sign * (naive.mean - c.mean) > margin
    )
    what = f"{WORDS[plan.task]} ({naive.family}, {metric.name} {naive.mean:.4g})"
    if found[0].p_value is None:
        says = (
            f"Whether anything beats {what} cannot be tested here: the best, {best.family}, has {best.mean:.4g} on too "
            "few independent parts of the data."
        )
        return AgainstNaive(naive.family, (), best.family, None, says)
    test = f"p {adjusted[0]:.2g}, {found[0].words(plan.task)}, adjusted for {len(others)} comparisons"
    if beaten_by:
        first = others[[c.family for c in others].index(beaten_by[0])]
        p = adjusted[others.index(first)]
        says = f"{first.family} ({first.mean:.4g}) beats {what} by more than chance (p {p:.2g})."
    else:
        says = (
            f"Nothing beats {what} by a significant margin: the best of {len(others)} others, {best.family}, has "
            f"{best.mean:.4g} ({test})."
        )
    return AgainstNaive(naive.family, beaten_by, best.family, adjusted[0], says)
