"""The data as the search sees it: numeric arrays with folds to choose on and a test part that no choice sees.

Written once into the run folder (`work/problem.npz`, `work/problem.json`) and read by every worker process.

Classification and regression are divided by rows: `folds` to choose on, and a test part. Forecasting is divided by
time: each series is training | `folds` stretches of one or more origins | test; a model is always trained on what
lies before the first origin that judges it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from advisor import metrics
from profiles.task import Task

Answer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From x (B, L, C) and lengths (B,) to the model's answer as an array."""

MOST_TEST_WINDOWS = 6000


class Plan(BaseModel):
    """The facts of a problem that are not arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: Task
    channels: int
    classes: int = 0
    horizon: int = 0
    season: int = 1
    folds: int
    fold_cuts: int = 1
    """Origins in each fold, one horizon apart (forecast); more than one where there are few series."""
    length: int
    """Longest series (classify, regress); most history there is before the first origin (forecast)."""
    test_words: str


@dataclass(frozen=True)
class Rows:
    """A set of judged units.

    Attributes:
        x: Raw inputs (N, L, C), right-padded with zeros.
        lengths: Valid steps (N,).
        y: Class indices (N,), numbers (N,), or futures (N, H).
        scale: MASE denominators (N,), ones unless forecast.
        group: Units drawn together in a bootstrap, (N,).
    """

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    group: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        """Return the units at `rows`."""
        return Rows(self.x[rows], self.lengths[rows], self.y[rows], self.scale[rows], self.group[rows])

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.x)


@dataclass(frozen=True)
class Problem:
    """Arrays and plan; see the module.

    Attributes:
        plan: Facts.
        rows: classify, regress: the units to learn from, and `fold` of each. forecast: empty.
        fold: (N,) fold of each unit.
        series: forecast: values before the test part of each series; else empty.
        test: The units that no choice sees.
    """

    plan: Plan
    rows: Rows
    fold: np.ndarray
    series: tuple[np.ndarray, ...]
    test: Rows

    def training(self, fold: int | None) -> "Rows | tuple[np.ndarray, ...]":
        """Return what a model judged on `fold` may learn from; None: everything but the test part.

        Rows for classify and regress; for forecast the series, cut before the first origin.
        """
        if self.plan.task != "forecast":
            return self.rows if fold is None else self.rows.take(np.flatnonzero(self.fold != fold))
        if fold is None:
            return self.series
        held = self.plan.folds * self.plan.fold_cuts * self.plan.horizon
        return tuple(s[: len(s) - held] for s in self.series)

    def judged(self, fold: int, look_back: int) -> Rows:
        """Return the units that judge on `fold`: its rows, or its forecast origins in every series."""
        if self.plan.task != "forecast":
            return self.rows.take(np.flatnonzero(self.fold == fold))
        horizon, cuts = self.plan.horizon, self.plan.fold_cuts
        held = self.plan.folds * cuts * horizon
        scales = [metrics.seasonal_scale(s[: len(s) - held], self.plan.season) for s in self.series]
        parts = []
        for cut in range(fold * cuts, (fold + 1) * cuts):
            ends = [len(s) - held + cut * horizon for s in self.series]
            parts.append(windows(self.series, ends, scales, look_back, horizon))
        return joined(parts)

    def score(self, answer: Answer, rows: Rows) -> np.ndarray:
        """Return one score a unit; see `metrics.units`."""
        out = [answer(rows.x[i : i + 512], rows.lengths[i : i + 512]) for i in range(0, len(rows), 512)]
        return metrics.units(self.plan.task, np.concatenate(out), rows.y, rows.scale)

    def save(self, folder: Path) -> None:
        """Write the problem for the workers."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"rows_{k}": v for k, v in vars(self.rows).items()}
        arrays |= {f"test_{k}": v for k, v in vars(self.test).items()}
        flat = np.concatenate(self.series) if self.series else np.zeros(0, np.float32)
        sizes = np.array([len(s) for s in self.series], dtype=np.int64)
        np.savez(folder / "problem.npz", fold=self.fold, flat=flat, sizes=sizes, **arrays)
        (folder / "problem.json").write_text(self.plan.model_dump_json())


def load(folder: Path) -> Problem:
    """Return the problem that `Problem.save` wrote."""
    plan = Plan.model_validate(json.loads((folder / "problem.json").read_text()))
    with np.load(folder / "problem.npz", allow_pickle=False) as a:
        parts = [Rows(*(a[f"{p}_{k}"] for k in ("x", "lengths", "y", "scale", "group"))) for p in ("rows", "test")]
        series = tuple(np.split(a["flat"], np.cumsum(a["sizes"])[:-1])) if len(a["sizes"]) else ()
        return Problem(plan, parts[0], a["fold"], series, parts[1])


def joined(parts: list[Rows]) -> Rows:
    """Return the units of all parts as one."""
    return Rows(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("x", "lengths", "y", "scale", "group")))


def windows(series: tuple[np.ndarray, ...], ends: list[int], scales: list[float], look_back: int, horizon: int) -> Rows:
    """Return for each series the `look_back` steps before its end and the `horizon` steps from there.

    A series with fewer steps before its end gives a shorter row; one with fewer steps after it gives NaN truth.
    """
    n = len(series)
    x, lengths = np.zeros((n, look_back, 1), np.float32), np.zeros(n, np.int64)
    y = np.full((n, horizon), np.nan, np.float32)
    for i, (values, end) in enumerate(zip(series, ends, strict=True)):
        past, future = values[max(0, end - look_back) : end], values[end : end + horizon]
        x[i, : len(past), 0], lengths[i] = past, len(past)
        y[i, : len(future)] = future
    keep = np.flatnonzero((lengths > 0) & ~np.isnan(y).all(1))
    return Rows(x, lengths, y, np.array(scales), np.arange(n)).take(keep)
