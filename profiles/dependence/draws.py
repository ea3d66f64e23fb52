"""Draws of the data: what is judged once for the data as they are and once for each resample of them.

A partial correlation, or the moment of a pair, is a sum over stretches of time; a draw counts each stretch, or each
series where there are ten and more, as often as it was drawn. Nothing is measured again.

Cost: one product of (lags, series, blocks) with the weights. Source: Kuensch, The jackknife and the bootstrap for
general stationary observations, Annals of Statistics 17 (1989).
"""

from dataclasses import dataclass

import numpy as np

from profiles.dependence import interactions
from profiles.dependence.farthest import Evidence
from profiles.dependence.interactions import Pair
from profiles.dependence.partial import Array, Partial

LEAST_SERIES = 10
"""Fewer are resampled in time."""


@dataclass(frozen=True)
class Draw:
    """How often each series and each stretch of time counts.

    Attributes:
        series: (series,), adds up to 1.
        times: (blocks,), 1 on average.
        noise: Times what chance gives: resampled stretches carry the noise of the data and that of the draw.
    """

    series: Array
    times: Array
    noise: float

    @classmethod
    def all_of(cls, count: int, blocks: int) -> "Draw":
        """Return the data as they are."""
        return cls(np.full(count, 1 / count), np.ones(blocks), 1.0)

    @classmethod
    def again(cls, count: int, blocks: int, rng: np.random.Generator) -> "Draw":
        """Return a resample of the series if they are many, of the stretches of time if not."""
        same = cls.all_of(count, blocks)
        if count >= LEAST_SERIES:
            return cls(rng.multinomial(count, same.series) / count, same.times, 1.0)
        return cls(same.series, rng.multinomial(blocks, same.times / blocks).astype(np.float64), 2.0)

    def squares(self, parts: Array) -> Array:
        """Return the mean squared correlations (...) of parts (..., series, blocks)."""
        return np.asarray(np.minimum((parts @ self.times) ** 2 @ self.series, 1))

    def stands(self, pair: Pair) -> bool:
        """Return whether a pair that was found still removes enough."""
        return float(self.squares(pair.parts)) - self.noise * pair.chance >= interactions.MATTERS


@dataclass(frozen=True)
class Measured:
    """Everything that is judged, for the data and for each resample.

    Attributes:
        passes: Of each horizon, one step ahead first, without seasonal patterns.
        seasonal: For each known period, with all patterns.
        known: Periods at which the series repeat.
        series: How many of them vary independently, by variance and by skewness.
    """

    passes: list[Partial]
    seasonal: dict[int, list[Partial]]
    known: list[int]
    series: tuple[float, float]

    def evidence(self, draw: Draw) -> list[Evidence]:
        """Return what the steps of the past add at each horizon."""
        return [self._drawn(one, draw) for one in self.passes]

    def standing(self, draw: Draw) -> list[int]:
        """Return the known periods that add to a forecast."""
        drawn = {id(one): self._drawn(one, draw) for ones in self.seasonal.values() for one in ones}
        return [p for p, ones in self.seasonal.items() if any(drawn[id(one)].season_adds(p) for one in ones)]

    def _drawn(self, one: Partial, draw: Draw) -> Evidence:
        return Evidence(one.horizon, draw.squares(one.parts), draw.noise * one.chance, *self.series, len(self.passes))
