"""What a rule reads: the situation of the user as numbers (`Facts`), taken from measured profiles. No torch."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from advisor.look_back import look_back_steps
from advisor.rules.table import Frozen, scenario_key
from profiles.budget import Budget
from profiles.crossover import Crossovers
from profiles.data import DataProfile
from profiles.device import DeviceProfile

Task = Literal["classify", "regress", "forecast", "tag", "transcribe", "translate"]
Modality = Literal["series", "text", "audio", "several"]
ReachKind = Literal["lag", "from the end", "from the start", "from the middle"]
REALTIME_MS = 100.0
EDGE_MODEL_MIB, EDGE_MEMORY_MIB = 2.0, 64.0


def _on_edge(known: Mapping[str, Any]) -> bool:
    model, memory = known.get("max_model_mib"), known.get("max_memory_mib")
    return (model is not None and model <= EDGE_MODEL_MIB) or (memory is not None and memory <= EDGE_MEMORY_MIB)


def _in_real_time(known: Mapping[str, Any]) -> bool:
    limit = known.get("max_latency_ms")
    return bool(known.get("streaming")) or (limit is not None and limit <= REALTIME_MS)


def _read_for_one_answer(known: Mapping[str, Any]) -> int | None:
    horizon, length = known.get("horizon"), known.get("length_p50")
    if known.get("task") != "forecast" or horizon is None or length is None:
        return None
    return look_back_steps(horizon, known.get("season", 1), length - horizon)


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
    context: int | None = Field(default_factory=_read_for_one_answer, ge=1)
    """Steps a model reads for one answer; None is the whole series. Default: the look-back of the search where the
    horizon of a forecast is known, else None."""
    reach: int | None = Field(default=None, ge=0)
    """Steps of the past that matter, measured on the data; None was not measured."""
    reach_high: int | None = Field(default_factory=lambda known: known.get("reach"), ge=0)
    """Upper end of the interval of `reach`; None where the past may matter for longer than was looked at."""
    reach_kind: ReachKind = "lag"
    """What a step of `reach` counts from."""
    step_ms: float | None = Field(default=None, gt=0)
    """Time between two steps of the input."""
    modality: Modality = "series"
    scenario: str | None = None
    """SC1 to SC5, or its word: the application as the user names it; None is recognised from the other facts."""
    pretrained: bool = False
    """Weights of a pretrained Transformer are at hand."""
    streaming: bool = False
    batch_size: int = Field(default=1, ge=1)
    max_latency_ms: float | None = Field(default=None, gt=0)
    max_memory_mib: float | None = Field(default=None, gt=0)
    max_model_mib: float | None = Field(default=None, gt=0)
    device_kind: Literal["cpu", "cuda", "mps"] | None = None
    device_memory_mib: float | None = Field(default=None, gt=0)
    crossovers: Crossovers | None = None
    """Lengths at which attention and recurrence cost the same on this device; None was not calibrated."""
    missing_operators: tuple[str, ...] = ()
    """Operators that the target lacks, as ONNX (`Loop`) or torch (`aten::gru`) names them."""
    failed_families: dict[str, str] = Field(default_factory=dict)
    """Family -> why it could not run on the target when that was calibrated."""
    edge: bool = Field(default_factory=_on_edge)
    """A phone or embedded device: said, or at most 2 MiB for the model or 64 MiB for its memory."""
    cloud: bool | None = None
    """Answers are given by a service in a data centre; None is not known."""
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

    @property
    def needed(self) -> int:
        """Steps that an answer needs: the measured reach where it ends inside what a model reads, else all of it.

        The reach is `reach_counted`.
        """
        if self.reach_counted is None or self.reach_high is None:
            return self.length
        return min(self.length, self.reach_counted)

    @property
    def reach_counted(self) -> int | None:
        """The measured reach, or the upper end of its interval where that is more than twice as far."""
        if self.reach is None or self.reach_high is None or self.reach_high <= 2 * self.reach:
            return self.reach
        return self.reach_high


def facts_from(
    data: DataProfile,
    device: DeviceProfile | None = None,
    budget: Budget | None = None,
    horizon: int | None = None,
    *,
    context: int | None = None,
    modality: Modality = "series",
    edge: bool | None = None,
    cloud: bool | None = None,
    pretrained: bool = False,
    step_ms: float | None = None,
    crossovers: Crossovers | None = None,
    missing_operators: Iterable[str] = (),
    failed_families: Mapping[str, str] | Iterable[str] = (),
    scenario: str | None = None,
) -> Facts:
    """Return the facts of measured profiles.

    Args:
        data: The data set.
        device: Where the model will run; None is not known.
        budget: What it may cost; None is no limit.
        horizon: Steps to forecast.
        context: Steps a model reads for one answer. None: the whole series, but for a forecast with a horizon the
            look-back of the search, as far as the median series has it before its last horizon.
        modality: What the sequences are.
        edge: Whether the user says it is a phone or an embedded device; None derives it from the budget.
        cloud: Whether answers come from a data centre; None is not known.
        pretrained: Whether weights of a pretrained Transformer are at hand.
        step_ms: Time between two steps of the input.
        crossovers: What was measured on the device; None leaves the documents' 512 and 1024.
        missing_operators: What the target lacks.
        failed_families: Families that could not run on the target, with the reason where it is known.
        scenario: SC1 to SC5, or its word; None recognises it.

    Raises:
        InputError: no scenario has that name.
    """
    limits = budget or Budget()
    said = {name: value for name, value in {"context": context, "edge": edge}.items() if value is not None}
    failed = failed_families if isinstance(failed_families, Mapping) else dict.fromkeys(failed_families, "")
    facts = Facts(
        task=data.task,
        samples=data.samples,
        length_p50=data.length_p50,
        length_p99=data.length_p99,
        channels=data.channels,
        total_steps=data.total_steps,
        horizon=horizon,
        season=data.season,
        step_ms=step_ms,
        modality=modality,
        scenario=None if scenario is None else scenario_key(scenario),
        pretrained=pretrained,
        streaming=limits.streaming,
        batch_size=limits.batch_size,
        max_latency_ms=limits.max_latency_ms,
        max_memory_mib=limits.max_memory_mib,
        max_model_mib=limits.max_model_mib,
        device_kind=None if device is None else device.kind,
        device_memory_mib=None if device is None else device.memory_mib,
        crossovers=crossovers,
        missing_operators=tuple(missing_operators),
        failed_families=dict(failed),
        cloud=cloud,
        **said,
    )
    return facts.model_copy(update=_reach(data, facts.length))


def _reach(data: DataProfile, length: int) -> dict[str, Any]:
    """Return the facts on the reach; one that ends where the look ended, inside what a model reads, has no end."""
    found = data.dependence
    if found is None:
        return {}
    is_open = found.reach_high >= found.looked and found.looked < length
    high = None if is_open else found.reach_high
    return {"reach": found.reach_steps, "reach_high": high, "reach_kind": found.kind}
