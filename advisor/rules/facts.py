"""What a rule reads (`Facts`), what it knows (`Scenario`) and what it answers (`Fired`). No torch."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from profiles.budget import Budget
from profiles.data import DataProfile
from profiles.device import DeviceProfile

Task = Literal["classify", "regress", "forecast", "tag", "transcribe", "translate"]
Modality = Literal["series", "text", "audio", "several"]
REALTIME_MS = 100.0
EDGE_MODEL_MIB, EDGE_MEMORY_MIB = 2.0, 64.0


class Frozen(BaseModel):
    """Data only: comparable, JSON in and out, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _on_edge(known: Mapping[str, Any]) -> bool:
    model, memory = known.get("max_model_mib"), known.get("max_memory_mib")
    return (model is not None and model <= EDGE_MODEL_MIB) or (memory is not None and memory <= EDGE_MEMORY_MIB)


def _in_real_time(known: Mapping[str, Any]) -> bool:
    limit = known.get("max_latency_ms")
    return bool(known.get("streaming")) or (limit is not None and limit <= REALTIME_MS)


class Facts(Frozen):
    """The situation of the user, as numbers."""

    task: Task
    samples: int = Field(ge=1)
    """Number of series."""
    length_p50: int = Field(ge=1)
    length_p99: int = Field(default_factory=lambda known: known.get("length_p50", 1), ge=1)
    channels: int = Field(default=1, ge=1)
    total_steps: int = Field(default_factory=lambda known: known.get("samples", 1) * known.get("length_p50", 1), ge=1)
    """Sum of the lengths; default: samples times the median length."""
    horizon: int | None = Field(default=None, ge=1)
    """Steps to forecast."""
    season: int = Field(default=1, ge=1)
    context: int | None = Field(default=None, ge=1)
    """Steps a model reads for one answer; None is the whole series."""
    modality: Modality = "series"
    streaming: bool = False
    batch_size: int = Field(default=1, ge=1)
    max_latency_ms: float | None = Field(default=None, gt=0)
    max_memory_mib: float | None = Field(default=None, gt=0)
    max_model_mib: float | None = Field(default=None, gt=0)
    device_kind: Literal["cpu", "cuda", "mps"] | None = None
    device_memory_mib: float | None = Field(default=None, gt=0)
    edge: bool = Field(default_factory=_on_edge)
    """A phone or embedded device: said, or at most 2 MiB for the model or 64 MiB for its memory."""
    realtime: bool = Field(default_factory=_in_real_time)
    """An answer must come while the input lasts: said, or streaming, or at most 100 ms for an answer."""

    @property
    def length(self) -> int:
        """Steps a model reads for one answer: the context, or the median length."""
        return min(self.context or self.length_p50, self.length_p50)

    @property
    def longest(self) -> int:
        """Steps of the longest input to plan for: the context, or the 99th percentile of the lengths."""
        return min(self.context or self.length_p99, self.length_p99)


def facts_from(
    data: DataProfile,
    device: DeviceProfile | None = None,
    budget: Budget | None = None,
    horizon: int | None = None,
    *,
    context: int | None = None,
    modality: Modality = "series",
    edge: bool | None = None,
) -> Facts:
    """Return the facts of measured profiles.

    Args:
        data: The data set.
        device: Where the model will run; None is not known.
        budget: What it may cost; None is no limit.
        horizon: Steps to forecast.
        context: Steps a model reads for one answer. None: the whole series, but for forecasting
            max(3 horizons, 2 seasons), as far as the median series has them before its last horizon.
        modality: What the sequences are.
        edge: Whether the user says it is a phone or an embedded device; None derives it from the budget.
    """
    limits = budget or Budget()
    if context is None and data.task == "forecast" and horizon is not None:
        context = max(1, min(data.length_p50 - horizon, max(3 * horizon, 2 * data.season)))
    said = {} if edge is None else {"edge": edge}
    return Facts(
        task=data.task,
        samples=data.samples,
        length_p50=data.length_p50,
        length_p99=data.length_p99,
        channels=data.channels,
        total_steps=data.total_steps,
        horizon=horizon,
        season=data.season,
        context=context,
        modality=modality,
        streaming=limits.streaming,
        batch_size=limits.batch_size,
        max_latency_ms=limits.max_latency_ms,
        max_memory_mib=limits.max_memory_mib,
        max_model_mib=limits.max_model_mib,
        device_kind=None if device is None else device.kind,
        device_memory_mib=None if device is None else device.memory_mib,
        **said,
    )


class Scenario(Frozen):
    """One piece of advice of the documents."""

    key: str
    document: str
    says: str
    families: dict[str, float]
    """Family -> weight, -1 to 1: above 0 prefers, below 0 advises against."""


class Fired(Frozen):
    """A rule that speaks to the user's facts."""

    key: str
    document: str
    says: str
    strength: float = Field(ge=0, le=1)
    """How clearly the facts are the rule's case."""
    because: str
    """The user's facts, with their numbers."""
    raises: dict[str, float]
    """Family -> weight, before the strength."""
    cap_length: int | None = None
    """MEM1 only: the longest sequence whose attention matrices fit."""


@cache
def scenarios() -> Mapping[str, Scenario]:
    """Return key -> advice, in the order of scenarios.toml."""
    table = tomllib.loads((files("advisor.rules") / "scenarios.toml").read_text(encoding="utf-8"))
    return MappingProxyType({key: Scenario(key=key, **row) for key, row in table.items()})


def fired(key: str, strength: float, because: str, cap_length: int | None = None) -> Fired:
    """Return the answer of rule `key`, with the words and weights of scenarios.toml; the strength is cut to 0..1."""
    row = scenarios()[key]
    return Fired(
        key=key,
        document=row.document,
        says=row.says,
        strength=round(min(1.0, max(0.0, strength)), 3),
        because=because,
        raises=row.families,
        cap_length=cap_length,
    )
