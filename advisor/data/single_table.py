"""One table, a row a step, with or without a time column (ETT style).

Where no target is named, each numeric column is a series to forecast of its own; where one is, the other columns are
its covariates.
"""

import numpy as np

from advisor.data.covariates import Covariates, blank_words, choose_covariates, covariates_like
from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.forecasting import RawSeries, forecasting_dataset
from advisor.data.sniff import Source
from advisor.data.table import Table
from advisor.data.time_axis import Times
from advisor.data.time_columns import find_times
from advisor.data.wide import counts_rows
from advisor.errors import InputError


def read_single_table(source: Source, table: Table, options: ReadOptions, like: Dataset | None) -> Dataset:
    """Return one series a target column, with the covariates of a named target.

    Raises:
        InputError: No numeric column, or a target that is not one.
    """
    notes = list(table.notes)
    columns, times, told = find_times(table, options)
    notes += told
    if times is None:
        times = Times(np.arange(len(table.rows), dtype=np.int64), False)
        notes.append("No time column was found: rows are taken in file order, one step each.")
    targets, beside = choose_columns(table, options, set(columns), like=like, notes=notes)
    raw = [RawSeries(targets, times.stamps, np.concatenate([table.matrix(targets), beside.values], axis=1))]
    words = f"one table, a row a step; time in {', '.join(map(repr, columns)) if columns else 'no column'}"
    rivals = () if columns else ("rows could also be labelled sequences: say --task classify and --target COLUMN",)
    if columns and not times.dates:
        rivals = (f"{columns[0]!r} could also be a value: say --time with another column",)
    return forecasting_dataset(
        source, raw, dates=times.dates, words=words + covariate_words(beside), rivals=rivals, notes=notes, like=like,
        covariates=beside.names, known=beside.known,
    )  # fmt: skip


def covariate_words(beside: Covariates) -> str:
    """Return the part of the format's words that names the covariates."""
    if not beside.names:
        return ""
    shown = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in beside.names[:8])
    ahead = f"known ahead: {', '.join(beside.known)}" if beside.known else "past only"
    return f"; covariates {shown}{' ...' if len(beside.names) > 8 else ''} ({ahead})"


def choose_columns(
    table: Table,
    options: ReadOptions,
    used: set[str],
    *,
    like: Dataset | None,
    notes: list[str],
    first: str | None = None,
) -> tuple[tuple[str, ...], Covariates]:
    """Return the columns to forecast and, where the target is named, its covariates; say what is left out.

    Args:
        table: The cells.
        options: Its `target` wins.
        used: Columns of times and ids.
        like: Training set; its ids choose where no target is named, its channels are the covariates.
        notes: Added to.
        first: A column that is the target by its name.

    Raises:
        InputError: No numeric column, a target that is not one, no column of a covariate of the training set, or a
            column that is known ahead and is no covariate.
    """
    free = [name for name in table.names if name not in used]
    counters = [name for name in free if counts_rows(table, name)]
    empty = [name for name in free if table.kinds[name] == "empty"]
    numeric = [name for name in free if table.kinds[name] == "number" and name not in counters]
    trained = [name for name in numeric if like and name in like.ids]
    targets = options.target or ((first,) if first else ()) or tuple(trained or numeric)
    for name in options.target:
        table.index(name)
        if table.kinds[name] != "number":
            raise InputError(f"{table.file}: target {name!r} holds {table.kinds[name]} cells", "name a numeric column")
    if not targets:
        words = [name for name in free if table.kinds[name] == "text"]
        shown = f"; e.g. {words[0]!r}: {table.cells(words[0])[0][:40]!r}" if words else ""
        raise InputError(f"{table.file} has no column of numbers to forecast{shown}", "check the separator and columns")
    others = [name for name in free if name not in {*targets, *counters, *empty}]
    if options.known and not (options.target or first):
        raise InputError(f"{table.file}: --known is for columns beside a target, and none is named", "say --target")
    for name in options.known if like is None else ():
        table.index(name)
        if name not in others:
            taken, why = {*used, *targets}, "counts the rows" if name in counters else "holds no values"
            why = "is taken for time, id or target" if name in taken else why
            raise InputError(f"{table.file}: {name!r} {why} and cannot be known ahead", "leave it out of --known")
    told = [("without any value", empty), ("that count the rows", [name for name in counters if name not in targets])]
    if like is not None and len(like.channels) > 1:
        beside = covariates_like(table, like, options.known, notes)
    elif like is None and (options.target or first):
        beside = choose_covariates(table, others, table.matrix(targets[:1])[:, 0], notes, options.known)
    else:
        beside = Covariates.none(len(table.rows))
        told += [
            ("of numbers that are not targets", [name for name in others if table.kinds[name] == "number"]),
            ("of text", [name for name in others if table.kinds[name] == "text"]),
        ]
    if options.known:
        notes += blank_words(table, options.known, beside, table.matrix(targets[:1])[:, 0])
    for what, names in told:
        if names:
            shown = ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")
            notes.append(f"{len(names)} columns {what} were left out: {shown}.")
    return tuple(targets), beside
