"""Splits that do not leak: whole series by id, and the last steps of each series by time."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from advisor.data.dataset import Dataset
from advisor.errors import InputError


class Cut(NamedTuple):
    """A forecasting set cut in time.

    Attributes:
        history: Each series without its last steps.
        tails: What was cut off, each (steps, 1), in the order of `history`.
    """

    history: Dataset
    tails: tuple[np.ndarray, ...]


def split_by_id(dataset: Dataset, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted row indices (train, held): every series is in one of them only.

    Classification is stratified: each class keeps at least one series in train, and gives at least one to held
    where it has two or more. Otherwise rows are drawn plainly, at least one each side.

    Args:
        dataset: At least two series.
        share: Part to hold out, between 0 and 1.
        seed: Same seed, same split.

    Raises:
        InputError: Fewer than two series, or a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise InputError(f"the held-out share must lie between 0 and 1, got {share}", "say, 0.2")
    if len(dataset) < 2:
        raise InputError(f"{len(dataset)} series cannot be split by id, at least 2 are needed", "give more series")
    draw = np.random.default_rng(seed)
    if dataset.task == "classify" and dataset.labels is not None:
        groups = [np.flatnonzero(dataset.labels == k) for k in np.unique(dataset.labels)]
    else:
        groups = [np.arange(len(dataset))]
    held = [draw.permutation(rows)[: _held(len(rows), share)] for rows in groups]
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(dataset)), out), out


def _held(count: int, share: float) -> int:
    return min(count - 1, max(1, round(count * share)))


def forecast_cut(dataset: Dataset, steps: int) -> Cut:
    """Return the set without the last `steps` of each series, and those steps.

    Series of `steps` or fewer are left out and named in the notes.

    Raises:
        InputError: Not a forecasting set, `steps` below 1, or no series is longer than `steps`.
    """
    if dataset.stamps is None:
        raise InputError(f"a {dataset.task} set cannot be cut in time", "split it by id")
    if steps < 1:
        raise InputError(f"the cut must take at least 1 step, got {steps}", "say a horizon of 1 or more")
    long = np.array([i for i, values in enumerate(dataset.series) if len(values) > steps], dtype=np.int64)
    if not long.size:
        longest = max(map(len, dataset.series))
        raise InputError(f"no series is longer than {steps} steps; the longest has {longest}", "shorten --horizon")
    short = [dataset.ids[i] for i in sorted(set(range(len(dataset))) - set(long.tolist()))]
    kept = dataset.take(long) if short else dataset
    note = f"{len(short)} series of {steps} or fewer steps were left out: {', '.join(short[:5])}" if short else ""
    history = replace(
        kept,
        series=tuple(values[:-steps] for values in kept.series),
        stamps=tuple(index[:-steps] for index in kept.stamps or ()),
        notes=(*kept.notes, f"{note}{' ...' if len(short) > 5 else ''}.") if short else kept.notes,
    )
    return Cut(history, tuple(values[-steps:] for values in kept.series))
