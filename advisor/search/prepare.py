"""From a dataset to a problem: folds to choose on and a test part that no choice sees."""

import numpy as np

from advisor import metrics
from advisor.audit import together
from advisor.data import HELD_SHARE, Dataset, folds_by_id, split_by_id
from advisor.errors import InputError
from advisor.search.problem import MOST_TEST_WINDOWS, Plan, Problem, Rows, joined, windows
from advisor.search.recipes.forecast import look_back_of

MOST_FOLDS, MOST_CUTS = 5, 24
UNITS_A_FOLD = 60
"""Forecast origins that a fold should judge on, over all series, where the data have them."""


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
    rows, held_rows = _rows(dataset), _rows(test)
    folds = min(MOST_FOLDS if len(dataset) < 2000 else 3, len(dataset) // 2)
    fold = folds_by_id(dataset, folds, seed, together(dataset))
    plan = Plan(
        task=dataset.task,
        channels=len(dataset.channels),
        classes=len(dataset.classes),
        folds=int(fold.max()) + 1,
        length=rows.x.shape[1],
        test_words=words,
    )
    return Problem(plan, rows, fold, (), held_rows)


def _rows(dataset: Dataset) -> Rows:
    lengths = np.array([len(s) for s in dataset.series], np.int64)
    x = np.zeros((len(dataset), int(lengths.max()), len(dataset.channels)), np.float32)
    for i, s in enumerate(dataset.series):
        x[i, : len(s)] = s
    assert dataset.labels is not None
    y = dataset.labels.astype(np.int64 if dataset.task == "classify" else np.float32)
    return Rows(x, lengths, y, np.ones(len(dataset)), np.arange(len(dataset)))


def _by_time(dataset: Dataset, test: Dataset | None, season: int, horizon: int | None) -> Problem:
    values = [s[:, 0] for s in dataset.series]
    median = int(np.median([len(s) for s in values]))
    horizon = horizon or (season if season > 1 else max(1, min(24, median // 10)))
    if median < 3 * horizon:
        raise InputError(
            f"horizon {horizon} needs series of at least {3 * horizon} steps; the median is {median}.",
            f"use --horizon {max(1, median // 4)}, or give longer series.",
        )
    futures, words = _futures(dataset, test, values, horizon, median)
    history = tuple(v if test else v[: len(v) - len(f)] for v, f in zip(values, futures, strict=True))
    kept = [i for i, h in enumerate(history) if len(h) >= 2]
    history, futures = tuple(history[i] for i in kept), [futures[i] for i in kept]
    median = int(np.median([len(h) for h in history]))
    folds = int(np.clip(HELD_SHARE * median // horizon, 1, MOST_FOLDS))
    room = int(HELD_SHARE * median) // (folds * horizon)
    fold_cuts = int(np.clip(UNITS_A_FOLD // len(history), 1, max(1, min(room, MOST_CUTS))))
    plan = Plan(
        task="forecast",
        channels=1,
        horizon=horizon,
        season=season,
        folds=folds,
        fold_cuts=fold_cuts,
        length=max(2, median - (folds * fold_cuts + 1) * horizon),
        test_words=words,
    )
    longest = look_back_of(plan, 2.0)
    scales = [metrics.seasonal_scale(h, season) for h in history]
    parts = []
    cuts = max((len(f) + horizon - 1) // horizon for f in futures)
    step = max(1, cuts * len(history) // MOST_TEST_WINDOWS)
    full = tuple(np.concatenate([h, f]) for h, f in zip(history, futures, strict=True))
    for cut in range(0, cuts, step):
        ends = [len(h) + cut * horizon for h in history]
        parts.append(windows(full, ends, scales, longest, horizon))
    test_rows = joined(parts)
    if cuts > 1 and len(history) < 20:  # few series: intervals from stretches of time, not from series
        test_rows = Rows(
            test_rows.x,
            test_rows.lengths,
            test_rows.y,
            test_rows.scale,
            np.concatenate([np.full(len(p), i // max(1, len(parts) // 10)) for i, p in enumerate(parts)]),
        )
    empty = Rows(np.zeros((0, 1, 1), np.float32), *(np.zeros(0, t) for t in (np.int64, np.float32, float, np.int64)))
    return Problem(plan, empty, np.zeros(0, np.int64), history, test_rows)


def _futures(
    dataset: Dataset, test: Dataset | None, values: list[np.ndarray], horizon: int, median: int
) -> tuple[list[np.ndarray], str]:
    """Return the test part of each series, and what it is in words."""
    if test is None:
        cuts = int(np.clip(HELD_SHARE * median // horizon, 1, MOST_CUTS))
        held = cuts * horizon
        words = f"the last {held} steps of each series ({cuts} rolling cuts of {horizon})"
        return [v[len(v) - held :] if len(v) > held + 1 else v[:0] for v in values], words
    later = dict(zip(test.ids, test.series, strict=True))
    common = [i for i in dataset.ids if i in later]
    if not common:
        raise InputError(
            "the test file has no series of the training file.",
            f"its ids must be those of the training file, such as {dataset.ids[0]!r}.",
        )
    words = f"the test file: {len(common)} series, rolling cuts of {horizon}"
    return [later[i][:, 0] if i in later else v[:0] for i, v in zip(dataset.ids, values, strict=True)], words
