"""Baselines: closed forms, agreement with scikit-learn, padding, saving and export."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load, save
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import RidgeClassifierCV, RidgeCV

from advisor import baselines
from advisor.baselines.base import resample
from advisor.baselines.boosting import summary
from advisor.baselines.ridge import ALPHAS
from advisor.errors import InputError

UCR = Path(__file__).parents[3] / "shared" / "data" / "ucr_uea"
EVERY = [(task, kind) for task in ("classify", "regress", "forecast") for kind in baselines.names(task)]


def rows(task, n=40, length=30, channels=2, seed=0):
    """Return rows of unequal length (windows of equal length to forecast) and targets that depend on them."""
    random = np.random.default_rng(seed)
    if task == "forecast":
        start, length = random.uniform(0, 12, (n, 1)), length + 6
        wave = np.sin((start + np.arange(length)) * 2 * np.pi / 12) * 5 + 20 + random.normal(0, 0.3, (n, length))
        return wave[:, :-6, None].astype(np.float32), np.full(n, length - 6), wave[:, -6:]
    lengths = random.integers(12, length + 1, n)
    y = np.arange(n) % 3
    tempo = (0.3 + 0.4 * y)[:, None, None]
    x = np.sin(np.arange(length)[None, :, None] * tempo) + y[:, None, None] * 0.3
    x = (x + random.normal(0, 0.2, (n, length, channels))).astype(np.float32)
    return x, lengths, y if task == "classify" else 100.0 + 7.0 * y


def fitted(task, kind, **settings):
    x, lengths, y = rows(task, **settings)
    options = {"classify": {"classes": 3}, "regress": {}, "forecast": {"season": 12, "horizon": 6}}[task]
    return baselines.fit(kind, task, x, lengths, y, **options)


def predict(model, x, lengths):
    with torch.no_grad():
        return model(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(lengths)).numpy()


def ucr(name, part):
    """Return (x, lengths, y) of a univariate, equal-length UCR file."""
    path = UCR / name / f"{name}_{part}.ts"
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository (../shared/data/ucr_uea)")
    lines = [line for line in path.read_text().splitlines() if line.strip() and line[0] not in "#@"]
    values, labels = zip(*(line.rsplit(":", 1) for line in lines), strict=True)
    x = np.array([np.array(value.split(","), np.float32) for value in values])[..., None]
    return x, np.full(len(x), x.shape[1]), np.unique(labels, return_inverse=True)[1]


def test_majority_gives_the_smoothed_log_shares():
    x, lengths = np.zeros((6, 4, 1), np.float32), np.full(6, 4)
    model = baselines.fit("majority", "classify", x, lengths, np.array([0, 0, 0, 0, 2, 2]), classes=3)
    np.testing.assert_allclose(np.exp(predict(model, x[:2], lengths[:2])), [[5 / 9, 1 / 9, 3 / 9]] * 2, rtol=1e-6)


def test_mean_gives_the_mean_target():
    x, lengths = np.zeros((3, 4, 1), np.float32), np.full(3, 4)
    model = baselines.fit("mean", "regress", x, lengths, np.array([1.0, 2.0, 6.0]))
    np.testing.assert_allclose(predict(model, x, lengths), [3.0] * 3)


@pytest.mark.parametrize("kind", ["seasonal_naive", "linear_lags"])
def test_a_periodic_series_is_forecast_exactly(kind):
    season = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    wave = np.tile(season, 20)
    x = np.stack([wave[i : i + 15] for i in range(40)])[..., None].astype(np.float32)
    y = np.stack([wave[i + 15 : i + 22] for i in range(40)])
    model = baselines.fit(kind, "forecast", x, np.full(40, 15), y, season=5, horizon=7)
    for quantile in range(3):
        np.testing.assert_allclose(predict(model, x, np.full(40, 15))[..., quantile], y, atol=1e-5)


def test_last_value_repeats_the_last_valid_step():
    model = fitted("forecast", "last_value")
    x = np.arange(20, dtype=np.float32).reshape(2, 10, 1)
    np.testing.assert_allclose(predict(model, x, [10, 4])[..., 1], [[9.0] * 6, [13.0] * 6])


def test_a_row_shorter_than_a_season_repeats_its_last_value():
    model = fitted("forecast", "seasonal_naive")
    np.testing.assert_allclose(predict(model, [[[2.0], [7.0], [9.0]]], [2])[..., 1], [[7.0] * 6])


@pytest.mark.parametrize("kind", baselines.names("forecast"))
def test_four_fifths_of_the_futures_lie_between_the_outer_quantiles(kind):
    model = fitted("forecast", kind, n=400)
    x, lengths, y = rows("forecast", n=400, seed=1)
    low, middle, high = np.moveaxis(predict(model, x, lengths), 2, 0)
    assert (low <= middle).all() and (middle <= high).all()
    assert 0.7 < np.mean((low <= y) & (y <= high)) < 0.9


def test_linear_lags_beats_the_seasonal_naive_on_a_noisy_wave():
    x, lengths, y = rows("forecast", seed=1)
    lags, naive = (
        predict(fitted("forecast", kind, n=300), x, lengths)[..., 1] for kind in ("linear_lags", "seasonal_naive")
    )
    assert np.abs(lags - y).mean() < 0.9 * np.abs(naive - y).mean()


@pytest.mark.parametrize("kind", baselines.names("forecast"))
def test_a_flat_window_is_forecast_flat(kind):
    out = predict(fitted("forecast", kind), np.full((1, 30, 1), 7.5), [30])
    np.testing.assert_allclose(out, np.full((1, 6, 3), 7.5), atol=1e-5)


def test_resampling_a_row_at_its_own_length_returns_it():
    x = torch.randn(2, 9, 3)
    torch.testing.assert_close(resample(x, torch.tensor([9, 9]), 9), x, atol=1e-5, rtol=0)


def test_resampling_a_straight_line_gives_a_straight_line():
    x = torch.arange(10.0)[None, :, None]
    expected = torch.linspace(0, 6, 5)[None, :, None]
    torch.testing.assert_close(resample(x, torch.tensor([7]), 5), expected)


def test_the_summary_of_a_straight_line_is_its_closed_form():
    x = torch.cat([2.0 * torch.arange(5.0) + 1, torch.full((3,), torch.nan)])[None, :, None]
    expected = [5.0, 8**0.5, 1.0, 9.0, 1.0, 9.0, 8.0, 2.0]
    torch.testing.assert_close(summary(x, torch.tensor([5]))[0, :8], torch.tensor(expected))


@pytest.mark.parametrize("classes", [2, 3])
def test_boosted_logits_equal_scikit_learns_decision_function(classes):
    x, lengths, y = rows("classify", n=60)
    y = y % classes
    model = baselines.fit("gradient_boosting", "classify", x, lengths, y, classes=classes, seed=3)
    features = summary(torch.from_numpy(x), torch.from_numpy(lengths)).numpy()
    width = features.shape[1]
    truth = GradientBoostingClassifier(n_estimators=60, max_depth=3, max_features=min(width, 24), random_state=3)
    truth.fit(features, y)
    logits = torch.from_numpy(predict(model, x, lengths))
    np.testing.assert_allclose(logits.softmax(1), truth.predict_proba(features), atol=1e-4)


def test_boosted_numbers_equal_scikit_learns_predictions():
    x, lengths, y = rows("regress", n=60)
    model = baselines.fit("gradient_boosting", "regress", x, lengths, y)
    features = summary(torch.from_numpy(x), torch.from_numpy(lengths)).numpy()
    truth = GradientBoostingRegressor(n_estimators=60, max_depth=3, max_features=24, random_state=0)
    truth.fit(features, (y - y.mean()) / y.std())
    np.testing.assert_allclose(
        predict(model, x, lengths), truth.predict(features) * y.std() + y.mean(), rtol=1e-5, atol=1e-4
    )


def test_a_class_without_training_rows_gets_next_to_no_probability():
    x, lengths, y = rows("classify")
    for kind in ("gradient_boosting", "linear"):
        model = baselines.fit(kind, "classify", x, lengths, np.where(y == 1, 0, y), classes=3)
        assert (torch.from_numpy(predict(model, x, lengths)).softmax(1)[:, 1] < 0.1).all()


@pytest.mark.parametrize("kind", ["linear", "random_convolutions"])
def test_ridge_outputs_equal_scikit_learns_up_to_the_temperature(kind):
    x, lengths, y = rows("classify")
    model = baselines.fit(kind, "classify", x, lengths, y, classes=3)
    features = standardised_features(model, x, lengths)
    truth = RidgeClassifierCV(ALPHAS).fit(features, y).decision_function(features)
    out = predict(model, x, lengths)
    heat = (out * truth).sum() / (truth * truth).sum()
    np.testing.assert_allclose(out / heat, truth, atol=1e-4)

    x, lengths, y = rows("regress")
    model = baselines.fit(kind, "regress", x, lengths, y)
    features = standardised_features(model, x, lengths)
    truth = RidgeCV(ALPHAS, scoring="neg_mean_squared_error").fit(features, (y - y.mean()) / y.std())
    expected = truth.predict(features) * y.std() + y.mean()
    np.testing.assert_allclose(predict(model, x, lengths), expected, rtol=1e-5, atol=1e-3)


def standardised_features(model, x, lengths):
    with torch.no_grad():
        raw = model.features(model.standardise(torch.from_numpy(x)), torch.from_numpy(lengths))
    return ((raw - model.feature_mean) / model.feature_scale).double().numpy()


@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize(("task", "kind"), EVERY)
def test_garbage_in_the_padding_changes_nothing(task, kind, garbage):
    model = fitted(task, kind)
    x, _, _ = rows(task, n=5, seed=9)
    lengths = np.array([30, 18, 3, 2, 1])
    dirty = np.concatenate([x, np.zeros_like(x[:, :4])], 1)
    dirty[np.arange(34)[None] >= lengths[:, None]] = garbage
    clean = predict(model, x, lengths)
    assert np.isfinite(clean).all()
    np.testing.assert_allclose(predict(model, dirty, lengths), clean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("task", "kind"), EVERY)
def test_garbage_in_the_padding_changes_no_fit(task, kind):
    x, lengths, y = rows(task)
    dirty = x.copy()
    dirty[np.arange(x.shape[1])[None] >= lengths[:, None]] = np.nan
    options = {"classify": {"classes": 3}, "regress": {}, "forecast": {"season": 12, "horizon": 6}}[task]
    one, other = (baselines.fit(kind, task, data, lengths, y, **options) for data in (x, dirty))
    for name, buffer in one.state_dict().items():
        torch.testing.assert_close(buffer, other.state_dict()[name], msg=name)


@pytest.mark.parametrize(("task", "kind"), EVERY)
def test_saving_and_loading_changes_nothing_and_the_seed_decides(task, kind):
    model = fitted(task, kind)
    config = baselines.BaselineConfig.model_validate_json(model.config.model_dump_json())
    loaded = baselines.build(config)
    loaded.load_state_dict(load(save(model.state_dict())), strict=True)
    x, lengths, _ = rows(task, seed=5)
    out = predict(model, x, lengths)
    shape = {"classify": (40, 3), "regress": (40,), "forecast": (40, 6, 3)}[task]
    assert out.shape == shape and out.dtype == np.float32
    np.testing.assert_array_equal(predict(loaded, x, lengths), out)
    np.testing.assert_array_equal(predict(fitted(task, kind), x, lengths), out)


@pytest.mark.parametrize(
    ("task", "kind"),
    [("classify", "random_convolutions"), ("regress", "gradient_boosting"), ("forecast", "linear_lags")],
)
def test_onnx_gives_the_same_at_other_batches_and_lengths(task, kind, tmp_path):
    model = fitted(task, kind)
    x, lengths, _ = rows(task, n=4)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            model,
            (torch.from_numpy(x), torch.from_numpy(lengths)),
            tmp_path / "model.onnx",
            dynamo=True,
            verbose=False,
            dynamic_shapes={"x": {0: batch, 1: length}, "lengths": {0: batch}},
        )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for n, steps in ((1, 17), (7, 50)):
        x = np.random.default_rng(n).normal(size=(n, steps, x.shape[2])).astype(np.float32)
        lengths = np.arange(steps, steps - n, -1)
        (out,) = session.run(None, {"x": x, "lengths": lengths})
        np.testing.assert_allclose(out, predict(model, x, lengths), rtol=1e-4, atol=1e-4)


def test_random_convolutions_know_the_power_demand_of_italy():
    x, lengths, y = ucr("ItalyPowerDemand", "TRAIN")
    model = baselines.fit("random_convolutions", "classify", x, lengths, y, classes=2)
    x, lengths, y = ucr("ItalyPowerDemand", "TEST")
    logits = predict(model, x, lengths)
    assert np.mean(logits.argmax(1) == y) >= 0.95
    assert torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(y)) < 0.2


def test_rows_left_out_of_a_fit_are_counted_in_the_notes():
    x, lengths = np.random.default_rng(0).normal(size=(6000, 3, 1)).astype(np.float32), np.full(6000, 3)
    y = np.zeros(6000, np.int64)
    y[-1] = 1
    model = baselines.fit("linear", "classify", x, lengths, y, classes=2)
    assert "5000 of 6000 rows" in model.config.notes[0]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"kind": "forest"}, "No baseline is named 'forest'"),
        ({"kind": "mean"}, "No baseline is named 'mean' for task classify"),
        ({"lengths": np.full(40, 31)}, "Lengths must lie in 1 to 30"),
        ({"y": np.zeros(39, np.int64)}, "needs x"),
        ({"y": np.zeros(40, np.int64)}, "at least 2 classes"),
    ],
)
def test_unusable_input_is_refused_with_the_cure(changed, rule):
    x, lengths, y = rows("classify")
    with pytest.raises(InputError, match=rule) as caught:
        baselines.fit(
            **{"kind": "linear", "task": "classify", "x": x, "lengths": lengths, "y": y, "classes": 3} | changed
        )
    assert caught.value.hint
