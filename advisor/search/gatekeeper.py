"""The gate of one run: measures candidates against its budget, once each, and remembers over a crash what it found.

A latency is not measured twice alike, and what the gate says decides what is trained; so a resumed run takes the
measurements that its earlier part wrote to `work/costs.jsonl`.
"""

import json
from collections.abc import Callable
from pathlib import Path

from torch import nn

from advisor.search.gate import Gated, Refused, admit, cost_held, shrink
from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.search.recipes import build, start
from advisor.search.results import Lines
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.cost import Cost
from profiles.target import Target

GATE_S, AGAIN_S = 0.05, 0.2
"""Seconds of timing at the gate, and of a finalist."""


class Gatekeeper:
    """Says who may race.

    Args:
        folder: Of the run's work.
        plan: The problem.
        budget: The limits.
        device: Where candidates are measured.

    Attributes:
        target: The device that latencies are predicted for, if another.
    """

    def __init__(self, folder: Path, plan: Plan, budget: Budget, device: str) -> None:
        self.plan, self.budget, self.device = plan, budget, device
        self.target: Target | None = None
        self._lines = Lines(folder / "costs.jsonl")
        self._known = {str(line["name"]): Cost.model_validate(line["cost"]) for line in self._lines.found}

    @property
    def needs_quiet(self) -> bool:
        """Return whether what it measures decides, so that nothing may run beside it."""
        return self.budget.max_latency_ms is not None

    def why_never(self, family: str) -> str:
        """Return why a family cannot be a candidate at all; empty where it can."""
        if self.budget.streaming and not FAMILIES[family].streams:
            return "it wants the whole sequence, or a past that grows (STR1)"
        if self.target and (why := self.target.cannot_run(family)):
            return f"it cannot run on {self.target.name}: {why} (HW1)"
        return ""

    def admitted(self, family: str, knobs: Knobs) -> Gated | None:
        """Return a candidate that was measured before."""
        cost = self._known.get(self._candidate(family, knobs))
        if cost is None:
            return None
        config = build(family, knobs, self.plan, causal=self.budget.streaming)
        return Gated(family, knobs, config, cost, self.budget.misses(cost))

    def admit(self, family: str, knobs: Knobs) -> Gated | Refused:
        """Build and measure one candidate."""
        if before := self.admitted(family, knobs):
            return before
        found = admit(family, knobs, self.plan, self.budget, self.device, GATE_S, self.target)
        if isinstance(found, Gated):
            self._keep(self._candidate(family, knobs), found.cost)
        return found

    def admit_or_shrink(self, family: str) -> list[Gated | Refused]:
        """Return the candidates tried from the default downwards; only the last can be inside the budget."""
        return shrink(start(family, self.plan), lambda knobs: self.admit(family, knobs))

    def cost(self, build: Callable[[], nn.Module], length: int, name: str = "", seconds: float = AGAIN_S) -> Cost:
        """Return what one answer of a model costs, on the target device where there is one.

        Args:
            build: Makes the model.
            length: Steps of the answer.
            name: Under which it is remembered; empty: it is not.
            seconds: Of timing, each round.
        """
        name = self._name(name) if name else ""
        if name in self._known:
            return self._known[name]
        found = cost_held(build(), length, self.budget, self.device, seconds, self.target)
        if name:
            self._keep(name, found)
        return found

    def _candidate(self, family: str, knobs: Knobs) -> str:
        return self._name(json.dumps([family, knobs.model_dump(mode="json")], sort_keys=True))

    def _name(self, what: str) -> str:
        """Return the name under which a cost is remembered: another device, target, batch or mode has another cost."""
        target = self.target.name if self.target else ""
        return f"{what} on {self.device} {target} batch {self.budget.batch_size} streaming {self.budget.streaming}"

    def _keep(self, name: str, cost: Cost) -> None:
        self._known[name] = cost
        self._lines.add({"name": name, "cost": cost.model_dump(mode="json")})
