"""From raw series with stamps to a forecasting Dataset: sort, merge, place on the grid, fill, drop, say so.

Rules: unsorted rows are sorted; rows with the same stamp are averaged; gaps are interpolated when they are less than
half of the grid, else refused; series without a value, and series shorter than 8 steps, are dropped. A file read
`like` a training set keeps short series, and must have the training set's step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advisor.data.dataset import Dataset, Sampling
from advisor.data.fill import fill, filled_note, has_value
from advisor.data.grid import Grid, find_grid, like_grid
from advisor.data.sniff import Source
from advisor.data.time_axis import NO_TIME
from advisor.errors import InputError

SHORTEST = 8


@dataclass(frozen=True)
class RawSeries:
    """Rows of one id in file order.

    Attributes:
        ids: One name a column of `values`.
        stamps: int64 (rows,), see `Times`.
        values: float64 (rows, columns), NaN where missing.
    """

    ids: tuple[str, ...]
    stamps: np.ndarray
    values: np.ndarray


def forecasting_dataset(
    source: Source,
    raw: Sequence[RawSeries],
    *,
    dates: bool,
    words: str,
    rivals: tuple[str, ...],
    notes: list[str],
    like: Dataset | None,
) -> Dataset:
    """Return the Dataset of all columns of all raw series, each a series of one channel.

    Raises:
        InputError: No usable series, gaps of half or more, or another step than the training set.
    """
    merged = _merge(raw, notes)
    grid = _grid(merged, dates, like, source)
    series: list[np.ndarray] = []
    ids: list[str] = []
    stamps: list[pd.Index] = []
    gone: dict[str, list[str]] = {"without any value": [], f"shorter than {SHORTEST} steps": []}
    empty, short = gone.values()
    missing = endless = total = 0
    sampling = Sampling()
    for one in merged:
        values, index, own = _place(one, grid)
        sampling += own
        usable = has_value(values)
        empty += [name for name, good in zip(one.ids, usable, strict=True) if not good]
        if len(values) < SHORTEST and like is None:
            short += [name for name, good in zip(one.ids, usable, strict=True) if good]
            continue
        if not usable.any():
            continue
        full, blank, infinite = fill(values[:, usable])
        missing, endless, total = missing + blank, endless + infinite, total + full.size
        series += [np.ascontiguousarray(full[:, k : k + 1]) for k in range(full.shape[1])]
        ids += [name for name, good in zip(one.ids, usable, strict=True) if good]
        stamps += [index] * full.shape[1]
    notes += [f"{len(names)} series {why} were dropped: {_some(names)}." for why, names in gone.items() if names]
    if not series:
        longest = max(len(one.stamps) for one in merged)
        raise InputError(
            f"{source.path.name}: no series is left; the longest has {longest} steps, at least {SHORTEST} with values "
            "are needed",
            "give more history",
        )
    if sampling.moved:
        notes.append(
            f"The steps are irregular: {sampling.moved} rows were moved to the nearest place on the {_words(grid)} "
            "grid."
        )
    if sampling.met:
        notes.append(f"{sampling.met} moved rows met another row at the same place; their means were taken.")
    if sampling.gaps:
        notes.append(f"{sampling.gaps} steps had no row on the {_words(grid)} grid; their values count as missing.")
    notes += filled_note(missing, endless, total)
    return Dataset(
        source.name, "forecast", tuple(ids), tuple(series), ("y",), stamps=tuple(stamps), freq=grid.freq,
        sampling=sampling, missing=(missing + endless) / total, format=words, rivals=rivals, notes=tuple(notes),
        sha256=source.sha256,
    )  # fmt: skip


def _merge(raw: Sequence[RawSeries], notes: list[str]) -> list[RawSeries]:
    """Return each series sorted by distinct stamps; rows without a time dropped, repeated ones averaged."""
    lost = unsorted = repeated = conflicting = 0
    merged = []
    for one in raw:
        stamps, values = one.stamps, one.values
        timed = stamps != NO_TIME
        if not timed.all():
            lost += int((~timed).sum())
            stamps, values = stamps[timed], values[timed]
        if (np.diff(stamps) < 0).any():
            unsorted += 1
            order = np.argsort(stamps, kind="stable")
            stamps, values = stamps[order], values[order]
        if (np.diff(stamps) == 0).any():
            same = np.flatnonzero(np.diff(stamps) == 0)
            repeated += same.size
            conflicting += int((np.nan_to_num(values[same]) != np.nan_to_num(values[same + 1])).any(axis=1).sum())
            stamps, values = _mean_by(stamps, values)
        if stamps.size:
            merged.append(RawSeries(one.ids, stamps, values))
    if lost:
        notes.append(f"{lost} rows without a time were dropped.")
    if unsorted:
        where = "" if len(raw) == 1 else f" of {unsorted} of {len(raw)} ids"
        notes.append(f"The rows{where} were not in time order and were sorted.")
    if repeated:
        notes.append(
            f"{repeated} rows repeat the time of another row ({conflicting} with other values); their means were taken."
        )
    if not merged:
        raise InputError("no row has a time", "check the time column, or say --time")
    return merged


def _mean_by(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distinct sorted keys and the mean of the known values at each; `keys` are sorted."""
    unique, starts = np.unique(keys, return_index=True)
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(np.int64), starts, axis=0)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    return unique, np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _grid(merged: list[RawSeries], dates: bool, like: Dataset | None, source: Source) -> Grid:
    """Return the grid of the file, or of the training set where the file is too short to tell."""
    if like is None or like.stamps is None:
        return find_grid([one.stamps for one in merged], dates)
    trained = like_grid(like.freq, like.stamps[0])
    if dates != (trained.kind != "integer"):
        raise InputError(
            f"{source.path.name} has {'dates' if dates else 'step numbers'}, the training set has the other",
            "give both files the same kind of time column",
        )
    if max(len(one.stamps) for one in merged) >= SHORTEST:
        own = find_grid([one.stamps for one in merged], dates)
        if (own.kind, own.step) != (trained.kind, trained.step) and "business" not in (own.kind, trained.kind):
            raise InputError(
                f"{source.path.name} steps by {_words(own)}, the training set by {_words(trained)}",
                "resample the file to the training step",
            )
    return trained


def _place(one: RawSeries, grid: Grid) -> tuple[np.ndarray, pd.Index, Sampling]:
    """Return values on the grid (NaN in gaps), their stamps, and how the rows lay on it."""
    places, phase = grid.places(one.stamps)
    first, length = int(places[0]), int(places[-1] - places[0]) + 1
    distinct, values = (places, one.values) if (np.diff(places) > 0).all() else _mean_by(places, one.values)
    if length >= 2 * len(distinct) and length > 2:
        raise InputError(
            f"series {one.ids[0]!r} has rows at {len(distinct)} of the {length} places of a {_words(grid)} grid; "
            "more than half must be there",
            "resample it to a coarser regular step, or split it at its long gaps",
        )
    index = grid.index(np.arange(first, first + length), phase)
    at = index.to_numpy().astype(np.int64)
    off = np.abs(at[places - first] - one.stamps)
    step = float(np.median(np.diff(at))) if length > 1 else 1.0
    out = np.full((length, values.shape[1]), np.nan)
    out[distinct - first] = values
    longest_gap = int(np.diff(distinct).max(initial=1)) - 1
    moved, met = int((off > 0).sum()), len(places) - len(distinct)
    return out, index, Sampling(len(places), length, moved, met, float(off.max()) / step, longest_gap)


def _words(grid: Grid) -> str:
    return f"step {grid.step}" if grid.freq is None else grid.freq


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")
