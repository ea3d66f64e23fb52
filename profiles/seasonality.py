"""How regularly a series repeats: periods found in the autocorrelation, checked against the calendar.

The autocorrelation is computed by FFT (Wiener-Khinchin) on the differenced series, where a trend or a random walk
leaves nothing, and only if that is silent on the linearly detrended series, where slow cycles show. The median over
the series is searched for prominent peaks. Source: Box and Jenkins, Time Series Analysis, chapter 2 (autocorrelation).
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

MAX_SERIES, MAX_STEPS = 50, 20_000
CLOSE = 0.75
"""A peak of at least this share of the highest one competes to be the main period; the shortest wins."""
NAMED = 0.6
"""The same share for a calendar period: less of a peak is believed there."""
SURE, SURE_NAMED = 4.0, 2.5
"""Standard errors above zero: a search over all lags needs more than a look at the few calendar ones."""
SLOW_PEAK, SLOW_CYCLES = 0.3, 8
"""On the detrended series a peak needs this height and this many repetitions: random walks wander without them."""
SECONDS = {"s": 1, "min": 60, "t": 60, "h": 3600}
COARSE = {
    "d": (7, 365),
    "b": (5, 260),
    "w": (52,),
    "m": (12,),
    "ms": (12,),
    "me": (12,),
    "q": (4,),
    "qs": (4,),
    "qe": (4,),
}

Curve = NDArray[np.float64]


class Season(BaseModel):
    """One period and how much of the movement it explains."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    period: int
    """Steps after which the series repeats."""
    strength: float
    """Autocorrelation at the period, median over the series, 0 to 1."""


def calendar_periods(freq: str | None) -> tuple[int, ...]:
    """Return the periods that a calendar suggests for a pandas offset alias, shortest first.

    >>> calendar_periods("h"), calendar_periods("30min"), calendar_periods("MS"), calendar_periods(None)
    ((24, 168), (48, 336), (12,), ())
    """
    match = re.fullmatch(r"(\d*)([A-Za-z]+)(-[A-Za-z]+)?", freq or "")
    if match is None:
        return ()
    multiple, unit = int(match[1] or 1), match[2].lower()
    if unit not in SECONDS:
        return COARSE.get(unit, ()) if multiple == 1 else ()
    step = SECONDS[unit] * multiple
    spans = (60, 3600, 86_400) if unit == "s" else (86_400, 604_800)
    return tuple(span // step for span in spans if span % step == 0 and span // step > 1)


def find_seasons(series: Sequence[np.ndarray], freq: str | None = None) -> tuple[Season, ...]:
    """Return the periods at which the series repeat, the main one first; empty where none is found.

    Args:
        series: Each of shape (length,), finite. At most 50 of them, evenly spread, and the last 20,000 steps of each
            are read.
        freq: pandas offset alias of the step; its calendar periods win over a peak that is hardly higher.
    """
    picked = [series[i] for i in _spread(len(series))]
    picked = [np.asarray(one[-MAX_STEPS:], dtype=np.float64) for one in picked if len(one) >= 8]
    if not picked:
        return ()
    calendar = calendar_periods(freq)
    curve, error = _median_acf([np.diff(one) for one in picked], cycles=3)
    found = _seasons(curve, error, calendar, least=0.1)
    if not found:
        curve, error = _median_acf([_detrend(one) for one in picked], cycles=SLOW_CYCLES)
        found = _seasons(curve, error, calendar, least=SLOW_PEAK)
    return found


def acf(one: np.ndarray, lags: int) -> Curve:
    """Return the autocorrelation at lags 0 to `lags` of a series (length,); zeros where the series is constant.

    The sum at each lag is divided by its number of terms, so that long periods are not played down.
    """
    centred = np.asarray(one, dtype=np.float64) - np.mean(one)
    n = len(centred)
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    sums = np.fft.irfft(power, 2 * n)[: lags + 1] / (n - np.arange(lags + 1))
    return sums / sums[0] if sums[0] > 1e-12 * max(1.0, float(np.mean(np.square(one)))) else np.zeros(lags + 1)


def _spread(count: int) -> list[int]:
    """Return up to 50 of the indices 0 to `count` - 1, evenly spread."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, MAX_SERIES))})


def _detrend(one: Curve) -> Curve:
    """Return the series (length,) less its least-squares line."""
    steps = np.arange(len(one)) - (len(one) - 1) / 2
    slope = steps @ (one - one.mean()) / (steps @ steps)
    return np.asarray(one - one.mean() - slope * steps, dtype=np.float64)


def _median_acf(series: list[Curve], cycles: int) -> tuple[Curve, Curve]:
    """Return the median autocorrelation up to 1/`cycles` of the median length, and its standard error at each lag.

    The error is Bartlett's for differenced white noise, and 1.25 times smaller in root S for the median of S series.
    """
    n = int(np.median([len(one) for one in series]))
    series = [one for one in series if len(one) >= n]
    lags = n // cycles
    curves = np.stack([acf(one, lags) for one in series])
    error = np.sqrt(1.5 / (n - np.arange(lags + 1))) * (1.25 / np.sqrt(len(series)) if len(series) > 1 else 1)
    return np.median(curves, axis=0), error


def _seasons(curve: Curve, error: Curve, calendar: tuple[int, ...], least: float) -> tuple[Season, ...]:
    """Return up to three periods of an autocorrelation curve, the main one first.

    Args:
        curve: Autocorrelation at lags 0, 1, ...
        error: Standard error of each.
        calendar: Periods that the calendar suggests.
        least: Height below which nothing counts.
    """
    peaks = {p: h for p, h in _peaks(curve).items() if h >= least}
    sure = {p: h for p, h in peaks.items() if h >= SURE * error[p]}
    named = {q: p for q in calendar for p in peaks if abs(p - q) <= q // 50 and peaks[p] >= SURE_NAMED * error[p]}
    rivals = {**sure, **{p: peaks[p] for p in named.values()}}
    if not rivals:
        return ()
    highest = max(rivals.values())
    believed = [q for q, p in named.items() if peaks[p] >= NAMED * highest]
    near = sorted(p for p, height in sure.items() if height >= CLOSE * highest)
    main = believed[0] if believed else _shortest(near, sure)
    more = sorted((p for p in near if p % main and main % p and abs(p - main) > main // 5), key=lambda p: -peaks[p])
    heights = [float(np.clip(curve[p], 0, 1)) for p in (main, *more[:2])]
    return tuple(Season(period=p, strength=round(h, 4)) for p, h in zip((main, *more[:2]), heights, strict=True))


def _shortest(near: list[int], peaks: dict[int, float]) -> int:
    """Return the highest peak within 15 % of the shortest near one: slow cycles have ragged tops."""
    return max((p for p in near if p <= 1.15 * near[0]), key=lambda p: peaks[p])


def _peaks(curve: Curve) -> dict[int, float]:
    """Return lag -> height of each local maximum that stands 0.05 above the lowest point on either side of it.

    Lags from 3 on: differencing noise that was already stationary makes a false peak at lag 2.
    """
    found: dict[int, float] = {}
    for lag in range(3, len(curve) - 1):
        height = curve[lag]
        if curve[lag - 1] <= height > curve[lag + 1]:
            lowest = max(curve[1:lag].min(), curve[lag + 1 : 2 * lag].min())
            found |= {lag: float(height)} if height - lowest >= 0.05 else {}
    return found
