"""What `measure_dependence` answers: how far back the past matters, with a curve to draw. No torch, no scikit-learn."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from profiles.seasonality import Season


class DependenceCurve(BaseModel):
    """What was measured against the distance into the past, or against the part of the series that was shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    steps: tuple[int, ...]
    values: tuple[float, ...]
    floor: tuple[float, ...]
    """What chance alone gives at each of the steps; a value counts only above it."""
    x_label: str
    y_label: str


class Dependence(BaseModel):
    """How far back the past matters in one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    reach_steps: int = Field(ge=0)
    """Steps of the past that matter; 0 where none does."""
    reach_low: int = Field(ge=0)
    reach_high: int = Field(ge=0)
    """Ends of the interval (90 %) of `reach_steps`, over resamples of the data."""
    looked: int = Field(ge=1)
    """Steps back that could be looked at: a reach at this bound may be longer in truth."""
    reach_from_end: int | None = Field(default=None, ge=0)
    """Steps counted from the end that are enough, whatever `kind` is: what a model that reads forward must remember;
    None where it was not asked."""
    kind: Literal["lag", "from the end", "from the start", "from the middle"] = "lag"
    """What a step counts from: the moment forecast, or the part of a labelled series that a model was shown."""
    curve: DependenceCurve
    seasons: tuple[Season, ...] = ()
    hurst: float | None = None
    """Exponent of detrended fluctuations of the changes: 0.5 forgets, above 0.5 persists, below 0.5 turns back."""
    position_matters: bool | None = None
    """Classify and regress: whether the order within the series carries the answer; None where it was not asked."""
    says: str
    """The finding in one sentence, with its numbers."""
    notes: tuple[str, ...] = ()
    """What was looked at in part only; one sentence each."""
    seconds: float = 0.0
