"""The race: which training is worth doing next. Decisions only; nothing is trained here.

Every family starts with its default. Half of the families go on at each rung (see `rungs`), the better half by the
plain value on that rung, until two are left; each keeps what it has trained. Time that is left, where some settled
early, goes to families that there was no room for, then to new configurations of the families in front: one climbs to
the next rung where it is in the best third of its own family's values on its rung. Who is still training counts neither
for nor against anyone, so no worker waits for another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from advisor.search.gate import Gated
from advisor.search.jobs import Result
from advisor.search.rungs import Rungs

ETA = 3
LEAST_LIVE = 2
PATIENCE = 8
"""New configurations without a better one after which no more are asked for."""


@dataclass
class Candidate:
    """One configuration in the race.

    Attributes:
        number: Of its trial.
        gated: What it is and costs.
        extra: Whether a sampler proposed it; else it is its family's default, or the best from earlier runs.
        late: Whether its family started after the others.
        values: Quality after each rung.
        result: Of the last rung.
        key: Of the job of the last rung; empty before.
        running: Whether it is in training.
        failed: Why it is out; empty while it is not.
    """

    number: int
    gated: Gated
    extra: bool
    values: list[float] = field(default_factory=list)
    result: Result = field(default_factory=Result)
    key: str = ""
    running: bool = False
    failed: str = ""
    late: bool = False

    @property
    def family(self) -> str:
        """Return its family."""
        return self.gated.family

    @property
    def rung(self) -> int:
        """Return the next rung: 0 before any."""
        return len(self.values)

    @property
    def value(self) -> float:
        """Return the quality after the last rung."""
        return self.values[-1]

    def at(self, rung: int) -> float | None:
        """Return the quality after `rung`; of one that has settled, its last also for later rungs."""
        if rung < len(self.values):
            return self.values[rung]
        return self.values[-1] if self.values and self.result.settled else None


class Race:
    """The standing, and the next move.

    Args:
        rungs: Who trains how long.
        higher_is_better: Of the quality.
    """

    def __init__(self, rungs: Rungs, higher_is_better: bool) -> None:
        self.rungs = rungs
        self.all: list[Candidate] = []
        self._sign = -1.0 if higher_is_better else 1.0

    def order(self, value: float) -> float:
        """Return a number that is smaller for a better quality."""
        return self._sign * value

    def trained(self) -> list[Candidate]:
        """Return the candidates with a value."""
        return [c for c in self.all if c.values]

    def families(self) -> list[str]:
        """Return the families with a trained model, best first."""
        best: dict[str, tuple[float, int]] = {}
        for c in self.trained():
            standing = (self.order(c.value), c.number)
            best[c.family] = min(best.get(c.family, standing), standing)
        return sorted(best, key=best.__getitem__)

    def best(self, family: str) -> Candidate:
        """Return the best candidate of a family."""
        return min((c for c in self.trained() if c.family == family), key=lambda c: (self.order(c.value), c.number))

    def live(self) -> list[str]:
        """Return the families that new configurations are worth it for, best first."""
        ranked = self.families()
        return ranked[: max(LEAST_LIVE, math.ceil(len(ranked) / ETA))]

    def climber(self) -> Candidate | None:
        """Return who goes on to its next rung now; None: nobody may, yet."""
        return self._across() or self._inside()

    def newcomer(self) -> str | None:
        """Return the family that a new configuration is asked of; None before any has trained."""
        live = self.live()
        return min(live, key=lambda f: (sum(c.family == f for c in self.all), live.index(f))) if live else None

    def exhausted(self) -> bool:
        """Return whether new configurations are not worth it: the best is perfect, or many in a row were no better.

        The best must have settled, so that it is not training that it lacks.
        """
        trained = self.trained()
        if not trained:
            return False
        if self.perfect():
            return True
        best = min(trained, key=lambda c: (self.order(c.value), c.number))
        since = sum(c.extra and c.number > best.number and not c.running for c in self.all)
        return best.result.settled and since >= PATIENCE

    def perfect(self) -> bool:
        """Return whether nothing can be better than what has been found."""
        return any(c.value == (1.0 if self._sign < 0 else 0.0) for c in self.trained())

    def _across(self) -> Candidate | None:
        """Return a default that is in the better half of its rung."""
        firsts = [c for c in self.all if not c.extra]
        for rung, (here, above) in enumerate(zip(self.rungs.sizes, self.rungs.sizes[1:], strict=False)):
            done = [c for c in firsts if c.at(rung) is not None]
            waiting = any(c.running and c.rung <= rung and not c.late for c in firsts)
            allowed = min(above, len(done) * above // here) if waiting else above
            found = self._first_idle(done, rung, allowed)
            if found:
                return found
        return None

    def _inside(self) -> Candidate | None:
        """Return a new configuration that is in the best third of its family on its rung."""
        for c in self.all:
            if not c.extra or not self._may_climb(c):
                continue
            family = [one for one in self.all if one.family == c.family]
            here = c.rung - 1
            peers = [one for one in family if one.at(here) is not None]
            ranked = sorted(peers, key=lambda one: (self.order(one.at(here) or 0.0), one.number))
            if c.rung < len(self.rungs.sizes) and c in ranked[: math.ceil(len(ranked) / ETA)]:
                return c
        return None

    def _first_idle(self, done: Sequence[Candidate], rung: int, allowed: int) -> Candidate | None:
        ranked = sorted(done, key=lambda c: (self.order(c.at(rung) or 0.0), c.number))[:allowed]
        return next((c for c in ranked if c.rung == rung + 1 and self._may_climb(c)), None)

    def _may_climb(self, c: Candidate) -> bool:
        return bool(c.values) and not (c.running or c.failed or c.result.settled)

    def state(self, c: Candidate) -> Literal["complete", "pruned"]:
        """Return how its trial ends: complete where it is its family's best or went as far as any of its family."""
        furthest = max(one.rung for one in self.all if one.family == c.family)
        return "complete" if c is self.best(c.family) or c.rung >= furthest or c.result.settled else "pruned"
