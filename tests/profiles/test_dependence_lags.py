"""The reach of planted dependence is found, noise reaches nowhere, and real series reach a day, a week or one step."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from profiles.dependence.fluctuation import hurst_exponent
from profiles.dependence.interactions import find_pairs
from profiles.dependence.lags import dependence_on_lags
from profiles.dependence.partial import normal_scores, partial_correlations
from profiles.seasonality import Season

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def measure(*series, horizon=1, seasons=(), seconds=10.0, seed=0):
    return dependence_on_lags([np.asarray(one)[:, None] for one in series], horizon, seasons, seconds, seed)


def lagged(lag, weight, size, rng):
    return lfilter([1], np.r_[1, np.zeros(lag - 1), -weight], rng.normal(size=size + 20 * lag))[-size:]


def xor(far, size, flips, rng):
    bits, flip = list(rng.integers(0, 2, far)), rng.random(size) < flips
    for t in range(far, size):
        bits.append(bits[t - 1] ^ bits[t - far] ^ int(flip[t]))
    return np.array(bits, dtype=float)


def fractional_noise(hurst, size, rng):
    """Return exact fractional Gaussian noise by circulant embedding (Davies and Harte 1987)."""
    k = np.arange(size + 1)
    covariance = (abs(k + 1.0) ** (2 * hurst) - 2 * k ** (2 * hurst) + abs(k - 1.0) ** (2 * hurst)) / 2
    eigen = np.fft.fft(np.r_[covariance, covariance[-2:0:-1]]).real.clip(0)
    noise = rng.normal(size=2 * size) + 1j * rng.normal(size=2 * size)
    return np.fft.fft(np.sqrt(eigen / (2 * size)) * noise).real[:size]


def column(name, at):
    if not (DATA / name).exists():
        pytest.skip(f"the development set {name} is not beside the repository")
    return pd.read_csv(DATA / name).iloc[:, at].to_numpy(float)


def test_partial_correlations_equal_those_of_least_squares():
    x = normal_scores(lagged(2, 0.6, 4000, np.random.default_rng(0)))
    found = partial_correlations(x[None], np.array([len(x)]), 4)
    for lag in range(1, 5):
        between = np.stack([x[lag - j : len(x) - j] for j in range(1, lag)], axis=1) if lag > 1 else np.zeros((3999, 1))
        ahead, back = (y - between @ np.linalg.lstsq(between, y, rcond=None)[0] for y in (x[lag:], x[: len(x) - lag]))
        assert found.squares[lag - 1] == pytest.approx(np.corrcoef(ahead, back)[0, 1] ** 2, abs=0.002)


@pytest.mark.parametrize(("lag", "weight"), [(5, 0.8), (20, 0.3), (100, 0.8)])
@pytest.mark.parametrize("horizon", [1, 24])
def test_a_known_lag_is_the_reach(lag, weight, horizon):
    found = measure(lagged(lag, weight, 3000, np.random.default_rng(lag)), horizon=horizon)
    assert found.reach_steps == pytest.approx(lag, rel=0.25)
    assert found.reach_low <= found.reach_steps <= found.reach_high


def test_an_autoregression_on_all_of_ten_steps_reaches_ten():
    x = lfilter([1], np.r_[1, -np.full(10, 0.09)], np.random.default_rng(0).normal(size=6000))
    assert measure(x).reach_steps == pytest.approx(10, rel=0.25)


@settings(max_examples=4)
@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 9))
def test_neither_scale_nor_outliers_move_the_reach(scale, seed):
    rng = np.random.default_rng(seed)
    x = lagged(12, 0.7, 600, rng) * scale
    x[rng.integers(0, 600, 5)] *= 1e6
    assert measure(x).reach_steps == 12


@pytest.mark.parametrize("far", [50, 400])
def test_a_delayed_xor_is_found_though_no_single_step_tells_anything(far):
    x = xor(far, 10 * far, 0.03, np.random.default_rng(far))
    found = measure(x)
    assert abs(np.corrcoef(x[far:], x[:-far])[0, 1]) < 0.1
    assert found.reach_steps == far
    assert f"steps 1 and {far} back count together" in found.says


def test_an_exact_xor_leaves_nothing_for_a_second_pair():
    x = normal_scores(xor(40, 2000, 0.0, np.random.default_rng(0)))[None]
    pairs = find_pairs(x, x, np.array([2000]), 200, 0.005)
    assert [(pair.near, pair.far) for pair in pairs] == [(1, 40)]


@pytest.mark.parametrize("noise", [0.05, 0.5, 1.5])
def test_a_season_is_the_reach_whatever_the_noise(noise):
    rng, t = np.random.default_rng(0), np.arange(3000)
    found = measure(rng.normal(size=24)[t % 24] + noise * rng.normal(size=3000))
    assert found.reach_steps == 24
    assert [season.period for season in found.seasons] == [24]


def test_of_a_day_and_a_week_the_week_is_the_reach():
    rng, t = np.random.default_rng(1), np.arange(1500)
    load = np.sin(t * np.pi / 12) * np.where(t // 24 % 7 < 5, 1, 0.3) + 0.2 * rng.normal(size=1500)
    found = measure(load)
    assert found.reach_steps == 168
    assert [season.period for season in found.seasons] == [24, 168]


@pytest.mark.parametrize("size", [12, 40, 150, 1000])
def test_white_noise_reaches_nowhere(size):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert measure(rng.normal(size=size)).reach_steps == 0
        assert measure(rng.standard_t(2, size=size)).reach_steps == 0


@pytest.mark.parametrize("size", [200, 2000])
def test_a_random_walk_reaches_one_step(size):
    for seed in range(3):
        assert measure(np.random.default_rng(seed).normal(size=size).cumsum(), horizon=12).reach_steps == 1


def test_many_short_series_find_what_one_would_not():
    rng = np.random.default_rng(0)
    series = [lagged(20, 0.35, 100, rng) for _ in range(40)]
    assert measure(*series).reach_steps == 20


@pytest.mark.parametrize("size", [1, 3, 11])
def test_series_too_short_to_tell_say_so(size):
    found = measure(np.arange(size))
    assert (found.reach_steps, found.looked) == (0, 1)
    assert "was not measured" in found.says


def test_constant_and_short_series_are_left_out_with_a_note():
    found = measure(np.zeros(300), lagged(5, 0.8, 400, np.random.default_rng(0)), np.arange(30.0))
    assert found.reach_steps == 5
    assert "1 of 3 series are constant" in found.notes[0]
    assert "1 series shorter than 107 steps" in found.notes[1]


def test_fewer_seconds_read_fewer_series_and_say_so():
    rng = np.random.default_rng(0)
    found = measure(*[lagged(5, 0.8, 300, rng) for _ in range(40)], seconds=0.02)
    assert found.reach_steps == 5
    assert found.notes == ("20 of 40 series were read, evenly spread.",)


def test_the_same_seed_gives_the_same_answer():
    series = [lagged(7, 0.5, 400, np.random.default_rng(i)) for i in range(3)]
    assert measure(*series, seed=3) == measure(*series, seed=3)


def test_the_curve_stands_above_its_floor_at_the_lag_only():
    curve = measure(lagged(9, 0.8, 2000, np.random.default_rng(0))).curve
    above = [k for k, value, floor in zip(curve.steps, curve.values, curve.floor, strict=True) if value > floor]
    assert above == [9]
    assert len(curve.steps) <= 300


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7, 0.9])
def test_the_exponent_of_fractional_noise_is_its_hurst_exponent(hurst):
    found = [hurst_exponent(fractional_noise(hurst, 8000, np.random.default_rng(seed))) for seed in range(3)]
    assert found == pytest.approx([hurst] * 3, abs=0.07)


def test_a_short_or_constant_series_has_no_exponent():
    assert hurst_exponent(np.arange(50.0)) is None
    assert hurst_exponent(np.ones(500)) is None


def test_taxi_rides_reach_a_week_of_half_hours():
    rides = column("nab_nyc_taxi_machine_temp/nyc_taxi.csv", 1)
    found = measure(rides, seasons=[Season(period=48, strength=0.7)])
    assert found.reach_steps == 336
    assert {48, 336} <= {season.period for season in found.seasons}


def test_exchange_rates_reach_one_day():
    name = "exchange_rate/exchange_rate.txt"
    rates = [column(name, at) for at in range(8)]
    assert measure(*rates).reach_steps == 1


def test_the_oil_temperature_of_etth1_reaches_a_day():
    found = [
        measure(column("etth1/ETTh1.csv", 7), seasons=[Season(period=24, strength=0.2)], seed=seed) for seed in (0, 1)
    ]
    assert [one.reach_steps for one in found] == [24, 24]
