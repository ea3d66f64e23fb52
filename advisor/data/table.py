"""A strict table of cells, and numbers out of it.

Cells stay text until a reader asks for numbers, so that an id "007" or a class "1" is not changed on the way.
Missing cells: blank, NA, N/A, #N/A, NaN, null, none, NaT, ? (any case). Every other word among numbers is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from advisor.errors import InputError

MAX_COLUMNS = 20_000
MAX_CELLS = 50_000_000
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nat", "?", "<na>"})
Kind = Literal["number", "text", "empty"]


@dataclass(frozen=True)
class Table:
    """Cells by row, with where each row came from.

    Attributes:
        file: Name for messages.
        names: One a column, unique; "0", "1", ... without a header.
        rows: Cells, all rows as wide as `names`.
        lines: Line of the file on which each row starts (row number for Parquet).
        header: Whether the file named its columns.
        notes: What reading changed.
    """

    file: str
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    header: bool
    notes: tuple[str, ...]

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """What each column holds; a column that is four fifths numbers is called a number."""
        kinds: dict[str, Kind] = {}
        for name in self.names:
            values, bad = parse_numbers(self.cells(name))
            good = int(np.sum(~np.isnan(values)))
            kinds[name] = "empty" if not good + len(bad) else "number" if good >= 4 * len(bad) else "text"
        return kinds

    def cells(self, name: str) -> list[str]:
        """Return the column `name` as text, blanks trimmed."""
        j = self.index(name)
        return [row[j].strip() for row in self.rows]

    def index(self, name: str) -> int:
        """Return the position of column `name`.

        Raises:
            InputError: There is no such column.
        """
        if name not in self.names:
            shown = ", ".join(repr(known) for known in self.names[:12]) + (" ..." if len(self.names) > 12 else "")
            raise InputError(f"{self.file} has no column {name!r}; it has {shown}", "name one of these columns")
        return self.names.index(name)

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """Return the columns `names` as float64 (rows, columns), NaN where missing.

        Raises:
            InputError: Cells that are neither numbers nor missing; the message lists the first with their lines.
        """
        places = [self.index(name) for name in names] if len(names) < 64 else self._places(names)
        out = np.full((len(self.rows), len(places)), np.nan)
        wrong: list[tuple[int, int]] = []
        if len(places) < len(self.rows):
            for k, j in enumerate(places):
                out[:, k], bad = parse_numbers([row[j] for row in self.rows])
                wrong += [(i, k) for i in bad]
        else:
            for i, row in enumerate(self.rows):
                out[i], bad = parse_numbers([row[j] for j in places])
                wrong += [(i, k) for k in bad]
        if wrong:
            shown = "; ".join(
                f"line {self.lines[i]}, {names[k]!r}: {self.rows[i][places[k]][:40]!r}" for i, k in sorted(wrong)[:8]
            )
            raise InputError(
                f"{self.file}: {len(wrong)} cells are not numbers ({shown}{' ...' if len(wrong) > 8 else ''})",
                "correct these cells, or leave them blank if the values are missing",
            )
        return out

    def _places(self, names: Sequence[str]) -> list[int]:
        where = {name: j for j, name in enumerate(self.names)}
        return [where[name] for name in names]


def parse_numbers(cells: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """Return float64 values (NaN where missing) and the places of cells that are neither."""
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    values = np.full(len(cells), np.nan)
    try:
        values[:end] = [float(cell) for cell in cells[:end]]
    except ValueError:
        bad: list[int] = []
        for i, cell in enumerate(cells[:end]):
            try:
                values[i] = float(cell)
            except ValueError:
                if cell.strip().lower() not in MISSING:
                    bad.append(i)
        return values, bad
    return values, []


def is_missing(cell: str) -> bool:
    """Return whether a cell says that there is no value."""
    return cell.strip().lower() in MISSING
