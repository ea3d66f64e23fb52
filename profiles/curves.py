"""Cost against length: measured points, a fit, and the exponent of growth.

Fit: y = a + b L + c L^2 with a, b, c >= 0 and the least sum of squared relative errors, so that short lengths count as
much as long ones. Three numbers allow the exact answer: least squares on each of the 7 sets of terms, and of those
without a negative number the best. Three points choose two terms, so that the error is not 0 by construction. Two give
at most a line and one a constant, through the points: what those say of other lengths is not known.

Exponent: p of y ~ L^p over the longer half of the lengths, least squares in logs; the shorter half shows the cost of
starting, not growth.
"""

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEAST_POINTS = 3
"""With fewer the fit has no error to judge it by: it speaks for the measured lengths only."""
LEAST_FOR_GROWTH = 3
"""Points at the longer lengths that the exponent rests on, where there are as many."""


class Fit(BaseModel):
    """y = constant + linear L + quadratic L^2, in the unit of the curve."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    constant: float = Field(ge=0)
    linear: float = Field(ge=0)
    quadratic: float = Field(ge=0)
    exponent: float | None = None
    """p of y ~ L^p over the longer half of the lengths; None for a single length."""
    error_percent: float = Field(ge=0)
    """Root mean square of the relative errors at the measured lengths; with fewer than three 0, which says nothing."""

    def at(self, length: float) -> float:
        """Return y at a length."""
        return self.constant + self.linear * length + self.quadratic * length**2


class Curve(BaseModel):
    """One cost at several lengths, and its fit."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    lengths: tuple[int, ...] = Field(min_length=1)
    """Steps, increasing."""
    values: tuple[float, ...]
    """Cost at each length, above 0."""
    fit: Fit

    @property
    def is_judged(self) -> bool:
        """Return whether the fit rests on points enough for its error to say how good it is."""
        return len(self.lengths) >= LEAST_POINTS

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if len(self.values) != len(self.lengths) or min(self.values) <= 0:
            raise ValueError("a curve needs one value above 0 for each length.")
        if self.lengths[0] < 1 or any(a >= b for a, b in pairwise(self.lengths)):
            raise ValueError("the lengths of a curve must increase from at least 1.")
        return self

    def at(self, length: float) -> float:
        """Return the cost at a length: between two measured ones on the line in logs, beyond them on the fit.

        Beyond the measured lengths the fit is scaled so that it meets the curve at its end.
        """
        if length <= self.lengths[0]:
            return self.values[0] * self.fit.at(length) / self.fit.at(self.lengths[0])
        if length >= self.lengths[-1]:
            return self.values[-1] * self.fit.at(length) / self.fit.at(self.lengths[-1])
        right = next(i for i, measured in enumerate(self.lengths) if measured >= length)
        low, high = self.lengths[right - 1], self.lengths[right]
        share = math.log(length / low) / math.log(high / low)
        return math.exp((1 - share) * math.log(self.values[right - 1]) + share * math.log(self.values[right]))


def curve(lengths: Sequence[int], values: Sequence[float]) -> Curve:
    """Return the curve through measured points, with its fit.

    Args:
        lengths: Steps, increasing.
        values: Cost at each, above 0.

    Raises:
        ValueError: no points, not one value a length, values not above 0, or lengths that do not increase.
    """
    if not lengths or len(lengths) != len(values) or min(values) <= 0:
        raise ValueError(f"a curve needs one value above 0 for each length, got {list(values)} at {list(lengths)}.")
    return Curve(lengths=tuple(lengths), values=tuple(values), fit=fit(lengths, values))


def fit(lengths: Sequence[int], values: Sequence[float]) -> Fit:
    """Return the fit of values above 0 at lengths; see the module."""
    import numpy as np

    n, y = np.asarray(lengths, float), np.asarray(values, float)
    scale = n.max()
    terms = np.stack([np.ones_like(n), n / scale, (n / scale) ** 2], axis=1) / y[:, None]
    found: list[tuple[float, tuple[float, ...]]] = []
    usable, most = (3, min(3, len(n) - 1)) if len(n) >= LEAST_POINTS else (len(n), len(n))
    for count in range(1, most + 1):
        for chosen in combinations(range(usable), count):
            numbers = np.zeros(3)
            numbers[list(chosen)] = np.linalg.lstsq(terms[:, chosen], np.ones_like(y), rcond=None)[0]
            if (numbers >= 0).all():
                found.append((float(((terms @ numbers - 1) ** 2).mean()), tuple(float(v) for v in numbers)))
    error, (a, b, c) = min(found)
    return Fit(
        constant=a,
        linear=b / scale,
        quadratic=c / scale**2,
        exponent=exponent(lengths, values),
        error_percent=100 * math.sqrt(error) if len(n) >= LEAST_POINTS else 0.0,
    )


def exponent(lengths: Sequence[int], values: Sequence[float]) -> float | None:
    """Return p of y ~ L^p over the longer half of the lengths, by least squares in logs; None for one length."""
    most = min(len(lengths), max(LEAST_FOR_GROWTH, (len(lengths) + 1) // 2))
    if most < 2:
        return None
    x = [math.log(n) for n in lengths[-most:]]
    y = [math.log(v) for v in values[-most:]]
    mean_x, mean_y = sum(x) / most, sum(y) / most
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)
