"""Kernel ridge regression, cross-validated in closed form: one inverse serves every fold and every permuted target.

    A = (K + alpha I)^-1        e_f = (A_ff)^-1 (A y)_f      the errors on fold f of a fit on all other rows

Equal to a fit for each fold (scikit-learn's KernelRidge; An, Liu and Venkatesh 2007, "Fast cross-validation algorithms
for least squares support vector machine and kernel ridge regression"). Cost: O(n^3) a strength, not a fold.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STRENGTHS = (0.01, 0.1, 1.0)
"""Ridge strengths, as shares of the mean diagonal of the kernel."""


def standard(features: np.ndarray) -> Floats:
    """Return (N, F) features with mean 0 and scale 1; a constant one becomes 0."""
    centred = features.astype(np.float64) - features.mean(0)
    scale = centred.std(0)
    return np.asarray(centred / np.where(scale > 1e-9, scale, np.inf), np.float64)


def linear_kernel(features: np.ndarray) -> Floats:
    """Return products of the rows (N, N), mean diagonal 1."""
    products = features @ features.T
    return np.asarray(products / max(float(np.trace(products)) / len(products), 1e-12), np.float64)


def gaussian_kernel(products: Floats) -> Floats:
    """Return exp(-d^2 / median d^2) of the rows behind a linear kernel (N, N)."""
    square = np.diag(products)
    distance = np.maximum(square[:, None] + square - 2 * products, 0)
    middle = float(np.median(distance))
    return np.exp(-distance / (middle if middle > 0 else 1.0))


def deal(target: np.ndarray, folds: int, repeats: int, seed: int) -> Ints:
    """Return the fold of each row (repeats, N); classes, or low and high numbers, are dealt out evenly."""
    rng = np.random.default_rng(seed)
    dealt = np.empty((repeats, len(target)), np.int64)
    for one in dealt:
        one[np.lexsort((rng.random(len(target)), target))] = np.arange(len(target)) % folds
    return dealt


def inverses(kernel: Floats) -> list[Floats]:
    """Return the inverse of the kernel plus each ridge strength, each (N, N).

    Args:
        kernel: (N, N), mean diagonal about 1. A constant is added for the intercept.
    """
    ridges = [kernel + 1.0 + strength * np.eye(len(kernel)) for strength in STRENGTHS]
    return [np.asarray(np.linalg.inv(ridge), np.float64) for ridge in ridges]


def held_out_predictions(inverse: Floats, targets: Floats, dealt: Ints) -> Floats:
    """Return predictions of the rows that the fit did not see, (repeats, N, columns).

    Targets are subtracted on the way, so a prediction knows its own row's target by rounding: judge none by less.

    Args:
        inverse: One of `inverses` (N, N).
        targets: (N, columns), centred.
        dealt: Fold of each row (repeats, N).
    """
    n = len(inverse)
    folds = [np.flatnonzero(one == fold) + n * r for r, one in enumerate(dealt) for fold in range(one.max() + 1)]
    fitted = inverse @ targets
    predicted = np.empty((len(dealt) * n, targets.shape[1]))
    for size in sorted({len(rows) for rows in folds}):
        places = np.stack([rows for rows in folds if len(rows) == size])
        rows = places % n
        blocks = inverse[rows[:, :, None], rows[:, None, :]]
        predicted[places] = targets[rows] - np.linalg.inv(blocks) @ fitted[rows]
    return predicted.reshape(len(dealt), n, -1)
