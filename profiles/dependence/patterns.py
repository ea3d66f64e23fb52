"""Fixed seasonal patterns: which periods explain the movement of the series, and taking their patterns off.

A period explains the share of the variance that the means of its phases have: of the values or of their changes, and
of the changes alone where the values wander, as random walks have long swings by chance. Two patterns that add up
repeat at their common multiple (7 and 30 at 210); the shorter ones are named where together they explain what the
multiple does with at most half as many means. A pattern that nearly repeats within its period may be named by the part.

Cost: O(n) for each period that is tried, and 10 series at most are read; about the square of the longest period's
divisors in all.
"""

from itertools import combinations
from math import gcd, lcm

import numpy as np

from profiles.dependence.farthest import LEAST_PERIOD
from profiles.dependence.partial import Array
from profiles.seasonality import acf, find_seasons

SEASONS, APART = 4, 0.2
"""Seasons looked for at most, and how far apart they must be, as a share."""
EXPLAINS = 0.05
"""Share of the variance that a period explains which nobody named."""
AS_GOOD, LOSES = 0.95, 0.1
"""A shorter period is preferred that explains this share of what a longer one does and leaves this much more."""
MAIN = 0.75
"""A part of a period, such as a day of a week, that explains this share of what the period does is a period too."""
LEFT = 0.1
"""Two periods stand for their common multiple where this share of what it adds to the better of them is left."""
LEAST_CYCLES = 20
"""A fixed pattern is taken off from this many repetitions on: fewer take noise with it, and leave its negative."""
READ = 10
WALKS, UNIT_ROOT = 0.99, 14.0
"""Autocorrelation of neighbours from which a series wanders; in a short series of n steps already from 1 - 14 / n,
where a unit root cannot be ruled out (5 %; Dickey and Fuller 1979)."""


def take_off_patterns(each: list[Array], named: list[int], lags: int) -> list[int]:
    """Take the mean of each phase off the series, in place, and return the periods, shortest first.

    A fixed pattern needs one season of the past to be known. Left in, all later seasons would count a little more,
    because they average noise.

    Args:
        each: Of shape (length,) each; changed.
        named: Periods that are known; those that nobody named must explain more than chance does.
        lags: The longest period that can be looked at.
    """
    found: list[int] = []
    named = [q for p in named if p <= lags for q in _refined(each, p)]
    for _ in range(SEASONS):
        looked = (q for s in find_seasons(each) if s.period <= lags for q in _refined(each, s.period))
        new = [p for p in (*named, *looked) if p <= lags and all(abs(p - q) > APART * q for q in found)]
        period = next((p for p in new if p in named or _explained(each, p) >= EXPLAINS), 0)
        if not period:
            break
        found.append(period)
        for one in each:
            if len(one) >= LEAST_CYCLES * period:
                np.subtract(one, _pattern(one, period), out=one)
    return sorted(found)


def wanders(one: Array) -> bool:
    """Return whether a series (length,) hardly leaves its last value, like a random walk."""
    return bool(acf(one, 1)[1] >= min(WALKS, 1 - UNIT_ROOT / len(one)))


def _pattern(one: Array, period: int) -> Array:
    """Return the mean of each step's phase (length,)."""
    phase = np.arange(len(one)) % period
    return np.asarray((np.bincount(phase, one) / np.bincount(phase))[phase])


def _explained(each: list[Array], period: int, errors: float = 4.0) -> float:
    """Return the share of the variance that a pattern explains, less what noise gives and some of its errors."""
    shares = []
    for one in each[:READ]:
        views = (np.diff(one),) * 2 if wanders(one) else (one, np.diff(one))
        shares.append([_share(view, period, errors) for view in views])
    return float(np.max(np.mean(shares, axis=0)))


def _share(one: Array, period: int, errors: float) -> float:
    share = float(np.var(_pattern(one, period)) / max(float(np.var(one)), 1e-12))
    return share - (1 - share) * period / (len(one) - period) * (1 + errors * float(np.sqrt(2 / period)))


def _refined(each: list[Array], period: int) -> tuple[int, ...]:
    """Return the shortest period that explains nearly as much as the best near `period` or near a fraction of it.

    A shorter one that explains most of that goes before it; two that add up to it stand for it.
    """
    near = {
        p
        for parts in range(1, period // LEAST_PERIOD + 1)
        for p in range(round(0.92 * period / parts), round(1.08 * period / parts) + 1)
        if p >= LEAST_PERIOD
    } | {period}
    shares = {p: _explained(each, p) for p in sorted(near)}
    best = max(shares.values())
    least = max(AS_GOOD * best, 1 - (1 + LOSES) * (1 - best))
    shortest = next(p for p, share in shares.items() if share >= least or p == period)
    period = max((p for p in shares if shortest <= p <= 1.16 * shortest), key=lambda p: shares[p])
    main = [p for p in range(LEAST_PERIOD, period // 2 + 1) if period % p == 0]
    main = [p for p in main if _explained(each, p) >= MAIN * shares[period] > 0]
    return (*main[:1], *_addends(each, period))


def _addends(each: list[Array], period: int) -> tuple[int, ...]:
    """Return two divisors of the period whose patterns add up to its pattern, or the period alone."""
    divisors = [p for p in range(LEAST_PERIOD, period // 2) if period % p == 0]
    pairs = [(p, q) for p, q in combinations(divisors, 2) if lcm(p, q) == period and p + q <= period // 2]
    if not pairs:
        return (period,)
    shares = {p: _explained(each, p, errors=0.0) for p in {period, *divisors, *(gcd(*pair) for pair in pairs)}}
    for p, q in sorted(pairs, key=sum):
        common = shares[gcd(p, q)] if gcd(p, q) > 1 else 0.0
        adds = shares[period] - max(shares[p], shares[q])
        if adds >= EXPLAINS and shares[period] - (shares[p] + shares[q] - common) <= LEFT * adds:
            return p, q
    return (period,)
