"""Fold scores of a forecaster whose weights the same folds picked: each fold is answered by the look the others pick.

A training keeps the weights of its best look. Where few origins judge, that look is best by luck as well, so its score
is too good, and a network seems better than a baseline, which nothing picks. So the answers of every look are kept, and
fold k is answered as of the look that was best on the mean of the other folds (cross-validation over folds). With many
origins the luck is small, and nothing is kept.
"""

import numpy as np

from advisor import metrics
from advisor.data.rows import Rows
from advisor.search.problem import Answer, answers_to
from profiles.task import Task

MOST_UNITS = 300
"""Judged origins of all folds together, over all series, above which picking one look of some twenty gains nothing."""


class HeldLooks:
    """The answers of every look at a training, to few units.

    Args:
        task: What is asked.
        parts: Fold -> the units that are asked for.
    """

    def __init__(self, task: Task, parts: dict[int, Rows]) -> None:
        self._task, self._parts = task, parts
        self._answers: list[dict[int, np.ndarray]] = []
        self._qualities: list[dict[int, float]] = []

    def look(self, answer: Answer) -> float:
        """Ask for all units now; return the mean quality over the folds."""
        answers = {k: answers_to(answer, rows) for k, rows in self._parts.items()}
        units = {k: metrics.units(self._task, answers[k], rows.y, rows.scale) for k, rows in self._parts.items()}
        self._answers.append(answers)
        self._qualities.append({k: metrics.summarise(self._task, scores) for k, scores in units.items()})
        return float(np.mean(list(self._qualities[-1].values())))

    def answers(self) -> dict[int, np.ndarray]:
        """Return the answers to each fold as of the look that was best on the others; of equal looks the later."""
        sign = -1.0 if metrics.METRICS[self._task].higher_is_better else 1.0
        found = {}
        for k in self._parts:
            others = [sign * float(np.mean([q for j, q in one.items() if j != k])) for one in self._qualities]
            found[k] = self._answers[max(i for i, value in enumerate(others) if value == min(others))][k]
        return found


def held_looks(task: Task, parts: dict[int, Rows], goes_on: bool) -> HeldLooks | None:
    """Return where to keep the looks of a training; None where there is nothing to gain, or earlier looks are gone."""
    few = sum(map(len, parts.values())) <= MOST_UNITS
    return HeldLooks(task, parts) if task == "forecast" and few and len(parts) > 1 and not goes_on else None
