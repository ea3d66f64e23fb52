"""Further columns of a forecasting file: what is known beside the target, up to the present or beyond it.

Numbers are taken as they are; cells among them that are no numbers count as missing. A column of text with 2 to 8
values becomes one channel a value, 1 where the cell has it ("wind=NW"), or one channel in all where there are two.
Columns that never change, text of more values, and dates are left out. Of more than 32 channels those are kept whose
correlation with the target is largest in size over the first four fifths of the rows. Columns that the user calls
known ahead are always kept, before all others, and have a future: see `advisor.data.ahead`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advisor.data.dataset import Dataset
from advisor.data.splits import HELD_SHARE
from advisor.data.table import Table, is_missing, parse_numbers
from advisor.data.time_axis import looks_like_dates
from advisor.errors import InputError

MOST_VALUES = 8
MOST_COVARIATES = 32


@dataclass(frozen=True)
class Covariates:
    """Channels beside the target, a row each row of the file.

    Attributes:
        names: One a channel.
        values: float64 (rows, channels), NaN where missing.
        known: Those of the names that are known ahead.
    """

    names: tuple[str, ...]
    values: np.ndarray
    known: tuple[str, ...] = ()

    @staticmethod
    def none(rows: int) -> "Covariates":
        """Return no covariates."""
        return Covariates((), np.empty((rows, 0)))


def choose_covariates(
    table: Table, free: Sequence[str], target: np.ndarray, notes: list[str], ahead: Sequence[str] = ()
) -> Covariates:
    """Return the covariates among the columns `free`, and say which were left out.

    Args:
        table: The cells.
        free: Columns that are neither time, id nor target.
        target: Its values, (rows,), NaN where missing.
        notes: Added to.
        ahead: Columns among them that are known ahead.

    Raises:
        InputError: A column that is known ahead gives no channel.
    """
    names: list[str] = []
    known: list[str] = []
    columns: list[np.ndarray] = []
    left: dict[str, list[str]] = {"that never change": [], "of dates": [], f"of text of over {MOST_VALUES} values": []}
    still, dated, wordy = left.values()
    for name in free:
        cells = table.cells(name)
        if table.kinds[name] == "number":
            found = {name: _numbers(cells, name, notes)}
        elif looks_like_dates(cells[:20]):
            dated.append(name)
            continue
        else:
            values = sorted({cell for cell in cells if not is_missing(cell)})
            if len(values) > MOST_VALUES:
                wordy.append(name)
                continue
            values = values[1:] if len(values) == 2 else values
            found = {f"{name}={value}": _is(cells, value) for value in values}
        if name in ahead and not any(map(_varies, found.values())):
            notes.append(f"{name!r}, known ahead, never changes in the rows looked at: nothing can be learnt from it.")
        found = {key: column for key, column in found.items() if name in ahead or _varies(column)}
        names += found
        known += found if name in ahead else ()
        columns += found.values()
        if not found:
            still.append(name)
    if lost := [name for name in ahead if name in {*dated, *wordy}]:
        raise InputError(
            f"{table.file}: {lost[0]!r} holds dates or more than {MOST_VALUES} words and cannot be known ahead",
            "leave it out of --known",
        )
    notes += [f"{len(some)} columns {why} were left out: {_some(some)}." for why, some in left.items() if some]
    if not names:
        return Covariates.none(len(table.rows))
    chosen = Covariates(tuple(names), np.stack(columns, axis=1), tuple(known))
    if len(names) > MOST_COVARIATES and len(known) < len(names):
        chosen = _most_related(chosen, target)
        lost_count = len(names) - len(chosen.names)
        notes.append(f"{lost_count} of {len(names)} covariates move least with the target: left out.")
    return chosen


def covariates_like(table: Table, like: Dataset, ahead: Sequence[str], notes: list[str]) -> Covariates:
    """Return the covariates that a model was trained with.

    Args:
        table: The cells of another file.
        like: The training set; its channels after the first are the covariates.
        ahead: Columns that are known ahead.
        notes: Added to.

    Raises:
        InputError: The file lacks a column; the message names all that are missing.
    """
    wanted = like.channels[1:]
    sources = {name: source_of(table, name)[0] for name in wanted}
    lacking = sorted({source for source in sources.values() if source not in table.names})
    if lacking:
        raise InputError(
            f"{table.file} lacks {len(lacking)} columns that the model reads beside the target: {_some(lacking)}",
            "give a file with the columns of the training file",
        )
    columns = []
    for name, source in sources.items():
        cells = table.cells(source)
        columns.append(_numbers(cells, name, notes) if name == source else _is(cells, name[len(source) + 1 :]))
    known = tuple(name for name, source in sources.items() if source in ahead)
    return Covariates(wanted, np.stack(columns, axis=1) if columns else np.empty((len(table.rows), 0)), known)


def blank_words(table: Table, ahead: Sequence[str], beside: Covariates, target: np.ndarray) -> list[str]:
    """Return what to say of text known ahead that is blank where the target is still unknown.

    Args:
        table: The cells, perhaps a sample of them.
        ahead: Columns that are known ahead.
        beside: The channels that come of them.
        target: Its values, (rows,), NaN where missing.
    """
    notes = []
    for name in ahead:
        words = any(channel.startswith(f"{name}=") for channel in beside.known)
        blank = sum(map(is_missing, np.array(table.cells(name), dtype=object)[np.isnan(target)]))
        if words and blank:
            notes.append(
                f"{blank} cells of {name!r}, known ahead, are blank where the target is, in the rows looked at: they "
                "count as no word."
            )
    return notes


def source_of(table: Table, name: str) -> tuple[str, str | None]:
    """Return the column that a channel is read from, and its value where the channel is one of a text column.

    Both may hold an "=", so the longest column that the channel begins with counts; without one the last "=" divides.
    """
    if name in table.names:
        return name, None
    fitting = [column for column in table.names if name.startswith(f"{column}=")]
    column = max(fitting, key=len) if fitting else name.rpartition("=")[0] or name
    return column, name[len(column) + 1 :]


def _numbers(cells: list[str], name: str, notes: list[str]) -> np.ndarray:
    values, bad = parse_numbers(cells)
    if bad:
        notes.append(f"{len(bad)} cells of covariate {name!r} are not numbers and count as missing.")
    return values


def _is(cells: list[str], value: str) -> np.ndarray:
    return np.array([cell == value for cell in cells], dtype=np.float64)


def _varies(column: np.ndarray) -> bool:
    known = column[np.isfinite(column)]
    return bool(known.size) and bool((known != known[0]).any())


def _most_related(chosen: Covariates, target: np.ndarray) -> Covariates:
    """Return the channels that are known ahead or whose correlation with the target is largest, in file order."""
    rows = max(2, round((1 - HELD_SHARE) * len(target)))
    frame = pd.DataFrame(chosen.values[:rows]).replace([np.inf, -np.inf], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        related = frame.corrwith(pd.Series(target[:rows])).abs().fillna(0.0).to_numpy(copy=True)
    related[[name in chosen.known for name in chosen.names]] = np.inf
    keep = np.sort(np.argsort(-related, kind="stable")[: max(MOST_COVARIATES, len(chosen.known))])
    names = tuple(chosen.names[k] for k in keep)
    return Covariates(names, chosen.values[:, keep], tuple(name for name in chosen.known if name in names))


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")
