"""A data profile states what can be counted by hand."""

import subprocess
import sys

import numpy as np
import pytest

from profiles.data import DataProfile, profile_data


def series(*lengths: int, channels: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, channels)).astype(np.float32) for n in lengths]


def test_a_classification_set_is_counted():
    found = profile_data(series(3, 5, 9, 4, channels=2), "classify", np.array([0, 1, 1, 1]), ("a", "b"), None, 0.25)
    assert (found.samples, found.channels, found.total_steps, found.missing) == (4, 2, 21, 0.25)
    assert (found.length_min, found.length_p50, found.length_max) == (3, 4, 9)
    assert found.class_counts == (1, 3) and found.balance == 1 / 3
    assert found.notes == ("Class 'a' has 1 series.",)
    assert found.season == 1 and found.target_mean is None


def test_a_class_nobody_has_makes_the_balance_zero():
    assert profile_data(series(3, 3), "classify", np.array([0, 0]), ("a", "b")).balance == 0


def test_regression_targets_have_mean_and_deviation():
    found = profile_data(series(3, 3), "regress", np.array([1.0, 3.0]))
    assert (found.target_mean, found.target_std, found.balance) == (2, 1, None)


def test_a_forecasting_set_has_a_season():
    wave = np.sin(np.arange(400) * 2 * np.pi / 12)[:, None]
    found = profile_data([wave] * 60, "forecast", freq="MS")
    assert found.season == found.seasons[0].period == 12
    assert found.notes == ("Seasons were looked for in 50 of 60 series, evenly spread.",)


def test_constant_series_are_said_and_counted():
    values = [np.ones((9, 2)), *series(9, channels=2)]
    assert profile_data(values, "regress", np.arange(2)).notes == ("1 of 2 series are constant in every channel.",)


def test_of_a_series_to_forecast_only_the_target_is_looked_at():
    steps = np.arange(240)
    target, covariate = np.ones(240), np.sin(2 * np.pi * steps / 24)
    found = profile_data([np.stack([target, covariate], axis=1)], "forecast")
    assert (found.channels, found.season) == (2, 1)
    assert found.notes == ("1 of 1 series are constant.",)
    assert profile_data([np.stack([covariate, target], axis=1)], "forecast").season == 24


def test_a_profile_survives_json():
    found = profile_data(series(30, 40), "forecast", freq="h")
    assert DataProfile.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("given", "task", "labels", "message"),
    [
        ([], "forecast", None, "at least one series"),
        ([np.ones(3)], "forecast", None, r"must be \(length, channels\)"),
        ([np.ones((3, 1)), np.ones((3, 2))], "forecast", None, "same channels"),
        ([np.ones((3, 1))], "classify", None, "one label for each of 1 series"),
    ],
)
def test_what_cannot_be_profiled_is_named(given, task, labels, message):
    with pytest.raises(ValueError, match=message):
        profile_data(given, task, labels)


def test_light_modules_do_not_load_torch():
    code = (
        "import sys, profiles.data, profiles.budget, profiles.device, advisor.rules; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_seasons_are_looked_for_in_the_part_that_may_be_seen():
    t = np.arange(400)
    late = np.where(t < 200, np.random.default_rng(0).normal(size=400), 5 * np.sin(2 * np.pi * t / 12))[:, None]
    assert profile_data([late], "forecast").season == 12
    assert profile_data([late], "forecast", seen=0.5).seasons == ()
