"""Parts of labelled series, and cheap descriptions of them: values, interval statistics, random convolutions.

A part is the last, first or middle k steps of each series. Every description of a part reads nothing outside it.
Sources: interval statistics as in Deng et al. 2013 (time series forest, arXiv:1302.2277); shares of positive
convolutions with fixed kernels of 9 weights as in Dempster et al. 2021 (MiniRocket, arXiv:2012.08791).
Cost: O(N L C) for the statistics, O(N L) for each kernel and dilation, whatever the number of parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiles.dependence.ridge import Floats, Ints

Direction = Literal["from the end", "from the start", "from the middle"]
DIRECTIONS: tuple[Direction, ...] = ("from the end", "from the start", "from the middle")

TAPS = 9
DILATIONS = 7
MIXTURES = 12
THRESHOLD_SERIES = 32
"""Series, spread over the set, whose convolutions give the thresholds."""
THRESHOLD_STEPS = 2000
CHUNK = 4000
"""Steps that are convolved at a time: the products stay in the cache."""
PARTS = (1, 2, 4)
"""A window is described as a whole, in halves and in quarters."""
GOLDEN = 0.618034
"""Multiples of the golden ratio spread the thresholds of the kernels evenly over their quantiles."""


class Part(NamedTuple):
    """The part of each series that a model is shown: k steps counted as `direction` says."""

    direction: Direction
    steps: int

    def first(self, longest: int) -> int:
        """Return the index at which the part begins in a series of `longest` steps."""
        return {"from the end": longest - self.steps, "from the start": 0}.get(
            self.direction, (longest - self.steps) // 2
        )


@dataclass(frozen=True)
class Stack:
    """Series of unequal length in one array.

    Attributes:
        values: (N, L, C), each series from index 0, zeros behind its end; each channel has mean 0 and scale 1.
        lengths: Steps of each series (N,).
    """

    values: NDArray[np.float32]
    lengths: Ints

    @classmethod
    def of(cls, series: Sequence[np.ndarray]) -> "Stack":
        """Return series of shapes (length, channels), standardised channel by channel."""
        lengths = np.array([len(one) for one in series], np.int64)
        values = np.zeros((len(series), int(lengths.max()), series[0].shape[1]), np.float64)
        for i, one in enumerate(series):
            values[i, : len(one)] = one
        known = values[np.arange(values.shape[1]) < lengths[:, None]]
        mean, scale = known.mean(0), known.std(0)
        scale[scale <= 1e-9 * (1 + np.abs(mean))] = np.inf
        values = (values - mean) / scale
        values[np.arange(values.shape[1]) >= lengths[:, None]] = 0
        return cls(values.astype(np.float32), lengths)

    def begins(self, part: Part) -> Ints:
        """Return the index of the first step of the part (N,); below 0 where a series is shorter than the part."""
        longest = self.values.shape[1]
        spare = self.lengths - longest
        shift = {"from the end": spare, "from the start": 0 * spare}.get(part.direction, spare // 2)
        return np.asarray(shift + part.first(longest), np.int64)

    def bounds(self, part: Part) -> tuple[Ints, Ints]:
        """Return first step and end of the part within each series, two of (N,)."""
        begins = self.begins(part)
        return np.maximum(begins, 0), np.minimum(begins + part.steps, self.lengths)

    def flat(self, part: Part) -> NDArray[np.float32]:
        """Return the values of the part (N, steps, C), aligned as its direction says, zeros where a series has none."""
        at = self.begins(part)[:, None] + np.arange(part.steps)
        known = (at >= 0) & (at < self.lengths[:, None])
        return np.take_along_axis(self.values, np.where(known, at, 0)[..., None], axis=1) * known[..., None]

    def shuffled(self, windows: int, seed: int) -> "Stack":
        """Return every series cut into `windows` equal windows, which are put in random order; 0: every step moves."""
        rng = np.random.default_rng(seed)
        values = self.values.copy()
        for row, length in zip(values, self.lengths, strict=True):
            place = np.arange(length) * min(windows or length, length) // length
            row[:length] = row[np.argsort(rng.permutation(length)[place], kind="stable")]
        return replace(self, values=values)


def interval_statistics(stack: Stack, part: Part) -> Floats:
    """Return mean, spread, slope and roughness of the part, its halves and quarters, (N, 28 C)."""
    x = stack.values.astype(np.float64)
    time = np.arange(x.shape[1])[None, :, None] / x.shape[1]
    change = np.diff(x, axis=1, prepend=x[:, :1]) ** 2
    sums = [np.pad(np.cumsum(a, axis=1), ((0, 0), (1, 0), (0, 0))) for a in (x, x**2, time * x, change)]
    lo, hi = stack.bounds(part)
    rows = np.arange(len(x))
    columns = []
    for parts in PARTS:
        cuts = [lo + (hi - lo) * j // parts for j in range(parts + 1)]
        for a, b in pairwise(cuts):
            count = np.maximum(b - a, 1)[:, None]
            mean, square, cross = ((s[rows, b] - s[rows, a]) / count for s in sums[:3])
            inner = np.minimum(a + 1, b)
            rough = (sums[3][rows, b] - sums[3][rows, inner]) / np.maximum(b - inner, 1)[:, None]
            centre = (a + b - 1)[:, None] / 2 / x.shape[1]
            across = np.maximum(count**2 - 1, 1) / 12 / x.shape[1] ** 2
            spread = np.sqrt(np.maximum(square - mean**2, 0))
            columns += [mean, np.log(spread + 1e-2), (cross - centre * mean) / across, np.log(np.sqrt(rough) + 1e-2)]
    return np.concatenate(columns, axis=1)


def positive_shares(stack: Stack, parts: Sequence[Part]) -> list[Floats]:
    """Return for each part the share of its steps at which each kernel is above its threshold, each (N, F).

    84 kernels of 9 weights (three 2, six -1) at up to 7 dilations; each reads a random mixture of the channels. A
    threshold is a quantile of what its kernel gives on all series. A kernel wider than the part gives 0.
    """
    n, length, channels = stack.values.shape
    rng = np.random.default_rng(0)
    heavy = np.array(list(combinations(range(TAPS), 3)))
    kernels = np.full((TAPS, len(heavy)), -1.0, np.float32)
    kernels[heavy.T, np.arange(len(heavy))] = 2.0
    bounds = [stack.bounds(part) for part in parts]
    widest = max(part.steps for part in parts)
    levels = [level for level in range(DILATIONS) if (TAPS - 1) << level < min(length, widest)]
    shares = [np.zeros((n, len(levels), len(heavy))) for _ in parts]
    for level in levels:
        span = (TAPS - 1) << level
        places = length - span
        groups = np.array_split(np.arange(len(heavy)), min(channels, MIXTURES))
        mixtures = (rng.random((len(groups), channels)) < 1 / np.sqrt(channels)) * rng.choice([-1.0, 1.0], channels)
        mixtures[np.arange(len(groups)), rng.integers(channels, size=len(groups))] = 1.0

        def convolved(
            rows: Ints,
            places: int = places,
            level: int = level,
            groups: Sequence[Ints] = groups,
            mixtures: Floats = mixtures,
        ) -> NDArray[np.float32]:
            above = np.empty((len(rows), places, len(heavy)), np.float32)
            for group, mixture in zip(groups, mixtures, strict=True):
                one = stack.values[rows] @ mixture.astype(np.float32)
                taps = np.stack([one[:, j << level : (j << level) + places] for j in range(TAPS)], axis=2)
                above[:, :, group] = taps @ kernels[:, group]
            return above

        sample = np.unique(np.linspace(0, n - 1, THRESHOLD_SERIES).astype(np.int64))
        inside = np.arange(places) < np.maximum(stack.lengths[sample] - span, 1)[:, None]
        looked = convolved(sample)[inside]
        looked = np.sort(looked[:: 1 + len(looked) // THRESHOLD_STEPS], axis=0)
        share = (np.arange(1, len(heavy) + 1) * GOLDEN + level * GOLDEN**2) % 1
        threshold = looked[(share * len(looked)).astype(int), np.arange(len(heavy))]
        for rows in np.array_split(np.arange(n), min(n, 1 + n * places // CHUNK)):
            counts = np.zeros((len(rows), places + 1, len(heavy)), np.int32)
            np.cumsum(convolved(rows) > threshold, axis=1, out=counts[:, 1:])
            every = np.arange(len(rows))
            for result, (lo, hi) in zip(shares, bounds, strict=True):
                begin = np.minimum(lo[rows], places)
                end = np.clip(hi[rows] - span, begin, places)
                result[rows, level] = (counts[every, end] - counts[every, begin]) / np.maximum(end - begin, 1)[:, None]
    return [one.reshape(n, -1) for one in shares]
