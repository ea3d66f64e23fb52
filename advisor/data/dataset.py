"""The one form that every reader returns and every later step reads."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from profiles.task import Task


class ReadOptions(BaseModel):
    """What the user said about the file; everything else is guessed and printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    task: Task | None = None
    target: tuple[str, ...] = ()
    """Label column (classify, regress) or the value columns to forecast; empty: guess."""
    time: str | None = None
    id: str | None = None
    known: tuple[str, ...] = ()
    """Columns beside the target whose values are known for the steps to forecast (forecast)."""


@dataclass(frozen=True)
class Sampling:
    """How the rows of a forecasting file lay on its time grid, over all series, before gaps were filled.

    Attributes:
        rows: Rows with a distinct time.
        steps: Places of the grid between the first and the last row of each series.
        moved: Rows that were off the grid.
        met: Moved rows that fell on the place of another row.
        shift: Largest distance of a moved row from its place, as a share of a step (0 to 0.5).
        longest_gap: Most places in a row without a row.
    """

    rows: int = 0
    steps: int = 0
    moved: int = 0
    met: int = 0
    shift: float = 0.0
    longest_gap: int = 0

    @property
    def gaps(self) -> int:
        """Return the number of places without a row."""
        return self.steps - (self.rows - self.met)

    def __add__(self, other: "Sampling") -> "Sampling":
        """Return the counts of both, and the larger of their extremes."""
        return Sampling(
            self.rows + other.rows,
            self.steps + other.steps,
            self.moved + other.moved,
            self.met + other.met,
            max(self.shift, other.shift),
            max(self.longest_gap, other.longest_gap),
        )


@dataclass(frozen=True)
class Dataset:
    """Sequences of numbers and what is to be told from them.

    Attributes:
        name: Stem of the file name.
        task: What is asked.
        ids: One name for each series, unique.
        series: Each float32 of shape (length, channels), finite: gaps are already filled and counted in `notes`.
            A table with k columns to forecast becomes k series, each with its target as channel 0.
        channels: Names of the channels; for forecasting "y", the target, then the covariates.
        labels: classify: class indices (int64); regress: numbers (float64); forecast: None.
        classes: Class names in index order; empty unless classify.
        stamps: Time of each step of each series (DatetimeIndex, or RangeIndex where the file has no times);
            None unless forecast. Sorted, unique, regular.
        freq: pandas offset alias of the step, such as "h"; None where stamps are integers or not forecast.
        groups: The file's own id of each labelled series, which may repeat (several series of one person); None
            where the file has no ids.
        sampling: How regular the times in the file were; None unless forecast.
        missing: Share of values that were missing in the file, 0 to 1.
        format: What the file was taken for, in words.
        rivals: What else it could have been, each with the flag that says so.
        notes: Everything that was dropped, filled, sorted or renamed, with its count; one sentence each.
        sha256: Of the file's bytes.
        known: Those of the covariates that are known ahead (forecast).
        future: For each series their values after its last step, (steps, known); empty where nothing is known ahead.
        id_columns: Of a long panel: the columns whose words together are the id.
    """

    name: str
    task: Task
    ids: tuple[str, ...]
    series: tuple[np.ndarray, ...]
    channels: tuple[str, ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    stamps: tuple[pd.Index, ...] | None = None
    freq: str | None = None
    groups: tuple[str, ...] | None = None
    sampling: Sampling | None = None
    missing: float = 0.0
    format: str = ""
    rivals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sha256: str = ""
    known: tuple[str, ...] = ()
    future: tuple[np.ndarray, ...] = ()
    id_columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.series)

    @property
    def known_places(self) -> tuple[int, ...]:
        """Return the places of the channels that are known ahead; the target, which is first, is never one."""
        return tuple(1 + self.channels[1:].index(name) for name in self.known)

    def take(self, rows: np.ndarray) -> "Dataset":
        """Return the series at `rows` (indices), in that order."""
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            series=tuple(self.series[i] for i in rows),
            labels=None if self.labels is None else self.labels[rows],
            stamps=None if self.stamps is None else tuple(self.stamps[i] for i in rows),
            future=tuple(self.future[i] for i in rows) if self.future else (),
            groups=None if self.groups is None else tuple(self.groups[i] for i in rows),
        )

    def targets(self) -> "Dataset":
        """Return a set to forecast without its covariates; any other set as it is."""
        if self.task != "forecast" or len(self.channels) == 1:
            return self
        series = tuple(one[:, :1] for one in self.series)
        return replace(self, series=series, channels=self.channels[:1], known=(), future=())

    def apart(self) -> "Dataset":
        """Return a set to forecast with each covariate as a series of its own, targets first; any other as it is."""
        if self.task != "forecast" or len(self.channels) == 1 or self.stamps is None:
            return self
        beside = range(1, len(self.channels))
        several = len(self) > 1
        names = [f"{name}/{self.channels[k]}" if several else self.channels[k] for name in self.ids for k in beside]
        return replace(
            self.targets(),
            ids=(*self.ids, *names),
            series=(*(one[:, :1] for one in self.series), *(one[:, k : k + 1] for one in self.series for k in beside)),
            stamps=(*self.stamps, *(index for index in self.stamps for _ in beside)),
        )
