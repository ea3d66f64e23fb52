"""The cost gate: a candidate is built and measured before any training; what breaks the budget is never trained.

With a target device, candidates are measured here and judged by the latency predicted for there (profiles.target).
"""

from dataclasses import dataclass

from torch import nn

from advisor.search.knobs import Knobs, smaller, start
from advisor.search.problem import Plan
from advisor.search.recipes import build
from hybrids import ModelConfig, SequenceModel
from profiles.budget import Budget, Miss
from profiles.cost import Cost, measure
from profiles.target import Target


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
    if target is None:
        return cost
    if isinstance(model, SequenceModel):
        return target.predict(cost, model.config.family, -(-length // model.config.frontend.patch))
    return target.predict(cost, None, length)


def admit(
    family: str,
    knobs: Knobs,
    plan: Plan,
    budget: Budget,
    device: str,
    seconds: float = 0.05,
    target: Target | None = None,
) -> Gated:
    """Build and measure one candidate."""
    config = build(family, knobs, plan, causal=budget.streaming)
    cost = cost_of(config.build(), length_asked(plan, config), budget, device, seconds, target)
    return Gated(family, knobs, config, cost, budget.misses(cost))


def admit_or_shrink(family: str, plan: Plan, budget: Budget, device: str, target: Target | None = None) -> list[Gated]:
    """Return the candidates tried from the default downwards; only the last can be inside the budget."""
    tried: list[Gated] = []
    knobs: Knobs | None = start(family)
    while knobs is not None:
        tried.append(admit(family, knobs, plan, budget, device, target=target))
        if not tried[-1].misses:
            break
        knobs = smaller(knobs)
    return tried


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
        length=plan.length,
    )
    return baselines.build(config), name
