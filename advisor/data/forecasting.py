"""From raw series with stamps to a forecasting Dataset: sort, merge, place on the grid, fill, drop, say so.

Rules: unsorted rows are sorted; rows with the same stamp are averaged, and refused where more than a fifth differ; gaps
are interpolated when they are less than half of the grid, else refused; series without a value, and series shorter than
8 steps, are dropped. A file read `like` a training set keeps short series, and must have the training set's step. A
series is its target and, after it, the covariates of its rows; a covariate without any value in a series takes its mean
over the other series. A series ends with the last value of a target of its rows; rows after it are the future of
covariates that are known ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advisor.data.dataset import Dataset, Sampling
from advisor.data.fill import fill, filled_note, has_value
from advisor.data.grid import Grid, find_grid, like_grid
from advisor.data.scratch import scratch_array
from advisor.data.sniff import Source
from advisor.data.time_axis import NO_TIME
from advisor.errors import InputError

SHORTEST = 8
MOST_REPEATED = 1 / 5
"""Share of the rows that may repeat the time of another row of their series; with more, the id is not the right one."""


@dataclass(frozen=True)
class RawSeries:
    """Rows of one id in file order.

    Attributes:
        ids: One name a target.
        stamps: int64 (rows,), see `Times`.
        values: float64 (rows, targets + covariates), NaN where missing; the targets stand first.
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
    covariates: tuple[str, ...] = (),
    known: tuple[str, ...] = (),
    id_columns: tuple[str, ...] = (),
) -> Dataset:
    """Return the Dataset of all targets of all raw series, each a series of itself and the covariates.

    Raises:
        InputError: No usable series, gaps of half or more, another step than the training set, or a covariate that is
            known ahead and has no value.
    """
    merged = _merge(raw, notes)
    grid = _grid(merged, dates, like, source)
    series: list[np.ndarray] = []
    ids: list[str] = []
    stamps: list[pd.Index] = []
    gone: dict[str, list[str]] = {"without any value": [], f"shorter than {SHORTEST} steps": []}
    empty, short = gone.values()
    missing = endless = total = beyond = 0
    sampling = Sampling()
    unknown: list[tuple[int, int]] = []
    futures: list[np.ndarray] = []
    flat = scratch_array((sum(_most_places(one) * len(one.ids) for one in merged), 1 + len(covariates)))
    at = 0
    indexes: dict[tuple[int, int, int], pd.Index] = {}
    for one in merged:
        values, index, own = _place(one, grid, indexes)
        sampling += own
        future = np.empty((0, 0), np.float32)
        end = _end_of(values, len(one.ids))
        if known:
            columns = [len(one.ids) + covariates.index(name) for name in known]
            told_ahead = bool(has_value(values[:, columns]).all())
            future, blank = _future(values, end, columns)
            missing, total = missing + blank, total + future.size
        else:
            beyond += len(values) - end
        values, index = values[:end], index[:end]
        usable = has_value(values)
        own_ids = [name for name, good in zip(one.ids, usable, strict=False) if good]
        empty += [name for name, good in zip(one.ids, usable, strict=False) if not good]
        if len(values) < SHORTEST and like is None:
            short += own_ids
            continue
        if not own_ids:
            continue
        if known and not told_ahead:
            raise InputError(
                f"{source.path.name}: series {one.ids[0]!r} has no value in a column that is known ahead",
                "fill it, or leave it out of --known",
            )
        usable[len(one.ids) :] = True
        kept = len(own_ids)
        values, lost = _zeroed(values[:, usable])
        unknown += [(len(series) + k, c - kept + 1) for k in range(kept) for c in lost]
        full, blank, infinite = fill(values)
        missing, endless, total = missing + blank, endless + infinite, total + full.size
        beside = full[:, kept:]
        for k in range(kept):
            series.append(_stored(flat, at, full[:, k : k + 1], beside))
            at += len(full)
        ids += own_ids
        stamps += [index] * kept
        futures += [future] * kept if known else []
    notes += _fill_unknown(series, unknown, covariates)
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
    if renamed := _renamed(merged, grid):
        day = "last" if grid.month_end else "first"
        notes.append(f"{renamed} of {sampling.rows} dates were set to the {day} day of their month.")
    if sampling.met:
        notes.append(f"{sampling.met} moved rows met another row at the same place; their means were taken.")
    if sampling.gaps:
        notes.append(f"{sampling.gaps} steps had no row on the {_words(grid)} grid; their values count as missing.")
    notes += filled_note(missing, endless, total)
    if beyond:
        use = "; to use what is known of them, name the columns with --known" if covariates else ""
        notes.append(f"{beyond} steps after the last value of the target were left out{use}.")
    if known:
        least, most = min(map(len, futures)), max(map(len, futures))
        rows = str(most) if least == most else f"{least} to {most}"
        notes.append(f"Known ahead: {', '.join(known)}; {rows} rows after the last value of the target hold them.")
    return Dataset(
        source.name, "forecast", tuple(ids), tuple(series), ("y", *covariates), known=known, future=tuple(futures),
        stamps=tuple(stamps), freq=grid.freq, id_columns=id_columns,
        sampling=sampling, missing=(missing + endless) / total, format=words, rivals=rivals, notes=tuple(notes),
        sha256=source.sha256,
    )  # fmt: skip


def _end_of(values: np.ndarray, targets: int) -> int:
    """Return the rows up to the last value of a target; all where none has one.

    Args:
        values: (rows, targets + covariates), on the grid, NaN where missing.
        targets: How many of the columns are targets.
    """
    told = np.flatnonzero(np.isfinite(values[:, :targets]).any(axis=1))
    return int(told[-1]) + 1 if told.size else len(values)


def _future(values: np.ndarray, end: int, known: Sequence[int]) -> tuple[np.ndarray, int]:
    """Return the columns that are known ahead from row `end` on, filled, and how many were missing.

    Args:
        values: (rows, columns), on the grid, NaN where missing.
        end: Of the targets.
        known: Which columns; one without any value gives zeros.
    """
    ahead = values[:, list(known)]
    last = int(np.flatnonzero(np.isfinite(ahead).all(axis=1)).max(initial=0)) + 1
    future = fill(_zeroed(ahead)[0])[0][end : max(end, last)]
    return future, int(np.isnan(ahead[end : max(end, last)]).sum())


def _most_places(one: RawSeries) -> int:
    """Return more than the places that the rows can take on a grid of which they fill half."""
    return 2 * len(one.stamps) + 2


def _stored(flat: np.ndarray, at: int, target: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Write a series into `flat` from row `at` on, and return it there."""
    part = flat[at : at + len(target)]
    part[:, :1], part[:, 1:] = target, beside
    return part


def _zeroed(values: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return values with 0 in the columns that have no number, and which these are."""
    lost = np.flatnonzero(~has_value(values)).tolist()
    if lost:
        values = values.copy()
        values[:, lost] = 0.0
    return values, lost


def _fill_unknown(
    series: Sequence[np.ndarray], unknown: list[tuple[int, int]], covariates: tuple[str, ...]
) -> list[str]:
    """Give covariates without a value the mean of the other series (0 where no series has one); say so."""
    notes = []
    for channel in sorted({channel for _, channel in unknown}):
        without = {place for place, other in unknown if other == channel}
        known = [one[:, channel] for k, one in enumerate(series) if k not in without]
        mean = float(np.concatenate(known).mean(dtype=np.float64)) if known else 0.0
        for place in without:
            series[place][:, channel] = mean
        notes.append(f"{len(without)} series have no value of covariate {covariates[channel - 1]!r}; {mean:.4g} taken.")
    return notes


def _merge(raw: Sequence[RawSeries], notes: list[str]) -> list[RawSeries]:
    """Return each series sorted by distinct stamps; rows without a time dropped, repeated ones averaged.

    Raises:
        InputError: No row has a time, or more than a fifth of the rows repeat a time with other values.
    """
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
            one_row, next_row = values[same], values[same + 1]
            known = ~np.isnan(one_row) & ~np.isnan(next_row)
            conflicting += int(((one_row != next_row) & known).any(axis=1).sum())
            stamps, values = _mean_by(stamps, values)
        if stamps.size:
            merged.append(RawSeries(one.ids, stamps, values))
    if lost:
        notes.append(f"{lost} rows without a time were dropped.")
    if unsorted:
        where = "" if len(raw) == 1 else f" of {unsorted} of {len(raw)} ids"
        notes.append(f"The rows{where} were not in time order and were sorted.")
    rows = sum(len(one.stamps) for one in raw) - lost
    if conflicting > MOST_REPEATED * rows:
        raise InputError(
            f"{conflicting} of {rows} rows repeat the time of another row of their series with other values, above the "
            "limit of a fifth",
            "name the column that tells these rows apart with --id (join several into one column first), or the whole "
            "time with --time; if they are readings of one series, write their mean, one row a time",
        )
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


def _place(
    one: RawSeries, grid: Grid, indexes: dict[tuple[int, int, int], pd.Index]
) -> tuple[np.ndarray, pd.Index, Sampling]:
    """Return values on the grid (NaN in gaps), their stamps, and how the rows lay on it.

    Args:
        one: The rows.
        grid: Of the file.
        indexes: Stamps by first place, length and phase; series of the same steps share them. Added to.
    """
    places, phase = grid.places(one.stamps)
    first, length = int(places[0]), int(places[-1] - places[0]) + 1
    distinct, values = (places, one.values) if (np.diff(places) > 0).all() else _mean_by(places, one.values)
    if length >= 2 * len(distinct) and length > 2:
        raise InputError(
            f"series {one.ids[0]!r} has rows at {len(distinct)} of the {length} places of a {_words(grid)} grid; "
            "more than half must be there",
            "resample it to a coarser regular step, or split it at its long gaps",
        )
    key = (first, length, phase)
    if key not in indexes:
        indexes[key] = grid.index(np.arange(first, first + length), phase)
    index = indexes[key]
    at = index.to_numpy().astype(np.int64)
    off = grid.off(one.stamps, at[places - first])
    step = float(np.median(np.diff(at))) if length > 1 else 1.0
    out = np.full((length, values.shape[1]), np.nan)
    out[distinct - first] = values
    longest_gap = int(np.diff(distinct).max(initial=1)) - 1
    moved, met = int((off > 0).sum()), len(places) - len(distinct)
    return out, index, Sampling(len(places), length, moved, met, float(off.max()) / step, longest_gap)


def _renamed(merged: Sequence[RawSeries], grid: Grid) -> int:
    """Return how many rows of a grid of months lie on another day than the one that names their month."""
    if grid.kind != "month":
        return 0
    stamps = np.concatenate([one.stamps for one in merged])
    months = stamps.astype("datetime64[us]").astype("datetime64[M]")
    days = (months + 1).astype("datetime64[D]") - 1 if grid.month_end else months
    return int((days.astype("datetime64[us]").astype(np.int64) != stamps).sum())


def _words(grid: Grid) -> str:
    return f"step {grid.step}" if grid.freq is None else grid.freq


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")
