"""The regular grid under a set of stamps, and how rows are placed on it.

The most common step over all series is the grid. Dates at the end of months, at the same day of each month, and once a
month, quarter or year on days that vary, step by months; dates without weekends step by business days; other dates by a
fixed time; integers by a number. Months are named by their last day where all dates are on the 25th or later, else by
their first. A row off the grid moves to the nearest place; on a grid of months the day does not matter. Rows at one
place are averaged; empty places are gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import Tick

from advisor.errors import InputError

DAY = 86_400_000_000
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@dataclass(frozen=True)
class Grid:
    """A regular axis of stamps.

    Attributes:
        kind: What one step is counted in.
        step: Integers, microseconds, months or business days.
        freq: pandas offset alias; None for integers.
        month_end: Whether months are named by their last day.
    """

    kind: Literal["integer", "fixed", "month", "business"]
    step: int
    freq: str | None
    month_end: bool = False

    @property
    def season(self) -> int:
        """Return the steps of the season that the step suggests: a day, a week of days, a year of months; 1: none."""
        if self.kind == "business":
            return 5
        if self.kind == "month":
            return 12 // self.step if 12 % self.step == 0 else 1
        if self.kind == "fixed" and DAY % self.step == 0:
            return DAY // self.step if self.step < DAY else 7
        return 1

    def places(self, stamps: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the nearest place of each stamp and the phase (what place 0 stands for)."""
        if self.kind == "month":
            units = _months(stamps)
        elif self.kind == "business":
            days = (stamps // DAY).astype("datetime64[D]")
            units = np.busday_count(np.datetime64(0, "D"), days).astype(np.int64)
        else:
            units = stamps
        phase = _mode(units % self.step)
        return np.floor_divide(2 * (units - phase) + self.step, 2 * self.step), phase

    def index(self, places: np.ndarray, phase: int) -> pd.Index:
        """Return the stamps of consecutive `places`."""
        units = places * self.step + phase
        if self.kind == "integer":
            return pd.RangeIndex(int(units[0]), int(units[-1]) + self.step, self.step)
        if self.kind == "month":
            moments = (units + self.month_end).astype("datetime64[M]").astype("datetime64[D]")
            moments = moments - np.timedelta64(int(self.month_end), "D")
        elif self.kind == "business":
            moments = np.busday_offset(np.datetime64(0, "D"), units)
        else:
            moments = units.astype("datetime64[us]")
        return pd.DatetimeIndex(moments.astype("datetime64[us]"))

    def off(self, stamps: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return how far `stamps` are from their places `at`; on a grid of months, 0 in the month of the place."""
        far = np.abs(at - stamps)
        return np.where(_months(at) == _months(stamps), 0, far) if self.kind == "month" else far


def find_grid(series: Sequence[np.ndarray], dates: bool) -> Grid:
    """Return the grid that fits the sorted, distinct stamps of all series best.

    Raises:
        InputError: No series has two distinct stamps.
    """
    steps = np.concatenate([np.diff(stamps) for stamps in series])
    if steps.size == 0:
        raise InputError("all rows of each series have the same time stamp", "check the time column, or say --time")
    step = _mode(steps)
    if not dates:
        return Grid("integer", step, None)
    stamps = np.unique(np.concatenate(list(series)))
    if (stamps % DAY == 0).all():
        index = pd.DatetimeIndex(stamps.astype("datetime64[us]"))
        if step >= 28 * DAY and (bool(index.is_month_end.all()) or len(set(index.day)) == 1 or _monthly(series, step)):
            return _month_grid(series, index)
        if step == DAY and len(stamps) >= 10 and not (index.day_of_week >= 5).any():
            return Grid("business", 1, "B")
    return Grid("fixed", step, _fixed_alias(step, stamps))


def _monthly(series: Sequence[np.ndarray], step: int) -> bool:
    """Return whether days step by months rather than by `step`, their most common step.

    Each series then has at most one stamp a month, all steps are whole multiples of the most common one in months, this
    is as long as `step`, and no grid of `step` holds all stamps.
    """
    months = np.concatenate([np.diff(_months(stamps)) for stamps in series])
    usual = _mode(months)
    if usual < 1 or (months < 1).any() or (months % usual).any() or not 28 * usual <= step // DAY <= 31 * usual:
        return False
    return any(((stamps - stamps[0]) % step).any() for stamps in series)


def _month_grid(series: Sequence[np.ndarray], index: pd.DatetimeIndex) -> Grid:
    """Return the grid of months under the stamps of all series, `index`."""
    months = _mode(np.concatenate([np.diff(_months(stamps)) for stamps in series]))
    ends = bool((index.day >= 25).all())
    if months == 12 and len(set(index.month)) == 1:
        return Grid("month", 12, f"{'YE' if ends else 'YS'}-{index[0].strftime('%b').upper()}", ends)
    name = "ME" if ends else "MS"
    return Grid("month", months, name if months == 1 else f"{months}{name}", ends)


def like_grid(freq: str | None, index: pd.Index) -> Grid:
    """Return the grid that a training set was read with."""
    if freq is None:
        return Grid("integer", int(index.step) if isinstance(index, pd.RangeIndex) else 1, None)
    if freq == "B":
        return Grid("business", 1, freq)
    offset = to_offset(freq)
    if offset.name[:2] in {"MS", "ME", "YS", "YE"}:
        return Grid("month", offset.n * (12 if offset.name[0] == "Y" else 1), freq, offset.name[1] == "E")
    step = (
        7 * offset.n * DAY if freq.startswith("W-") else int(pd.Timedelta(cast(Tick, offset)) // pd.Timedelta(1, "us"))
    )
    return Grid("fixed", step, freq)


def _fixed_alias(step: int, stamps: np.ndarray) -> str:
    """Return the alias of a step in microseconds."""
    if step == 7 * DAY:
        weekdays = set(pd.DatetimeIndex(stamps.astype("datetime64[us]")).day_of_week)
        if len(weekdays) == 1:
            return f"W-{_WEEKDAYS[weekdays.pop()]}"
    if step % DAY == 0:
        return "D" if step == DAY else f"{step // DAY}D"
    return to_offset(pd.Timedelta(step, "us")).freqstr


def _months(stamps: np.ndarray) -> np.ndarray:
    return stamps.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _mode(values: np.ndarray) -> int:
    """Return the most common value, the smallest of several."""
    unique, counts = np.unique(values, return_counts=True)
    return int(unique[np.argmax(counts)])
