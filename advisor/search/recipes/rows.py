"""Classification and regression: the model and the training that a family starts from.

Every family reads a convolutional stem of at most `STEM_TOKENS` tokens, joined to at most `TOKENS` for the backbone:
short trainings and small sets are won by steps per second, and the stem needs the fewest steps. What was measured is
in docs/LOG.md.
"""

import math

from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.training.config import TrainConfig
from hybrids import ModelConfig
from hybrids.families import FAMILIES, layers
from hybrids.frontends.series import SeriesConfig
from hybrids.frontends.stem import StemConfig
from hybrids.heads.pooled import ClassifyConfig, RegressConfig

STEM_TOKENS, TOKENS = 128, 64
KERNELS = (39, 19, 9)
"""Steps of the stem's first kernels; at most half of a short series, and of a long one at least the stride, so that no
step is left out."""
SHARED: dict[str, int | float] = {"width": 64, "depth": 1, "dropout": 0.1, "learning_rate": 5e-3}
"""Where most families start."""
OWN: dict[str, dict[str, int | float | str]] = {"conv": {"variant": "inception"}}
"""Where a family starts elsewhere."""


def start(family: str, plan: Plan) -> Knobs:
    """Return where the search of `family` starts on this problem."""
    first = {"variant": next(iter(FAMILIES[family].variants))}
    return Knobs.model_validate({**first, **SHARED, **OWN.get(family, {})})


def build(family: str, knobs: Knobs, plan: Plan, causal: bool) -> ModelConfig:
    """Return the model that `knobs` mean for `family` on this problem."""
    width = max(8, knobs.width // 8 * 8)
    stride = max(1, math.ceil(plan.length * knobs.patch_factor / STEM_TOKENS))
    joined = max(1, math.ceil(plan.length * knobs.patch_factor / (stride * TOKENS)))
    kernels = tuple(dict.fromkeys(max(3, stride, min(kernel, plan.length // 2)) for kernel in KERNELS))
    head = ClassifyConfig(classes=plan.classes) if plan.task == "classify" else RegressConfig()
    return ModelConfig(
        family=family,
        channels_in=plan.channels,
        width=width,
        layers=layers(family, knobs.depth, causal, knobs.variant),
        dropout=knobs.dropout,
        frontend=SeriesConfig(
            channels_in=plan.channels,
            patch=stride * joined,
            causal=causal,
            normalise="channel" if causal else "both",
            convolution=StemConfig(kernels=kernels, stride=stride),
        ),
        head=head,
    )


def training(family: str, knobs: Knobs, plan: Plan, units: int, seconds: float | None, max_steps: int) -> TrainConfig:
    """Return how to train a candidate: by the clock (`seconds`) or by a fixed number of steps."""
    return TrainConfig(
        learning_rate=knobs.learning_rate,
        batch=batch_of(units),
        label_smoothing=0.05 if plan.task == "classify" else 0.0,
        seconds=seconds,
        max_steps=max_steps,
    )


def batch_of(units: int) -> int:
    """Return the series in a batch: small ones while the series are few, so that there are many steps."""
    return 16 if units < 1000 else 32 if units < 4000 else 64
