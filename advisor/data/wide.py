"""One row a sequence, one column a step: labelled rows (label first or named), UCR `.tsv`, and M4 rows to forecast.

Trailing blanks or NaN are the end of a shorter sequence; blanks between values are missing. Where the columns are named
by dates or years, these are the stamps, and leading blanks are steps before the series begins.
"""

import re

import numpy as np

from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.forecasting import RawSeries, forecasting_dataset
from advisor.data.labelled import labelled_dataset, labelled_task, trim
from advisor.data.sniff import Source
from advisor.data.table import Table, is_missing, parse_numbers
from advisor.data.time_axis import Times, is_time_name, looks_like_dates, parse_times
from advisor.errors import InputError
from profiles.task import Task

LABEL_NAMES = frozenset({"label", "class", "target", "y", "outcome"})
ID_NAMES = frozenset({"id", "unique_id", "item_id", "series_id", "v1"})
_SERIES_NAME = re.compile(r"[A-Za-z]+[ _-]?\d+")
_COUNTERS = frozenset({"no", "index", "row", "rownum", "id", "#"})
_UNNAMED = re.compile(r"unnamed[:_ ]*\d+(\.\d+)?")
_MOST_INDEXES = 3
_FEWEST_DATES = 8


def _index_columns(table: Table) -> tuple[str, ...]:
    """Return the first columns where they have no name, as pandas writes an index; none where more than 3 have none."""
    first = table.names[: _MOST_INDEXES + 1] if table.header else ()
    named = next((k for k, name in enumerate(first) if not _UNNAMED.fullmatch(name.lower())), 0)
    return first[:named]


def counts_rows(table: Table, name: str) -> bool:
    """Return whether a column holds whole numbers that rise by 1 under a name that says so.

    One step in ten may be longer: of a large file pieces are looked at. An index without a name need only rise.
    """
    if not (name.lower() in _COUNTERS or _UNNAMED.fullmatch(name.lower())):
        return False
    values = _whole_numbers(table, name)
    if values is None or (np.diff(values) <= 0).any():
        return False
    return name in _index_columns(table) or (len(values) > 2 and bool((np.diff(values) == 1).mean() >= 0.9))


def _whole_numbers(table: Table, name: str) -> np.ndarray | None:
    """Return the values of a column; None where a cell is no whole number."""
    values, bad = parse_numbers(table.cells(name))
    return None if bad or not np.isfinite(values).all() or (values != np.round(values)).any() else values


def _row_numbers(table: Table, taken: set[str | None], any_order: bool) -> list[str]:
    """Return the columns before the first step that number the rows, in `any_order` where rows may be shuffled."""
    index = _index_columns(table)
    found = []
    for name in table.names if table.header else ():
        if name in taken:
            continue
        named = any_order and (name in index or name.lower() in _COUNTERS)
        values = _whole_numbers(table, name) if named else None
        numbered = values is not None and (name in index or len(np.unique(values)) == len(values))
        if not (numbered or counts_rows(table, name)):
            break
        found.append(name)
    return found


def label_column(table: Table, id_name: str | None = None) -> str | None:
    """Return the column that is named like a label and stands first, after the id, or last."""
    index = _index_columns(table)
    names = [name for name in table.names if name != id_name and name not in index]
    ends = [name for name in (*names[:2], *names[-1:]) if table.header]
    return next((name for name in ends if name.lower() in LABEL_NAMES), None)


def first_is_label(table: Table, name: str | None = None) -> bool:
    """Return whether a column, else the first with a name, looks like labels: repeating words, or few whole numbers."""
    name = name or _first_named(table)
    cells = [cell for cell in table.cells(name) if not is_missing(cell)]
    values, bad = parse_numbers(cells)
    distinct = len(set(cells))
    if bad:
        return len(bad) == len(cells) and distinct <= max(2, len(cells) / 2)
    return bool(cells) and bool((values == np.round(values)).all()) and distinct <= min(50, max(2, len(cells) / 2))


def _first_named(table: Table) -> str:
    """Return the first column that is no index without a name which counts the rows."""
    index = [name for name in _index_columns(table) if counts_rows(table, name)]
    return next(name for name in table.names if name not in index)


def is_m4(table: Table, id_name: str | None = None) -> bool:
    """Return whether all columns but the id (else the first) are steps, or 8 or more are named by dates or years."""
    if date_columns(table) is not None:
        return True
    name = id_name or _first_named(table)
    first = table.cells(name)
    named = id_name or name.lower() in ID_NAMES or all(map(_SERIES_NAME.fullmatch, first))
    if not named or len(table.names) < 9 or len(set(first)) < len(first):
        return False
    at = table.index(name)
    return all(not parse_numbers(row[:at] + row[at + 1 :])[1] for row in table.rows[:20])


def date_columns(table: Table) -> tuple[list[str], Times] | None:
    """Return the columns that are named by dates or years, with these; None where they are fewer than 8.

    Raises:
        InputError: The dates are in more than one form, or days and months cannot be told apart.
    """
    shapes: dict[str, list[str]] = {}
    for name in table.names if table.header else ():
        shapes.setdefault(re.sub(r"[A-Za-z]+", "A", re.sub(r"\d+", "9", name)), []).append(name)
    names = max(shapes.values(), key=len, default=[])
    if len(names) < _FEWEST_DATES:
        return None
    whole = all(name.isdecimal() for name in names)
    if not whole:
        kinds = {re.sub(r"\d+", "9", name): name for name in names} if looks_like_dates(names[:1]) else {}
        dated = {kind for kind, name in kinds.items() if looks_like_dates([name])}
        names = [name for name in names if re.sub(r"\d+", "9", name) in dated]
    years = whole and all(len(name) == 4 and 1700 < int(name) < 2200 for name in names)
    if len(names) < _FEWEST_DATES or (whole and not years and {len(name) for name in names} != {8}):
        return None
    others = set(table.names) - set(names)
    if any(is_time_name(name) or looks_like_dates(table.cells(name)[:20]) for name in others):
        return None  # a row is a step
    times = parse_times(names, "the column names", [1] * len(names))
    return (names, times) if times is not None and (years or times.dates) else None


def read_labelled_rows(source: Source, table: Table, options: ReadOptions, like: Dataset | None) -> Dataset:
    """Return labelled sequences of one channel, one a row.

    Raises:
        InputError: No label column, several of them, or cells that are not numbers.
    """
    notes = list(table.notes)
    if len(options.target) > 1:
        raise InputError(f"{len(options.target)} targets were named; labelled rows have one", "name one --target")
    named = table.names[len(_index_columns(table)) :][:2] if table.header else ()
    id_name = options.id or next((name for name in named if name.lower() in ID_NAMES), None)
    label = _named_label(table, options, like)
    unread = like is not None and like.labels is None
    counters = _row_numbers(table, {label, id_name}, any_order=unread or label is not None)
    if label is None:
        label = _find_label(table, [name for name in table.names if name not in (*counters, options.id)], options, like)
    steps = [name for name in table.names if name not in (label, id_name, *counters)]
    if counters:
        notes.append(f"{len(counters)} columns that count the rows were left out: {_some(counters)}.")
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


def _named_label(table: Table, options: ReadOptions, like: Dataset | None) -> str | None:
    """Return the label column that the user or its own name tells."""
    if options.target and (like is None or options.target[0] in table.names):
        table.index(options.target[0])
        return options.target[0]
    return label_column(table, options.id)


def _find_label(table: Table, free: list[str], options: ReadOptions, like: Dataset | None) -> str | None:
    """Return which of the columns `free` is the label by its cells; None only in a file read like a training set."""
    first = free[0] if free else table.names[0]
    if like is not None:
        longest = {len(values) for values in like.series}
        if len(longest) == 1 and len(free) == max(longest):
            return None
        if table.header and first.lower() in ID_NAMES:
            return None
        cells = [cell for cell in table.cells(first) if not is_missing(cell)]
        names = set(like.classes) | {f"{float(c)}" for c in like.classes if not parse_numbers([c])[1]}
        known = sum(cell in names for cell in cells)
        fits = len(longest) == 1 and len(free) == max(longest) + 1
        return first if fits or parse_numbers(cells)[1] or known * 2 >= len(cells) else None
    if options.task == "regress" or first_is_label(table, first):
        return first
    raise InputError(
        f"{table.file} has no column named like a label ({', '.join(sorted(LABEL_NAMES))}), and its first column "
        f"{first!r} does not look like one",
        "name the label column with --target",
    )


def read_m4(source: Source, table: Table, options: ReadOptions, like: Dataset | None) -> Dataset:
    """Return one series a row, stamped 0, 1, 2, ..., or as the columns are named where these are dates or years.

    Raises:
        InputError: Ids that repeat, or cells that are not numbers.
    """
    dated = date_columns(table)
    if dated is not None:
        return _read_dated(source, table, *dated, options=options, like=like)
    notes = list(table.notes)
    id_name = options.id or _first_named(table)
    ids = table.cells(id_name)
    if len(set(ids)) < len(ids):
        raise InputError(f"{table.file}: {len(ids) - len(set(ids))} ids in {id_name!r} repeat", "name each row once")
    counters = [name for name in _index_columns(table) if name != id_name and counts_rows(table, name)]
    if counters:
        notes.append(f"{len(counters)} columns that count the rows were left out: {_some(counters)}.")
    steps = [name for name in table.names if name not in (id_name, *counters)]
    rows = [trim(row[:, None]) for row in table.matrix(steps)]
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


def _read_dated(
    source: Source, table: Table, steps: list[str], times: Times, *, options: ReadOptions, like: Dataset | None
) -> Dataset:
    """Return one series a row, stamped by the names of the columns `steps`.

    Raises:
        InputError: Ids that repeat, or cells that are not numbers.
    """
    notes = [*table.notes, *times.notes]
    beside = [name for name in table.names if name not in set(steps)]
    id_names = [options.id] if options.id else _row_names(table, beside)
    cells = [table.cells(name) for name in id_names]
    ids = ["/".join(cell for cell in row if not is_missing(cell)) for row in zip(*cells, strict=True)]
    ids = ids or [str(row) for row in range(len(table.rows))]
    where = f"id in {', '.join(map(repr, id_names))}" if id_names else "no id"
    if len(set(ids)) < len(ids):
        raise InputError(
            f"{table.file} has one column a date, and {len(ids) - len(set(ids))} of its rows repeat an {where}",
            "name the column of ids with --id, or melt the table to columns unique_id, ds, y",
        )
    left = [name for name in beside if name not in id_names]
    if left:
        notes.append(f"{len(left)} columns that are neither id nor date were left out: {_some(left)}.")
    raw, shorter = [], 0
    for name, row in zip(ids, table.matrix(steps), strict=True):
        known = np.flatnonzero(~np.isnan(row))
        part = slice(known[0], known[-1] + 1) if known.size else slice(0, 1)
        shorter += known.size > 0 and part.stop - part.start < len(row)
        raw.append(RawSeries((name,), times.stamps[part], row[part, None]))
    if shorter:
        notes.append(f"{shorter} of {len(raw)} rows begin or end in blanks; they were taken as shorter series.")
    words = f"one series a row, one column a date from {steps[0]!r} to {steps[-1]!r}; {where}"
    rivals = ("it could also be labelled rows: say --task classify and --target COLUMN",)
    return forecasting_dataset(source, raw, dates=times.dates, words=words, rivals=rivals, notes=notes, like=like)


def _row_names(table: Table, names: list[str]) -> list[str]:
    """Return the column that names each row once: the first of text, all of text together, or the only one."""
    texts = [name for name in names if parse_numbers(table.cells(name))[1]]
    once = [name for name in texts if len({c for c in table.cells(name) if not is_missing(c)}) == len(table.rows)]
    if texts:
        return once[:1] or texts
    known = [name for name in names if name.lower() in ID_NAMES]
    return known[:1] or [name for name in names if len(names) == 1 and not counts_rows(table, name)]


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")
