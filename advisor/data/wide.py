"""One row a sequence, one column a step: labelled rows (label first or named), UCR `.tsv`, and M4 rows to forecast.

Trailing blanks or NaN are the end of a shorter sequence; blanks between values are missing.
"""

import re

import numpy as np

from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.forecasting import RawSeries, forecasting_dataset
from advisor.data.labelled import labelled_dataset, labelled_task, trim
from advisor.data.sniff import Source
from advisor.data.table import Table, is_missing, parse_numbers
from advisor.errors import InputError
from profiles.task import Task

LABEL_NAMES = frozenset({"label", "class", "target", "y", "outcome"})
ID_NAMES = frozenset({"id", "unique_id", "item_id", "series_id", "v1"})
_SERIES_NAME = re.compile(r"[A-Za-z]+[ _-]?\d+")


def label_column(table: Table) -> str | None:
    """Return the column that is named like a label and stands first, after the id, or last."""
    ends = [name for name in (*table.names[:2], table.names[-1]) if table.header]
    return next((name for name in ends if name.lower() in LABEL_NAMES), None)


def first_is_label(table: Table) -> bool:
    """Return whether the first column looks like labels: repeating words, or few whole numbers."""
    cells = [cell for cell in table.cells(table.names[0]) if not is_missing(cell)]
    values, bad = parse_numbers(cells)
    distinct = len(set(cells))
    if bad:
        return len(bad) == len(cells) and distinct <= max(2, len(cells) / 2)
    return bool(cells) and bool((values == np.round(values)).all()) and distinct <= min(50, max(2, len(cells) / 2))


def is_m4(table: Table) -> bool:
    """Return whether the first column names each row once and all others are steps."""
    first = table.cells(table.names[0])
    named = table.names[0].lower() in ID_NAMES or all(map(_SERIES_NAME.fullmatch, first))
    if not named or len(table.names) < 9 or len(set(first)) < len(first):
        return False
    return all(not parse_numbers(row[1:])[1] for row in table.rows[:20])


def read_labelled_rows(source: Source, table: Table, options: ReadOptions, like: Dataset | None) -> Dataset:
    """Return labelled sequences of one channel, one a row.

    Raises:
        InputError: No label column, several of them, or cells that are not numbers.
    """
    notes = list(table.notes)
    if len(options.target) > 1:
        raise InputError(f"{len(options.target)} targets were named; labelled rows have one", "name one --target")
    label = _find_label(table, options, like)
    id_name = options.id or next((name for name in table.names[:2] if table.header and name.lower() in ID_NAMES), None)
    steps = [name for name in table.names if name not in (label, id_name)]
    if not steps:
        raise InputError(f"{table.file} has a label but no columns of values", "give one column a step")
    rows = [trim(row[:, None]) for row in table.matrix(steps)]
    shorter = sum(len(row) < len(steps) for row in rows)
    if shorter:
        notes.append(f"{shorter} of {len(rows)} rows end in blanks; they were taken as shorter sequences.")
    labels = None if label is None else table.cells(label)
    task: Task = like.task if like else options.task or labelled_task(labels or ())
    if not table.header:
        words = "rows without a header, label first (UCR), one column a step"
    else:
        words = f"labelled rows, one column a step; label {label!r}"
    other = "regress" if task == "classify" else "classify"
    return labelled_dataset(
        source, rows, labels=labels, ids=table.cells(id_name) if id_name else None, task=task, words=words,
        rivals=(
            f"the label could also be {'a number' if other == 'regress' else 'a class'}: say --task {other}",
            "it could also be one table of channels, a row a step: say --task forecast",
        ), notes=notes, like=like,
    )  # fmt: skip


def _find_label(table: Table, options: ReadOptions, like: Dataset | None) -> str | None:
    """Return the label column; None only in a file read like a training set."""
    if options.target and (like is None or options.target[0] in table.names):
        table.index(options.target[0])
        return options.target[0]
    named = label_column(table)
    if named is not None:
        return named
    first = table.names[0]
    if like is not None:
        longest = {len(values) for values in like.series}
        if len(longest) == 1 and len(table.names) == max(longest):
            return None
        if table.header and first.lower() in ID_NAMES:
            return None
        values, bad = parse_numbers(table.cells(first))
        names = set(like.classes) | {f"{float(c)}" for c in like.classes if not parse_numbers([c])[1]}
        known = sum(cell in names for cell in table.cells(first))
        fits = len(longest) == 1 and len(table.names) == max(longest) + 1
        return first if fits or bad or known * 2 >= len(values) > 0 else None
    if options.task == "regress" or first_is_label(table):
        return first
    raise InputError(
        f"{table.file} has no column named like a label ({', '.join(sorted(LABEL_NAMES))}), and its first column "
        f"{first!r} does not look like one",
        "name the label column with --target",
    )


def read_m4(source: Source, table: Table, options: ReadOptions, like: Dataset | None) -> Dataset:
    """Return one series a row, stamped 0, 1, 2, ...

    Raises:
        InputError: Ids that repeat, or cells that are not numbers.
    """
    notes = list(table.notes)
    id_name = options.id or table.names[0]
    ids = table.cells(id_name)
    if len(set(ids)) < len(ids):
        raise InputError(f"{table.file}: {len(ids) - len(set(ids))} ids in {id_name!r} repeat", "name each row once")
    rows = [trim(row[:, None]) for row in table.matrix([name for name in table.names if name != id_name])]
    lengths = [len(row) for row in rows]
    if min(lengths) < max(lengths):
        notes.append(f"Series end where trailing blanks begin: {min(lengths)} to {max(lengths)} steps.")
    raw = [
        RawSeries((name,), np.arange(max(1, len(row)), dtype=np.int64), row if len(row) else np.full((1, 1), np.nan))
        for name, row in zip(ids, rows, strict=True)
    ]
    words = f"M4 rows: id in {id_name!r}, one series a row, one column a step"
    rivals = ("it could also be labelled rows: say --task classify and --target COLUMN",)
    return forecasting_dataset(source, raw, dates=False, words=words, rivals=rivals, notes=notes, like=like)
