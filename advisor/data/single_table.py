"""One table, a row a step, with or without a time column (ETT style).

Where no target is named, each numeric column is a series to forecast of its own; where one is, the other columns are
its covariates.
"""

import numpy as np

from advisor.data.covariates import Covariates, blank_words, choose_covariates, covariates_like
from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.forecasting import RawSeries, forecasting_dataset
from advisor.data.sniff import Source
from advisor.data.table import Table, is_missing
from advisor.data.time_axis import Times, compose_times, is_coarse, is_time_name, looks_like_dates, parse_times
from advisor.data.wide import ID_NAMES
from advisor.errors import InputError

_CLOCK = ("year", "month", "day", "hour", "minute", "second")


def find_times(table: Table, options: ReadOptions) -> tuple[tuple[str, ...], Times | None, list[str]]:
    """Return the columns that hold time, the times, and what to tell.

    Raises:
        InputError: The named column holds no time, or a column of dates cannot be read.
    """
    if options.time is not None:
        times = parse_times(table.cells(options.time), options.time, table.lines)
        if times is None:
            raise InputError(
                f"column {options.time!r} holds no time in a known form, such as {table.cells(options.time)[0][:40]!r}",
                "write dates as YYYY-MM-DD HH:MM:SS, or whole numbers",
            )
        return (options.time,), times, list(times.notes)
    lower = {name.lower(): name for name in table.names} if table.header else {}
    parts = [part for part in _CLOCK if part in lower and table.kinds[lower[part]] == "number"]
    if parts[:3] == list(_CLOCK[:3]):
        times = compose_times({part: table.matrix([lower[part]])[:, 0] for part in parts})
        if times is not None:
            return tuple(lower[part] for part in parts), times, list(times.notes)
    notes = []
    named = [name for name in table.names if table.header and is_time_name(name)]
    dated = [name for name in table.names[:200] if name not in named and looks_like_dates(table.cells(name)[:20])]
    candidates = sorted([*named, *dated], key=lambda name: not looks_like_dates(table.cells(name)[:20]))
    candidates = _finest_first(table, candidates)
    for name in candidates:
        cells = table.cells(name)
        times = parse_times(cells, name, table.lines) if table.kinds[name] != "empty" else None
        numbers = times is not None and not times.dates and not options.id and not ID_NAMES & set(lower)
        if times is not None and numbers and len(np.unique(times.stamps)) < len(times.stamps):
            notes.append(f"Column {name!r} holds numbers that repeat, and was not taken for time.")
            continue
        if times is not None:
            return (name,), times, [*notes, *times.notes]
        notes.append(f"Column {name!r} holds no date in a known form (such as {cells[0][:40]!r}).")
    return (), None, notes


def _finest_first(table: Table, candidates: list[str]) -> list[str]:
    """Return the candidates for time, a column of days before one of months or quarters that it refines."""
    first = candidates[0] if candidates else ""
    if not first or not is_coarse(next((cell for cell in table.cells(first) if not is_missing(cell)), "")):
        return candidates
    coarse = table.cells(first)
    for name in candidates[1:]:
        days = table.cells(name)
        kinds = len(set(days))
        if looks_like_dates(days[:20]) and len(set(zip(days, coarse, strict=True))) == kinds > len(set(coarse)):
            return [name, *(one for one in candidates if one != name)]
    return candidates


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
    counters = [name for name in free if _counts_rows(table, name)]
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


def _counts_rows(table: Table, name: str) -> bool:
    """Return whether a column is 0, 1, 2, ... or 1, 2, 3, ... under a name that says so."""
    if not (name.lower() in {"no", "index", "row", "rownum", "id", "#"} or name.startswith("unnamed_")):
        return False
    if table.kinds[name] != "number":
        return False
    values = table.matrix([name])[:, 0]
    return values[0] in (0, 1) and bool(np.array_equal(values, values[0] + np.arange(len(values))))
