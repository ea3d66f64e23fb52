"""The data as the search sees it: numeric arrays with folds to choose on and a test part that no choice sees.

Written once into the run folder (`work/problem.json`, one `.npy` an array) and mapped into memory by every worker.

Classification and regression are divided by rows: `folds` to choose on, and a test part. Forecasting is divided by
time: each series is training | `folds` stretches of one or more origins | test; a model is always trained on what
lies before the first origin that judges it. Channel 0 of a series to forecast is the target; past covariates and the
calendar follow, and what is known ahead, moved to where it is known; see `advisor.data.ahead`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from advisor import metrics
from advisor.data.rows import Rows, joined
from advisor.data.scratch import forget
from advisor.data.stack import SeriesStack
from profiles.task import Task

Answer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From x (B, L, C) and lengths (B,) to the model's answer as an array."""

MOST_TEST_WINDOWS = 6000


class Plan(BaseModel):
    """The facts of a problem that are not arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    task: Task
    channels: int
    covariates: tuple[str, ...] = ()
    """Channels after the target that are known up to the origin (forecast)."""
    calendar: tuple[str, ...] = ()
    """Channels after the covariates that are computed from the stamps (forecast); see `advisor.data.calendar`."""
    ahead: tuple[str, ...] = ()
    """Covariates that are known ahead: the last channels are these, a horizon later (forecast)."""
    classes: int = 0
    horizon: int = 0
    season: int = 1
    calendar_season: int = 1
    """Season that the step of the stamps suggests where the data show none, for baselines to try (forecast)."""
    nonnegative: bool = False
    """No value of the target to learn from is negative: forecasters work on its square root."""
    folds: int
    series: int = 1
    """How many there are (forecast)."""
    fold_cuts: int = 1
    """Origins in each fold (forecast); more than one where there are few series."""
    stride: int = 0
    """Steps between two origins where they overlap because the data are few (forecast); 0: one horizon."""
    length: int
    """Longest series (classify, regress); most history there is before the first origin (forecast)."""
    test_words: str
    test_is_own: bool = False
    """Whether the test part was taken from the data, and is not a file of the user's."""

    @property
    def judging_steps(self) -> int:
        """Return the steps before the test part of a series on which forecasts are judged."""
        return (self.folds * self.fold_cuts - 1) * self.spacing + self.horizon

    @property
    def spacing(self) -> int:
        """Return the steps between two origins."""
        return self.stride or self.horizon


@dataclass(frozen=True)
class Problem:
    """Arrays and plan; see the module.

    Attributes:
        plan: Facts.
        rows: classify, regress: the units to learn from, and `fold` of each. forecast: empty.
        fold: (N,) fold of each unit.
        all_series: forecast: the whole series; else empty.
        test: The units that no choice sees.
        held: Steps at the end of each series that are its test part, (N,).
        scale: MASE denominator of each series before the first origin that judges, (N,); NaN where it has none.
    """

    plan: Plan
    rows: Rows
    fold: np.ndarray
    all_series: SeriesStack
    test: Rows
    held: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    scale: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def series(self) -> SeriesStack:
        """Return the series before their test part (forecast)."""
        return self.all_series.shortened(self.held)

    def training(self, fold: int | Literal["all"] | None) -> Rows | SeriesStack:
        """Return what a model may learn from: rows for classify and regress, series for forecast.

        Args:
            fold: What judges it, so that it sees neither this fold nor, by time, anything from the first origin on;
                None: everything but the test part; "all": everything that the user gave to learn from, with the test
                part where that was taken from it. No score of a model that learnt from "all" can be had.
        """
        if self.plan.task != "forecast":
            if fold == "all":
                return joined([self.rows, self.test]) if self.plan.test_is_own else self.rows
            return self.rows if fold is None else self.rows.take(np.flatnonzero(self.fold != fold))
        if fold == "all":
            return self.all_series
        if fold is None:
            return self.series
        return self.series.shortened(self.plan.judging_steps)

    def judged(self, fold: int, look_back: int) -> Rows:
        """Return the units that judge on `fold`: its rows, or its forecast origins in every series.

        Of very many series, so many are taken, evenly spread, that a fold has 6,000 units.
        """
        if self.plan.task != "forecast":
            return self.rows.take(np.flatnonzero(self.fold == fold))
        horizon, cuts, held = self.plan.horizon, self.plan.fold_cuts, self.plan.judging_steps
        some = slice(None, None, -(-len(self.all_series) * cuts // MOST_TEST_WINDOWS))
        series, scales = self.series[some], with_a_unit(self.scale[some])
        parts = []
        for cut in range(fold * cuts, (fold + 1) * cuts):
            ends = (series.sizes - held + cut * self.plan.spacing).tolist()
            parts.append(windows(series, ends, scales, look_back, horizon))
        return joined(parts)

    def score(self, answer: Answer, rows: Rows) -> np.ndarray:
        """Return one score a unit; see `metrics.units`."""
        return metrics.units(self.plan.task, answers_to(answer, rows), rows.y, rows.scale)

    def save(self, folder: Path) -> None:
        """Write the problem for the workers; of a mapped problem no page stays in this process's memory."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"rows_{k}": v for k, v in vars(self.rows).items()}
        arrays |= {f"test_{k}": v for k, v in vars(self.test).items()}
        arrays |= {f"series_{k}": v for k, v in vars(self.all_series).items()}
        for name, values in {**arrays, "fold": self.fold, "held": self.held, "scale": self.scale}.items():
            np.save(folder / f"problem_{name}.npy", values, allow_pickle=False)
        (folder / "problem.json").write_text(self.plan.model_dump_json())
        forget(self.all_series.flat)


def answers_to(answer: Answer, rows: Rows) -> np.ndarray:
    """Return what is answered to the rows, (N, ...), computed 512 at a time."""
    return np.concatenate([answer(rows.x[i : i + 512], rows.lengths[i : i + 512]) for i in range(0, len(rows), 512)])


def load(folder: Path) -> Problem:
    """Return the problem that `Problem.save` wrote; its arrays are pages of the files, read when they are touched."""
    plan = Plan.model_validate(json.loads((folder / "problem.json").read_text()))

    def array(name: str) -> np.ndarray:
        path = folder / f"problem_{name}.npy"
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))  # "c": writable, never written back

    parts = [Rows(*(array(f"{p}_{k}") for k in ("x", "lengths", "y", "scale", "group"))) for p in ("rows", "test")]
    series = SeriesStack(*(array(f"series_{k}") for k in ("flat", "begin", "end")))
    return Problem(plan, parts[0], array("fold"), series, parts[1], array("held"), array("scale"))


def with_a_unit(scales: np.ndarray) -> np.ndarray:
    """Return MASE denominators (N,); 1 for all where none has one, so that something can be scored."""
    return scales if np.isfinite(scales).any() else np.ones(len(scales))


def windows(
    series: Sequence[np.ndarray], ends: Sequence[int], scales: np.ndarray, look_back: int, horizon: int
) -> Rows:
    """Return for each series the `look_back` steps before its end and the `horizon` target steps from there.

    A series with fewer steps before its end gives a shorter row; one with fewer steps after it gives NaN truth.

    Args:
        series: Each (length, C), channel 0 the target.
        ends: Origin in each series.
        scales: MASE denominator of each, (N,); where that is NaN the series gives no row.
        look_back: Most steps of a row.
        horizon: Steps of a future.
    """
    n = len(series)
    x, lengths = np.zeros((n, look_back, series[0].shape[1]), np.float32), np.zeros(n, np.int64)
    y = np.full((n, horizon), np.nan, np.float32)
    for i, (values, end) in enumerate(zip(series, ends, strict=True)):
        past, future = values[max(0, end - look_back) : max(0, end)], values[max(0, end) : max(0, end + horizon), 0]
        x[i, : len(past)], lengths[i] = past, len(past)
        y[i, : len(future)] = future
    keep = np.flatnonzero((lengths > 0) & ~np.isnan(y).all(1) & np.isfinite(scales))
    return Rows(x, lengths, y, scales, np.arange(n)).take(keep)
