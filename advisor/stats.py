"""Whether a difference between two candidates is more than chance, from their scores on the same folds."""

import math

import numpy as np
from scipy import stats


def corrected_t(differences: np.ndarray, train_share: float) -> float:
    """Return the two-sided p-value of the corrected resampled t-test (Nadeau and Bengio 2003).

    Args:
        differences: Score of A minus score of B on each of k folds.
        train_share: Share of the data that a fold's models are trained on; the rest judges.

    Fewer than two folds cannot tell: the answer is 1. Equal on all folds: 1.
    """
    k = len(differences)
    if k < 2 or np.allclose(differences, 0):
        return 1.0
    variance = float(np.var(differences, ddof=1))
    if variance == 0:
        return 0.0
    ratio = (1 - train_share) / train_share
    t = float(np.mean(differences)) / math.sqrt((1 / k + ratio) * variance)
    return float(2 * stats.t.sf(abs(t), k - 1))


def holm(p_values: list[float], among: int | None = None) -> list[float]:
    """Return the p-values adjusted for their number (Holm 1979), in the order given.

    Args:
        p_values: Of the tests that are asked about.
        among: Tests that the smallest stands out of, if more than these: K contenders compared with the one that the
            same scores made the best are judged as all K (K - 1) / 2 pairs are, or equal ones look different too often.
    """
    order = np.argsort(p_values)
    number = max(among or 0, len(p_values))
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (number - rank) * p_values[int(i)]))
        adjusted[int(i)] = highest
    return adjusted
