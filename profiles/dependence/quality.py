"""How well cheap models tell the label from a part of the series: credit series by series, and what chance gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from profiles.dependence.pairs import Columns, Screen
from profiles.dependence.ridge import (
    Floats,
    Ints,
    deal,
    gaussian_kernel,
    held_out_predictions,
    inverses,
    linear_kernel,
    standard,
)
from profiles.dependence.windows import DIRECTIONS, TAPS, Direction, Part, Stack, interval_statistics, positive_shares

FOLDS, REPEATS = 10, 8
CHANCE_REPEATS = 2
SCREEN_FOLDS = 5
FOLD_SEED = 0
PASSES = 32
"""Operations of one screen for each pair, series and class: folds and permutations, one multiplication and addition."""
PERMUTATIONS = 40
TIE = 1e-9
"""Scores of two classes that differ by less are equal, and the first class is told: rounding must not decide."""


@dataclass(frozen=True)
class Target:
    """The label as numbers to fit.

    Attributes:
        codes: (N, K): one column a class, or one column with the ranks of the numbers; centred.
        classes: Class of each series (N,), None for numbers.
    """

    codes: Floats
    classes: Ints | None

    @classmethod
    def of(cls, labels: np.ndarray, classify: bool) -> "Target":
        """Return class indices or numbers (N,) as a target."""
        if not classify:
            ranks = rankdata(labels) - (len(labels) + 1) / 2
            return cls((ranks / max(float(ranks.std()), 1e-12))[:, None], None)
        classes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
        codes = np.eye(classes.max() + 1)[classes]
        return cls(codes - codes.mean(0), classes)

    def blind(self) -> float:
        """Return the quality of a model that sees nothing: one in K classes, no variance of numbers."""
        return 1 / self.codes.shape[1] if self.classes is not None else 0.0

    def credit(self, predicted: Floats, order: Ints) -> Floats:
        """Return what each series adds to the quality (N,), mean over repeats; the mean over series is the quality.

        Classes: 1 where right, weighted so that every class counts the same (balanced accuracy). Numbers: 1 minus the
        squared error over the variance (share of the variance of the ranks that is explained).

        Args:
            predicted: (repeats, N, K).
            order: Which row's label each row was given; `arange(N)`: its own.
        """
        if self.classes is None:
            return np.asarray(1 - ((predicted - self.codes[order]) ** 2)[..., 0].mean(0))
        counts = np.bincount(self.classes)
        scores = predicted / np.sqrt(counts)
        told = np.argmax(scores >= scores.max(axis=2, keepdims=True) - TIE, axis=2)
        truth = self.classes[order]
        return np.asarray((told == truth).mean(0) * (len(truth) / len(counts) / counts[truth]), np.float64)


class Judge:
    """Quality of cheap models on any part of the series.

    Args:
        stack: The series.
        target: Their labels.
        operations: About how many the screen of pairs may take; beyond it a random part of the steps is screened.
        seed: Of the permutations and of the steps screened. The folds are always the same ones.
    """

    def __init__(self, stack: Stack, target: Target, operations: float, seed: int) -> None:
        self.stack, self.target, self.seed = stack, target, seed
        n, classes = target.codes.shape
        rng = np.random.default_rng(seed)
        self.own = np.arange(n)
        self.orders = [rng.permutation(n) for _ in range(PERMUTATIONS)]
        self.permuted = np.concatenate([target.codes[order] for order in self.orders], axis=1)
        order = target.codes[:, 0] if target.classes is None else target.classes
        self.dealt = deal(order, min(FOLDS, n), REPEATS, FOLD_SEED)
        dealt = deal(order, min(SCREEN_FOLDS, n), 1, FOLD_SEED)[0]
        self.screen_folds = [np.flatnonzero(dealt == fold) for fold in range(dealt.max() + 1)]
        self.directions = DIRECTIONS if stack.lengths.min() < stack.values.shape[1] else DIRECTIONS[:1]
        asked = 1 if classes <= 2 else classes
        self.most_columns = 16 + int(np.sqrt(operations / (PASSES * n * asked * len(self.directions))))
        self.screens = self._screens(stack)
        whole = stack.values.shape[1] * stack.values.shape[2]
        self.notes = (
            [f"Pairs were screened among {self.most_columns} of {whole} values, drawn at random."]
            if whole > self.most_columns
            else []
        )

    def judge(
        self, parts: Sequence[Part], stack: Stack | None = None, with_chance: bool = False
    ) -> tuple[list[Floats], Floats]:
        """Return for each part the credit of each model and series (models, N), and the chance (permutations, parts).

        Args:
            parts: What the models are shown.
            stack: Other series to judge, in the same order; None: the own.
            with_chance: Whether to ask what chance gives; otherwise the second result has no columns.
        """
        screens = self.screens if stack is None else self._screens(stack)
        stack = stack or self.stack
        longest, found, chance = stack.values.shape[1], [], []
        for part, kernels in zip(parts, self._kernels(parts, stack), strict=True):
            fits = [inverse for kernel in kernels for inverse in inverses(kernel)]
            credits = [
                self.target.credit(held_out_predictions(inverse, self.target.codes, self.dealt), self.own)
                for inverse in fits
            ]
            begin = part.first(longest)
            predicted = screens[part.direction].predictions(begin, begin + part.steps)
            found.append(np.array([*credits, self.target.credit(predicted[None], self.own)]))
            if with_chance:
                chance.append(self.chance(fits))
        return found, np.array(chance).reshape(len(chance), PERMUTATIONS).T

    def chance(self, fits: Sequence[Floats]) -> Floats:
        """Return the quality of the best model (`inverses`) on each permutation of the labels (permutations,)."""
        classes = self.target.codes.shape[1]
        found = np.full(PERMUTATIONS, self.target.blind())
        for inverse in fits:
            predicted = held_out_predictions(inverse, self.permuted, self.dealt[:CHANCE_REPEATS])
            for i, order in enumerate(self.orders):
                credit = self.target.credit(predicted[:, :, i * classes : (i + 1) * classes], order)
                found[i] = max(found[i], float(credit.mean()))
        return found

    def _kernels(self, parts: Sequence[Part], stack: Stack) -> Iterator[list[Floats]]:
        for part, shares in zip(parts, positive_shares(stack, parts), strict=True):
            values = linear_kernel(standard(stack.flat(part).reshape(len(stack.lengths), -1)))
            kernels = [values, gaussian_kernel(values)]
            kernels.append(gaussian_kernel(linear_kernel(standard(interval_statistics(stack, part)))))
            if part.steps >= TAPS and shares.shape[1]:
                kernels.append(linear_kernel(standard(shares)))
            yield kernels

    def _screens(self, stack: Stack) -> dict[Direction, Screen]:
        """Return one screen a direction; series of equal length are aligned in every direction alike."""
        longest = stack.values.shape[1]
        screens = {}
        for d in self.directions:
            columns = Columns.of(stack.flat(Part(d, longest)), self.most_columns, self.seed)
            screens[d] = Screen(columns, self.target.codes, self.screen_folds, FOLD_SEED)
        return {d: screens.get(d, screens[DIRECTIONS[0]]) for d in DIRECTIONS}
