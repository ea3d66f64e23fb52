"""The calendar of dated steps as channels: where each step lies in its day, week and year.

A cycle gives two channels, the sine and cosine of 2 pi p, with p in [0, 1) the share of the cycle that has passed:
of the day since midnight, of the week since Monday 00:00, of the year since 1 January (leap years are a day longer).
A cycle is used where the data step at least twice in it and span it `LEAST_CYCLES` times. The calendar of the future
is a function of the calendar at the last step, so a model that reads it there knows it ahead. Integer stamps have none.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from advisor.data.grid import DAY

LEAST_CYCLES = 1.5
_CYCLES = {"hour of day": DAY, "day of week": 7 * DAY, "day of year": 365.25 * DAY}
_WAVES = {"sine": np.sin, "cosine": np.cos}
_MONDAY = 3 * DAY
"""From Monday 1969-12-29 to the epoch, a Thursday."""


def choose_calendar(stamps: Sequence[pd.Index]) -> tuple[str, ...]:
    """Return the names of the channels that fit these stamps, such as "hour of day, sine".

    Args:
        stamps: Of each series; the step is the median one, the span that of the longest.
    """
    dated = [one for one in stamps if isinstance(one, pd.DatetimeIndex) and len(one) > 1]
    if not dated:
        return ()
    spans = np.array([_microseconds(one[[0, -1]]) for one in dated])
    lengths = spans[:, 1] - spans[:, 0]
    step = float(np.median(lengths / np.array([len(one) - 1 for one in dated])))
    fits = [name for name, cycle in _CYCLES.items() if 2 * step <= cycle and lengths.max() >= LEAST_CYCLES * cycle]
    return tuple(f"{name}, {wave}" for name in fits for wave in _WAVES)


def calendar_channels(stamps: pd.Index, names: Sequence[str]) -> np.ndarray:
    """Return the channels `names` at each stamp, float32 (length, channels).

    Args:
        stamps: Dates; anything else only where no channel is asked for.
        names: As `choose_calendar` gives them.

    Raises:
        ValueError: A name that is not a calendar channel, or stamps that are no dates.
    """
    out = np.empty((len(stamps), len(names)), np.float32)
    if not names:
        return out
    if not isinstance(stamps, pd.DatetimeIndex):
        raise ValueError(f"the calendar {', '.join(names)} needs dates, got {type(stamps).__name__}")
    moments = _microseconds(stamps)
    for k, name in enumerate(names):
        cycle, _, wave = name.partition(", ")
        if cycle not in _CYCLES or wave not in _WAVES:
            raise ValueError(f"{name!r} is not a calendar channel")
        out[:, k] = _WAVES[wave](2 * np.pi * _passed(moments, cycle))
    return out


def calendar_words(names: Sequence[str]) -> str:
    """Return the cycles behind the channels, once each: "hour of day, day of week"."""
    return ", ".join(dict.fromkeys(name.partition(", ")[0] for name in names))


def _passed(moments: np.ndarray, cycle: str) -> np.ndarray:
    """Return the share of the cycle that has passed, [0, 1)."""
    if cycle == "day of year":
        year = moments.astype("datetime64[us]").astype("datetime64[Y]")
        begin, end = (y.astype("datetime64[us]").astype(np.int64) for y in (year, year + 1))
        return np.asarray((moments - begin) / (end - begin))
    length = int(_CYCLES[cycle])
    return np.asarray((moments + (_MONDAY if cycle == "day of week" else 0)) % length / length)


def _microseconds(stamps: pd.Index) -> np.ndarray:
    return stamps.to_numpy().astype("datetime64[us]").astype(np.int64)
