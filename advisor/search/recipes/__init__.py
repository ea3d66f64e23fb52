"""What knobs mean for a family on a problem: the model and its training."""

from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.search.recipes import forecast, rows
from advisor.training.config import TrainConfig
from hybrids import ModelConfig


def build(family: str, knobs: Knobs, plan: Plan, causal: bool = False) -> ModelConfig:
    """Return the model that `knobs` mean for `family` on this problem."""
    if plan.task == "forecast":
        return forecast.build(family, knobs, plan, causal)
    return rows.build(family, knobs, plan, causal)


def training(family: str, knobs: Knobs, plan: Plan, units: int, seconds: float | None, max_steps: int) -> TrainConfig:
    """Return how to train a candidate: by the clock (`seconds`) or by a fixed number of steps."""
    if plan.task == "forecast":
        return forecast.training(family, knobs, plan, units, seconds, max_steps)
    return rows.training(family, knobs, plan, units, seconds, max_steps)
