"""From text to a table: separator, commas in numbers, header, ragged rows; and Parquet by way of the same cells.

Limits: 20,000 columns and 50 million cells.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from advisor.data.sniff import Source
from advisor.data.table import MAX_CELLS, MAX_COLUMNS, Table, parse_numbers
from advisor.data.time_axis import numeric_times
from advisor.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

_HEADER_NAMES = frozenset({"label", "class", "target", "y", "outcome", "id", "unique_id", "item_id", "series_id", "v1"})
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "whitespace"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_BELOW_1000 = re.compile(r"[+-]?\d{1,3}")
_FEWEST_SCALE = 8
_DECIMAL_POINT = re.compile(r"[+-]?\d+\.\d+(e[+-]?\d+)?", re.IGNORECASE)


def read_table(source: Source) -> Table:
    """Return the cells of a delimited text or Parquet file.

    Raises:
        InputError: Ragged rows, unclosed quotes, repeated column names, no rows, or above the limits.
        MissingExtraError: Parquet without pyarrow.
    """
    file, notes = source.path.name, list(source.notes)
    if source.suffix in {".parquet", ".pq"}:
        return _read_parquet(source)
    separator = _separator(source)
    if separator != ",":
        notes.append(f"Columns are separated by {_SEPARATORS[separator]}.")
    records = list(_records(source.text, separator, file))
    first = [cell.strip() for cell in records[0][1]]
    header = _is_header(first)
    width = len(first)
    if not header and separator == "\t":
        width = max(len(row) for _, row in records)
        short = sum(len(row) < width for _, row in records)
        if short:
            notes.append(f"{short} rows are shorter than the widest; they were taken as shorter series.")
            records = [(line, row + [""] * (width - len(row))) for line, row in records]
    _refuse_ragged(records, width, file)
    body = records[1:] if header else records
    if not body:
        raise InputError(f"{file}: no data rows after the header", "check how the file was written")
    rows, lines = [row for _, row in body], [line for line, _ in body]
    names = _names(first, file, notes) if header else tuple(map(str, range(width)))
    if separator in ";\t":
        rows = _without_commas(rows, names, file, notes)
    return Table(file, names, rows, lines, header, tuple(notes))


def _separator(source: Source) -> str:
    """Return the separator under which the first lines agree best on a field count."""
    lines = [line for line in source.text[: 2**22].split("\n", 21)[:20] if line.strip()]
    best, best_score = "", (0.0, 0)
    for separator in (",", ";", "\t", "|"):
        if lines[0].count(separator) >= MAX_COLUMNS:
            raise InputError(
                f"{source.path.name} has {lines[0].count(separator) + 1:,} columns, above the limit {MAX_COLUMNS:,}",
                "if each column is a time step, shorten or downsample the series; else transpose the table",
            )
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=separator)]
        except csv.Error:
            continue
        score = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
        if counts[0] > 1 and score > best_score:
            best, best_score = separator, score
    if best:
        return best
    return " " if len(lines[0].split()) > 1 and '"' not in lines[0] else ","


def _records(text: str, separator: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, cells) of each record that is not blank."""
    if separator == " ":
        yield from ((n, line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip())
        return
    lines = (line + "\n" for line in text.rstrip("\n").split("\n"))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    start, cells = 1, 0
    try:
        for row in reader:
            cells += len(row)
            if cells > MAX_CELLS:
                raise InputError(f"{file} has more than {MAX_CELLS:,} cells, the limit", "sample rows or columns")
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{file}: the record that starts at line {start} cannot be read ({error})",
            "close the quotes in that line, or remove them",
        ) from error


def _refuse_ragged(records: list[tuple[int, list[str]]], width: int, file: str) -> None:
    wrong = [(line, len(row)) for line, row in records if len(row) != width]
    if wrong:
        shown = ", ".join(f"line {line}: {count}" for line, count in wrong[:8])
        raise InputError(
            f"{file}: {len(wrong)} rows do not have {width} fields ({shown}{' ...' if len(wrong) > 8 else ''})",
            "correct these rows; quote text that holds the separator",
        )


def _is_header(first: list[str]) -> bool:
    """Return whether the first row names columns: text after its first cell, or step numbers or dates after a word."""
    rest = first[1:] or first
    _, bad = parse_numbers(rest)
    if bad:
        return True
    if all(cell.isdigit() for cell in rest) and len(rest) > 2:
        steps = [int(cell) for cell in rest]
        if steps in (list(range(len(steps))), list(range(1, len(steps) + 1))):
            return not first[0].isdigit() or steps[0] == int(first[0]) + 1
        if len(rest) >= _FEWEST_SCALE and (not first[0] or parse_numbers(first[:1])[1]) and _is_scale(rest):
            return True
    return first[0].lower() in _HEADER_NAMES


def _is_scale(cells: list[str]) -> bool:
    """Return whether whole numbers differ by one step, such as years, or are dates written YYYYMMDD."""
    steps = np.array(cells, dtype=np.float64)
    if len(set(np.diff(steps))) == 1 and steps[0] != steps[1]:
        return True
    times = numeric_times(steps, "") if {len(cell) for cell in cells} == {8} else None
    return times is not None and times.dates


def _names(first: list[str], file: str, notes: list[str]) -> tuple[str, ...]:
    """Return cleaned column names; refuse repeated ones."""
    names = [" ".join(cell.lstrip("#").split()) or f"unnamed_{j + 1}" for j, cell in enumerate(first)]
    repeated = {name: count for name, count in Counter(names).items() if count > 1}
    if repeated:
        shown = ", ".join(f"{name!r} occurs {count} times" for name, count in list(repeated.items())[:8])
        raise InputError(f"{file}: column names repeat: {shown}", "give each column a name of its own")
    changed = sum(name != cell for name, cell in zip(names, first, strict=True))
    if changed:
        notes.append(f"{changed} column names were blank or held line breaks or blanks, and were cleaned.")
    return tuple(names)


def _without_commas(rows: list[list[str]], names: tuple[str, ...], file: str, notes: list[str]) -> list[list[str]]:
    """Return the rows with commas in numbers made a point, or left out where they can only part thousands.

    Raises:
        InputError: Commas could be either.
    """
    sample = [cell.strip() for row in rows[:200] for cell in row[:200]]
    if not any(_DECIMAL_COMMA.fullmatch(cell) or _THOUSANDS.fullmatch(cell) for cell in sample):
        return rows
    if _parts_thousands(rows, names, file):
        notes.append("Commas in numbers were read as thousands separators, not as a decimal comma.")
        return [[c.replace(",", "") if _THOUSANDS.fullmatch(c.strip()) else c for c in row] for row in rows]
    if any(map(_DECIMAL_POINT.fullmatch, sample)) or not any(map(_DECIMAL_COMMA.fullmatch, sample)):
        return rows
    notes.append("Numbers are written with a decimal comma.")
    return [[c.replace(",", ".") if _DECIMAL_COMMA.fullmatch(c.strip()) else c for c in row] for row in rows]


def _parts_thousands(rows: list[list[str]], names: tuple[str, ...], file: str) -> bool:
    """Return whether commas part thousands: all fit, and a point in their column or two in a number show it.

    Raises:
        InputError: All fit, and only whole numbers below 1000 beside them speak for it.
    """
    columns: dict[int, str] = {}
    sure = False
    for row in rows:
        for j, text in enumerate(row):
            if "," in text and (cell := text.strip()):
                if _THOUSANDS.fullmatch(cell):
                    sure = sure or "." in cell or cell.count(",") > 1
                    columns.setdefault(j, cell)
                elif _DECIMAL_COMMA.fullmatch(cell):
                    return False
    if sure or any(_DECIMAL_POINT.fullmatch(row[j].strip()) for j in columns for row in rows):
        return True
    for j, cell in columns.items():
        small = next((row[j].strip() for row in rows if _BELOW_1000.fullmatch(row[j].strip())), None)
        if small is not None:
            raise InputError(
                f"{file}: column {names[j]!r} holds {cell!r} beside {small!r}: {cell!r} could be "
                f"{cell.replace(',', '.')} (decimal comma) or {cell.replace(',', '')} (thousands separator)",
                "write numbers without thousands separators, or decimals with a point",
            )
    return False


def _read_parquet(source: Source) -> Table:
    """Return a Parquet file as cells; float text keeps every digit."""
    import pandas as pd

    file = source.path.name
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            f"{file}: reading Parquet needs pyarrow", 'pip install "sequence-architecture-advisor[parquet]"'
        ) from error
    try:
        size = parquet.read_metadata(source.path)
        if size.num_columns > MAX_COLUMNS or size.num_rows * size.num_columns > MAX_CELLS:
            raise InputError(
                f"{file} has {size.num_columns:,} columns and {size.num_rows:,} rows; the limits are "
                f"{MAX_COLUMNS:,} columns and {MAX_CELLS:,} cells",
                "sample rows or columns",
            )
        frame = pd.read_parquet(source.path)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not readable Parquet ({error})", "write the file again") from error
    if frame.shape[0] == 0:
        raise InputError(f"{file}: no data rows", "check how the file was written")
    notes = list(source.notes)
    frame = _with_index(frame, notes)
    _refuse_lists(frame, file)
    names = _names([str(name) for name in frame.columns], file, notes)
    columns = [["" if pd.isna(v) else str(v) for v in frame.iloc[:, j].tolist()] for j in range(frame.shape[1])]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Table(file, names, rows, list(range(1, len(rows) + 1)), True, tuple(notes))


def _with_index(frame: "pd.DataFrame", notes: list[str]) -> "pd.DataFrame":
    """Return the table with its index as columns where it has names, several levels or times; say if it is left out."""
    import pandas as pd

    index = frame.index
    if isinstance(index, pd.PeriodIndex):
        frame, index = frame.set_axis(index.to_timestamp()), index.to_timestamp()
        notes.append("Periods in the index were read as their first moments.")
    if index.name is not None or isinstance(index, pd.MultiIndex | pd.DatetimeIndex):
        return frame.reset_index(allow_duplicates=True)
    if not isinstance(index, pd.RangeIndex):
        notes.append("The index has no name and was left out.")
    return frame


def _refuse_lists(frame: "pd.DataFrame", file: str) -> None:
    """Refuse columns whose cells are lists."""
    from pandas.api.types import is_list_like, is_object_dtype

    for j, name in enumerate(frame.columns):
        if is_object_dtype(frame.dtypes.iloc[j]) and any(map(is_list_like, frame.iloc[:, j])):
            raise InputError(
                f"{file}: the cells of column {str(name)!r} are lists, not single values",
                "write one column a step, or one row a step",
            )
