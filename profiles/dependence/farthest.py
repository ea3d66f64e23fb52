"""Which steps of the past matter, given their partial correlations: the farthest one, and the seasons among them.

A step, or a window of steps together, matters if it removes at least 1 % of the error that is left (variance) and
stands above what chance gives anywhere among all steps or all windows (error 0.5 % each, Bonferroni, chi-square). A
pattern that repeats exactly gives partial correlation phi at one season and, by averaging alone, phi / (1 + (m - 1)
phi) at m seasons; such repeats are not counted, so the answer is the season and not all of the data.

Where many weak steps matter only together, as in an autoregression on all of 50 steps, the end is where further steps
no longer pay for the noise of their own estimate. Steps that add less than that are not found, so such a reach comes
out somewhat short: the last of them add less than 1 % in truth.

Cost: O(lags log lags). Source of the tail: Hall, Chi squared approximations to the distribution of a sum of independent
random variables, Annals of Probability 11 (1983).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from profiles.dependence.partial import Array, Counts

MATTERS = 0.01
ALPHA = 0.005
TOGETHER = 0.02
"""What steps must remove that matter only together: small errors of many estimates add up."""
PAYS = 3.0
"""Times what chance gives that each of these steps must remove on average to be counted."""
SEASON_TESTS = 8
"""Known periods times horizons, at most."""
LEAST_PERIOD = 5
"""Shorter periods have a multiple within a step or two of everything."""
BEYOND, SURE = 1.2, 3.0
"""A multiple counts on its own from 1.2 times what averaging explains, or 1.2 times the multiples beside it and three
standard errors: a week among days."""


@dataclass(frozen=True)
class Evidence:
    """Squared partial correlations of one horizon, ready to judge.

    Attributes:
        horizon: Steps ahead.
        squares: (lags,).
        chance: (lags,), their mean under independence.
        series: How many independent series have a mean of squares that varies as much.
        freedom: How many have one as skewed: fewer, where some series go together.
        horizons: How many horizons are looked at in all.
    """

    horizon: int
    squares: Array
    chance: Array
    series: float
    freedom: float
    horizons: int

    @property
    def gain(self) -> Array:
        """Return (lags,), the share of the error each step removes, less what chance gives."""
        return np.maximum(self.squares - self.chance, 0)

    def floors(self) -> Array:
        """Return (lags,), the floor of each step alone; one step ahead, near steps get more of the error: 1 / step."""
        return _floors(len(self.squares), self.horizon == 1, self.horizons, self.series, self.freedom)

    def floor(self, window: int, tests: int = 0) -> float:
        """Return how many times its mean under independence a sum over `window` steps must reach."""
        lags = len(self.squares)
        error = ALPHA / (tests or self.horizons * lags * int(np.log2(lags) + 1))
        return float(_quantile(error, window * self.series, window * self.freedom))

    def single(self) -> list[int]:
        """Return the rows that matter alone."""
        return np.flatnonzero((self.gain >= MATTERS) & (self.squares >= self.chance * self.floors())).tolist()

    def window_end(self, limit: int) -> int:
        """Return how many of the last steps, at most `limit`, matter together where none does alone.

        The end lies in the last window that counts: where it holds half of what the window removes, or beyond, up to
        where further steps no longer pay.
        """
        weak = np.isin(np.arange(len(self.squares)), self.single(), invert=True)
        sums, chance = (np.concatenate([[0.0], np.cumsum((a * weak)[:limit])]) for a in (self.squares, self.chance))
        end, size = 0, 2
        while size < len(sums):
            total, by_chance = sums[size:] - sums[:-size], chance[size:] - chance[:-size]
            hits = np.flatnonzero((total - by_chance >= TOGETHER) & (total >= by_chance * self.floor(size)))
            if len(hits):
                inside = slice(int(hits[-1]), int(hits[-1]) + size + 1)
                gain, pays = (sums - chance)[inside], (sums - PAYS * chance)[inside]
                half = int(np.flatnonzero(gain[-1] - gain >= (gain[-1] - gain[0]) / 2)[-1]) + 1
                end = max(end, inside.start + max(half, int(np.argmax(pays))))
            size *= 2
        return end

    def season_adds(self, period: int) -> bool:
        """Return whether the steps from a quarter of a season back to a whole one matter together."""
        first = max(1, period // 4)
        rows = slice(first, max(first, period - self.horizon) + _slack(period) + 1)
        total, by_chance = float(self.squares[rows].sum()), float(self.chance[rows].sum())
        window = max(1, len(self.squares[rows]))
        return total - by_chance >= MATTERS and total >= by_chance * self.floor(window, SEASON_TESTS)

    def multiples(self, period: int) -> Counts:
        """Return (lags,), the multiple of the period that each row is from the step forecast; 0 for none.

        What lies up to a horizon nearer than a multiple belongs to it: the steps of a horizon share their noise.
        """
        slack = _slack(period)
        distance = np.arange(len(self.squares)) + self.horizon
        above = -(-(distance - slack) // period)
        inside = above * period - distance < self.horizon + slack
        return np.where(inside & (period >= LEAST_PERIOD), above, 0)

    def repeats(self, period: int) -> NDArray[np.bool_]:
        """Return (lags,), whether averaging over repeats of the period explains what a row removes."""
        at, first = self.multiples(period), max(1, -(-self.horizon // period))
        height, own = np.zeros(max(int(at.max(initial=0)), first) + 2), np.sqrt(self.gain)
        np.maximum.at(height, at, own)
        by_averaging = BEYOND * height[first] / (1 + (at - first) * height[first])
        noise = SURE * np.sqrt(2 * self.chance / self.series)
        peak = own > BEYOND * np.maximum(height[at - 1], height[at + 1]) + noise
        return np.asarray((at > first) & (own <= by_averaging) & ~peak, dtype=np.bool_)


def farthest_step(
    evidence: Sequence[Evidence], known: Sequence[int], standing: Sequence[int], limit: int
) -> tuple[int, tuple[int, ...]]:
    """Return how many of the last steps matter, and the periods among them, shortest first.

    Args:
        evidence: Of each horizon that was looked at, one step ahead first.
        known: Periods at which the series repeat; what repeats at them is not counted.
        standing: Those of them that matter.
        limit: Windows of steps together are looked at up to here, and up to the longest known period.
    """
    periods, standing = sorted(known), sorted(standing)
    hits = _without_repeats(evidence, [one.single() for one in evidence], periods)
    if longer := _longer_period(evidence, hits, max(periods, default=0)):
        periods.append(longer)
        standing.append(longer)
        hits = _without_repeats(evidence, hits, periods)
    together = evidence[0].window_end(min(limit, max(known, default=limit)))
    single = [_steps_back(one, row, standing) for one, rows in zip(evidence, hits, strict=True) for row in rows]
    return max([0, together, *single, *standing]), tuple(standing)


def _longer_period(evidence: Sequence[Evidence], hits: list[list[int]], base: int) -> int:
    """Return the multiple of a period that removes most beyond repeats, such as a week of days; 0 where none does."""
    best, longer = 0.0, 0
    for one, rows in zip(evidence, hits, strict=True) if base else ():
        at, first = one.multiples(base), max(1, -(-one.horizon // base))
        for row in rows:
            if at[row] > first and one.gain[row] > best:
                best, longer = float(one.gain[row]), int(at[row]) * base
    return longer


def _without_repeats(evidence: Sequence[Evidence], hits: list[list[int]], periods: list[int]) -> list[list[int]]:
    repeats = [[one.repeats(p) for p in periods] for one in evidence]
    return [[r for r in rows if not any(flag[r] for flag in flags)] for rows, flags in zip(hits, repeats, strict=True)]


def _steps_back(one: Evidence, row: int, periods: list[int]) -> int:
    """Return the steps that must be known; a whole season where one that matters is that far back."""
    return next((p for p in periods if one.multiples(p)[row] == 1), row + 1)


def _slack(period: int) -> int:
    """Return how far from a season a step may be and still belong to it."""
    return int(np.clip(period // 8, 1, 6))


@lru_cache(maxsize=64)
def _floors(lags: int, near: bool, horizons: int, series: float, freedom: float) -> Array:
    """Return (lags,), how many times its mean under independence the square of each step must reach."""
    steps = np.arange(1, lags + 1)
    shares = 1 / (steps * np.sum(1 / steps)) if near else np.full(lags, 1 / (lags * int(np.log2(lags) + 1)))
    return _quantile(ALPHA / horizons * shares, series, freedom)


def _quantile(error: Array | float, series: float, freedom: float) -> Array:
    """Return what a mean of unequal chi-squares exceeds by chance: nearly as one of the same variance and skewness."""
    return np.asarray(1 + (chdtri(freedom, error) - freedom) / np.sqrt(freedom * series))
