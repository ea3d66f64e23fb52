"""The cost gate: a candidate is built and measured before any training; what breaks the budget is never trained.

With a target device, candidates are measured here and judged by the latency predicted for there (profiles.target).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from advisor.ensemble import Ensemble
from advisor.search.knobs import Knobs, smaller
from advisor.search.memory import FULL, out_of_memory
from advisor.search.problem import Plan
from advisor.search.recipes import build
from advisor.search.recipes.forecast import look_back_of
from hybrids import ModelConfig, SequenceModel
from hybrids.committee import Committee
from hybrids.errors import HybridError
from profiles.budget import Budget, Miss
from profiles.cost import Cost, measure
from profiles.target import Target

NEAR, ROUNDS = 0.5, 5
"""From this share of its limit on a latency is measured in so many rounds: on a busy machine they differ by a third."""


@dataclass(frozen=True)
class Gated:
    """A candidate with its measured cost; `misses` is empty where it keeps the budget."""

    family: str
    knobs: Knobs
    config: ModelConfig
    cost: Cost
    misses: tuple[Miss, ...]

    @property
    def excess(self) -> float:
        """Return by how much the worst limit is broken, as a share of the limit; 0 where all are kept."""
        return max((miss.ratio - 1 for miss in self.misses), default=0.0)

    @property
    def why(self) -> str:
        """Return in words why it is refused; empty where it is not."""
        return str(self.misses[0]) if self.misses else ""


@dataclass(frozen=True)
class Refused:
    """A candidate that could not be measured."""

    family: str
    knobs: Knobs
    config: ModelConfig
    why: str
    cost: None = None
    excess: float = 1.0


def length_asked(plan: Plan, config: ModelConfig | None = None) -> int:
    """Return the steps of one answer: the longest series, or the window that a forecaster reads."""
    if config is not None and config.head.kind == "forecast":
        return config.head.look_back
    return plan.length


def cost_of(
    model: nn.Module, length: int, budget: Budget, device: str, seconds: float, target: Target | None = None
) -> Cost:
    """Return the cost of one answer as the budget asks for it: measured, or with the latency predicted for a target."""
    cost = measure(model, budget.batch_size, length, device=device, channels=None, seconds=seconds)
    return cost if target is None else predicted(model, cost, length, target)


def cost_held(
    model: nn.Module, length: int, budget: Budget, device: str, seconds: float, target: Target | None = None
) -> Cost:
    """Return the cost; of a measured latency that keeps its limit narrowly that of the worst of up to `ROUNDS` rounds.

    Args:
        model: What answers.
        length: Steps of the answer.
        budget: The limits.
        device: Where it is measured.
        seconds: Of timing, each round; the third and later ones are left out where five times that is over.
        target: Device that the latency is predicted for, if another.
    """
    ends = time.monotonic() + ROUNDS * seconds
    found = cost_of(model, length, budget, device, seconds, target)
    near_ms = math.inf if target or budget.max_latency_ms is None else NEAR * budget.max_latency_ms
    for others in range(ROUNDS - 1):
        near = found.latency_ms(budget.latency_stat) >= near_ms and not budget.misses(found)
        if not near or (others and time.monotonic() > ends):
            break
        again = cost_of(model, length, budget, device, seconds)
        found = max(found, again, key=lambda cost: cost.latency_ms(budget.latency_stat))
    return found


def predicted(model: nn.Module, cost: Cost, length: int, target: Target) -> Cost:
    """Return the cost with the latency on the target; of an ensemble as if it were its part that suffers most."""
    if isinstance(model, Ensemble):
        parts = (predicted(part, cost, length, target) for part in model.parts)
        return max(parts, key=lambda part: (part.latency_p95_ms, part.error or 0.0))
    if isinstance(model, SequenceModel | Committee):
        member = model.config.member if isinstance(model, Committee) else model.config
        return target.predict(cost, member.family, -(-length // member.frontend.patch))
    return target.predict(cost, None, length)


def admit(
    family: str,
    knobs: Knobs,
    plan: Plan,
    budget: Budget,
    device: str,
    seconds: float = 0.05,
    target: Target | None = None,
) -> Gated | Refused:
    """Build and measure one candidate; one that this machine has no memory for is refused."""
    config = build(family, knobs, plan, causal=budget.streaming)
    try:
        cost = cost_held(config.build(), length_asked(plan, config), budget, device, seconds, target)
    except HybridError as error:
        return Refused(family, knobs, config, f"it cannot be built: {error}")
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return Refused(family, knobs, config, f"{FULL} when it was measured")
    return Gated(family, knobs, config, cost, budget.misses(cost))


def shrink(knobs: Knobs, admits: Callable[[Knobs], Gated | Refused]) -> list[Gated | Refused]:
    """Return what `admits` says of `knobs` and of ever smaller ones, until one is not refused."""
    tried: list[Gated | Refused] = []
    at: Knobs | None = knobs
    while at is not None:
        tried.append(admits(at))
        if not tried[-1].why:
            break
        at = smaller(at)
    return tried


def steps_read(plan: Plan) -> int:
    """Return the steps that a baseline reads for one answer."""
    return look_back_of(plan) if plan.task == "forecast" else plan.length


def trivial(plan: Plan) -> tuple[nn.Module, str]:
    """Return the cheapest model of the task, unfitted, and its name: what it costs, nothing can undercut."""
    from advisor import baselines

    name = baselines.names(plan.task)[0]
    config = baselines.BaselineConfig(
        kind=name,
        task=plan.task,
        channels_in=plan.channels,
        classes=plan.classes,
        horizon=plan.horizon,
        season=plan.season,
        ahead=len(plan.ahead),
        length=steps_read(plan),
    )
    return baselines.build(config), name
