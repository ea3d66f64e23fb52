"""Splits that do not leak: whole series by id, and the last steps of each series by time."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from advisor.data.dataset import Dataset
from advisor.errors import InputError

HELD_SHARE = 0.2
"""Part of the data that is held out to test on, where the user gives no test file."""


class Cut(NamedTuple):
    """A forecasting set cut in time.

    Attributes:
        history: Each series without its last steps.
        tails: What was cut off, each (steps, channels), in the order of `history`.
    """

    history: Dataset
    tails: tuple[np.ndarray, ...]


def split_by_id(
    dataset: Dataset, share: float, seed: int, together: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted row indices (train, held): every series is in one of them only.

    Classification is stratified: each class keeps at least one series in train, and gives at least one to held
    where it has two or more. Otherwise rows are drawn plainly, at least one each side. Rows of one group are drawn
    together, by the label of their first; a group that would overfill the held part stays in train.

    Args:
        dataset: At least two series.
        share: Part to hold out, between 0 and 1.
        seed: Same seed, same split.
        together: (N,) for each row the first row of its group, see `advisor.audit.together`; None: each alone.

    Raises:
        InputError: Fewer than two groups of series, or a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise InputError(f"the held-out share must lie between 0 and 1, got {share}", "say, 0.2")
    group = np.arange(len(dataset)) if together is None else together
    firsts, sizes = np.unique(group, return_counts=True)
    _refuse_one(dataset, len(firsts))
    draw = np.random.default_rng(seed)
    if dataset.task == "classify" and dataset.labels is not None:
        strata = [np.flatnonzero(dataset.labels[firsts] == k) for k in np.unique(dataset.labels[firsts])]
    else:
        strata = [np.arange(len(firsts))]
    held = np.concatenate([_drawn(draw.permutation(places), sizes, share) for places in strata])
    out = np.flatnonzero(np.isin(group, firsts[held]))
    return np.setdiff1d(np.arange(len(dataset)), out), out


def folds_by_id(dataset: Dataset, folds: int, seed: int, together: np.ndarray | None = None) -> np.ndarray:
    """Return (N,) the fold of each row, 0 ... at most `folds` - 1; rows of one group are in one fold.

    Classification is stratified by the label of the first row of each group. There are fewer folds where there are
    fewer groups.

    Args:
        dataset: The rows.
        folds: At least 1.
        seed: Same seed, same folds.
        together: As in `split_by_id`.

    Raises:
        InputError: Fewer than two groups of series.
    """
    group = np.arange(len(dataset)) if together is None else together
    firsts, place = np.unique(group, return_inverse=True)
    _refuse_one(dataset, len(firsts))
    order = np.random.default_rng(seed).permutation(len(firsts))
    if dataset.task == "classify" and dataset.labels is not None:
        order = order[np.argsort(dataset.labels[firsts][order], kind="stable")]
    fold = np.empty(len(firsts), np.int64)
    fold[order] = np.arange(len(firsts)) % min(folds, len(firsts))
    return fold[place]


def _refuse_one(dataset: Dataset, groups: int) -> None:
    if groups < 2:
        copies = f" that are not copies of one another (of {len(dataset)})" if len(dataset) > 1 else ""
        raise InputError(f"{groups} series{copies} cannot be split by id, at least 2 are needed", "give more series")


def _drawn(places: np.ndarray, sizes: np.ndarray, share: float) -> np.ndarray:
    """Return the first of the shuffled `places` that fill the held share of their rows; the smallest if none does."""
    if len(places) < 2:
        return places[:0]
    room = max(1, round(int(sizes[places].sum()) * share))
    chosen: list[int] = []
    for place in places:
        if sizes[place] <= room and len(chosen) < len(places) - 1:
            chosen.append(int(place))
            room -= int(sizes[place])
    return np.array(chosen or [places[np.argmin(sizes[places])]], dtype=np.int64)


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
        future=tuple(
            np.concatenate([values[-steps:, kept.known_places], after])
            for values, after in zip(kept.series, kept.future, strict=False)
        ),
        notes=(*kept.notes, f"{note}{' ...' if len(short) > 5 else ''}.") if short else kept.notes,
    )
    return Cut(history, tuple(values[-steps:] for values in kept.series))
