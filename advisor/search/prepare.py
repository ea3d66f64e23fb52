"""From a dataset to a problem: folds to choose on and a test part that no choice sees."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from advisor import metrics
from advisor.audit import together
from advisor.data import HELD_SHARE, Dataset, folds_by_id, split_by_id
from advisor.data.ahead import look_ahead
from advisor.data.calendar import calendar_channels, choose_calendar
from advisor.data.grid import like_grid
from advisor.data.rows import Rows, joined
from advisor.data.scratch import scratch_array
from advisor.data.stack import SeriesStack
from advisor.errors import InputError
from advisor.search.problem import MOST_TEST_WINDOWS, Plan, Problem, windows, with_a_unit
from advisor.search.recipes.forecast import look_back_of

MOST_FOLDS, MOST_CUTS = 5, 24
UNITS_A_FOLD = 60
"""Forecast origins that a fold should judge on, over all series, where the data have them."""
LEAST_ORIGINS = 10
"""Origins over all series below which they overlap: one or two are too few to choose by."""
FEW_SHARE, FEW_HORIZONS = 1 / 3, 3
"""Of few data at most this share judges, or so many horizons."""


def prepare(dataset: Dataset, test: Dataset | None, season: int, horizon: int | None, seed: int) -> Problem:
    """Divide the data by rows (classify, regress) or by time (forecast).

    Args:
        dataset: What may be learnt from, and the test part too where `test` is None.
        test: The user's own test file.
        season: Main period, 1 where there is none (forecast).
        horizon: Steps to forecast; None: one season, or a tenth of the median length, at most 24.
        seed: Of the division by rows.
    """
    if dataset.task == "forecast":
        return _by_time(dataset, test, season, horizon)
    return _by_rows(dataset, test, seed)


def _by_rows(dataset: Dataset, test: Dataset | None, seed: int) -> Problem:
    own_test = test is None
    words = f"the {len(test)} series of the test file" if test else ""
    if test is None:
        kept, held = split_by_id(dataset, HELD_SHARE, seed, together(dataset))
        dataset, test = dataset.take(kept), dataset.take(held)
        words = f"{len(held)} series held out at random (seed {seed})"
    if test.labels is None:
        raise InputError("the test file has no labels.", "give a test file with the label column of the training file.")
    assert dataset.labels is not None
    if len(dataset) < 6:
        raise InputError(
            f"{len(dataset)} labelled series are too few to learn from.", "give at least 8 labelled series."
        )
    subjects = together(dataset)
    rows, held_rows = _rows(dataset, subjects), _rows(test, together(test))
    folds = min(MOST_FOLDS if len(dataset) < 2000 else 3, len(dataset) // 2)
    fold = folds_by_id(dataset, folds, seed, subjects)
    plan = Plan(
        task=dataset.task,
        channels=len(dataset.channels),
        classes=len(dataset.classes),
        folds=int(fold.max()) + 1,
        length=rows.x.shape[1],
        test_words=words,
        test_is_own=own_test,
    )
    return Problem(plan, rows, fold, SeriesStack.of(()), held_rows)


def _rows(dataset: Dataset, subjects: np.ndarray) -> Rows:
    """Return the labelled series; those of one subject, (N,), share their luck."""
    lengths = np.array([len(s) for s in dataset.series], np.int64)
    x = np.zeros((len(dataset), int(lengths.max()), len(dataset.channels)), np.float32)
    for i, s in enumerate(dataset.series):
        x[i, : len(s)] = s
    assert dataset.labels is not None
    y = dataset.labels.astype(np.int64 if dataset.task == "classify" else np.float32)
    return Rows(x, lengths, y, np.ones(len(dataset)), subjects)


def _by_time(dataset: Dataset, test: Dataset | None, season: int, horizon: int | None) -> Problem:
    median = int(np.median([len(s) for s in dataset.series]))
    horizon = horizon or (season if season > 1 else max(1, min(24, median // 10)))
    if median < 3 * horizon:
        raise InputError(
            f"horizon {horizon} needs series of at least {3 * horizon} steps; the median is {median}.",
            f"use --horizon {max(1, median // 4)}, or give longer series.",
        )
    calendar = choose_calendar(dataset.stamps or ())
    stack = with_calendar(dataset, calendar)
    known = dataset.known_places
    if test is None:
        cuts = int(np.clip(HELD_SHARE * median // horizon, 1, MOST_CUTS))
        held = np.where(stack.sizes > cuts * horizon + 1, cuts * horizon, 0)
        rolling = f"{cuts} rolling cut{'s' if cuts > 1 else ''}"
        words = f"the last {cuts * horizon} steps of each series ({rolling} of {horizon})"
        full = stack
        if known:
            look_ahead(stack, known, dataset.future, horizon)
    else:
        held = np.zeros(len(stack), np.int64)
        full, words = _joined_to(dataset, test, stack, calendar, horizon)
        if known:
            after = dict(zip(test.ids, test.future, strict=True))
            nothing = np.empty((0, len(known)), np.float32)
            look_ahead(full, known, [after.get(name, nothing) for name in dataset.ids], horizon)
            for one, whole in zip(stack, full, strict=True):
                one[:, -len(known) :] = whole[: len(one), -len(known) :]
    kept = np.flatnonzero(stack.sizes - held >= 2)
    stack, held, full = stack.take(kept), held[kept], full.take(kept)
    sizes = stack.sizes - held
    later = held if test is None else full.sizes - sizes
    median = int(np.median(sizes))
    folds, fold_cuts, stride = origins(median, horizon, len(stack))
    if flat := int(np.isnan(_scales(stack, sizes, season)).sum()):
        words += f", but for {flat} series that are flat before it and have no MASE"
    step_season = like_grid(dataset.freq, dataset.stamps[0]).season if dataset.stamps else 1
    plan = Plan(
        task="forecast",
        channels=stack.flat.shape[1],
        covariates=dataset.channels[1:],
        calendar=calendar,
        ahead=dataset.known,
        horizon=horizon,
        season=season,
        calendar_season=step_season if season <= 1 else 1,
        nonnegative=_is_nonnegative(
            stack, np.maximum(2, sizes - (folds * fold_cuts - 1) * (stride or horizon) - horizon)
        ),
        folds=folds,
        series=len(stack),
        fold_cuts=fold_cuts,
        stride=stride,
        length=max(2, median - (folds * fold_cuts - 1) * (stride or horizon) - 2 * horizon),
        test_words=words,
        test_is_own=test is None,
    )
    test_rows = _test_rows(full, sizes, later, plan)
    empty = Rows(np.zeros((0, 1, 1), np.float32), *(np.zeros(0, t) for t in (np.int64, np.float32, float, np.int64)))
    scale = _scales(stack, np.maximum(0, sizes - plan.judging_steps), season)
    return Problem(plan, empty, np.zeros(0, np.int64), stack, test_rows, held, scale)


def origins(length: int, horizon: int, series: int) -> tuple[int, int, int]:
    """Return the folds, the origins in each, and the steps between two where they overlap, else 0.

    Args:
        length: Steps before the test part, the median over series.
        horizon: Steps to forecast.
        series: How many there are.

    Example:
        >>> origins(10_000, 24, 1), origins(960, 48, 400), origins(96, 12, 1)
        ((5, 16, 0), (4, 1, 0), (2, 5, 2))
    """
    folds = int(np.clip(HELD_SHARE * length // horizon, 1, MOST_FOLDS))
    room = int(HELD_SHARE * length) // (folds * horizon)
    cuts = int(np.clip(UNITS_A_FOLD // series, 1, max(1, min(room, MOST_CUTS))))
    if folds * cuts * series >= LEAST_ORIGINS:
        return folds, cuts, 0
    most = min(max(HELD_SHARE * length, FEW_HORIZONS * horizon), FEW_SHARE * length)
    judging = max(folds * cuts * horizon, int(most))
    folds = min(MOST_FOLDS, judging // horizon)
    cuts = math.ceil(LEAST_ORIGINS / (series * folds))
    stride = (judging - horizon) // max(1, folds * cuts - 1)
    if stride < 1:
        stride, cuts = 1, max(1, (judging - horizon + 1) // folds)
    return folds, cuts, stride if stride < horizon and folds * cuts > 1 else 0


def _is_nonnegative(series: SeriesStack, sizes: np.ndarray) -> bool:
    """Return whether no target in the first `sizes` steps of any series is negative."""
    return all(float(one[:n, 0].min()) >= 0 for one, n in zip(series, sizes.tolist(), strict=True))


def _scales(series: SeriesStack, sizes: np.ndarray, season: int) -> np.ndarray:
    """Return the MASE denominator of the first `sizes` steps of each series, (N,); NaN where it has none, 1 if all."""
    known = zip(series, sizes.tolist(), strict=True)
    scales = np.array([metrics.seasonal_scale(one[:n, 0], season) for one, n in known])
    return with_a_unit(scales)


def with_calendar(dataset: Dataset, calendar: Sequence[str]) -> SeriesStack:
    """Return the series with the calendar of their stamps as channels after their own, and room for what is ahead."""
    sizes = np.array([len(s) for s in dataset.series], np.int64)
    end = np.cumsum(sizes)
    width = len(dataset.channels)
    flat = scratch_array((int(sizes.sum()), width + len(calendar) + len(dataset.known)))
    stamps = dataset.stamps or (pd.RangeIndex(0),) * len(dataset)
    for a, b, values, index in zip(end - sizes, end, dataset.series, stamps, strict=True):
        flat[a:b, :width] = values
        if calendar:
            flat[a:b, width : width + len(calendar)] = calendar_channels(index, calendar)
    return SeriesStack(flat, end - sizes, end)


def _joined_to(
    dataset: Dataset, test: Dataset, stack: SeriesStack, calendar: Sequence[str], horizon: int
) -> tuple[SeriesStack, str]:
    """Return each series with what follows it in the test file, and what the test part is in words."""
    after = dict(zip(test.ids, with_calendar(test, calendar), strict=True))
    common = sum(name in after for name in dataset.ids)
    if not common:
        raise InputError(
            "the test file has no series of the training file.",
            f"its ids must be those of the training file, such as {dataset.ids[0]!r}.",
        )
    nothing = np.empty((0, stack.flat.shape[1]), np.float32)
    both = [np.concatenate([one, after.get(name, nothing)]) for name, one in zip(dataset.ids, stack, strict=True)]
    whole = " with all their steps" if dataset.known else ""
    return SeriesStack.of(both), f"the test file: {common} series, rolling cuts of {horizon}{whole}"


def _test_rows(full: SeriesStack, sizes: np.ndarray, later: np.ndarray, plan: Plan) -> Rows:
    """Return the origins in the test part: one horizon apart, in every series.

    With columns that are known ahead, only those with a whole horizon after them: what follows is then known, too.

    Args:
        full: The series with their test parts.
        sizes: Steps of each before the test part, (N,).
        later: Steps of its test part, (N,).
        plan: Of the problem.
    """
    horizon = plan.horizon
    longest = look_back_of(plan, 2.0)
    cuts = int((later.max() + horizon - 1) // horizon)
    every = -(-len(full) // MOST_TEST_WINDOWS)
    some = np.arange(0, len(full), every)
    step = max(1, cuts * len(some) // MOST_TEST_WINDOWS)
    series, begin = full.take(some), sizes[some]
    scales, tested = _scales(series, begin, plan.season), later[some] > 0
    scales[tested] = with_a_unit(scales[tested])
    parts = [
        windows(series, (begin + cut * horizon).tolist(), scales, longest, horizon) for cut in range(0, cuts, step)
    ]
    rows = joined(parts)
    if cuts > 1 and len(full) < 20:  # few series: intervals from stretches of time, not from series
        stretch = np.concatenate([np.full(len(p), i // max(1, len(parts) // 10)) for i, p in enumerate(parts)])
        rows = Rows(rows.x, rows.lengths, rows.y, rows.scale, stretch)
    whole = ~np.isnan(rows.y).any(axis=1)
    return rows.take(np.flatnonzero(whole)) if plan.ahead and whole.any() else rows
