"""Forecasting baselines: maps against plain recursions, trees against scikit-learn, laws, covariates, real files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.ensemble import HistGradientBoostingRegressor

from advisor import baselines
from advisor.baselines.bank import LEVELS, bank, holt_winters, seasonal_shape, smoothed
from advisor.baselines.forecaster import known_ahead
from advisor.baselines.lag_boosting import LagBoosting, boost
from advisor.baselines.lags import LinearLags, ridges
from advisor.baselines.smoothing import history
from hybrids.square_root import signed_root

CLASSIC = Path(__file__).parents[4] / "shared" / "data" / "classic_univariate"
LEARNT = ("theta", "linear_lags", "exponential_smoothing", "lag_boosting")


def fitted(kind, x, y, season=1, **settings):
    """Return the baseline fitted on full windows."""
    full = np.full(len(x), x.shape[1])
    return baselines.fit(kind, "forecast", x, full, y, season=season, horizon=y.shape[1], **settings)


def predict(model, x, lengths=None):
    lengths = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
    with torch.no_grad():
        return model(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(lengths)).numpy()


def cut(series, length, horizon):
    """Return all windows of a series (T, C) and the futures of its first channel."""
    places = range(len(series) - length - horizon + 1)
    x = np.stack([series[i : i + length] for i in places]).astype(np.float32)
    return x, np.stack([series[i + length : i + length + horizon, 0] for i in places])


@pytest.mark.parametrize("kind", baselines.names("forecast"))
def test_a_fit_to_square_roots_is_a_fit_to_the_roots_and_its_forecast_squared(kind):
    random = np.random.default_rng(0)
    series = (3 + np.sin(np.arange(200) / 2) + 0.3 * random.random(200))[:, None] ** 2
    x, y = cut(series, 24, 6)
    by_root = predict(fitted(kind, x, y, season=12, square_root=True), x)
    plain = fitted(kind, x, y, season=12)
    if kind in LEARNT:
        xs, ys = (signed_root(torch.from_numpy(values)).numpy() for values in (x, y))
        root = predict(fitted(kind, xs, ys, season=12), xs)
        np.testing.assert_allclose(by_root, root * np.abs(root), rtol=1e-4)
        assert np.abs(by_root - predict(plain, x)).max() > 1e-3
    else:
        np.testing.assert_array_equal(by_root, predict(plain, x))


@pytest.mark.parametrize("kind", baselines.names("forecast"))
@pytest.mark.parametrize("old", [0.0, -5.0])
def test_what_lies_before_the_window_hardly_matters_even_where_it_has_no_logarithm(kind, old):
    random = np.random.default_rng(0)
    series = (5 + np.sin(np.arange(300) / 2) + random.random(300))[:, None]
    x, y = cut(series, 48, 6)
    model = fitted(kind, x, y, season=12, square_root=True)
    window = series[-48:].astype(np.float32)[None]
    longer = np.concatenate([np.full((1, 60, 1), old, np.float32), window], axis=1)
    np.testing.assert_allclose(predict(model, longer), predict(model, window), rtol=0.02)


def clockwork(steps=700, seed=0):
    """Return a series (T, 4) with noise, a covariate that leads it by 6 steps, and the clock of a cycle of 40."""
    random = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(steps) / 40
    lead = np.repeat(random.normal(size=steps // 6 + 1), 6)[:steps]
    night = np.where(np.sin(angle) > 0.3, 5.0, 0.0)
    target = 20 + night + np.concatenate([np.zeros(6), 3 * lead[:-6]]) + random.normal(0, 0.3, steps)
    return np.stack([target, lead, np.sin(angle), np.cos(angle)], 1)


def slow_holt_winters(y, horizon, season, alpha, beta, phi, gamma):
    """Forecast one series step by step, in scalars, after the component form of Hyndman and Athanasopoulos."""
    first, second = np.mean(y[:season]), np.mean(y[season : 2 * season])
    trend = (second - first) / season
    level = first - trend * (season + 1) / 2
    shape = {
        i - season: np.mean([y[i] - level - (i + 1) * trend, y[i + season] - level - (i + season + 1) * trend])
        for i in range(season)
    }
    for t in range(len(y)):
        before, slope = level, trend
        level = alpha * (y[t] - shape[t - season]) + (1 - alpha) * (before + phi * slope)
        trend = beta * (level - before) + (1 - beta) * phi * slope
        shape[t] = gamma * (y[t] - before - phi * slope) + (1 - gamma) * shape[t - season]
        # the error form scales gamma by 1 - alpha
        shape[t] = shape[t - season] + (1 - alpha) * (shape[t] - shape[t - season])
    ahead, growth = [], 0.0
    for h in range(1, horizon + 1):
        growth += phi**h
        ahead.append(level + growth * trend + shape[len(y) - season + (h - 1) % season])
    return ahead


def test_holt_winters_as_a_map_equals_the_step_by_step_recursion():
    y = np.random.default_rng(0).normal(10, 2, 23)
    settings = (0.3, 0.15, 0.95, 0.2)
    maps = holt_winters(np.eye(23), 9, 4, *settings)
    np.testing.assert_allclose(maps @ y, slow_holt_winters(y, 9, 4, *settings), rtol=1e-9)


def test_smoothing_that_follows_at_once_is_the_last_value_and_theta_moves_on_by_half_the_slope():
    line = 3 + 2.0 * np.arange(10)[:, None]
    np.testing.assert_allclose(smoothed(line, 4, 1.0, 0.0)[:, 0], [21.0] * 4)
    np.testing.assert_allclose(smoothed(line, 4, 1.0, 0.5)[:, 0], [22, 23, 24, 25])


def test_every_method_of_the_bank_continues_a_constant_and_most_a_season():
    wave = np.tile([3.0, 1.0, 4.0, 1.0, 5.0], 6)
    maps = bank(30, 7, 5)
    np.testing.assert_allclose(maps.sum(1), 1.0, atol=1e-9)
    exact = np.isclose(wave @ maps, np.resize(wave, 7), atol=1e-9).all(1)
    assert exact.sum() == len(maps) - 1 - 2 * len(LEVELS)  # all but the methods without a season


def test_the_seasonal_shape_is_the_season_without_its_line():
    season = np.array([2.0, -3.0, 1.0])
    series = np.resize(season, 12) + 4 + 0.7 * np.arange(12)
    np.testing.assert_allclose(seasonal_shape(12, 5, 3) @ series, np.resize(season, 17), atol=1e-9)


def test_a_short_row_is_continued_before_its_start_with_its_first_season_and_drift():
    row = torch.tensor([10.0, 20, 11, 21, 12, 22])[None, :, None]
    got = history(row, torch.tensor([6]), 10, 2)
    np.testing.assert_allclose(got, [[8, 18, 9, 19, 10, 20, 11, 21, 12, 22]], atol=1e-5)
    np.testing.assert_allclose(history(row, torch.tensor([1]), 3, 2), [[10.0] * 3])


def test_drift_continues_a_straight_line():
    x = (5 + 3 * np.arange(24.0)).reshape(2, 12, 1)
    model = fitted("drift", x.astype(np.float32), x[:, -1:, 0] + 3 * np.arange(1, 5))
    np.testing.assert_allclose(predict(model, x[:1], [6])[0, :, 1], [23, 26, 29, 32], atol=1e-5)


def test_drift_theta_and_smoothing_are_indifferent_to_level_and_size():
    random = np.random.default_rng(1)
    series = 50 + np.cumsum(random.normal(size=(200, 1)), 0)
    for kind in ("drift", "theta", "linear_lags"):
        model = fitted(kind, *cut(series, 24, 6), season=6)
        x = cut(series, 24, 6)[0][:5]
        np.testing.assert_allclose(predict(model, 7 * x + 100), 7 * predict(model, x) + 100, rtol=1e-4)


def test_smoothing_finds_a_multiplicative_season_that_no_sum_follows():
    t = np.arange(140)
    series = (np.exp(0.02 * t) * (2 + np.sin(t * np.pi / 4)))[:, None] * 10
    x, y = cut(series, 48, 8)
    smooth, naive = (
        predict(fitted(kind, x[:60], y[:60], season=8), x[60:]) for kind in ("exponential_smoothing", "seasonal_naive")
    )
    assert np.abs(smooth[..., 1] - y[60:]).mean() < 0.15 * np.abs(naive[..., 1] - y[60:]).mean()


def test_values_below_zero_have_no_logarithm_and_are_forecast_all_the_same():
    series = np.random.default_rng(2).normal(0, 1, (120, 1))
    out = predict(fitted("exponential_smoothing", *cut(series, 20, 4)), cut(series, 20, 4)[0])
    assert np.isfinite(out).all() and np.abs(out[..., 1]).max() < 3


def test_a_random_walk_is_no_worse_forecast_than_by_its_last_value():
    random = np.random.default_rng(3)
    walks = 100 + np.cumsum(random.normal(size=(300, 40, 1)), 1)
    x, y = walks[:, :36].astype(np.float32), walks[:, 36:, 0]
    for kind in ("linear_lags", "exponential_smoothing"):
        error, last = (
            np.abs(predict(fitted(k, x[:200], y[:200]), x)[200:, :, 1] - y[200:]).mean() for k in (kind, "last_value")
        )
        assert error < 1.1 * last


def test_weighted_ridge_solves_its_normal_equations():
    random = np.random.default_rng(4)
    inputs, target, rows = random.normal(size=(50, 4)), random.normal(size=(50, 3)), random.uniform(0.5, 2, 50)
    share = np.diag(rows / rows.sum())
    for shrinkage, (weight, bias) in zip((0.1, 2.0), ridges(inputs, target, rows, np.array([0.1, 2.0])), strict=True):
        missed = inputs @ weight + bias - target
        np.testing.assert_allclose(inputs.T @ share @ missed + shrinkage * weight, 0, atol=1e-9)
        np.testing.assert_allclose(share.sum(0) @ missed, 0, atol=1e-9)


def test_a_covariate_that_leads_the_target_and_its_calendar_are_used():
    series = clockwork()
    x, y = cut(series, 24, 6)
    train, test = slice(0, 450, 2), slice(480, None)
    for kind in ("linear_lags", "lag_boosting"):
        rich, poor = (
            np.abs(predict(fitted(kind, x[train, :, :c], y[train]), x[test, :, :c])[..., 1] - y[test]).mean()
            for c in (4, 1)
        )
        assert rich < 0.6 * poor


def test_what_is_known_ahead_is_zero_where_the_row_does_not_reach():
    channel = torch.arange(1.0, 7.0)[None, :, None]
    found = known_ahead(channel, torch.tensor([[5, 2, 1, -1]]), 2)
    torch.testing.assert_close(found[0], torch.tensor([[6.0, 2.0], [3.0, 2.0], [2.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("horizon", [6, 150])
@pytest.mark.parametrize("season", [1, 8])
@pytest.mark.parametrize("kind", ["linear_lags", "lag_boosting"])
def test_what_is_known_of_the_steps_to_forecast_is_used(kind, season, horizon):
    random = np.random.default_rng(3)
    price = random.normal(size=3000)
    target = 3 * price + 0.1 * random.normal(size=3000)
    ahead = np.concatenate([price[horizon:], np.full(horizon, price[-1])])
    x, y = cut(np.stack([target, price, ahead], 1)[:-horizon], 2 * horizon + 20, horizon)
    train, test = slice(0, len(x) // 2), slice(len(x) // 2, None, 7)
    model = fitted(kind, x[train], y[train], season=season, ahead=1)
    error = np.abs(predict(model, x[test])[..., 1] - y[test]).mean() / np.abs(target).mean()
    assert error < (0.2 if horizon == 6 else 0.75)  # of many steps the ridge reads every second


def test_the_calendar_of_a_step_ahead_is_the_last_one_turned_on():
    series = clockwork(150)
    x, y = cut(series, 24, 6)
    model = fitted("lag_boosting", x, y)
    assert isinstance(model, LagBoosting)
    np.testing.assert_allclose(model.steady, [0.0, 1.0])
    np.testing.assert_allclose(model.turn, [0.0, 2 * np.pi / 40], atol=1e-6)
    features = model.features(torch.from_numpy(x[:1]), torch.tensor([24]))[0][0]
    found = [np.abs(features.numpy() - series[24:30, [c]]).max(0).min() for c in (2, 3)]
    assert max(found) < 1e-5


def test_the_forest_adds_what_scikit_learns_booster_predicts():
    x, y = cut(clockwork(100), 24, 6)
    model = fitted("lag_boosting", x, y)
    inputs = np.random.default_rng(5).normal(size=(500, 7)).astype(np.float32)
    target = np.where(inputs[:, 0] > 0, inputs[:, 1], 2.0)
    booster = boost(inputs, target, np.ones(500), 30, 0)
    assert isinstance(booster, HistGradientBoostingRegressor)
    model.read(booster, 30)
    np.testing.assert_allclose(model.forest(torch.from_numpy(inputs)).sum(1), booster.predict(inputs), atol=1e-5)


def test_trees_that_do_not_help_are_left_out():
    noise = np.random.default_rng(6).normal(size=(100, 1))
    model = fitted("lag_boosting", *cut(noise, 12, 3))
    assert np.count_nonzero(model.forest.value[:, 0]) <= 60 and np.isfinite(predict(model, noise[None, :12])).all()


@pytest.mark.parametrize("kind", baselines.names("forecast"))
@pytest.mark.parametrize("ahead", [0, 1])
def test_covariates_save_load_padding_and_seed(kind, ahead):
    series = clockwork(120)
    x, y = cut(series, 24, 6)
    model, again = (fitted(kind, x, y, season=8, ahead=ahead) for _ in range(2))
    loaded = baselines.build(baselines.BaselineConfig.model_validate_json(model.config.model_dump_json()))
    loaded.load_state_dict(load(save(model.state_dict())), strict=True)
    lengths = np.array([24, 17, 9, 2, 1])
    dirty = np.concatenate([x[:5], x[:5, :3]], 1)
    dirty[np.arange(27)[None] >= lengths[:, None]] = np.nan
    out = predict(model, x[:5], lengths)
    assert out.shape == (5, 6, 3) and np.isfinite(out).all() and model.channels_in == 4
    for other in (predict(loaded, x[:5], lengths), predict(again, x[:5], lengths), predict(model, dirty, lengths)):
        np.testing.assert_allclose(other, out, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LEARNT)
def test_windows_of_three_steps_and_constant_series_are_no_trouble(kind):
    x = np.random.default_rng(7).normal(5, 1, (9, 3, 1)).astype(np.float32)
    assert np.isfinite(predict(fitted(kind, x, x[:, :2, 0], season=12), x)).all()
    flat = np.full((20, 30, 1), 7.5, np.float32)
    np.testing.assert_allclose(predict(fitted(kind, flat, flat[:, :4, 0], season=6), flat[:2]), 7.5, atol=1e-4)


def test_a_window_longer_than_the_bank_may_hold_is_shortened_and_the_notes_say_so():
    x, y = cut(np.random.default_rng(8).normal(size=(1300, 1)), 1200, 3)
    model = fitted("exponential_smoothing", x[:10], y[:10])
    assert "reads the last 1024 of 1200 steps" in model.config.notes[-1]


def test_ridge_falls_back_to_the_last_value_where_the_season_misleads():
    walk = np.cumsum(np.random.default_rng(9).normal(size=(400, 1)), 0)
    model = fitted("linear_lags", *cut(walk, 24, 6), season=12)
    assert isinstance(model, LinearLags) and model.config.sizes["naive"] == 1


@pytest.mark.parametrize(
    ("name", "season", "horizon", "bar"), [("airline-passengers", 12, 12, 0.8), ("monthly-sunspots", 12, 12, 0.95)]
)
def test_smoothing_beats_the_seasonal_naive_on_classic_series(name, season, horizon, bar):
    path = CLASSIC / f"{name}.csv"
    if not path.exists():
        pytest.skip("the classic series are not beside the repository (../shared/data/classic_univariate)")
    series = np.loadtxt(path, delimiter=",", skiprows=1, usecols=1, converters=lambda s: float(s.strip('"')))[
        :800, None
    ]
    series = series[: int(0.8 * len(series))]
    x, y = cut(series, 4 * season, horizon)
    train = int(0.7 * len(x))
    late = slice(train + horizon, None, 3)
    smooth, naive = (
        np.abs(predict(fitted(kind, x[:train], y[:train], season=season), x[late])[..., 1] - y[late]).mean()
        for kind in ("exponential_smoothing", "seasonal_naive")
    )
    assert smooth < bar * naive
