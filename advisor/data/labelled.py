"""From raw sequences with label cells to a classification or regression Dataset.

Rules: rows without a label, without any value, or with a channel that has no value are dropped and counted; a channel
empty in every row is dropped; one class alone is refused; a class with one row is named. Labels that are all numbers
are regressed on when they hold fractions and more than 10 distinct values, or when most of more than 50 are distinct.
Read `like` a training set, labels must be among the training classes, and may be absent altogether; read like a set
without labels, as for a prediction, they are not looked at.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from advisor.data.dataset import Dataset
from advisor.data.fill import fill, filled_note, has_value
from advisor.data.sniff import Source
from advisor.data.table import is_missing, parse_numbers
from advisor.errors import InputError
from profiles.task import Task


def labelled_task(labels: Sequence[str]) -> Task:
    """Return what the labels look like: classes or numbers."""
    values, bad = parse_numbers([cell for cell in labels if not is_missing(cell)])
    if bad or not np.isfinite(values).all():
        return "classify"
    distinct = np.unique(values)
    fractions = bool((distinct != np.round(distinct)).any())
    return "regress" if (fractions and len(distinct) > 10) or len(distinct) > max(50, len(values) / 2) else "classify"


def labelled_dataset(
    source: Source,
    rows: Sequence[np.ndarray],
    *,
    labels: Sequence[str] | None,
    ids: Sequence[str] | None,
    task: Task,
    words: str,
    rivals: tuple[str, ...],
    notes: list[str],
    like: Dataset | None,
    classes: Sequence[str] = (),
) -> Dataset:
    """Return the Dataset of `rows`, each float64 (length, channels) with NaN where missing.

    Args:
        source: The file.
        rows: One array a sequence.
        labels: One cell a sequence; None: the file has none, which needs `like`.
        ids: One name a sequence; None: row numbers from 0.
        task: classify or regress.
        words: What the file was taken for.
        rivals: What else it could be.
        notes: What was done so far; added to.
        like: The training set, when this is a test or predict file; labels are read if it has some.
        classes: Order of the class names where the file declares one.

    Raises:
        InputError: No label, no usable row, one class, an unknown class, or other channels than in training.
    """
    file = source.path.name
    if labels is not None and all(map(is_missing, labels)):
        labels = None
    if labels is None and like is None:
        raise InputError(f"{file} has no labels", "name the label column with --target, or say --task forecast")
    if labels is None:
        notes.append("The file has no labels.")
    elif like is not None and like.labels is None:
        labels = None
        notes.append("The labels in the file were not read.")
    if like is not None and rows and rows[0].shape[1] != len(like.channels):
        raise InputError(
            f"{file} has {rows[0].shape[1]} channels, the training set has {len(like.channels)}",
            "give the file the channels of the training set, in the same order",
        )
    channels = like.channels if like else tuple(f"dim_{k}" for k in range(rows[0].shape[1] if rows else 0))
    rows, channels = _drop_empty_channels(rows, channels, like, notes)
    keep = _usable_rows(rows, labels, notes)
    if not keep:
        raise InputError(
            f"{file}: no row with values{'' if labels is None else ' and a label'} is left", "check the file"
        )
    groups = ids
    if ids is None or len(set(ids)) < len(ids):
        if ids is not None:
            notes.append(f"{len(ids) - len(set(ids))} ids repeat; row numbers are used instead.")
        ids = [str(i) for i in range(len(rows))]
    series, missing, endless, total = [], 0, 0, 0
    for i in keep:
        values, blank, infinite = fill(rows[i])
        series.append(values)
        missing, endless, total = missing + blank, endless + infinite, total + values.size
    notes += filled_note(missing, endless, total)
    kept = None if labels is None else [labels[i].strip() for i in keep]
    encoded, names = _encode(kept, task, file=file, declared=classes, like=like, notes=notes)
    return Dataset(
        source.name, task, tuple(ids[i] for i in keep), tuple(series), channels, labels=encoded, classes=names,
        groups=None if groups is None else tuple(groups[i] for i in keep),
        missing=(missing + endless) / total, format=words, rivals=rivals, notes=tuple(notes), sha256=source.sha256,
    )  # fmt: skip


def trim(values: np.ndarray) -> np.ndarray:
    """Return (length, channels) without the trailing steps at which every channel is missing."""
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: known[-1] + 1] if known.size else values[:0]


def _drop_empty_channels(
    rows: Sequence[np.ndarray], channels: tuple[str, ...], like: Dataset | None, notes: list[str]
) -> tuple[Sequence[np.ndarray], tuple[str, ...]]:
    if like is not None or len(channels) < 2:
        return rows, channels
    usable = np.any([has_value(row) for row in rows], axis=0)
    if usable.all() or not usable.any():
        return rows, channels
    notes.append(f"{int((~usable).sum())} channels without any value were dropped.")
    return [row[:, usable] for row in rows], tuple(c for c, good in zip(channels, usable, strict=True) if good)


def _usable_rows(rows: Sequence[np.ndarray], labels: Sequence[str] | None, notes: list[str]) -> list[int]:
    """Return the rows that can be used; note the others."""
    unlabelled = set() if labels is None else {i for i, cell in enumerate(labels) if is_missing(cell)}
    empty = {i for i, row in enumerate(rows) if not row.size or not has_value(row).all()} - unlabelled
    if unlabelled:
        notes.append(f"{len(unlabelled)} rows without a label were dropped.")
    if empty:
        notes.append(f"{len(empty)} rows with a channel that has no value were dropped.")
    return [i for i in range(len(rows)) if i not in unlabelled | empty]


def _encode(
    labels: list[str] | None,
    task: Task,
    *,
    file: str,
    declared: Sequence[str],
    like: Dataset | None,
    notes: list[str],
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return labels as indices or numbers, and the class names."""
    if labels is None:
        return None, like.classes if like else ()
    values, bad = parse_numbers(labels)
    if task == "regress":
        if bad or not np.isfinite(values).all():
            wrong = labels[bad[0]] if bad else labels[int(np.argmin(np.isfinite(values)))]
            raise InputError(f"{file}: label {wrong!r} is not a finite number", "correct it, or say --task classify")
        if like is None and np.ptp(values) == 0:
            notes.append(f"The target is constant ({values[0]:g}): nothing is to be learned.")
        return values, ()
    names = labels if bad else [_number_name(value) for value in values]
    if like is not None:
        known = {name: i for i, name in enumerate(like.classes)}
        unknown = Counter(name for name in names if name not in known)
        if unknown:
            shown = ", ".join(f"{name!r} ({count} rows)" for name, count in unknown.most_common(8))
            raise InputError(
                f"{file}: {unknown.total()} of {len(names)} labels are not among the training classes: {shown}",
                f"the classes are {', '.join(like.classes[:12])}; leave these rows out or train with them",
            )
        return np.array([known[name] for name in names], dtype=np.int64), like.classes
    counts = Counter(names)
    if len(counts) == 1:
        raise InputError(f"{file}: the label has a single class ({names[0]}); nothing to learn", "add another class")
    order = [name for name in declared if name in counts] if declared else []
    order = order if len(order) == len(counts) else sorted(counts, key=float if not bad else str)
    once = [name for name in order if counts[name] == 1]
    if once:
        notes.append(f"{len(once)} classes have one row, too few to train and test on: {', '.join(once[:8])}.")
    place = {name: i for i, name in enumerate(order)}
    return np.array([place[name] for name in names], dtype=np.int64), tuple(order)


def _number_name(value: float) -> str:
    """Return "1" for 1.0, so that "1" and "1.0" are one class."""
    return str(int(value)) if np.isfinite(value) and value == int(value) else repr(float(value))
