"""Long panels: one row an id and time (`unique_id, ds, y`, `item_id, timestamp, target`, or columns named by flags).

Ids under other names are the columns that tell rows of one time apart, up to three, joined with a slash.
Further columns beside a named target are its covariates.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.forecasting import MOST_REPEATED, RawSeries, forecasting_dataset
from advisor.data.single_table import choose_columns, covariate_words
from advisor.data.sniff import Source
from advisor.data.table import Table, is_missing
from advisor.data.time_axis import NO_TIME
from advisor.data.time_columns import FEWEST_ROWS, MOST_TRIED, find_times, id_codes, repeats
from advisor.data.wide import ID_NAMES, LABEL_NAMES
from advisor.errors import InputError

_VALUE_NAMES = ("y", "target", "value")
_LABEL_ONLY = LABEL_NAMES - {"y", "target"}
_DECLARED = ID_NAMES - {"id", "v1"}
_FEWEST_LATER = 2


def find_id(
    table: Table, options: ReadOptions, times: tuple[str, ...], stamps: np.ndarray | None, like: Dataset | None = None
) -> tuple[str, ...]:
    """Return the columns whose words together are the id; none where the table holds one group of rows.

    Those of the file that it is read `like`; else a column named as an id; else, where times repeat, the fewest columns
    of text or whole numbers with which they no longer do. What is guessed has 8 rows an id in the mean (2 in a file
    read `like` another, or under the name of an id), and explains a third of the rows; text a tenth, or ten times as
    many pairs of rows of one time as there are ids.
    """
    if options.id is not None:
        table.index(options.id)
        return (options.id,)
    if stamps is None or not table.header:
        return ()
    if like is not None and like.id_columns and {*like.id_columns} <= {*table.names}:
        return like.id_columns
    lower = {name.lower(): name for name in table.names if name not in times}
    named = next((lower[known] for known in sorted(_DECLARED, key=len, reverse=True) if known in lower), None)
    if named is not None:
        codes = pd.factorize(np.array(table.cells(named), dtype=object))[0]
        if repeats(codes, stamps) <= MOST_REPEATED * len(stamps):
            return (named,)
        return _guessed(table, options, times, stamps, like) or (named,)
    return _guessed(table, options, times, stamps, like)


def is_declared_id(names: tuple[str, ...]) -> bool:
    """Return whether the id is one column, of a name that stands for ids alone."""
    return len(names) == 1 and names[0].lower() in _DECLARED


def id_words(table: Table, names: tuple[str, ...]) -> list[str]:
    """Return the id of each row, words of several columns joined with a slash; blank where one is missing."""
    columns = [table.cells(name) for name in names]
    if len(columns) == 1:
        return columns[0]
    return ["" if any(map(is_missing, words)) else "/".join(words) for words in zip(*columns, strict=True)]


def _guessed(
    table: Table, options: ReadOptions, times: tuple[str, ...], stamps: np.ndarray, like: Dataset | None
) -> tuple[str, ...]:
    """Return the columns that tell rows of the same time apart; none where no columns do, or hardly a time repeats."""
    rows, moments, pairs = _crowding(stamps)
    if moments == rows:
        return ()
    fewest = FEWEST_ROWS if like is None else _FEWEST_LATER
    values = {*options.target, *options.known}
    columns: dict[str, np.ndarray] = {}
    for name in table.names:
        least = _FEWEST_LATER if name.lower() in ID_NAMES else fewest
        codes = None if name in {*times, *values} else id_codes(table, name, least)
        if codes is not None and name.lower() in ID_NAMES and repeats(codes, stamps) <= MOST_REPEATED * rows:
            return (name,)
        if codes is not None and (table.kinds[name] == "text" or name.lower() not in {*LABEL_NAMES, *_VALUE_NAMES}):
            columns[name] = codes
    text = [name for name in columns if table.kinds[name] == "text"]
    proven = [name for name in text if 10 * moments <= 9 * rows or 10 * (int(columns[name].max()) + 1) <= pairs]
    first = next((name for name in proven if repeats(columns[name], stamps) == 0), None)
    if first is not None:
        return (first,)
    return _fewest_apart(table, times, stamps, columns, fewest) if 3 * moments <= 2 * rows else ()


def _crowding(stamps: np.ndarray) -> tuple[int, int, int]:
    """Return how many rows have a time, how many times there are, and the pairs of rows of one time."""
    at = np.unique(stamps[stamps != NO_TIME], return_counts=True)[1]
    return int(at.sum()), len(at), int((at * (at - 1) // 2).sum())


def _fewest_apart(
    table: Table, times: tuple[str, ...], stamps: np.ndarray, columns: dict[str, np.ndarray], fewest: int
) -> tuple[str, ...]:
    """Return the one, two or three columns with which no time repeats, those of the fewest ids; none where none do.

    So that values do not pass by chance, a quarter of all ids and times must have a row, or ten pairs of rows of one
    time be expected to have one id if ids were drawn. A column of numbers must be left.
    """
    rows, moments, pairs = _crowding(stamps)
    tried = sorted(columns, key=lambda name: (table.kinds[name] != "text", int(columns[name].max())))[:MOST_TRIED]
    numbers = {name for name in table.names if table.kinds[name] == "number" and name not in times}
    for count in (1, 2, 3):
        found: dict[tuple[str, ...], int] = {}
        for names in combinations(tried, count):
            codes = columns[names[0]]
            for name in names[1:]:
                codes = pd.factorize(codes.astype(np.int64) * (int(columns[name].max()) + 1) + columns[name])[0]
            ids = int(codes.max()) + 1
            proven = ids * moments <= 4 * rows or 10 * ids <= pairs
            if ids * fewest <= rows and proven and numbers - {*names} and not repeats(codes, stamps):
                found[names] = ids
        best = min(found, key=lambda names: found[names], default=())
        if best and len(set(map("/".join, zip(*map(table.cells, best), strict=True)))) == found[best]:
            return tuple(name for name in table.names if name in best)
    return ()


def value_column(table: Table, used: set[str]) -> str | None:
    """Return the column that is the target by its name, if it is not one of those `used` for ids and times."""
    lower = {name.lower(): name for name in table.names}
    first = next((lower[name] for name in _VALUE_NAMES if name in lower), None)
    return first if first not in used else None


def read_panel(source: Source, table: Table, options: ReadOptions, like: Dataset | None) -> Dataset:
    """Return one series an id (and target, named id/target, where there are several).

    Raises:
        InputError: No time column, labelled panels, or no numeric target.
    """
    columns, times, told = find_times(table, options)
    notes = [*table.notes, *told]
    id_names = find_id(table, options, columns, None if times is None else times.stamps, like)
    if times is None or not id_names:
        raise InputError(f"{table.file}: a panel needs a time column and an id column", "name them: --time, --id")
    ids = id_words(table, id_names)
    _refuse_labels(table, options, id_names, ids)
    lost = sum(map(is_missing, ids))
    if lost:
        notes.append(f"{lost} rows without an id were dropped.")
    used = {*id_names, *columns}
    first = value_column(table, used)
    targets, beside = choose_columns(table, options, used, like=like, notes=notes, first=first)
    values = np.concatenate([table.matrix(targets), beside.values], axis=1)
    codes, names = pd.factorize(np.array(ids, dtype=object))
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    raw = []
    for k, name in enumerate(names):
        rows = order[bounds[k] : bounds[k + 1]]
        if not is_missing(str(name)):
            own = (str(name),) if len(targets) == 1 else tuple(f"{name}/{target}" for target in targets)
            raw.append(RawSeries(own, times.stamps[rows], values[rows]))
    if not raw:
        raise InputError(f"{table.file}: no row has an id in {id_shown(id_names)}", "name the column of ids with --id")
    words = (
        f"long panel: id in {id_shown(id_names)}, time in {', '.join(map(repr, columns))}, "
        f"values in {', '.join(map(repr, targets[:5]))}{' ...' if len(targets) > 5 else ''}{covariate_words(beside)}"
    )
    plain = "plain columns" if len(id_names) > 1 else "a plain column"
    rivals = () if options.id else (f"{id_shown(id_names)} could also be {plain}: say --id with another",)
    return forecasting_dataset(
        source, raw, dates=times.dates, words=words, rivals=rivals, notes=notes, like=like, covariates=beside.names,
        known=beside.known, id_columns=id_names,
    )  # fmt: skip


def id_shown(names: tuple[str, ...]) -> str:
    """Return the columns of the id for messages."""
    return "/".join(map(repr, names))


def _refuse_labels(table: Table, options: ReadOptions, id_names: tuple[str, ...], ids: list[str]) -> None:
    """Refuse panels whose ids carry labels: sequences to classify or regress are read from other formats."""
    label = next((name for name in table.names if name.lower() in _LABEL_ONLY or name in options.target), None)
    constant = False
    if label is not None and options.task != "forecast":
        pairs = set(zip(ids, table.cells(label), strict=True))
        constant = len(pairs) == len(set(ids)) < len(table.rows)
    if options.task in ("classify", "regress") or constant:
        about = f" (label {label!r} is constant within each {id_shown(id_names)})" if constant else ""
        raise InputError(
            f"{table.file} is a long panel{about}: labels of whole series are not read from long panels",
            "write one row a series (label, then one column a step), or a .ts file for several channels; "
            "to forecast the values say --task forecast",
        )
