"""What a counterfactual answer is: one change and the winner it brings, and the case of a family that did not win."""

from collections.abc import Sequence
from typing import Literal

from advisor.records import Ranked, Record

Value = bool | int | float | str | None
Evidence = Literal["rules", "measured", "one training", "untrained"]


class Turn(Record):
    """One change, everything else kept, that puts another family first."""

    fact: str
    """A field of `Facts`, a limit of `Budget`, `margin`, or `quality` (of `winner_then`)."""
    now: Value
    then: Value
    """From the rules: the nearest value with another winner, to nine digits: just past a bound at which the winner is
    still the same. Measured, a limit `below`: the other wins strictly below
    it; `above`: from it on. None: no limit."""
    direction: Literal["below", "above", "other"]
    winner_now: str
    winner_then: str
    """Evidence `untrained`: the family that could then take part; whether it wins is not known."""
    rules: tuple[str, ...] = ()
    """Keys of the rules that bring the change, the strongest first."""
    evidence: Evidence = "rules"
    """rules: the documents' advice. measured: means over all folds. one training: of the winner then, not repeated."""
    says: str

    @property
    def ratio(self) -> float:
        """Return how far off the change is; see `ratio_of`."""
        return ratio_of(self.now, self.then)


class WhyNot(Record):
    """Why a family is not the answer, and the smallest change that would make it so."""

    family: str
    winner: str
    place: int
    """In the ranking, 1 is the best."""
    of: int
    state: str
    """ranked (by the rules); recommended, tied, behind, infeasible, failed, not tried (after a run)."""
    speaks_for: tuple[str, ...]
    """Rules that prefer it: key, share of the score, words."""
    speaks_against: tuple[str, ...]
    numbers: Ranked | None = None
    """Its measurements; None before a run."""
    winner_numbers: Ranked | None = None
    turns: tuple[Turn, ...] = ()
    """Single changes that would make it win, the smallest first."""
    says: tuple[str, ...]
    """Where it stands and what would make it win, in sentences."""

    def lines(self) -> list[str]:
        """Return everything in sentences, for people."""
        for_it = [f"For it: {words}" for words in self.speaks_for]
        against = [f"Against it: {words}" for words in self.speaks_against]
        silent = [] if for_it or against else ["No rule that fired speaks for or against it."]
        return [*self.says, *for_it, *against, *silent]


class Explanation(Record):
    """A finished run in sentences: why this family, and what would have to change for another."""

    run: str
    family: str
    reasons: tuple[str, ...]
    turns: tuple[Turn, ...]
    why_not: WhyNot | None = None
    """The family asked about; None where none was."""
    notes: tuple[str, ...] = ()
    """What could not be replayed exactly; one sentence each."""

    def lines(self) -> list[str]:
        """Return the case of the family asked about, or the reasons and the nearest turns, for people."""
        if self.why_not is not None:
            return [*self.why_not.lines(), *self.notes]
        return [*self.reasons, *lines(self.turns), *self.notes]


def ratio_of(now: Value, then: Value) -> float:
    """Return the greater number over the less; infinite where one of the two is no number."""
    if any(isinstance(value, bool | str | None) for value in (now, then)):
        return float("inf")
    low, high = sorted((abs(float(now or 0)), abs(float(then or 0))))
    return high / low if low > 0 else 1 + high


def lines(turns: Sequence[Turn], most: int = 6) -> list[str]:
    """Return the sentences of the first turns, in their order: one for each fact and direction.

    Args:
        turns: As `before` or `after` return them.
        most: Sentences at most.
    """
    told: dict[tuple[str, str], str] = {}
    for turn in turns:
        told.setdefault((turn.fact, turn.direction), turn.says)
    return list(told.values())[:most]
