"""Which columns of a table hold its times, and which could be an id.

Time may stand in several columns: year, month and finer parts, or a day and a clock or an hour.
"""

import re
from itertools import combinations

import numpy as np
import pandas as pd

from advisor.data.dataset import ReadOptions
from advisor.data.table import Table, is_missing, parse_numbers
from advisor.data.time_axis import (
    NO_TIME,
    Times,
    compose_times,
    is_coarse,
    is_time_name,
    looks_like_dates,
    parse_times,
)
from advisor.data.wide import ID_NAMES
from advisor.errors import InputError

FEWEST_ROWS = 8
"""An id that is guessed has at least so many rows in the mean."""
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_CLOCK = re.compile(
    r"(?P<hour>[01]?\d|2[0-4])[:.](?P<minute>[0-5]\d)([:.](?P<second>[0-5]\d(\.\d+)?))?\s*(?P<half>[AP]M)?",
    re.IGNORECASE,
)
_MONTH_WORDS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTHS = {word: number for number, name in enumerate(_MONTH_WORDS, start=1) for word in (name, name[:3])}
_TIME_WORDS = re.compile(
    r"hour|minute|period|interval|week|quarter|day ?of|\b(hr|dom|mday|dd|second|slot|step|lag|horizon)s?\b"
)
MOST_TRIED = 8
"""Columns that are tried two or three together."""
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND


def find_times(table: Table, options: ReadOptions) -> tuple[tuple[str, ...], Times | None, list[str]]:
    """Return the columns that hold time, the times, and what to tell.

    Raises:
        InputError: The named column holds no time, or a column of dates cannot be read.
    """
    columns, times, notes = _find_dates(table, options)
    return (columns, times, notes) if times is None else _with_clock(table, options, columns, times, notes)


def _find_dates(table: Table, options: ReadOptions) -> tuple[tuple[str, ...], Times | None, list[str]]:
    """Return what `find_times` does, before a clock in a column of its own is joined."""
    if options.time is not None:
        times = parse_times(table.cells(options.time), options.time, table.lines)
        if times is None:
            raise InputError(
                f"column {options.time!r} holds no time in a known form, such as {table.cells(options.time)[0][:40]!r}",
                "write dates as YYYY-MM-DD HH:MM:SS, or whole numbers",
            )
        return (options.time,), times, list(times.notes)
    notes: list[str] = []
    lower = {name.lower(): name for name in table.names} if table.header else {}
    parts, composed = _composed(table, lower)
    if composed is not None and len(parts) == 2 and options.id is None and not ID_NAMES & set(lower):
        # rows in order within months, which no id tells apart: a finer part is missing
        steps = np.diff(composed.stamps)
        apart = (steps != 0).all() or (steps < 0).any()
        if not apart and not _told_apart(table, composed.stamps, {*parts, *options.target}, together=2):
            parts, composed = (), None
    if composed is not None and not _is_finer(table, composed):
        return parts, composed, list(composed.notes)
    named = [name for name in table.names if table.header and is_time_name(name)]
    dated = [name for name in table.names[:200] if name not in named and looks_like_dates(table.cells(name)[:20])]
    candidates = sorted([*named, *dated], key=lambda name: not looks_like_dates(table.cells(name)[:20]))
    candidates = _finest_first(table, candidates)
    for name in candidates:
        if composed is not None and name in parts:
            continue
        cells = table.cells(name)
        times = parse_times(cells, name, table.lines) if table.kinds[name] != "empty" else None
        numbers = times is not None and not times.dates and not options.id and not ID_NAMES & set(lower)
        repeated = times is not None and numbers and len(np.unique(times.stamps)) < len(times.stamps)
        if times is not None and repeated and not _in_words(table, times.stamps, options):
            notes.append(f"Column {name!r} holds numbers that repeat, and was not taken for time.")
            continue
        if times is not None:
            return (name,), times, [*notes, *times.notes]
        notes.append(f"Column {name!r} holds no date in a known form (such as {cells[0][:40]!r}).")
    if composed is not None:
        return parts, composed, [*notes, *composed.notes]
    return (), None, notes


def _composed(table: Table, lower: dict[str, str]) -> tuple[tuple[str, ...], Times | None]:
    """Return the times in columns named year, month and perhaps day, hour, minute, second; the first day for none."""
    values: dict[str, np.ndarray] = {}
    for part in _PARTS:
        found = _part(table, part, lower[part]) if part in lower else None
        if found is None:
            break
        values[part] = found
    parts = list(values)
    if len(parts) < 2:
        return (), None
    if (
        "day" not in parts
        and not (np.isnan(values["month"]) | ((values["month"] >= 1) & (values["month"] <= 12))).all()
    ):
        return (), None
    times = compose_times(values if "day" in parts else {**values, "day": np.ones(len(table.rows))})
    if times is not None and "day" not in parts:
        told = f"Times are the first days of the months in {lower['year']!r} and {lower['month']!r}."
        times = Times(times.stamps, True, (told,))
    return tuple(lower[part] for part in parts), times


def _part(table: Table, part: str, name: str) -> np.ndarray | None:
    """Return a part of the times as numbers, months in words too; None where the column holds something else."""
    if table.kinds[name] == "number":
        return table.matrix([name])[:, 0]
    words = [cell.strip().rstrip(".").lower() for cell in table.cells(name)]
    if part != "month" or not all(word in _MONTHS or is_missing(word) for word in words):
        return None
    return np.array([_MONTHS.get(word, np.nan) for word in words])


def _is_finer(table: Table, composed: Times) -> bool:
    """Return whether a column of dates or step numbers tells more rows apart than times put together."""
    kinds = len(np.unique(composed.stamps))
    for name in table.names[:200]:
        if name.lower() in {*_PARTS, "week", "quarter"}:
            continue
        cells = table.cells(name)
        dated = looks_like_dates(cells[:20]) or (is_time_name(name) and table.kinds[name] == "number")
        if dated and len(set(cells)) > kinds:
            return True
    return False


def _with_clock(
    table: Table, options: ReadOptions, columns: tuple[str, ...], times: Times, notes: list[str]
) -> tuple[tuple[str, ...], Times, list[str]]:
    """Return days that repeat with the time of day added that stands in a column of its own.

    Not where a further column tells the rows of a day apart, unless the times are then even and hardly repeat.
    """
    timed = times.stamps != NO_TIME
    days = times.stamps[timed]
    if not table.header or not times.dates or (days % _DAY).any() or len(np.unique(days)) == len(days):
        return columns, times, notes
    found = _clock_columns(table, [name for name in table.names if name not in {*columns, *options.target, options.id}])
    if not found:
        return columns, times, notes
    micro = np.sum(list(found.values()), axis=0)
    whole = timed & np.isfinite(micro)
    stamps = np.where(whole, times.stamps + np.nan_to_num(micro).astype(np.int64), NO_TIME)
    steps = np.diff(np.unique(stamps[whole]))
    alone = len(steps) + 1 >= 0.99 * whole.sum()
    if not alone and len(steps) + 1 < 2 * len(np.unique(days)):
        return columns, times, notes
    even = alone and len(steps) > 0 and np.unique(steps, return_counts=True)[1].max() >= 0.9 * len(steps)
    if not even and _told_apart(table, times.stamps, {*columns, *found, *options.target}):
        return columns, times, notes
    told = f"Times were put together from the columns {', '.join((*columns, *found))}."
    return (*columns, *found), Times(stamps, True), [*notes, told]


def _clock_columns(table: Table, names: list[str]) -> dict[str, np.ndarray]:
    """Return the microseconds since midnight in the column of a clock, or in those of hours and minutes."""
    clock = next((name for name in names if holds_clock(table, name)), None)
    if clock is not None:
        return {clock: np.array([_clock_micros(cell) for cell in table.cells(clock)])}
    found: dict[str, np.ndarray] = {}
    for known, most, unit in ((("hour", "hr"), 24, 3600), (("minute",), 59, 60)):
        name = next((name for name in names if name.lower() in known and table.kinds[name] == "number"), None)
        values = None if name is None else table.matrix([name])[:, 0]
        if name is None or values is None or not _whole(values) or np.nanmin(values) < 0 or np.nanmax(values) > most:
            break
        found[name] = values * unit * _SECOND
    return found


def holds_clock(table: Table, name: str) -> bool:
    """Return whether a column holds times of day without dates, such as 17:30:00; 17.30 only under a name of time."""
    place = table.index(name)
    first = [row[place].strip() for row in table.rows[:20]]
    if not all(_CLOCK.fullmatch(cell) for cell in first if not is_missing(cell)):
        return False
    cells = {cell for cell in set(table.cells(name)) if not is_missing(cell)}
    named = table.kinds[name] == "text" or is_time_name(name)
    return named and bool(cells) and all(map(_CLOCK.fullmatch, cells))


def _clock_micros(cell: str) -> float:
    told = _CLOCK.fullmatch(cell)
    if told is None:
        return float("nan")
    hour = int(told["hour"])
    if told["half"]:
        hour = hour % 12 + (12 if told["half"].upper() == "PM" else 0)
    return round((hour * 3600 + int(told["minute"]) * 60 + float(told["second"] or 0)) * _SECOND)


def _whole(values: np.ndarray) -> bool:
    """Return whether there are numbers, and all are whole."""
    known = values[~np.isnan(values)]
    return bool(known.size) and bool(np.isfinite(known).all()) and bool((known == np.round(known)).all())


def id_codes(table: Table, name: str, fewest: int = FEWEST_ROWS) -> np.ndarray | None:
    """Return the number of each row's word, where a column can be an id: text or whole numbers that often recur.

    Columns of dates, clocks and parts of times, and those of one word, are none.
    """
    if is_time_name(name) or _TIME_WORDS.search(name.lower().replace("_", " ")) or table.kinds[name] == "empty":
        return None
    if table.kinds[name] == "number":
        values, bad = parse_numbers(table.cells(name))
        if bad or not _whole(values):
            return None
    elif looks_like_dates(table.cells(name)[:20]) or holds_clock(table, name):
        return None
    codes, words = pd.factorize(np.array(table.cells(name), dtype=object))
    return codes if 1 < len(words) <= len(codes) / fewest else None


def repeats(codes: np.ndarray, stamps: np.ndarray) -> int:
    """Return how many rows have the id and the time of another row; rows without a time are none."""
    timed = stamps != NO_TIME
    places, kinds = pd.factorize(stamps[timed])
    return int(timed.sum()) - len(pd.unique(codes[timed].astype(np.int64) * len(kinds) + places))


def _told_apart(table: Table, stamps: np.ndarray, without: set[str], together: int = 1) -> bool:
    """Return whether a further column, or `together` of them (1 or 2), tells rows of the same time apart."""
    found = [codes for name in table.names if name not in without and (codes := id_codes(table, name)) is not None]
    if any(repeats(codes, stamps) == 0 for codes in found):
        return True
    pairs = combinations(found[:MOST_TRIED], 2) if together > 1 else ()
    return any(repeats(a.astype(np.int64) * (int(b.max()) + 1) + b, stamps) == 0 for a, b in pairs)


def _in_words(table: Table, stamps: np.ndarray, options: ReadOptions) -> bool:
    """Return whether a column of text tells all rows of the same step number apart, and a tenth of the rows repeat."""
    others = {name for name in table.names if table.kinds[name] != "text"}
    often = 10 * len(np.unique(stamps)) <= 9 * len(stamps)
    return often and _told_apart(table, stamps, {*others, *options.target})


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
