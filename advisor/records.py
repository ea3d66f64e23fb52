"""What is saved in the run folder: frozen models, one JSON file each (trials: one line each)."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from profiles.task import Task

ENSEMBLE = "ensemble"
"""What stands for the family where several contenders answer together."""


class Record(BaseModel):
    """A saved fact: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def interval_words(low: float | None, high: float | None) -> str:
    """Return the 95 % interval of a measured quality in words."""
    if low is None or high is None:
        return "too few independent parts for an interval"
    return f"95 % interval {low:.4g} to {high:.4g}"


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


class Request(Record):
    """What the user asked for; with the data's hash it says what a run was."""

    data: str
    test: str | None = None
    task: Task
    target: tuple[str, ...] = ()
    time: str | None = None
    id: str | None = None
    known: tuple[str, ...] = ()
    """Columns whose values are known for the steps to forecast."""
    horizon: int | None = None
    device: str = "cpu"
    time_limit_s: float | None = None
    trials: int | None = None
    families: tuple[str, ...] = ()
    seed: int = 0
    streaming: bool = False
    scenario: str | None = None
    """Key of the scenario that the user named, such as SC3."""
    rules: str | None = None
    """File of the user's own rules."""
    target_device: str | None = None
    """File with the calibration of the device that the model is for, where it is another one."""
    missing_operators: tuple[str, ...] = ()
    """Operators that the user says the target lacks."""
    committee: int | None = None
    """Most networks of one kind that may answer together; 0 or 1: one model, no ensemble; None: as many as pay."""
    networks_only: bool = False
    """Whether the baselines stood aside, but for the naive reference."""
    store: bool = True
    """Whether configurations of earlier runs could be tried, and those of this one kept."""


class Measured(Record):
    """A metric with its interval on a named part of the data."""

    metric: str
    """accuracy (higher is better), rmse or mase (lower is better)."""
    value: float
    low: float | None
    """None, as `high`: too few units for an interval."""
    high: float | None
    split: str
    higher_is_better: bool


class CurvePoint(Record):
    """One look at a model in training."""

    step: int
    seconds: float
    train_loss: float
    quality: float


class Trial(Record):
    """One candidate that was tried, or refused before training."""

    number: int
    family: str
    config: dict[str, Any]
    seed: int
    state: Literal["complete", "pruned", "infeasible", "failed"]
    quality: float | None = None
    """On the validation part, in the metric's own unit."""
    latency_ms: float | None = None
    memory_mib: float | None = None
    size_mib: float | None = None
    flops: int | None = None
    """Operations of one answer for the asked batch; None where it was not measured."""
    train_s: float = 0.0
    reason: str = ""
    curve: tuple[CurvePoint, ...] = ()
    baseline: bool = False


class Ranked(Record):
    """The best of one family (or baseline), and why it is where it is."""

    family: str
    baseline: bool = False
    state: Literal["recommended", "tied", "behind", "infeasible", "failed", "not tried"]
    reason: str
    quality: Measured | None = None
    """On data no choice has seen; None where the family did not reach the final."""
    validation: float | None = None
    """On the part that chose between candidates."""
    latency_ms: float | None = None
    memory_mib: float | None = None
    size_mib: float | None = None
    train_s: float | None = None
    trials: int = 0


class AdviceCheck(Record):
    """One rule of the documents beside what was measured."""

    key: str
    document: str
    says: str
    evidence: Literal["agrees", "disagrees", "not measured"]
    because: str


class Recommendation(Record):
    """The answer."""

    family: str
    baseline: bool
    config: dict[str, Any]
    quality: Measured
    latency_ms: float
    latency_stat: str
    latency_error: float | None = None
    """Relative error of latencies predicted for a target device, such as 0.1; None where they were measured."""
    memory_mib: float
    size_mib: float
    ranking: tuple[Ranked, ...]
    tied_with: tuple[str, ...]
    judged: int | None = None
    """Series that the folds hold together, on which the margin of an accuracy rests; None for a forecast, whose margin
    is a share of the error, and in older runs."""
    baselines: tuple[Ranked, ...]
    advice: tuple[AdviceCheck, ...]
    reasons: tuple[str, ...]
    request: Request
    versions: dict[str, str]
    wall_s: float
    busy_s: float | None = None
    """Seconds that the workers spent in training and judging, all together; None in older runs."""
    workers: int | None = None
    """Processes side by side."""
    members: int = 1
    """Networks that answer together in the kept model."""
    parts: tuple[str, ...] = ()
    """Families and baselines whose mean an ensemble answers with; empty for every other model."""

    @property
    def name(self) -> str:
        """Return the family, of an ensemble with its parts."""
        return f"{self.family} of {listed(self.parts)}" if self.parts else self.family
