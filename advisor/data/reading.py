"""Choose the reader of a file: by flags, by column names, then by what the cells look like."""

from pathlib import Path

import numpy as np

from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.delimited import read_table
from advisor.data.panel import find_id, read_panel
from advisor.data.single_table import read_single_table
from advisor.data.sniff import open_source
from advisor.data.streamed import read_streamed, sample_of
from advisor.data.table import Table, parse_numbers
from advisor.data.time_axis import is_time_name, looks_like_dates
from advisor.data.time_columns import find_times
from advisor.data.ts_file import is_ts, read_ts
from advisor.data.wide import ID_NAMES, first_is_label, is_m4, label_column, read_labelled_rows, read_m4
from advisor.errors import InputError

_DEFAULT = ReadOptions()
_FEWEST_STEPS = 8


def read(path: Path, options: ReadOptions = _DEFAULT, like: Dataset | None = None) -> Dataset:
    """Return the sequences of a file.

    Args:
        path: CSV, TSV, `.ts`, Parquet, or `.gz` of the text formats. Large text to forecast is read in blocks.
        options: What the user said; the rest is guessed, and the guess is in `Dataset.format` and `.rivals`.
        like: The training set, when this is a test or predict file: its task and class order are kept, labels
            may be absent, channels and time step must match. Integer stamps start as the file says (M4 rows at 0).

    Raises:
        InputError: The file cannot be used as it is.
        MissingExtraError: Parquet without pyarrow.
    """
    if like is not None:
        if options.task not in (None, like.task):
            raise InputError(f"--task {options.task}, but the training set is for {like.task}", "leave --task out")
        options = options.model_copy(update={"task": like.task})
    if options.task in (None, "forecast") and (large := sample_of(Path(path))) is not None:
        kind = _kind(large[1], options, like)
        if kind in ("panel", "table"):
            streamed = read_streamed(*large, options, like, panel=kind == "panel")
            if streamed is not None:
                return streamed
    source = open_source(Path(path))
    if is_ts(source):
        return read_ts(source, options, like)
    table = read_table(source)
    reader = {"rows": read_labelled_rows, "m4": read_m4, "panel": read_panel, "table": read_single_table}
    return reader[_kind(table, options, like)](source, table, options, like)


def _kind(table: Table, options: ReadOptions, like: Dataset | None) -> str:
    """Return which reader fits: rows, m4, panel or table."""
    labelled = options.task in ("classify", "regress")
    named = label_column(table)
    rows_by_name = named is not None and len(table.names) > _FEWEST_STEPS and not _dated(table)
    if options.time is None and not (rows_by_name and options.task != "forecast"):
        if not labelled and is_m4(table, options.id):
            return "m4"
        if labelled and like is not None and len(table.names) > _FEWEST_STEPS:
            return "rows"
        if not table.header and (labelled or (options.task is None and _headerless_rows(table))):
            return "rows"
    elif options.time is None:
        return "rows"
    columns, times, _ = find_times(table, options)
    if times is not None and find_id(table, options, columns, times.stamps, like):
        return "panel"
    if options.id is not None and times is None and not labelled:
        raise InputError(f"{table.file}: --id was given but no time column was found", "name it with --time")
    if labelled:
        if times is not None and columns:
            raise InputError(
                f"{table.file} is one table with time in {columns[0]!r}, a single sequence: nothing to {options.task}",
                "write one row a sequence (label, then one column a step), or say --task forecast",
            )
        return "rows"
    if options.task is None and times is None:
        if named is not None and named.lower() not in ("y", "target"):
            return "rows"
        if len(table.names) > _FEWEST_STEPS and _steps_follow(table):
            return "rows"
    return "table"


def _dated(table: Table) -> bool:
    """Return whether one of the first columns holds dates or numbers steps, so that a row is a step and no sequence."""
    first = table.names[:3]
    return any(looks_like_dates(table.cells(name)[:20]) or _numbers_steps(table, name) for name in first)


def _numbers_steps(table: Table, name: str) -> bool:
    """Return whether a column named as a time holds whole numbers that do not repeat, perhaps within each id."""
    if not (table.header and is_time_name(name)):
        return False
    values, bad = parse_numbers(table.cells(name))
    if bad or not (values == np.round(values)).all():
        return False
    ids = next((table.cells(one) for one in table.names if one.lower() in ID_NAMES), [""] * len(values))
    return len(set(zip(ids, values.tolist(), strict=True))) == len(values)


def _headerless_rows(table: Table) -> bool:
    return len(table.names) > _FEWEST_STEPS and first_is_label(table)


def _steps_follow(table: Table) -> bool:
    """Return whether the first column looks like labels and every other is numeric."""
    return first_is_label(table) and all(table.kinds[name] != "text" for name in table.names[1:])
