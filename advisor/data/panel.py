"""Long panels: one row an id and time (`unique_id, ds, y`, `item_id, timestamp, target`, or columns named by flags).

Further columns beside a named target are its covariates.
"""

import numpy as np
import pandas as pd

from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.forecasting import RawSeries, forecasting_dataset
from advisor.data.single_table import choose_columns, covariate_words, find_times
from advisor.data.sniff import Source
from advisor.data.table import Table, is_missing
from advisor.data.time_axis import looks_like_dates
from advisor.data.wide import ID_NAMES, LABEL_NAMES
from advisor.errors import InputError

_VALUE_NAMES = ("y", "target", "value")
_LABEL_ONLY = LABEL_NAMES - {"y", "target"}


def find_id(table: Table, options: ReadOptions, times: tuple[str, ...], stamps: np.ndarray | None) -> str | None:
    """Return the column of ids, or None where the table holds one group of rows.

    A column named as an id; else, where times repeat, a column of text with which they no longer do.
    """
    if options.id is not None:
        table.index(options.id)
        return options.id
    if stamps is None or not table.header:
        return None
    if len(np.unique(stamps)) == len(stamps):
        named = [name for name in table.names if name.lower() in ID_NAMES - {"id", "v1"}]
        return named[0] if named else None
    lower = {name.lower(): name for name in table.names}
    for known in sorted(ID_NAMES, key=len, reverse=True):
        if known in lower and lower[known] not in times:
            return lower[known]
    for name in table.names:
        if (
            name not in times
            and table.kinds[name] == "text"
            and not looks_like_dates(table.cells(name)[:20])
            and len(set(zip(table.cells(name), stamps, strict=True))) == len(stamps)
        ):
            return name
    return None


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
    id_name = find_id(table, options, columns, None if times is None else times.stamps)
    if times is None or id_name is None:
        raise InputError(f"{table.file}: a panel needs a time column and an id column", "name them: --time, --id")
    _refuse_labels(table, options, id_name)
    ids = table.cells(id_name)
    lost = sum(map(is_missing, ids))
    if lost:
        notes.append(f"{lost} rows without an id were dropped.")
    used = {id_name, *columns}
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
        raise InputError(f"{table.file}: no row has an id in {id_name!r}", "name the column of ids with --id")
    words = (
        f"long panel: id in {id_name!r}, time in {', '.join(map(repr, columns))}, "
        f"values in {', '.join(map(repr, targets[:5]))}{' ...' if len(targets) > 5 else ''}{covariate_words(beside)}"
    )
    rivals = () if options.id else (f"{id_name!r} could also be a plain text column: say --id with another",)
    return forecasting_dataset(
        source, raw, dates=times.dates, words=words, rivals=rivals, notes=notes, like=like, covariates=beside.names,
        known=beside.known,
    )  # fmt: skip


def _refuse_labels(table: Table, options: ReadOptions, id_name: str) -> None:
    """Refuse panels whose ids carry labels: sequences to classify or regress are read from other formats."""
    label = next((name for name in table.names if name.lower() in _LABEL_ONLY or name in options.target), None)
    constant = False
    if label is not None and options.task != "forecast":
        pairs = set(zip(table.cells(id_name), table.cells(label), strict=True))
        constant = len(pairs) == len(set(table.cells(id_name))) < len(table.rows)
    if options.task in ("classify", "regress") or constant:
        about = f" (label {label!r} is constant within each {id_name!r})" if constant else ""
        raise InputError(
            f"{table.file} is a long panel{about}: labels of whole series are not read from long panels",
            "write one row a series (label, then one column a step), or a .ts file for several channels; "
            "to forecast the values say --task forecast",
        )
