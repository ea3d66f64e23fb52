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


def wandering(size, rng, kind):
    """Return random walks: (series, size)."""
    if kind == "heavy tails":
        return rng.standard_t(2, size=(1, size)).cumsum(1)
    if kind == "drift":
        return (rng.normal(size=(1, size)) + 0.3).cumsum(1)
    if kind == "changing variance":
        return (rng.normal(size=(1, size)) * (1 + 3 * (np.arange(size) // 50 % 4 == 0))).cumsum(1)
    if kind == "held for long":
        held = (np.arange(size) > size // 4) & (np.arange(size) < size // 2)
        return 100 + (rng.normal(size=(1, size)) * np.where(held, 1e-4 * (rng.random(size) < 0.3), 1)).cumsum(1)
    return (rng.normal(size=size) + rng.normal(size=(5, size)) * 0.5).cumsum(1)


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
    found = measure(lagged(lag, weight, 1800, np.random.default_rng(lag)), horizon=horizon)
    assert found.reach_steps == pytest.approx(lag, rel=0.25)
    assert found.reach_low <= found.reach_steps <= found.reach_high


@pytest.mark.parametrize(("order", "size"), [(10, 4000), (20, 8000)])
def test_an_autoregression_on_all_of_many_steps_reaches_them_all(order, size):
    x = lfilter([1], np.r_[1, -np.full(order, 0.9 / order)], np.random.default_rng(0).normal(size=size))
    assert measure(x).reach_steps == pytest.approx(order, rel=0.25)


@settings(max_examples=2)
@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 9))
def test_neither_scale_nor_outliers_move_the_reach(scale, seed):
    rng = np.random.default_rng(seed)
    x = lagged(12, 0.7, 500, rng) * scale
    x[rng.integers(0, 500, 4)] *= 1e6
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
    rng, t = np.random.default_rng(0), np.arange(2000)
    found = measure(rng.normal(size=24)[t % 24] + noise * rng.normal(size=t.size))
    assert found.reach_steps == 24
    assert [season.period for season in found.seasons] == [24]


def test_of_a_day_and_a_week_the_week_is_the_reach():
    rng, t = np.random.default_rng(1), np.arange(1500)
    load = np.sin(t * np.pi / 12) * np.where(t // 24 % 7 < 5, 1, 0.3) + 0.2 * rng.normal(size=1500)
    found = measure(load)
    assert found.reach_steps == 168
    assert [season.period for season in found.seasons] == [24, 168]


def test_two_seasons_that_add_up_are_named_and_not_their_common_multiple():
    rng, t = np.random.default_rng(0), np.arange(2100)
    found = measure(rng.normal(size=7)[t % 7] + rng.normal(size=30)[t % 30] + 0.5 * rng.normal(size=t.size))
    assert found.reach_steps == 30
    assert [season.period for season in found.seasons] == [7, 30]


def test_a_season_that_is_named_but_adds_nothing_is_not_the_reach():
    noise = np.random.default_rng(0).normal(size=1000)
    for x, reach in ((noise, 0), (noise.cumsum(), 1)):
        found = measure(x, horizon=24, seasons=[Season(period=24, strength=0.3)])
        assert found.reach_steps == reach
        assert found.seasons == ()


def test_a_faint_season_is_missed_by_some_resamples_and_a_clear_one_by_none():
    rng, t = np.random.default_rng(3), np.arange(1500)
    day, noise = np.sin(t * np.pi / 12), rng.normal(size=t.size)
    faint, clear = (
        measure(height * day + noise, horizon=24, seasons=[Season(period=24, strength=0.1)]) for height in (0.25, 2)
    )
    assert (faint.reach_low, faint.reach_high) == (0, 24)
    assert (clear.reach_low, clear.reach_high) == (24, 24)


def test_where_the_next_step_hides_a_known_season_one_season_ahead_is_looked_at():
    rng, t = np.random.default_rng(0), np.arange(1500)
    load = np.sin(t * np.pi / 12) + rng.normal(size=t.size).cumsum() * 0.1
    found = measure(load, seasons=[Season(period=24, strength=0.5)])
    assert found.reach_steps == 24
    assert found.notes == ("As the next step hides seasons, a forecast 24 steps ahead was looked at too.",)


@pytest.mark.parametrize("size", [12, 40, 150, 800])
def test_white_noise_reaches_nowhere(size):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert measure(rng.normal(size=size)).reach_steps == 0
        assert measure(rng.standard_t(2, size=size)).reach_steps == 0


@pytest.mark.parametrize("size", [200, 1500])
def test_a_random_walk_reaches_one_step(size):
    for seed in range(2):
        assert measure(np.random.default_rng(seed).normal(size=size).cumsum(), horizon=12).reach_steps == 1


@pytest.mark.parametrize("kind", ["heavy tails", "drift", "changing variance", "held for long", "together"])
@pytest.mark.parametrize("horizon", [1, 24])
def test_a_random_walk_of_any_kind_reaches_one_step(kind, horizon):
    found = measure(*wandering(900, np.random.default_rng(1), kind), horizon=horizon)
    assert found.reach_steps == 1
    assert found.reach_high <= 2


@pytest.mark.slow
def test_noise_reaches_somewhere_in_one_of_twenty_cases_at_most():
    reached = [measure(np.random.default_rng(seed).normal(size=500)).reach_steps > 0 for seed in range(200)]
    assert sum(reached) <= 10


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


def test_exchange_rates_reach_one_day():
    rates = [column("exchange_rate/exchange_rate.txt", at)[-1500:] for at in range(8)]
    found = measure(*rates)
    assert (found.reach_steps, found.reach_low, found.reach_high) == (1, 1, 1)
    assert "removes 1% more" in found.says


@pytest.mark.parametrize("seasons", [(), (Season(period=24, strength=0.2),)])
def test_the_oil_temperature_of_etth1_reaches_a_day(seasons):
    assert measure(column("etth1/ETTh1.csv", 7)[-3000:], horizon=24, seasons=seasons).reach_steps == 24


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("horizon", [1, 24, 30])
def test_exchange_rates_reach_one_day_however_much_is_read(seconds, horizon):
    rates = [column("exchange_rate/exchange_rate.txt", at) for at in range(8)]
    for seed in range(2):
        assert measure(*rates, horizon=horizon, seconds=seconds, seed=seed).reach_steps == 1


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3.0, 10.0])
@pytest.mark.parametrize(
    ("name", "at", "passed", "reach"),
    [
        ("nab_nyc_taxi_machine_temp/nyc_taxi.csv", 1, (48,), 336),
        ("nab_nyc_taxi_machine_temp/nyc_taxi.csv", 1, (), 336),
        ("etth1/ETTh1.csv", 7, (24,), 24),
        ("etth1/ETTh1.csv", 7, (), 24),
        ("classic_univariate/airline-passengers.csv", 1, (12,), 12),
        ("classic_univariate/daily-min-temperatures.csv", 1, (365,), 367),
    ],
)
def test_real_series_reach_a_day_a_week_or_a_year(name, at, passed, reach, seconds):
    seasons = [Season(period=period, strength=0.5) for period in passed]
    found = [measure(column(name, at), horizon=24, seasons=seasons, seconds=seconds, seed=seed) for seed in (0, 1)]
    assert [one.reach_steps for one in found] == [reach, reach]


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1, 24])
def test_the_hourly_series_of_m4_reach_a_week(horizon):
    path = DATA / "m4_hourly" / "Hourly-train.csv"
    if not path.exists():
        pytest.skip("the development set m4_hourly is not beside the repository")
    rows = pd.read_csv(path).iloc[::4, 1:].to_numpy(float)
    found = measure(*(row[~np.isnan(row)] for row in rows), horizon=horizon, seasons=[Season(period=24, strength=0.7)])
    assert found.reach_steps == 168
    assert [season.period for season in found.seasons] == [24, 168]
