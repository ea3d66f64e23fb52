"""Classification and regression: the model and the training that a family starts from."""

from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.training.config import TrainConfig
from hybrids import ModelConfig
from hybrids.families import layers
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.pooled import ClassifyConfig, RegressConfig

TOKENS = 48


def build(family: str, knobs: Knobs, plan: Plan, causal: bool) -> ModelConfig:
    """Return the model that `knobs` mean for `family` on this problem."""
    width = max(8, knobs.width // 8 * 8)
    patch = max(1, round(plan.length / TOKENS * knobs.patch_factor))
    head = ClassifyConfig(classes=plan.classes) if plan.task == "classify" else RegressConfig()
    return ModelConfig(
        family=family,
        channels_in=plan.channels,
        width=width,
        layers=layers(family, knobs.depth, causal, knobs.variant),
        dropout=knobs.dropout,
        frontend=SeriesConfig(
            channels_in=plan.channels, patch=patch, kernel=max(5, 2 * patch), stem=0 if causal else 1, causal=causal
        ),
        head=head,
    )


def training(family: str, knobs: Knobs, plan: Plan, units: int, seconds: float | None, max_steps: int) -> TrainConfig:
    """Return how to train a candidate: by the clock (`seconds`) or by a fixed number of steps."""
    return TrainConfig(
        learning_rate=knobs.learning_rate,
        batch=max(8, min(32, units // 4)),
        seconds=seconds,
        max_steps=max_steps,
        label_smoothing=0.05 if plan.task == "classify" else 0.0,
    )
