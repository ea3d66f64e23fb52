"""From text to a table: separator, decimal comma, header, ragged rows; and Parquet by way of the same cells.

Limits: 20,000 columns and 50 million cells.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator

from advisor.data.sniff import Source
from advisor.data.table import MAX_CELLS, MAX_COLUMNS, Table, parse_numbers
from advisor.errors import InputError, MissingExtraError

_HEADER_NAMES = frozenset({"label", "class", "target", "y", "outcome", "id", "unique_id", "item_id", "series_id", "v1"})
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "whitespace"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
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
    if separator in ";\t" and _uses_decimal_comma(rows):
        rows = [[c.replace(",", ".") if _DECIMAL_COMMA.fullmatch(c.strip()) else c for c in row] for row in rows]
        notes.append("Numbers are written with a decimal comma.")
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
    """Return whether the first row names columns: text after its first cell, or step numbers after a known name."""
    rest = first[1:] or first
    _, bad = parse_numbers(rest)
    if bad:
        return True
    if all(cell.isdigit() for cell in rest) and len(rest) > 2:
        steps = [int(cell) for cell in rest]
        if steps in (list(range(len(steps))), list(range(1, len(steps) + 1))):
            return not first[0].isdigit() or steps[0] == int(first[0]) + 1
    return first[0].lower() in _HEADER_NAMES


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


def _uses_decimal_comma(rows: list[list[str]]) -> bool:
    sample = [cell.strip() for row in rows[:200] for cell in row[:200]]
    return any(map(_DECIMAL_COMMA.fullmatch, sample)) and not any(map(_DECIMAL_POINT.fullmatch, sample))


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
    if frame.index.name is not None:
        frame = frame.reset_index()
    if frame.shape[0] == 0:
        raise InputError(f"{file}: no data rows", "check how the file was written")
    notes = list(source.notes)
    names = _names([str(name) for name in frame.columns], file, notes)
    columns = [["" if pd.isna(v) else str(v) for v in frame.iloc[:, j].tolist()] for j in range(frame.shape[1])]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Table(file, names, rows, list(range(1, len(rows) + 1)), True, tuple(notes))
