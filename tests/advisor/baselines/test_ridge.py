"""The leave-one-out ridge: against scikit-learn and against leaving each row out."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from advisor.baselines.ridge import ALPHAS, leave_one_out_ridge, temperature


def problem(rows, features, outputs=3):
    random = np.random.default_rng(rows)
    x = random.normal(size=(rows, features)) + 2.0
    return x, x[:, :5] @ random.normal(size=(5, outputs)) + random.normal(size=(rows, outputs))


@pytest.mark.parametrize(("rows", "features"), [(20, 60), (60, 20), (30, 30), (12, 5000)])
def test_weights_and_alpha_equal_scikit_learns(rows, features):
    x, y = problem(rows, features)
    found = leave_one_out_ridge(x, y, ALPHAS)
    truth = RidgeCV(ALPHAS, scoring="neg_mean_squared_error").fit(x, y)
    assert found.alpha == truth.alpha_
    np.testing.assert_allclose(found.weight, truth.coef_.T, atol=1e-8)
    np.testing.assert_allclose(found.bias, truth.intercept_, atol=1e-7)


@pytest.mark.parametrize(("rows", "features"), [(12, 40), (40, 12)])
def test_left_out_predictions_are_those_of_fits_without_the_row(rows, features):
    x, y = problem(rows, features)
    found = leave_one_out_ridge(x, y, np.array([0.7]))
    for row in range(rows):
        kept = np.arange(rows) != row
        alone = Ridge(alpha=0.7, solver="svd").fit(x[kept], y[kept]).predict(x[[row]])[0]
        np.testing.assert_allclose(found.left_out[row], alone, atol=1e-6)


def test_features_that_never_change_predict_the_mean():
    y = np.array([[1.0], [2.0], [6.0]])
    found = leave_one_out_ridge(np.full((3, 8), 4.0), y, ALPHAS)
    np.testing.assert_allclose(np.full((1, 8), 9.0) @ found.weight + found.bias, [[3.0]], atol=1e-9)


def test_certain_decisions_are_heated_and_random_ones_cooled():
    labels = np.arange(60) % 3
    sure = 2.0 * np.eye(3)[labels] - 1
    assert temperature(sure, labels) > 10
    assert temperature(np.random.default_rng(0).normal(size=(60, 3)), labels) < 1
