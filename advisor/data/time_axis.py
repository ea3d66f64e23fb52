"""When each row happened: dates in one known form, or whole numbers.

Dates: ISO 8601, quarters (1999Q1, Q1 1999), or one of the forms in `_FORMS`, the same in every row. Two forms in one
column are refused; where day/month and month/day both fit every row, the one with the more even steps is taken, and
refused when both are and differ. Offsets from UTC: all rows or none; they are converted to UTC, or dropped where every
row is midnight by its own clock. Stamps are kept as int64: microseconds since 1970 for dates, else the number itself.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from advisor.data.table import is_missing, parse_numbers
from advisor.errors import InputError

TIME_NAMES = frozenset(
    {"ds", "timestamp", "date", "datetime", "date_time", "time", "time_stamp", "month", "day", "year", "quarter"}
    | {"week", "t", "step", "time_idx", "period"}
)
NO_TIME = np.iinfo(np.int64).min
_DAYS = (
    "%d/%m/%Y %m/%d/%Y %d.%m.%Y %Y/%m/%d %d-%m-%Y %m-%d-%Y %Y.%m.%d %d-%b-%Y %b-%Y %d_%b_%Y %d._%b_%Y %b_%d,_%Y "
    "%d_%B_%Y %B_%d,_%Y %Y%m%d %m/%Y %d/%m/%y %m/%d/%y %b-%d-%Y %b_%d_%Y %d-%b-%y %b-%y %b_%Y %B_%Y %Y-%b %Y_%b "
    "%Y-%m-%d"
).replace("_", "\0")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_FORMS = tuple(day.replace("\0", " ") + clock for day in _DAYS.split(" ") for clock in _CLOCKS)
_ZONE = r"(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
_ISO = re.compile(rf"\d{{4}}-\d{{2}}(-\d{{2}}([T ]\d{{2}}(:?\d{{2}}(:?\d{{2}}([.,]\d+)?)?)?\s*{_ZONE}?)?)?")
_QUARTER = re.compile(
    r"(?P<year>[12]\d{3})[- ]?Q(?P<quarter>[1-4])|Q(?P<first>[1-4])[- ]?(?P<then>[12]\d{3})", re.IGNORECASE
)
_OFFSET = re.compile(rf"\d{{2}}:?\d{{2}}.*{_ZONE}$")
_MIDNIGHT = re.compile(rf"[T ]00[0:.,]*\s*{_ZONE}")


@dataclass(frozen=True)
class Times:
    """One stamp a row.

    Attributes:
        stamps: int64 (rows,); `NO_TIME` where the cell was missing.
        dates: Whether stamps are microseconds since 1970; else plain integers.
        notes: What was converted.
        plain: Whether they are whole numbers, or ISO dates without offsets: a part is then read as the whole is.
    """

    stamps: np.ndarray
    dates: bool
    notes: tuple[str, ...] = ()
    plain: bool = False


def is_time_name(name: str) -> bool:
    """Return whether a column of this name usually holds time."""
    return name.lower().replace(" ", "_") in TIME_NAMES


def parse_times(cells: Sequence[str], name: str, lines: Sequence[int]) -> Times | None:
    """Return the times in `cells`, or None where the column holds no time at all.

    Args:
        cells: One column, trimmed.
        name: Its name, for messages.
        lines: The line of each cell, for messages.

    Raises:
        InputError: Mixed or ambiguous date forms; offsets from UTC in some rows only.
    """
    values, bad = parse_numbers(cells)
    if not bad:
        return numeric_times(values, name)
    inverse, unique = pd.factorize(np.asarray(cells, dtype=object))
    known = [str(cell) for cell in unique if not is_missing(str(cell))]
    parsed, notes = _iso(known, name, cells, lines) if _ISO.fullmatch(known[0]) else _by_form(known, name)
    if parsed is None:
        return None
    lookup = dict(zip(known, parsed.to_numpy().astype("datetime64[us]").astype(np.int64).tolist(), strict=True))
    stamps = np.array([lookup.get(str(cell), NO_TIME) for cell in unique], dtype=np.int64)
    return Times(stamps[inverse], True, notes, plain=not notes)


def looks_like_dates(cells: Sequence[str]) -> bool:
    """Return whether the first cell with text is a date; cheap, for choosing a column."""
    first = next((cell for cell in cells if not is_missing(cell)), "")
    if not first or len(first) > 40 or not parse_numbers([first])[1]:
        return False
    return bool(_ISO.fullmatch(first) or _QUARTER.fullmatch(first)) or any(_fits(first, form) for form in _FORMS)


def is_coarse(cell: str) -> bool:
    """Return whether a date names a month or a quarter and no day, such as 2024-01, Jan 2024 or 2024Q1."""
    return bool(_QUARTER.fullmatch(cell)) or len(re.findall(r"[0-9]+|[A-Za-z]+", cell)) == 2


def compose_times(parts: dict[str, np.ndarray]) -> Times | None:
    """Return times from numeric columns year, month, day and perhaps hour, minute, second; None where they are none."""
    if not ((parts["year"] > 1700) & (parts["year"] < 2200)).all():
        return None
    moments = pd.to_datetime(pd.DataFrame(parts), errors="coerce").to_numpy().astype("datetime64[us]").astype(np.int64)
    return Times(moments, True, (f"Times were put together from the columns {', '.join(parts)}.",))


def numeric_times(values: np.ndarray, name: str) -> Times | None:
    """Return whole numbers, epoch seconds or milliseconds, YYYYMMDD, or fractions as step numbers."""
    known = values[~np.isnan(values)]
    if known.size == 0 or not np.isfinite(known).all() or np.abs(known).max() > 1e17:
        return None
    missing = np.isnan(values)
    if (known != np.round(known)).any():
        gaps = np.diff(np.unique(known))
        if not gaps.size:
            return None
        step = float(np.median(gaps))
        stamps = np.where(missing, 0, np.round((np.nan_to_num(values) - known.min()) / step)).astype(np.int64)
        stamps[missing] = NO_TIME
        return Times(stamps, False, (f"Times in {name!r} are fractions: steps of {step:g} were numbered from 0.",))
    low, high = known.min(), known.max()
    stamps = np.where(missing, 0, np.nan_to_num(values)).astype(np.int64)
    dates, notes = False, ""
    if low >= 19_000_101 and high <= 21_001_231:
        moments = _parse([str(v) for v in stamps[~missing]], "%Y%m%d")
        if moments.notna().all():
            stamps[~missing] = moments.to_numpy().astype("datetime64[us]").astype(np.int64)
            dates, notes = True, f"Numbers in {name!r} were read as YYYYMMDD."
    elif (low >= 5e8 and high < 5e9) or (low >= 5e11 and high < 5e12):
        unit, factor = ("seconds", 1_000_000) if high < 5e9 else ("milliseconds", 1_000)
        stamps, dates, notes = stamps * factor, True, f"Numbers in {name!r} were read as {unit} since 1970, UTC."
    stamps[missing] = NO_TIME
    return Times(stamps, dates, (notes,) if notes else (), plain=True)


def _iso(
    known: list[str], name: str, cells: Sequence[str], lines: Sequence[int]
) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """Return ISO dates without offsets from UTC, and what was done with these."""
    odd = [cell for cell in known if not _ISO.fullmatch(cell)]
    if odd:
        raise _mixed(known, name)
    aware = [cell for cell in known if _OFFSET.search(cell[10:])]
    if aware and len(aware) < len(known):
        naive = next(cell for cell in known if not _OFFSET.search(cell[10:]))
        raise InputError(
            f"column {name!r}: {len(aware)} times carry an offset from UTC and {len(known) - len(aware)} do not "
            f"(line {lines[list(cells).index(naive)]}: {naive!r})",
            "write the offset in every row or in none",
        )
    local = bool(aware) and all(_MIDNIGHT.fullmatch(cell[10:]) for cell in known)
    texts = [cell[:10] if local else re.sub(r"\s*(UTC|GMT)$", "Z", cell) for cell in known] if aware else known
    parsed = pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=bool(aware)))
    if parsed.isna().any():
        wrong = known[int(np.argmax(parsed.isna()))]
        raise InputError(f"column {name!r}: {wrong!r} is not a date that exists", "correct this cell")
    if local:
        note = f"Times in {name!r} are midnight by their own clock: their dates were kept and the offsets dropped."
    else:
        note = f"Times in {name!r} carry offsets and were converted to UTC."
    return parsed.tz_localize(None), (note,) if aware else ()


def _by_form(known: list[str], name: str) -> tuple[pd.DatetimeIndex | None, tuple[str, ...]]:
    """Return the dates under the one form that fits every cell."""
    quarters = [match for cell in known if (match := _QUARTER.fullmatch(cell))]
    if len(quarters) == len(known):
        starts = [f"{m['year'] or m['then']}-{3 * int(m['quarter'] or m['first']) - 2:02d}-01" for m in quarters]
        return pd.DatetimeIndex(starts), (f"Quarters in {name!r} were read as their first days.",)
    sample = known[:200]
    hits = [form for form in _FORMS if _fits(sample[0], form)]
    fits = [(form, moments) for form in hits if (moments := _parse(known, form)).notna().all()]
    if not fits:
        if (
            hits
            or any(_ISO.fullmatch(cell) for cell in sample)
            or any(_fits(cell, form) for cell in sample for form in _FORMS)
        ):
            raise _mixed(known, name)
        return None, ()
    fits = list({form.replace("%B", "%b"): (form, moments) for form, moments in fits}.values())  # May, long and short
    if len(fits) > 1:
        evenness = [_evenness(moments) for _, moments in fits]
        fits = [fit for fit, even in zip(fits, evenness, strict=True) if even == max(evenness)]
        rivals = [form for form, moments in fits if not moments.equals(fits[0][1])]
        if rivals:
            raise InputError(
                f"column {name!r}: {known[0]!r} could be {fits[0][0]} or {rivals[0]}, and both fit every row",
                "write dates as YYYY-MM-DD",
            )
    form, moments = fits[0]
    return moments, (f"Dates in {name!r} were read as {form}.",)


def _fits(cell: str, form: str) -> bool:
    """Return whether one cell is a date in this form."""
    if (":" in cell) != (":" in form) or not any(letter.isdigit() for letter in cell):
        return False
    try:
        datetime.strptime(cell, form)
    except ValueError:
        return False
    return True


def _parse(cells: list[str], form: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(cells, format=form, errors="coerce"))


def _evenness(moments: pd.DatetimeIndex) -> float:
    """Return the share of steps that equal the most common one, in file order.

    Steps are counted in time. They are counted in months too where each date is the first of a month, or the same day
    of months over more than a year; the larger share is returned.
    """
    even = _most_common(moments.to_numpy().astype("datetime64[us]"))
    days = set(moments.day)
    if days == {1} or (len(days) == 1 and moments.max() - moments.min() > pd.Timedelta(days=366)):
        even = max(even, _most_common(moments.to_numpy().astype("datetime64[M]")))
    return even


def _most_common(values: np.ndarray) -> float:
    """Return the share of the most common step that is not 0."""
    steps = Counter(np.diff(values.astype(np.int64)).tolist())
    return max((count for step, count in steps.items() if step), default=0) / max(1, len(values) - 1)


def _mixed(known: list[str], name: str) -> InputError:
    shapes: dict[str, list[str]] = {}
    for cell in known:
        shapes.setdefault(re.sub(r"[A-Za-z]+", "A", re.sub(r"\d+", "9", cell)), []).append(cell)
    largest = sorted(shapes.values(), key=len, reverse=True)[:6]
    shown = ", ".join(f"{cells[0][:30]!r} ({len(cells)} times)" for cells in largest)
    return InputError(
        f"column {name!r} mixes date forms or holds cells that are no dates: {shown}",
        "write every date in one form, YYYY-MM-DD HH:MM:SS; days and months are never guessed row by row",
    )
