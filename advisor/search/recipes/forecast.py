"""Forecasting: the model and the training that a family starts from."""

from advisor.look_back import look_back_steps
from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.training.config import TrainConfig
from hybrids import ModelConfig
from hybrids.families import FAMILIES, layers
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.forecast import ForecastConfig

TOKENS = 16


def look_back_of(plan: Plan, factor: float = 1.0) -> int:
    """Return how many steps of the past a forecaster of this problem reads; see `advisor.look_back`."""
    return look_back_steps(plan.horizon, plan.season, plan.length, factor)


def build(family: str, knobs: Knobs, plan: Plan, causal: bool) -> ModelConfig:
    """Return the model that `knobs` mean for `family` on this problem."""
    width = max(8, knobs.width // 8 * 8)
    look_back = look_back_of(plan, knobs.look_back_factor)
    patch = max(1, round(look_back / TOKENS * knobs.patch_factor))
    look_back = max(patch, look_back // patch * patch)
    return ModelConfig(
        family=family,
        channels_in=1,
        width=width,
        layers=layers(family, knobs.depth, causal, knobs.variant),
        dropout=knobs.dropout,
        frontend=SeriesConfig(channels_in=2, patch=patch, kernel=patch, causal=True, normalise="none"),
        head=ForecastConfig(
            horizon=plan.horizon,
            look_back=look_back,
            season=plan.season,
            readout="last" if FAMILIES[family].reads_last else "all",
        ),
    )


def training(family: str, knobs: Knobs, plan: Plan, units: int, seconds: float | None, max_steps: int) -> TrainConfig:
    """Return how to train a candidate: by the clock (`seconds`) or by a fixed number of steps."""
    return TrainConfig(
        learning_rate=knobs.learning_rate,
        batch=128,
        seconds=seconds,
        max_steps=max_steps,
        label_smoothing=0.0,
        augment=False,
    )
