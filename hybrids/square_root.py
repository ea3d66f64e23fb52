"""The signed square root and its inverse: a target whose changes grow with its level changes alike at every level.

    root(y) = sign(y) sqrt|y|,  square(u) = u |u|

For counts it makes the variance independent of the mean (Bartlett 1936; the power 1/2 of Box and Cox 1964); it is
monotone, so quantiles stay quantiles.
"""

from torch import Tensor


def signed_root(y: Tensor) -> Tensor:
    """Return sign(y) sqrt|y|, of the shape of y."""
    return y.sign() * y.abs().sqrt()


def signed_square(u: Tensor) -> Tensor:
    """Return u |u|, of the shape of u: the inverse of `signed_root`."""
    return u * u.abs()
