"""What several tests of the search are about."""

import numpy as np
import pytest

from advisor.data.rows import Rows
from advisor.data.stack import SeriesStack
from advisor.search.problem import Plan, Problem


@pytest.fixture
def ten_rows():
    """Return the problem of ten series of two classes, judged by two folds."""
    plan = Plan(task="classify", channels=1, classes=2, folds=2, length=20, test_words="t")
    labels = np.arange(10) % 2
    rows = Rows(np.zeros((10, 20, 1), np.float32), np.full(10, 20), labels, np.ones(10), np.arange(10))
    return Problem(plan, rows, labels, SeriesStack.of([]), np.zeros(0), rows)
