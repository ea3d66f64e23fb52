"""A sparse model for what linear models miss: single steps, and products of two steps, picked by a screen of all.

    z_ab = sum_i y_i x_ia x_ib / sqrt(n var(x_a x_b)),  x: ranks of a step over the series, and one constant

One matrix product screens every pair. A pair counts above what permuted labels give at most, over all pairs. This finds
a delayed exclusive or, where no single step tells anything. Cost: O(n S^2) a fold, class and permutation, S columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from profiles.dependence.ridge import Floats, Ints

TERMS = 16
RIDGE = 0.01
PERMUTATIONS = 10
SURE = 4.0
"""Standard deviations of the permuted maxima that a pair must lie above their mean."""


@dataclass(frozen=True)
class Columns:
    """Values of all series at aligned steps.

    Attributes:
        ranks: (N, S + 1) in -1 to 1; the last column is 1. A step that a series does not have is 0.
        steps: Step of each column (S + 1,); of the last column -1.
    """

    ranks: NDArray[np.float32]
    steps: Ints

    @classmethod
    def of(cls, values: np.ndarray, most: int, seed: int) -> "Columns":
        """Return ranks of aligned values (N, L, C); of more than `most` columns a random part."""
        n, length, channels = values.shape
        keep = np.arange(length * channels)
        if len(keep) > most:
            keep = np.sort(np.random.default_rng(seed).choice(keep, most, replace=False))
        ranks = (2 * rankdata(values.reshape(n, -1)[:, keep], axis=0) - n - 1) / n
        ranks[:, np.ptp(ranks, axis=0) == 0] = 0
        columns = np.concatenate([ranks, np.ones((n, 1))], axis=1).astype(np.float32)
        return cls(columns, np.append(keep // channels, -1))

    def scores(self, rows: Ints, targets: Floats) -> NDArray[np.float32]:
        """Return the largest |z| of each pair over the target columns (S + 1, S + 1), each pair once."""
        x = self.ranks[rows]
        squares = x**2
        variance = squares.T @ squares / len(x) - (x.T @ x / len(x)) ** 2
        scale = 1 / np.sqrt(np.where(variance > 1e-6, variance, np.inf) * len(x))
        best = np.zeros_like(scale)
        for target in targets[rows].T:
            y = (target - target.mean()) / max(float(target.std()), 1e-12)
            np.maximum(best, np.abs(x.T @ (y[:, None].astype(np.float32) * x) * scale), out=best)
        return np.triu(best)


class Screen:
    """The pairs that count, found once for each fold; then predictions from any span of steps are cheap.

    Args:
        columns: Values at aligned steps.
        codes: (N, K), centred.
        folds: Rows of each fold, seen neither by the screen nor by the fit.
        seed: Of the permutations.
    """

    def __init__(self, columns: Columns, codes: Floats, folds: Sequence[Ints], seed: int) -> None:
        self.columns, self.codes, self.folds = columns, codes, folds
        self.pairs: list[tuple[Ints, Ints]] = []
        every = np.arange(len(codes))
        asked = codes[:, 1:] if codes.shape[1] == 2 else codes
        floor = chance_score(columns, asked, seed)
        if columns.scores(every, asked).max() <= floor:
            return
        for rows in folds:
            scores = columns.scores(np.setdiff1d(every, rows), asked)
            a, b = np.nonzero(scores > floor)
            order = np.argsort(-scores[a, b], kind="stable")
            self.pairs.append((a[order], b[order]))

    def predictions(self, begin: int, end: int) -> Floats:
        """Return predictions of every row by a fit on other folds' rows and steps begin to end - 1, (N, K)."""
        predicted = np.zeros(self.codes.shape)
        for rows, (a, b) in zip(self.folds, self.pairs, strict=False):
            one, two = self.columns.steps[a], self.columns.steps[b]
            inside = (one >= begin) & (one < end) & ((two < 0) | ((two >= begin) & (two < end)))
            terms = np.flatnonzero(inside)[:TERMS]
            if not len(terms):
                continue
            train = np.setdiff1d(np.arange(len(self.codes)), rows)
            x = (self.columns.ranks[:, a[terms]] * self.columns.ranks[:, b[terms]]).astype(np.float64)
            x = (x - x[train].mean(0)) / np.maximum(x[train].std(0), 1e-6)
            y = self.codes[train] - self.codes[train].mean(0)
            weights = np.linalg.solve(x[train].T @ x[train] + RIDGE * len(train) * np.eye(len(terms)), x[train].T @ y)
            predicted[rows] = x[rows] @ weights + self.codes[train].mean(0)
        return predicted


def chance_score(columns: Columns, codes: Floats, seed: int) -> float:
    """Return the score that no pair reaches by chance, from permuted codes (N, K)."""
    rng = np.random.default_rng(seed)
    every = np.arange(len(codes))
    best = [columns.scores(every, codes[rng.permutation(every)]).max() for _ in range(PERMUTATIONS)]
    return float(np.mean(best) + SURE * np.std(best))
