"""What knobs mean for a family on a problem: the model and its training."""

from advisor.search.knobs import Knobs
from advisor.search.mixer_space import applied
from advisor.search.problem import Plan
from advisor.search.recipes import forecast, rows
from advisor.training.config import TrainConfig
from hybrids import ModelConfig


def start(family: str, plan: Plan) -> Knobs:
    """Return where the search of `family` starts on this problem."""
    return forecast.start(family, plan) if plan.task == "forecast" else rows.start(family, plan)


def build(family: str, knobs: Knobs, plan: Plan, causal: bool = False) -> ModelConfig:
    """Return the model that `knobs` mean for `family` on this problem."""
    recipe = forecast.build if plan.task == "forecast" else rows.build
    config = recipe(family, knobs, plan, causal)
    return config.model_copy(update={"layers": applied(config.layers, knobs.mixer)})


def training(family: str, knobs: Knobs, plan: Plan, units: int, seconds: float | None, max_steps: int) -> TrainConfig:
    """Return how to train a candidate: by the clock (`seconds`) or by a fixed number of steps."""
    if plan.task == "forecast":
        return forecast.training(family, knobs, plan, units, seconds, max_steps)
    return rows.training(family, knobs, plan, units, seconds, max_steps)
