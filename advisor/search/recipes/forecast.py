"""Forecasting: the model and the training that a family starts from.

`STARTS` was found by measurement on validation origins (docs/LOG.md). What decides in short searches is how many steps
of training fit in: windows are cut into few tokens, and nothing is dropped out unless there are few windows.
"""

from typing import NamedTuple

from advisor.look_back import look_back_steps, seasons_of
from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.training.config import TrainConfig
from hybrids import ModelConfig
from hybrids.families import FAMILIES, Kind, layers
from hybrids.frontends.window import WindowConfig
from hybrids.heads.forecast import ForecastConfig


class Start(NamedTuple):
    """Where the families of one kind start.

    Attributes:
        width: Of the model.
        depth: Layers.
        learning_rate: The highest of a training.
        tokens: Tokens that a window is cut into.
        batch: Windows of a step.
        expansion: Inner width of the feed-forward part over the model width; 0: none.
    """

    width: int
    depth: int
    learning_rate: float
    tokens: int
    batch: int
    expansion: float


STARTS: dict[Kind, Start] = {
    "recurrent": Start(width=96, depth=2, learning_rate=4e-3, tokens=4, batch=64, expansion=2.0),
    "attention": Start(width=96, depth=2, learning_rate=4e-3, tokens=4, batch=64, expansion=2.0),
    "linear": Start(width=64, depth=2, learning_rate=4e-3, tokens=4, batch=64, expansion=2.0),
    "hybrid": Start(width=64, depth=2, learning_rate=4e-3, tokens=4, batch=64, expansion=2.0),
    "convolution": Start(width=64, depth=2, learning_rate=4e-3, tokens=8, batch=64, expansion=2.0),
    "feedforward": Start(width=128, depth=2, learning_rate=4e-3, tokens=1, batch=256, expansion=0.0),
}
FEW_STEPS = 500
"""Steps of all series together below which a model starts small, with dropout and a lower learning rate."""
REPLACED, MANY_STEPS = 0.1, 200_000
"""Share of the past that is replaced in training (`advisor.training.augment`), and steps of all series together from
which on nothing is: what is not learnt by heart in the time there is only becomes harder to learn."""


def look_back_of(plan: Plan, factor: float = 1.0) -> int:
    """Return how many steps of the past a forecaster of this problem reads; see `advisor.look_back`."""
    return look_back_steps(plan.horizon, plan.season, plan.length, factor)


def start(family: str, plan: Plan) -> Knobs:
    """Return where the search of `family` starts on this problem."""
    row = FAMILIES[family]
    defaults, first = STARTS[row.kind], next(iter(row.variants))
    if plan.length * plan.series < FEW_STEPS:
        return Knobs(width=32, depth=1, dropout=0.1, learning_rate=1e-3, variant=first)
    return Knobs(
        width=defaults.width,
        depth=defaults.depth,
        dropout=0.0,
        learning_rate=defaults.learning_rate,
        variant=first,
    )


def build(family: str, knobs: Knobs, plan: Plan, causal: bool) -> ModelConfig:
    """Return the model that `knobs` mean for `family` on this problem."""
    row = FAMILIES[family]
    defaults = STARTS[row.kind]
    look_back = look_back_of(plan, knobs.look_back_factor)
    patch = max(1, round(look_back / defaults.tokens * knobs.patch_factor)) if defaults.tokens > 1 else look_back
    return ModelConfig(
        family=family,
        channels_in=plan.channels,
        width=max(8, knobs.width // 8 * 8),
        layers=layers(family, knobs.depth, causal, knobs.variant),
        expansion=defaults.expansion,
        dropout=knobs.dropout,
        frontend=WindowConfig(
            channels_in=plan.channels,
            calendar=len(plan.calendar),
            ahead=len(plan.ahead),
            patch=patch,
            seasons=seasons_of(plan.season),
            square_root=plan.nonnegative,
        ),
        head=ForecastConfig(
            horizon=plan.horizon,
            look_back=look_back,
            season=plan.season,
            readout="last" if row.reads_last else "all",
        ),
    )


def training(family: str, knobs: Knobs, plan: Plan, units: int, seconds: float | None, max_steps: int) -> TrainConfig:
    """Return how to train a candidate: by the clock (`seconds`) or by a fixed number of steps."""
    return TrainConfig(
        learning_rate=knobs.learning_rate,
        batch=STARTS[FAMILIES[family].kind].batch,
        seconds=seconds,
        max_steps=max_steps,
        early_looks=True,
        replaced=REPLACED if plan.length * plan.series < MANY_STEPS else 0.0,
    )
