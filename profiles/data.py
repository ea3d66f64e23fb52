"""What the data is like: how much of it, how long, how complete, how it repeats. No torch, no files."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from profiles.dependence.model import Dependence
from profiles.seasonality import MAX_SERIES, MAX_STEPS, Season, find_seasons
from profiles.task import Task


class DataProfile(BaseModel):
    """Facts measured on a data set, never guesses."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    task: Task
    samples: int
    """Number of series."""
    length_min: int
    length_p50: int
    """Median length in steps; percentiles are lengths that occur (the nearest one below)."""
    length_p90: int
    length_p99: int
    length_max: int
    channels: int
    total_steps: int
    """Sum of the lengths."""
    missing: float
    """Share of values that were missing in the file, 0 to 1."""
    classes: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    """Series of each class, in the order of `classes`."""
    balance: float | None = None
    """Share of the smallest class over that of the largest: 1 is balanced; None unless classify."""
    target_mean: float | None = None
    target_std: float | None = None
    """Of the numbers to tell; None unless regress."""
    freq: str | None = None
    """pandas offset alias of the step; None where there are no times."""
    seasons: tuple[Season, ...] = ()
    """Periods found, main one first; looked for in forecasting sets only."""
    season: int = 1
    """The main period, 1 where none was found."""
    dependence: Dependence | None = None
    """How far back the past matters; None where it was not measured."""
    notes: tuple[str, ...] = ()
    """What was measured on a part of the data, or deserves a look; one sentence each."""


def profile_data(
    series: Sequence[np.ndarray],
    task: Task,
    labels: np.ndarray | None = None,
    classes: Sequence[str] = (),
    freq: str | None = None,
    missing: float = 0.0,
    seen: float = 1.0,
) -> DataProfile:
    """Measure a data set.

    Args:
        series: Each of shape (length, channels), finite, with the same channels; to forecast, channel 0 is the target
            and the only one in which seasons are looked for.
        task: What is asked.
        labels: classify: class indices into `classes`; regress: numbers; forecast: None.
        classes: Class names in index order.
        freq: pandas offset alias of the step.
        missing: Share of values that were missing before they were filled.
        seen: Share of each series, from its start, in which seasons are looked for: what lies behind may be a test
            part.

    Raises:
        ValueError: no series, an axis is missing, or a classify or regress set without one label for each series.
    """
    _check(series, task, labels)
    lengths = np.array([len(one) for one in series])
    p50, p90, p99 = (int(p) for p in np.percentile(lengths, [50, 90, 99], method="lower"))
    seasons: tuple[Season, ...] = ()
    if task == "forecast":
        seasons = find_seasons([one[: max(1, round(seen * len(one))), 0] for one in series], freq)
    counts = _count(labels, classes) if labels is not None and task == "classify" else ()
    numbers = np.asarray(labels, dtype=np.float64) if labels is not None and task == "regress" else None
    return DataProfile(
        task=task,
        samples=len(series),
        length_min=int(lengths.min()),
        length_p50=p50,
        length_p90=p90,
        length_p99=p99,
        length_max=int(lengths.max()),
        channels=series[0].shape[1],
        total_steps=int(lengths.sum()),
        missing=float(missing),
        classes=tuple(classes),
        class_counts=counts,
        balance=min(counts) / max(counts) if counts else None,
        target_mean=None if numbers is None else float(numbers.mean()),
        target_std=None if numbers is None else float(numbers.std()),
        freq=freq,
        seasons=seasons,
        season=seasons[0].period if seasons else 1,
        notes=_notes(series, lengths, task, classes, counts),
    )


def _check(series: Sequence[np.ndarray], task: Task, labels: np.ndarray | None) -> None:
    if not series:
        raise ValueError("a data profile needs at least one series, got 0. Check what the reader returned.")
    shapes = Counter(one.shape[1:] for one in series)
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"every series must be (length, channels) with the same channels, got {sorted(shapes)}.")
    if task != "forecast" and (labels is None or len(labels) != len(series)):
        raise ValueError(
            f"{task} needs one label for each of {len(series)} series, got {labels if labels is None else len(labels)}."
        )


def _count(labels: np.ndarray, classes: Sequence[str]) -> tuple[int, ...]:
    counted = np.bincount(np.asarray(labels, dtype=np.int64), minlength=len(classes))
    return tuple(int(n) for n in counted)


def _notes(
    series: Sequence[np.ndarray], lengths: np.ndarray, task: Task, classes: Sequence[str], counts: tuple[int, ...]
) -> tuple[str, ...]:
    notes = []
    if task == "forecast" and len(series) > MAX_SERIES:
        notes.append(f"Seasons were looked for in {MAX_SERIES} of {len(series)} series, evenly spread.")
    if task == "forecast" and (long := int((lengths > MAX_STEPS).sum())):
        notes.append(f"Seasons were looked for in the last {MAX_STEPS} steps of the {long} series that are longer.")
    looked_at = slice(0, 1 if task == "forecast" else None)
    if flat := sum(bool((one[:, looked_at] == one[:1, looked_at]).all()) for one in series):
        notes.append(f"{flat} of {len(series)} series are constant{'' if task == 'forecast' else ' in every channel'}.")
    notes += (
        [f"Class {name!r} has {n} series." for name, n in zip(classes, counts, strict=True) if n < 2] if counts else []
    )
    return tuple(notes)
