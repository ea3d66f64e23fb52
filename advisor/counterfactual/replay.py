"""After training: the choice of a finished run made again, under other limits or with another quality.

The rule is that of the search: every baseline, the ensemble and the finalists that keep the limits meet, and
`advisor.choose` takes the cheapest within the margin of the best. A finalist stands with its mean over all folds and
its cost measured again; where that model is refused, with the best smaller one of its family, which was trained once.
Only where no finalist is left do the other families stand in, as many as there were finalists: one training is thin
evidence against a final.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from advisor.metrics import METRICS
from advisor.records import ENSEMBLE, Ranked, Recommendation, Record, Trial
from profiles.budget import Budget
from profiles.task import Task

Limits = Mapping[str, float | None]
COSTS = {"max_latency_ms": "latency_ms", "max_memory_mib": "memory_mib", "max_model_mib": "size_mib"}
MANY = 10**9
"""Series judged, where their number is not known: the margin is then the least one."""
PICOSECONDS = 1e9


class Candidate(Record):
    """One model that was trained and judged, with its cost."""

    number: int
    """Of its trial."""
    family: str
    baseline: bool
    quality: float
    explored: float
    """Quality in its trial, by which the search picks who reaches the final."""
    latency_ms: float
    memory_mib: float
    size_mib: float
    flops: int | None
    """Operations of one answer; None where the run did not keep them."""
    final: bool
    """Whether the quality is the mean over all folds; else it comes from one training."""

    def keeps(self, limits: Limits) -> bool:
        """Return whether no limit is broken."""
        return all(limit is None or self.cost(name) <= limit for name, limit in limits.items())

    def cost(self, name: str) -> float:
        """Return the cost that the limit `name` bounds."""
        return float(getattr(self, COSTS[name]))


def limits_of(budget: Budget) -> dict[str, float | None]:
    """Return the limits by name; None is no limit."""
    return {name: getattr(budget, name) for name in COSTS}


def candidates(recommendation: Recommendation, trials: Sequence[Trial]) -> tuple[Candidate, ...]:
    """Return what was judged, less what another model of its family beats in quality and every cost.

    A family that was refused or failed when it was measured again is left out: its first numbers do not hold.
    """
    higher = recommendation.quality.higher_is_better
    rows = {row.family: row for row in recommendation.ranking}
    found: list[Candidate] = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        row = rows.get(trial.family)
        dropped = row is None or (row.state in ("infeasible", "failed") and trial.state == "complete")
        if not dropped and (one := _candidate(trial)) is not None:
            found.append(one)
    for row in recommendation.ranking:
        own = [one for one in found if one.family == row.family]
        if row.quality is not None and own:
            sign = -1.0 if higher else 1.0
            same = min(own, key=lambda one: (one.size_mib != row.size_mib, sign * one.explored, one.number))
            found[found.index(same)] = _finalist(same, row)
    return tuple(one for one in found if not any(_beats(other, one, higher) for other in found))


def _candidate(trial: Trial) -> Candidate | None:
    costs = (trial.latency_ms, trial.memory_mib, trial.size_mib)
    judged = trial.state in ("complete", "infeasible")
    if not judged or trial.quality is None or any(cost is None for cost in costs):
        return None
    return Candidate.model_validate(
        trial.model_dump(include={"number", "family", "baseline", "quality", "flops", *COSTS.values()})
        | {"explored": trial.quality, "final": trial.baseline or trial.family == ENSEMBLE}
    )


def _finalist(one: Candidate, row: Ranked) -> Candidate:
    measured = {"quality": row.validation, "latency_ms": row.latency_ms, "memory_mib": row.memory_mib}
    return one.model_copy(update={k: v for k, v in measured.items() if v is not None} | {"final": True})


def _beats(a: Candidate, b: Candidate, higher: bool) -> bool:
    if a is b or a.family != b.family or (b.final and not a.final):
        return False
    gain = (a.explored - b.explored) * (1 if higher else -1)
    costs = [(a.cost(name), b.cost(name)) for name in COSTS]
    no_worse = gain >= 0 and all(x <= y for x, y in costs)
    return no_worse and (gain > 0 or any(x < y for x, y in costs) or a.number < b.number)


class _Price(NamedTuple):
    """What the choice reads of a cost."""

    flops: int
    size_mib: float


class _Entry(NamedTuple):
    """A candidate as the choice reads it."""

    candidate: Candidate
    family: str
    cost: _Price
    folds: dict[int, float]
    mean: float


class _Division(NamedTuple):
    """What the choice reads of a plan; the folds bear on the test for ties alone, which is not used here."""

    task: Task
    folds: int = 2


class Replay:
    """The choice of one run as a function of the limits.

    Operations say what is cheap; where those of one candidate are missing, the latency stands for all. The margin of
    an accuracy is 1.5 errors of the series judged; where their number is missing, the least one.

    Args:
        recommendation: What the run answered.
        trials: All of them.
    """

    def __init__(self, recommendation: Recommendation, trials: Sequence[Trial]) -> None:
        self.task = recommendation.request.task
        self.metric = METRICS[self.task]
        self.candidates = candidates(recommendation, trials)
        self.states = {row.family: row.state for row in recommendation.ranking}
        ranked = recommendation.ranking
        final = [row.family for row in ranked if not row.baseline and row.quality is not None]
        self._finalists = frozenset(final) - {ENSEMBLE}
        self._units = MANY if recommendation.judged is None else recommendation.judged
        self.exact = all(one.flops is not None for one in self.candidates)
        """Whether operations are known for all; else latency stands for them."""

    def winner(self, limits: Limits, quality: Mapping[str, float] | None = None) -> Candidate | None:
        """Return the choice under `limits`, or None where nothing keeps them.

        Args:
            limits: By name; see `limits_of`.
            quality: Family -> quality of its best admitted model, instead of the measured one; it takes part.
        """
        pool = self._pool(limits, quality or {})
        return self._choose(pool)[0] if pool else None

    def best(self, limits: Limits) -> Candidate:
        """Return the best quality under `limits`, whatever it costs; the limits must admit somebody."""
        return self._choose(self._pool(limits, {}))[1]

    def margin(self, quality: float) -> float:
        """Return the difference from `quality` that does not matter."""
        from advisor.choose import margin_of

        return margin_of(_Division(self.task), quality, self._units)

    def order(self, quality: float) -> float:
        """Return a number that is less for a better quality."""
        return -quality if self.metric.higher_is_better else quality

    def admitted(self, limits: Limits) -> dict[str, Candidate]:
        """Return the model that would stand for each family under `limits`."""
        found: dict[str, Candidate] = {}
        for one in self.candidates:
            if one.keeps(limits) and (one.family not in found or self._before(one, found[one.family])):
                found[one.family] = one
        return found

    def times_dearer(self, one: Candidate, other: Candidate) -> float:
        """Return how many times the operations of `other` (or its latency, where not `exact`) `one` needs."""
        return self._operations(one) / max(1, self._operations(other))

    def _operations(self, one: Candidate) -> int:
        return one.flops if self.exact and one.flops is not None else round(one.latency_ms * PICOSECONDS)

    def _pool(self, limits: Limits, quality: Mapping[str, float]) -> list[Candidate]:
        admitted = self.admitted(limits)
        for family in quality.keys() & admitted.keys():
            new = {"quality": quality[family], "explored": quality[family]}
            admitted[family] = admitted[family].model_copy(update=new)
        whole = [one for one in admitted.values() if one.baseline or one.family == ENSEMBLE]
        networks = [one for one in admitted.values() if one not in whole]
        first = [one for one in networks if one.family in self._finalists]
        if not first:
            first = sorted(networks, key=lambda one: self.order(one.explored))[: len(self._finalists)]
        asked = [one for one in networks if one.family in quality and one not in first]
        return whole + first + asked

    def _before(self, a: Candidate, b: Candidate) -> bool:
        """Return whether `a` would go to the final rather than `b` of the same family."""
        return (not a.final, self.order(a.explored), a.number) < (not b.final, self.order(b.explored), b.number)

    def _choose(self, pool: Sequence[Candidate]) -> tuple[Candidate, Candidate]:
        """Return what `advisor.choose` takes, and the best it saw."""
        from advisor.choose import choose

        entries = [
            _Entry(c, c.family, _Price(self._operations(c), c.size_mib), {0: c.quality}, c.quality) for c in pool
        ]
        choice = choose(entries, _Division(self.task), self._units)
        return choice.chosen.candidate, choice.best.candidate
