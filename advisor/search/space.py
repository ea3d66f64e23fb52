"""The space of candidates: a few knobs for each family, and the model and training that they mean for a problem."""

from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, Field

from advisor.look_back import look_back_steps
from advisor.search.problem import Plan
from advisor.train import TrainConfig
from hybrids import ModelConfig
from hybrids.families import FAMILIES, layers
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.forecast import ForecastConfig
from hybrids.heads.pooled import ClassifyConfig, RegressConfig
from hybrids.mixer import Tune

TOKENS_POOLED, TOKENS_FORECAST = 48, 16


class Knobs(BaseModel):
    """One point of the space of a family; the defaults are where every family starts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    width: Annotated[int, Field(ge=8, le=160), Tune(log=True)] = 48
    """Model width; rounded down to a multiple of 8."""
    depth: Annotated[int, Field(ge=1, le=4), Tune()] = 2
    dropout: Annotated[float, Field(ge=0.0, le=0.4), Tune()] = 0.1
    learning_rate: Annotated[float, Field(ge=5e-4, le=8e-3), Tune(log=True)] = 2.5e-3
    patch_factor: Annotated[float, Field(ge=0.4, le=2.5), Tune(log=True)] = 1.0
    """Factor on the default number of steps between two tokens."""
    look_back_factor: Annotated[float, Field(ge=0.5, le=2.0), Tune(log=True)] = 1.0
    """Factor on the default look-back; forecasting only."""
    variant: str = ""
    """Which pattern of the family's layers; empty for its first."""


def start(family: str) -> Knobs:
    """Return where the search of `family` starts."""
    return Knobs(variant=next(iter(FAMILIES[family].variants)))


def searched(family: str, plan: Plan) -> tuple[str, ...]:
    """Return the knobs that a search of `family` on this problem turns; the others stay where they start."""
    fixed = set() if plan.task == "forecast" else {"look_back_factor"}
    if len(FAMILIES[family].variants) == 1:
        fixed.add("variant")
    return tuple(name for name in Knobs.model_fields if name not in fixed)


def suggest(trial: Any, family: str, plan: Plan) -> Knobs:
    """Return the point that an Optuna trial proposes, within the bounds that `Knobs` declares."""
    chosen: dict[str, int | float | str] = start(family).model_dump()
    for name in searched(family, plan):
        field = Knobs.model_fields[name]
        if name == "variant":
            chosen[name] = trial.suggest_categorical(name, list(FAMILIES[family].variants))
            continue
        marks = {type(mark): mark for mark in field.metadata}
        low, high, log = marks[Ge].ge, marks[Le].le, marks[Tune].log
        pick = trial.suggest_int if field.annotation is int else trial.suggest_float
        chosen[name] = pick(name, low, high, log=log)
    return Knobs.model_validate(chosen)


def look_back_of(plan: Plan, factor: float = 1.0) -> int:
    """Return how many steps of the past a forecaster of this problem reads; see `advisor.look_back`."""
    return look_back_steps(plan.horizon, plan.season, plan.length, factor)


def build(family: str, knobs: Knobs, plan: Plan, causal: bool = False) -> ModelConfig:
    """Return the model that `knobs` mean for `family` on this problem."""
    width = max(8, knobs.width // 8 * 8)
    if plan.task == "forecast":
        look_back = look_back_of(plan, knobs.look_back_factor)
        patch = max(1, round(look_back / TOKENS_FORECAST * knobs.patch_factor))
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
    patch = max(1, round(plan.length / TOKENS_POOLED * knobs.patch_factor))
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


def training(knobs: Knobs, plan: Plan, units: int, seconds: float | None, max_steps: int) -> TrainConfig:
    """Return how to train a candidate: by the clock (`seconds`) or by a fixed number of steps."""
    batch = 128 if plan.task == "forecast" else max(8, min(32, units // 4))
    return TrainConfig(
        learning_rate=knobs.learning_rate,
        batch=batch,
        seconds=seconds,
        max_steps=max_steps,
        label_smoothing=0.05 if plan.task == "classify" else 0.0,
        augment=plan.task != "forecast",
    )


def smaller(knobs: Knobs) -> Knobs | None:
    """Return the next smaller candidate for the cost gate, or None at the floor of the space."""
    if knobs.width > 8:
        return knobs.model_copy(update={"width": max(8, knobs.width // 16 * 8)})
    if knobs.depth > 1:
        return knobs.model_copy(update={"depth": 1})
    return None
