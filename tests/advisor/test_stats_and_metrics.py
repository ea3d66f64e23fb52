"""Closed forms of the metrics, and a test that does not cry wolf."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor import metrics
from advisor.stats import corrected_t, holm


def test_accuracy_is_the_share_of_hits():
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    scores = metrics.units("classify", logits, np.array([0, 1, 1]))
    assert metrics.summarise("classify", scores) == 2 / 3


def test_rmse_is_the_root_of_the_mean_square():
    scores = metrics.units("regress", np.array([1.0, 5.0]), np.array([0.0, 2.0]))
    assert np.isclose(metrics.summarise("regress", scores), np.sqrt(5.0))


def test_seasonal_naive_inside_the_history_has_mase_one():
    history = np.array([0.0, 1.0, 2.0, 5.0, 1.0, 7.0])
    scale = metrics.seasonal_scale(history, 2)
    forecast = np.repeat(history[:-2][None, :, None], 3, axis=2)
    assert np.isclose(metrics.units("forecast", forecast, history[2:][None], np.array([scale]))[0], 1.0)


@pytest.mark.parametrize("level", [0.0, 1.0, 1e6])
def test_a_flat_or_short_history_has_no_unit_and_one_that_repeats_its_season_that_of_its_steps(level):
    assert np.isnan(metrics.seasonal_scale(np.full(50, level, np.float32), 7))
    assert np.isnan(metrics.seasonal_scale(np.full(1, level), 1))
    assert metrics.seasonal_scale(level + np.tile([0.0, 4.0], 9), 2) == 4.0


def test_one_or_two_units_give_no_interval():
    one, two, three = (metrics.measured("forecast", np.arange(1.0, n + 1), "x") for n in (1, 2, 3))
    assert (one.value, one.low, one.high, two.low) == (1.0, None, None, None) and three.low < three.high
    stretches = np.repeat([0, 1], 20)
    assert metrics.measured("forecast", np.arange(40.0), "x", groups=stretches).low is None


def test_steps_without_truth_do_not_count():
    forecast = np.zeros((1, 2, 3))
    assert metrics.units("forecast", forecast, np.array([[1.0, np.nan]]), np.array([1.0]))[0] == 1.0


def test_an_answer_that_is_no_number_is_not_left_out_where_there_is_truth():
    forecast = np.array([[[1.0], [np.nan]], [[np.nan], [2.0]]])
    truth = np.array([[2.0, np.nan], [2.0, 2.0]])
    scores = metrics.units("forecast", forecast, truth, np.ones(2))
    assert scores[0] == 1.0 and np.isnan(scores[1])


def test_the_interval_holds_the_value_and_shrinks_with_the_sample():
    few = metrics.measured("classify", np.tile([1.0, 0.0], 20), "x")
    many = metrics.measured("classify", np.tile([1.0, 0.0], 2000), "x")
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_units_of_one_group_are_drawn_together():
    scores = np.concatenate([np.zeros(50), np.ones(50)])
    alone = metrics.measured("classify", scores, "x")
    together = metrics.measured("classify", scores, "x", groups=np.repeat([0, 1], 50))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_perfect_accuracy_has_an_interval_with_a_width():
    z2 = 1.959963984540054**2
    for n in (5, 20, 150):  # closed form at the ends: n / (n + z^2)
        perfect, never = (metrics.measured("classify", np.full(n, hit), "x") for hit in (1.0, 0.0))
        assert perfect.high == 1.0 and np.isclose(perfect.low, n / (n + z2))
        assert never.low == 0.0 and np.isclose(never.high, z2 / (n + z2))


def test_cases_of_one_subject_are_one_trial_of_an_accuracy():
    scores = np.repeat([1.0, 1.0, 0.0, 1.0], 5)
    by_subject = metrics.measured("classify", scores, "x", groups=np.repeat(np.arange(4), 5))
    assert (by_subject.low, by_subject.high) == metrics.wilson_interval(0.75, 4)


@given(st.integers(1, 500), st.data())
def test_the_ends_of_the_interval_are_1_96_deviations_from_the_accuracy(n, data):
    share = data.draw(st.integers(0, n)) / n
    low, high = metrics.wilson_interval(share, n)
    assert 0 <= low <= share <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert np.isclose(abs(share - end), 1.959963984540054 * np.sqrt(end * (1 - end) / n))


def test_the_interval_of_an_accuracy_holds_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    for truth in (0.5, 0.9, 0.98):
        intervals = [metrics.wilson_interval(hits / 60, 60) for hits in rng.binomial(60, truth, 4000)]
        assert 0.92 < np.mean([low <= truth <= high for low, high in intervals]) < 0.99


def test_the_corrected_test_rarely_sees_a_difference_where_there_is_none():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        data = rng.normal(size=(2, 100))  # two equal candidates, scored on overlapping 5-fold training sets
        shared = rng.normal(size=5) * 0.05
        differences = np.array([d.mean() for d in np.split(data[0] - data[1], 5)]) + shared
        alarms += corrected_t(differences, 0.8) < 0.05
    assert alarms / 400 < 0.05


def test_a_clear_difference_is_seen_and_one_fold_tells_nothing():
    assert corrected_t(np.array([1.0, 1.1, 0.9, 1.0, 1.05]), 0.8) < 0.01
    assert corrected_t(np.array([9.0]), 0.8) == 1.0


def test_holm_multiplies_the_smallest_by_their_number_and_never_decreases():
    assert np.allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
