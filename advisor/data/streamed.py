"""Large tables to forecast, read a block of rows at a time: memory does not grow with the file.

What the columns are is told from samples of 1 MiB in all, spread over the file, by the same rules as for small files.
Ids are numbered (int32), stamps kept as int64 and values as float32, in temporary files; they are sorted by id and time
where they are not in that order already. Read in this way: comma, semicolon, tab or bar separated UTF-8 text with a
header and one time column of ISO dates or whole numbers, long panels and single tables. Rows with fewer fields than
the header count as missing in the last columns. Where more than a hundredth of the rows then repeat a time within a
guessed series, or a fifth under a column named as an id, the sample may have hidden the id: the file is read at once,
if its size allows.

Cost: one pass of the CSV parser, O(rows log rows) to sort.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from advisor.data.covariates import source_of
from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.delimited import read_table
from advisor.data.forecasting import MOST_REPEATED, RawSeries, forecasting_dataset
from advisor.data.panel import find_id, id_shown, is_declared_id, value_column
from advisor.data.scratch import Column, scratch_array
from advisor.data.single_table import choose_columns, covariate_words
from advisor.data.sniff import MAX_BYTES, MAX_LINES, Source
from advisor.data.table import MAX_CELLS, MISSING, Table, parse_numbers
from advisor.data.time_axis import NO_TIME, numeric_times
from advisor.data.time_columns import find_times
from advisor.errors import InputError

FROM_BYTES = 16 * 2**20
"""Smaller files are read at once, which tells more about a cell that is wrong."""
SAMPLES, SAMPLE_BYTES = 16, 2**16
ROWS_A_BLOCK = 400_000
_SUFFIXES = {".csv", ".tsv", ".txt", ".dat", ".data"}
_MISSING = sorted({form for word in MISSING for form in (word, word.upper(), word.title(), "NaN", "N/A", "NaT")})
_SEPARATORS = {"\t": "separated by tab", ";": "separated by semicolon", "|": "separated by bar"}


@dataclass(frozen=True)
class Wanted:
    """The columns to read.

    Attributes:
        id: Columns whose words together are the id; none: one group of rows.
        time: Column of times; None: rows in file order.
        numbered: Whether times are whole numbers.
        targets: Columns to forecast.
        covariates: Names of channels beside them.
        sources: For each covariate its column, and the text it stands for (None: a number).
    """

    id: tuple[str, ...]
    time: str | None
    numbered: bool
    targets: tuple[str, ...]
    covariates: tuple[str, ...]
    sources: tuple[tuple[str, str | None], ...]


def sample_of(path: Path) -> tuple[Source, Table] | None:
    """Return samples of a large file of text as a table; None where the file is small or cannot be streamed."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file() or path.stat().st_size < FROM_BYTES:
        return None
    size = path.stat().st_size
    places = np.linspace(0, size - SAMPLE_BYTES, SAMPLES).astype(int).tolist() if size > SAMPLES * SAMPLE_BYTES else [0]
    parts = []
    with path.open("rb") as file:
        for at in places:
            file.seek(at)
            part = file.read(SAMPLE_BYTES if len(places) > 1 else size)
            part = part.partition(b"\n")[2] if at else part
            parts.append(part.rpartition(b"\n")[0] if at + SAMPLE_BYTES < size and len(places) > 1 else part)
    try:
        text = b"\n".join(part for part in parts if part).decode("utf-8-sig").replace("\r\n", "\n")
        source = Source(path, path.stem, path.suffix.lower(), "", text, ())
        table = read_table(source)
    except (UnicodeDecodeError, InputError):
        return None
    odd = any("decimal comma" in note or "whitespace" in note for note in table.notes)
    return (source, table) if table.header and not odd else None


def read_streamed(
    source: Source, table: Table, options: ReadOptions, like: Dataset | None, *, panel: bool
) -> Dataset | None:
    """Return the series of a large panel or single table; None where it is to be read at once.

    That is where its times cannot be read in blocks, or where times repeat so that the sample may not show the id.

    Args:
        source: Of the sample.
        table: The sample.
        options: What the user said.
        like: The training set, for a later file.
        panel: Whether the file is a long panel.

    Raises:
        InputError: Cells that are not numbers or times, or nothing to forecast.
    """
    columns, times, told = find_times(table, options)
    if len(columns) > 1 or (times is not None and not times.plain):
        return None
    notes = [*table.notes, *told]
    id_names = find_id(table, options, columns, times.stamps, like) if panel and times is not None else ()
    used = {*columns, *id_names}
    first = value_column(table, used) if id_names else None
    targets, beside = choose_columns(table, options, used, like=like, notes=notes, first=first)
    wanted = Wanted(
        id=id_names,
        time=columns[0] if columns else None,
        numbered=bool(columns) and not parse_numbers(table.cells(columns[0]))[1],
        targets=targets,
        covariates=beside.names,
        sources=tuple(source_of(table, name) for name in beside.names),
    )
    codes, stamps, values, names = _read_blocks(source.path, table, wanted, notes)
    dates = wanted.time is not None and not wanted.numbered
    if wanted.time is not None and wanted.numbered:
        numbers = numeric_times(np.where(stamps == NO_TIME, np.nan, stamps), wanted.time)
        if numbers is None:
            raise InputError(f"column {wanted.time!r} holds numbers that are no times", "number the steps")
        stamps, dates = numbers.stamps, numbers.dates
        notes += [note for note in numbers.notes if note not in notes]
    raw = _series(codes, stamps, values, names, wanted, notes)
    if not raw:
        raise InputError(f"{table.file}: no row has an id in {id_shown(id_names)}", "name the column of ids with --id")
    if (
        wanted.time is not None
        and options.id is None
        and any(not _has_fractions(table, name) for name in table.names if name not in used)
        and _id_in_doubt(raw, wanted)
        and _fits_at_once(source, table, raw)
    ):
        return None
    kind = f"long panel: id in {id_shown(id_names)}, time" if id_names else "one table, a row a step; time"
    where = f"in {wanted.time!r}" if wanted.time else "in no column"
    shown = ", ".join(map(repr, targets[:5])) + (" ..." if len(targets) > 5 else "")
    words = f"{kind} {where}, values in {shown}{covariate_words(beside)}; {len(values)} rows read in blocks"
    whole = Source(source.path, source.name, source.suffix, _sha256(source.path), "", ())
    return forecasting_dataset(
        whole, raw, dates=dates, words=words, rivals=(), notes=notes, like=like, covariates=beside.names,
        known=beside.known, id_columns=id_names,
    )  # fmt: skip


def _has_fractions(table: Table, name: str) -> bool:
    """Return whether a column holds numbers that are not whole, and so can be no id."""
    values = parse_numbers(table.cells(name))[0]
    return bool((values[np.isfinite(values)] % 1 != 0).any())


def _id_in_doubt(raw: list[RawSeries], wanted: Wanted) -> bool:
    """Return whether more rows repeat the time of another row of their series than a sound id, or none, leaves."""
    rows = sum(len(one.stamps) for one in raw)
    same = sum(int(((np.diff(one.stamps) == 0) & (one.stamps[1:] != NO_TIME)).sum()) for one in raw)
    return same > rows * (MOST_REPEATED if is_declared_id(wanted.id) else 1 / 100)


def _fits_at_once(source: Source, table: Table, raw: list[RawSeries]) -> bool:
    """Return whether the file is within the limits of reading it at once."""
    rows = sum(len(one.stamps) for one in raw)
    small = rows < MAX_LINES and (rows + 1) * len(table.names) <= MAX_CELLS
    return small and source.path.stat().st_size <= MAX_BYTES


def _read_blocks(
    path: Path, table: Table, wanted: Wanted, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return id numbers (rows,), stamps (rows,), values (rows, targets + covariates), and the name of each id."""
    known: dict[str, int] = {}
    lost = row = 0
    width = len(wanted.targets) + len(wanted.covariates)
    with Column(np.int32) as codes, Column(np.int64) as stamps, Column(np.float32, width) as values:
        for block in _blocks(path, table, wanted):
            code = np.zeros(len(block), np.int32)
            if wanted.id:
                words: pd.Series = block[wanted.id[0]]
                for name in wanted.id[1:]:
                    words = words.str.cat(block[name], sep="/")
                own, names = pd.factorize(words)
                numbers = [known.setdefault(str(name), len(known)) for name in names]
                code = np.array([*numbers, -1], np.int32)[own]
            keep = code >= 0
            lost += int((~keep).sum())
            places = np.arange(row, row + len(block), dtype=np.int64)
            row += len(block)
            codes.add(code[keep])
            stamps.add((places if wanted.time is None else _stamps(block[wanted.time], wanted.time))[keep])
            values.add(_values(block, wanted)[keep])
        if lost:
            notes.append(f"{lost} rows without an id were dropped.")
        return codes.done(), stamps.done(), values.done(), list(known) or [""]


def _values(block: pd.DataFrame, wanted: Wanted) -> np.ndarray:
    """Return (rows, targets + covariates) of a block."""
    columns = [block[name].to_numpy() for name in wanted.targets]
    for column, value in wanted.sources:
        columns.append(block[column].to_numpy() if value is None else (block[column] == value).to_numpy())
    return np.stack(columns, axis=1).astype(np.float32)


def _blocks(path: Path, table: Table, wanted: Wanted) -> Iterator[pd.DataFrame]:
    """Yield the wanted columns, some rows at a time."""
    separator = next((s for s, word in _SEPARATORS.items() if any(word in note for note in table.notes)), ",")
    numbers = [*wanted.targets, *(column for column, value in wanted.sources if value is None)]
    texts = [column for column, value in wanted.sources if value is not None]
    time = [] if wanted.time is None else [wanted.time]
    types: dict[str, str] = dict.fromkeys(numbers, "float64") | dict.fromkeys(texts, "str")
    types |= dict.fromkeys(time, "float64" if wanted.numbered else "str")
    types |= dict.fromkeys(wanted.id, "str")
    places = [table.index(name) for name in types]
    try:
        with pd.read_csv(
            path, sep=separator, usecols=sorted(places), header=0, names=list(table.names), chunksize=ROWS_A_BLOCK,
            dtype=types, na_values=_MISSING, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig",
        ) as reader:  # fmt: skip
            yield from reader
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{table.file}: a cell cannot be read as the rest of its column ({str(error).splitlines()[0]})",
            "correct it, or leave it blank if the value is missing; save the file as UTF-8",
        ) from error


def _stamps(cells: pd.Series, name: str) -> np.ndarray:
    """Return (rows,) stamps: microseconds of ISO dates, or whole numbers as they are."""
    if pd.api.types.is_numeric_dtype(cells):
        known = cells.to_numpy(np.float64)
        if (known[np.isfinite(known)] != np.round(known[np.isfinite(known)])).any():
            raise InputError(f"column {name!r} holds numbers that are not whole", "number the steps")
        return np.where(np.isfinite(known), np.nan_to_num(known), float(NO_TIME)).astype(np.int64)
    place, unique = pd.factorize(cells)
    parsed = pd.to_datetime(pd.Index(unique), format="ISO8601", errors="coerce")
    if parsed.isna().any():
        raise InputError(
            f"column {name!r}: {unique[int(np.argmax(parsed.isna()))]!r} is not a date as in the first rows",
            "write every date as YYYY-MM-DD HH:MM:SS",
        )
    moments = parsed.to_numpy().astype("datetime64[us]").astype(np.int64)
    return np.append(moments, NO_TIME)[place]


def _series(
    codes: np.ndarray, stamps: np.ndarray, values: np.ndarray, names: list[str], wanted: Wanted, notes: list[str]
) -> list[RawSeries]:
    """Return the rows of each id, as views; sorted by id and time first where they are not."""
    same = codes[1:] == codes[:-1]
    if not ((codes[1:] > codes[:-1]) | (same & (stamps[1:] >= stamps[:-1]))).all():
        order = np.lexsort((stamps, codes))
        notes.append("The rows were not in the order of id and time and were sorted.")
        codes, stamps = codes[order], stamps[order]
        placed = scratch_array(values.shape)
        for k in range(0, len(order), ROWS_A_BLOCK):
            placed[k : k + ROWS_A_BLOCK] = values[order[k : k + ROWS_A_BLOCK]]
        values = placed
    bounds = np.searchsorted(codes, np.arange(len(names) + 1))
    raw = []
    for k, name in enumerate(names):
        rows = slice(int(bounds[k]), int(bounds[k + 1]))
        if not wanted.id:
            ids = wanted.targets
        else:
            ids = (name,) if len(wanted.targets) == 1 else tuple(f"{name}/{target}" for target in wanted.targets)
        if rows.stop > rows.start:
            raw.append(RawSeries(ids, stamps[rows], values[rows]))
    return raw


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
