"""Pairs of past steps that tell the future only together, such as x_t = x_(t-1) XOR x_(t-50).

Neither of the two steps has any dependence of its own on x_t, so no autocorrelation sees them. The third-order moment
E[e_t z_(t-j) z_(t-i)] of the linear forecast's error e does: for each near step j it is one cross-correlation by FFT
over all steps i at once; i = j finds the square of one step. Whatever the two steps of a found pair explain, in any
form, is taken off e as the means over a grid of their values before the next pair is looked for, so that pairs implied
by it (for XOR also (2, 100), (4, 200), ...) are not counted.

Cost: O(J n log n) for n values and J near steps. Source: Brillinger, Time Series, chapter 2 (third-order cumulants).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import chi2

from profiles.dependence.partial import BLOCKS, stretches

NEAR = 32
"""Largest step of the nearer one of a pair."""
ROUNDS = 4
MATTERS = 0.02
"""Share of the error's variance that a pair must remove; twice that of one step, as pairs are many."""
IMPLIED = 0.25
"""A further pair must remove this share of what the ones before it did."""
EXACT = 1e-3
"""Below this share of the error all is explained."""
TIED = 0.95
"""A pair with this share of the strongest one's moment competes with it, and the nearest wins."""
CELL, MOST_CELLS = 25, 64
"""Steps that each mean of a grid is of, and means at most."""
TINY = 1e-300

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two past steps and the share of the remaining error (variance) that their product removes.

    Attributes:
        near: Steps back of the nearer one.
        far: Steps back of the other; equal for the square of one step.
        share: Mean over the series.
        chance: What independence would give on average.
        parts: (series, blocks): what each stretch of time adds to the correlation of the product with the error.
    """

    near: int
    far: int
    share: float
    chance: float = field(default=0.0, compare=False)
    parts: Array = field(default_factory=lambda: np.zeros((1, 1)), compare=False, repr=False)


def find_pairs(
    x: Array, errors: Array, lengths: NDArray[np.int64], lags: int, alpha: float, blocks: int = BLOCKS
) -> tuple[Pair, ...]:
    """Return the pairs of past steps whose product forecasts the errors, the strongest first.

    Args:
        x: (series, length), mean 0, variance 1; zeros after the end of a shorter series.
        errors: (series, length - order), of the linear forecast from the last `order` steps; zeros after the end.
        lengths: (series,), steps of each.
        lags: The farthest step to look at.
        alpha: Chance of any pair at all where errors are independent of the past.
        blocks: Stretches of time of each pair's parts.
    """
    steps = np.arange(x.shape[1])
    start = max(lags, x.shape[1] - errors.shape[1])
    counted = (steps >= start) & (steps < lengths[:, None])
    count = counted.sum(1, keepdims=True)
    left = np.where(counted, np.pad(errors, ((0, 0), (x.shape[1] - errors.shape[1], 0))), 0)
    found: list[Pair] = []
    all_of_it = float((left**2).sum())
    for _ in range(ROUNDS):
        near, far = _strongest(x, left, lags)
        product = _back(x, near) * _back(x, far)
        product = np.where(counted, product - (product * counted).sum(1, keepdims=True) / count, 0)
        scale = (left**2).sum(1) * (product**2).sum(1) + TINY
        parts = stretches((left * product)[:, start:], blocks) / np.sqrt(scale)[:, None]
        share = float(np.mean(parts.sum(1) ** 2))
        chance = float(np.mean(np.maximum(((left * product) ** 2).sum(1) / scale, 1 / count[:, 0])))
        if (left**2).sum() <= EXACT * all_of_it or share - chance < max(MATTERS, IMPLIED * sum(p.share for p in found)):
            break
        if share < chance * chi2.isf(alpha / (NEAR * lags), 1):
            break
        found.append(Pair(near, far, share, chance, parts))
        left = _without_pair(x, left, counted, near, far)
    return tuple(found)


def _back(x: Array, lag: int) -> Array:
    """Return x (series, length) as it was `lag` steps before, after zeros."""
    return np.pad(x[:, : x.shape[1] - lag], ((0, 0), (lag, 0)))


def _without_pair(x: Array, left: Array, counted: NDArray[np.bool_], near: int, far: int) -> Array:
    """Return the errors less their means over a grid of the values at two steps back, each series its own."""
    again = left.copy()
    for row, one in enumerate(counted):
        cells = int(np.clip(one.sum() // CELL, 4, MOST_CELLS))
        bins = cells if near == far else int(np.sqrt(cells))
        values = [np.roll(x[row], lag)[one] for lag in (near, far)]
        codes = [np.searchsorted(np.quantile(v, np.arange(1, bins) / bins), v) for v in values]
        code = codes[0] * bins + codes[1]
        sums, size = np.bincount(code, left[row, one]), np.bincount(code)
        again[row, one] -= (sums / np.maximum(size, 1))[code]
    return again


def _strongest(x: Array, errors: Array, lags: int) -> tuple[int, int]:
    """Return the near and the far step of the pair with the largest mean squared moment."""
    size = next_fast_len(x.shape[1] + lags, real=True)
    past = np.conj(rfft(x, size))
    power = (errors**2).sum(1) * x.shape[1] + TINY
    moments = np.zeros((min(NEAR, lags) + 1, lags + 1))
    for near in range(1, len(moments)):
        weighted = errors.copy()
        weighted[:, near:] *= x[:, : x.shape[1] - near]
        weighted[:, :near] = 0
        sums = irfft(rfft(weighted, size) * past, size)[:, : lags + 1]
        moments[near, near:] = np.mean(sums**2 / power[:, None], axis=0)[near:]
    rivals = np.argwhere(moments >= TIED * moments.max())
    near, far = min(rivals.tolist(), key=lambda pair: (pair[1], pair[0]))
    return max(near, 1), max(far, 1)
