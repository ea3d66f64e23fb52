"""Seasons are found where they are known to be, and nowhere else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.seasonality import acf, calendar_periods, find_seasons

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def read(name: str) -> pd.DataFrame:
    if not (DATA / name).exists():
        pytest.skip(f"the development set {name} is not beside the repository")
    return pd.read_csv(DATA / name)


def period(series, freq=None) -> int:
    found = find_seasons(series, freq)
    return found[0].period if found else 1


def test_the_autocorrelation_equals_its_definition():
    x = np.random.default_rng(0).normal(size=50)
    c = x - x.mean()
    expected = [np.mean(c[lag:] * c[: 50 - lag]) / np.mean(c * c) for lag in range(11)]
    np.testing.assert_allclose(acf(x, 10), expected, atol=1e-12)


def test_a_constant_series_has_no_autocorrelation_and_no_season():
    assert not acf(np.full(100, 1e6), 10).any()
    assert find_seasons([np.full(100, 1e6)]) == ()


@given(p=st.integers(3, 40), seed=st.integers(0, 999), trend=st.floats(-1, 1))
def test_noisy_spikes_on_a_trend_show_their_period(p, seed, trend):
    rng, t = np.random.default_rng(seed), np.arange(20 * p + 50)
    shape = 9 * (np.arange(p) == 0)  # one spike a period, so that no shorter period fits
    assert period([shape[t % p] + trend * t + 0.1 * rng.normal(size=len(t))]) == p


@pytest.mark.parametrize("size", [36, 144, 2000])
@pytest.mark.parametrize("count", [1, 10])
def test_noise_and_random_walks_have_no_season(size, count):
    rng = np.random.default_rng(1)
    for _ in range(10):
        noise = [rng.normal(size=size) for _ in range(count)]
        assert find_seasons(noise, "h") == ()
        assert find_seasons([np.cumsum(one) for one in noise], "h") == ()


def test_too_short_series_have_no_season():
    assert find_seasons([np.arange(5.0)]) == ()
    assert find_seasons([]) == ()


def test_hourly_m4_repeats_daily_though_its_stamps_are_integers():
    table = read("m4_hourly/Hourly-train.csv").iloc[:, 1:].to_numpy(float)
    assert period([row[~np.isnan(row)] for row in table]) == 24


@pytest.mark.parametrize("column", ["HUFL", "LUFL", "OT"])
def test_every_kind_of_etth1_column_repeats_daily(column):
    assert period([read("etth1/ETTh1.csv")[column].to_numpy()], "h") == 24


@pytest.mark.parametrize(("name", "freq", "expected"), [("airline-passengers", "MS", 12), ("shampoo", None, 1)])
def test_classic_monthly_series(name, freq, expected):
    assert period([read(f"classic_univariate/{name}.csv").iloc[:, 1].to_numpy(float)], freq) == expected


def test_a_slow_yearly_cycle_snaps_to_the_calendar():
    assert period([read("classic_univariate/daily-min-temperatures.csv").iloc[:, 1].to_numpy(float)], "D") == 365


@pytest.mark.parametrize(
    ("freq", "expected"),
    [
        ("h", (24, 168)),
        ("30min", (48, 336)),
        ("5min", (288, 2016)),
        ("D", (7, 365)),
        ("W-SUN", (52,)),
        ("MS", (12,)),
        ("B", (5, 260)),
        ("s", (60, 3600, 86400)),
        ("7D", ()),
        ("nonsense!", ()),
        (None, ()),
    ],
)
def test_the_calendar_names_periods(freq, expected):
    assert calendar_periods(freq) == expected
