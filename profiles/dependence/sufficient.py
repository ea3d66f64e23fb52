"""The smallest context that suffices, from credits of series: monotone curves, a noise margin, a bootstrap.

For each direction the quality over contexts k is made non-decreasing (isotonic regression). The reference is the
highest of these curves at the full length. k suffices where

    quality(k) >= reference - max(standard error of the paired difference to the best context, 2 % of the gain)

and the reach is where the curve crosses, interpolated on log k. The bootstrap draws series with replacement.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from profiles.dependence.ridge import Floats
from profiles.dependence.windows import DIRECTIONS, Direction, Part

RESAMPLES = 200
SMALL_SHARE = 0.02
"""A loss below this share of what the full series gains over chance is no loss."""


@dataclass(frozen=True)
class Reach:
    """The smallest sufficient context of one direction, in steps, with its interval (90 %)."""

    direction: Direction
    steps: float
    low: float
    high: float


class Contexts:
    """Credits of the parts looked at so far.

    Args:
        longest: Steps of the longest series; a part that long is the same from every direction.
        chance: Quality of a model that sees nothing.

    Attributes:
        credits: Of each part looked at (models, N).
        floor: Quality that permuted labels seldom exceed on a part; of the first grid only.
    """

    def __init__(self, longest: int, chance: float) -> None:
        self.longest, self.chance = longest, chance
        self.credits: dict[Part, Floats] = {}
        self.floor: dict[Part, float] = {}

    def add(self, parts: Sequence[Part], credits: Sequence[Floats]) -> None:
        """Keep the credits (models, N) of parts."""
        self.credits |= dict(zip(parts, credits, strict=True))

    def along(self, direction: Direction) -> list[Part]:
        """Return the parts of a direction, shortest first, with the full series last."""
        own = sorted(p for p in self.credits if p.direction == direction and p.steps < self.longest)
        return [*own, full_part(self.longest)]

    def quality(self, part: Part) -> float:
        """Return the quality of the best model on the part."""
        return float(self.credits[part].mean(axis=1).max())

    def best(self) -> Floats:
        """Return the credit (N,) of the best model on the best part."""
        return max((c[np.argmax(c.mean(1))] for c in self.credits.values()), key=lambda c: float(c.mean()))

    def enough(self, reach: Reach) -> Part:
        """Return the shortest part looked at that holds the reach."""
        along = self.along(reach.direction)
        return next((part for part in along if part.steps >= reach.steps - 0.5), along[-1])

    def qualities(self, weights: Floats) -> dict[Part, Floats]:
        """Return the quality of the best model for each part (B,), under weights of the series (B, N)."""
        return {part: (weights @ credit.T).max(axis=1) for part, credit in self.credits.items()}

    def margins(self) -> dict[Part, float]:
        """Return what each part may lose and still suffice."""
        best = {part: credit[np.argmax(credit.mean(1))] for part, credit in self.credits.items()}
        top = self.best()
        least = SMALL_SHARE * max(float(top.mean()) - self.chance, 0.0)
        return {part: max(float((top - c).std() / np.sqrt(len(c))), least) for part, c in best.items()}

    def surplus(self, qualities: dict[Part, float], margins: dict[Part, float]) -> dict[Direction, Floats]:
        """Return for each direction by how much each context suffices; below 0 it does not."""
        smooth = {d: isotonic_regression([qualities[p] for p in self.along(d)]).x for d in DIRECTIONS}
        reference = max(curve[-1] for curve in smooth.values())
        return {d: smooth[d] + [margins[p] for p in self.along(d)] - reference for d in DIRECTIONS}

    def bracket(self, direction: Direction) -> tuple[int, int]:
        """Return the longest context that does not suffice, 0 where all do, and the shortest that does."""
        n = next(iter(self.credits.values())).shape[1]
        quality = {p: float(q[0]) for p, q in self.qualities(np.full((1, n), 1 / n)).items()}
        enough = self.surplus(quality, self.margins())[direction] >= 0
        steps = [part.steps for part in self.along(direction)]
        first = int(np.argmax(enough)) if enough.any() else len(steps) - 1
        return (steps[first - 1] if first else 0), steps[first]

    def reaches(self) -> list[Reach]:
        """Return the reach of every direction: median and interval (90 %) over resamples of the series."""
        n = next(iter(self.credits.values())).shape[1]
        weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
        qualities, margins = self.qualities(weights), self.margins()
        found: dict[Direction, list[tuple[float, float, float]]] = {d: [] for d in DIRECTIONS}
        for b in range(RESAMPLES):
            surplus = self.surplus({p: float(q[b]) for p, q in qualities.items()}, margins)
            for direction in DIRECTIONS:
                steps = [part.steps for part in self.along(direction)]
                found[direction].append(crossing(steps, surplus[direction]))
        reaches = []
        for direction in DIRECTIONS:
            low, steps, high = np.array(found[direction]).T
            ends = float(np.quantile(low, 0.05)), float(np.quantile(high, 0.95))
            reaches.append(Reach(direction, float(np.median(steps)), *ends))
        return reaches


def full_part(longest: int) -> Part:
    """Return the whole series as a part."""
    return Part("from the end", longest)


def crossing(steps: Sequence[int], surplus: Floats) -> tuple[float, float, float]:
    """Return the context at which the surplus reaches 0, interpolated on log steps, between the ends of its bracket.

    The last context where the surplus stays below 0, the first where it never is.
    """
    enough = np.flatnonzero(surplus >= 0)
    at = int(enough[0]) if len(enough) else len(steps) - 1
    if at == 0 or not len(enough):
        return (float(steps[at]),) * 3
    below, above = float(surplus[at - 1]), float(surplus[at])
    low, high = np.log(steps[at - 1]), np.log(steps[at])
    middle = float(np.exp(low + (high - low) * -below / (above - below)))
    return float(steps[at - 1] + 1), max(middle, float(steps[at - 1])), float(steps[at])
