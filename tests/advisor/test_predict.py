"""Predictions: the right columns, the stamps that follow, one answer a series, whatever the batch."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from advisor.artifact import ModelCard, save_model
from advisor.baselines import fit
from advisor.data import Dataset
from advisor.errors import InputError
from advisor.predict import next_stamps, predict, predict_dataset

FREQS = {"h": "2024-01-30 22:00", "D": "2024-02-27", "B": "2024-03-01", "MS": "2023-11-01", "ME": "2024-01-31",
         "W-SUN": "2024-02-25", "15min": "2024-12-31 23:45", "YE-DEC": "2020-12-31", "QS": "2024-01-01"}  # fmt: skip


def card(task, **changes):
    forecast = task == "forecast"
    facts = {
        "task": task, "family": "linear", "baseline": True, "classes": ("no", "yes") if task == "classify" else (),
        "channels": ("y",), "horizon": 3 if forecast else None, "season": 4,
        "quantiles": (0.1, 0.5, 0.9) if forecast else (), "train_length_max": 24, "train_length_min": 24,
        "data_sha256": "", "metric": "rmse", "quality": 1.0, "quality_low": 0.0, "quality_high": 2.0, "versions": {},
        "created": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return ModelCard(**{**facts, **changes})


class Tail(nn.Module):
    """Answers with what is known of each row: its last valid value, so that a mixed-up order shows."""

    def __init__(self, task):
        super().__init__()
        self.task, self.seen = task, []

    def forward(self, x, lengths):
        """Return logits (v, -v), the value v, or quantiles v + step - 1, v + step, v + step + 1."""
        self.seen.append(tuple(x.shape))
        last = x[torch.arange(len(x)), lengths - 1, 0]
        if self.task == "classify":
            return torch.stack([last, -last], 1)
        if self.task == "regress":
            return last
        steps = torch.arange(1, 4.0)
        return (last[:, None] + steps)[..., None] + torch.tensor([-1.0, 0.0, 1.0])


def dataset(task, lengths, **changes):
    series = tuple(np.full((n, 1), i, np.float32) for i, n in enumerate(lengths))
    stamps = tuple(pd.RangeIndex(10, 10 + 2 * n, 2) for n in lengths) if task == "forecast" else None
    facts = {"ids": tuple(f"s{i}" for i in range(len(lengths))), "series": series, "channels": ("y",), "stamps": stamps}
    return Dataset("file", task, **{**facts, **changes})


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12), batch=st.integers(1, 5))
def test_answers_stand_in_the_order_of_the_file_whatever_the_batch(lengths, batch):
    frame = predict_dataset(Tail("regress"), card("regress"), dataset("regress", lengths), batch)
    assert list(frame.columns) == ["id", "prediction"]
    assert frame["id"].tolist() == [f"s{i}" for i in range(len(lengths))]
    assert frame["prediction"].tolist() == list(range(len(lengths)))


def test_a_batch_holds_series_of_similar_length():
    model = Tail("regress")
    predict_dataset(model, card("regress"), dataset("regress", [1, 100, 2, 99]), batch=2)
    assert model.seen == [(2, 2, 1), (2, 100, 1)]


def test_long_series_come_in_smaller_batches(monkeypatch):
    monkeypatch.setattr("advisor.predict.MOST_VALUES", 100)
    model = Tail("regress")
    predict_dataset(model, card("regress"), dataset("regress", [60, 60, 10, 10, 500]))
    assert [shape[0] for shape in model.seen] == [2, 1, 1, 1]


def test_class_shares_sum_to_one_and_the_largest_is_the_prediction():
    frame = predict_dataset(Tail("classify"), card("classify"), dataset("classify", [3, 5, 900]))
    assert list(frame.columns) == ["id", "prediction", "p_no", "p_yes"]
    np.testing.assert_allclose(frame[["p_no", "p_yes"]].sum(axis=1), 1, rtol=1e-12)
    assert frame["prediction"].tolist()[1:] == ["no", "no"]
    assert frame["p_no"][1] == pytest.approx(1 / (1 + np.exp(-2)))
    assert frame.attrs["notes"] == ["1 series are longer than any in training (24 steps)."]


def test_a_forecast_has_one_row_a_series_and_step_with_ordered_bounds():
    frame = predict_dataset(Tail("forecast"), card("forecast"), dataset("forecast", [5, 9]))
    assert list(frame.columns) == ["unique_id", "ds", "yhat", "yhat-lo-80", "yhat-hi-80"]
    assert frame["unique_id"].tolist() == ["s0"] * 3 + ["s1"] * 3
    assert frame["ds"].tolist() == [20, 22, 24, 28, 30, 32]  # the stamps step by 2
    assert frame["yhat"].tolist() == [1, 2, 3, 2, 3, 4]
    assert (frame["yhat-lo-80"] < frame["yhat"]).all() and (frame["yhat"] < frame["yhat-hi-80"]).all()


@pytest.mark.parametrize("freq", FREQS)
@given(length=st.integers(1, 30), horizon=st.integers(1, 30))
def test_the_next_dates_continue_the_index_as_pandas_would(freq, length, horizon):
    whole = pd.date_range(FREQS[freq], periods=length + horizon, freq=freq)
    assert next_stamps(whole[:length], horizon, freq).equals(whole[length:])


def test_dates_without_a_step_are_refused():
    with pytest.raises(InputError, match="step of series 'a' is not known"):
        next_stamps(pd.DatetimeIndex(["2024-01-01"]), 3, None, "a")


def test_another_number_of_channels_is_refused():
    wide = dataset("regress", [4], series=(np.zeros((4, 2), np.float32),))
    with pytest.raises(InputError, match=r"shape \(4, 2\), the model reads 1 channels: y"):
        predict_dataset(Tail("regress"), card("regress"), wide)


def test_another_task_is_refused():
    with pytest.raises(InputError, match="for regress, the model for classify"):
        predict_dataset(Tail("classify"), card("classify"), dataset("regress", [4]))


def test_answers_that_are_not_finite_are_counted():
    data = dataset("regress", [2, 2], series=(np.full((2, 1), np.nan, np.float32), np.ones((2, 1), np.float32)))
    frame = predict_dataset(Tail("regress"), card("regress"), data)
    assert "1 of 2 series got an answer that is not a finite number." in frame.attrs["notes"]


def run_folder(path, task, said, request, kind):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 24, 1)).astype(np.float32)
    y = {"classify": np.arange(40) % 2, "regress": x.mean((1, 2)), "forecast": draw.normal(size=(40, 3))}[task]
    model = fit(
        kind, task, x, np.full(40, 24), y, classes=2 * (task == "classify"), season=4, horizon=3 * (task == "forecast")
    )
    save_model(model, path / "model", said)
    (path / "run.json").write_text(json.dumps({"request": {"data": "train.csv", "task": task, **request}}))
    return path


def panel(path, ids=("new", "newer"), days=20):
    stamps = pd.date_range("2024-01-01", periods=days, freq="D")
    frames = [pd.DataFrame({"shop": i, "day": stamps, "sales": np.arange(days) % 4 + 10.0 * k})
              for k, i in enumerate(ids)]  # fmt: skip
    pd.concat(frames).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_a_file_with_unseen_ids_is_forecast_and_written(suffix, tmp_path):
    request = {"time": "day", "id": "shop", "target": ["sales"]}
    run = run_folder(tmp_path / "run", "forecast", card("forecast", freq="D"), request, "seasonal_naive")
    out = tmp_path / f"answers{suffix}"
    frame = predict(run, panel(tmp_path / "new.csv"), out)
    assert frame["unique_id"].tolist() == ["new"] * 3 + ["newer"] * 3
    assert frame["ds"].tolist()[:3] == list(pd.date_range("2024-01-21", periods=3, freq="D"))
    assert frame["yhat"].tolist() == [0, 1, 2, 10, 11, 12]  # the season of 4 goes on
    reader = {".csv": pd.read_csv, ".json": pd.read_json, ".parquet": pd.read_parquet}[suffix]
    assert reader(out)["yhat"].tolist() == frame["yhat"].tolist()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([out.name, "new.csv", "run"])


def test_a_short_series_takes_its_step_from_the_training(tmp_path):
    request = {"time": "day", "id": "shop", "target": ["sales"]}
    run = run_folder(tmp_path / "run", "forecast", card("forecast", freq="D"), request, "last_value")
    frame = predict(run, panel(tmp_path / "new.csv", ids=("one", "two"), days=1))
    assert frame["ds"].tolist()[:3] == list(pd.date_range("2024-01-02", periods=3, freq="D"))


@pytest.mark.parametrize("labelled", [True, False])
def test_rows_are_classified_with_and_without_their_labels(labelled, tmp_path):
    draw = np.random.default_rng(1)
    table = pd.DataFrame(draw.normal(size=(6, 24)), columns=[f"t{i}" for i in range(24)])
    if labelled:
        table.insert(0, "label", ["no", "yes"] * 3)
    table.to_csv(tmp_path / "new.csv", index=False)
    run = run_folder(tmp_path / "run", "classify", card("classify"), {}, "linear")
    frame = predict(run, tmp_path / "new.csv")
    assert list(frame.columns) == ["id", "prediction", "p_no", "p_yes"] and len(frame) == 6
    np.testing.assert_allclose(frame[["p_no", "p_yes"]].sum(axis=1), 1)


def test_an_unknown_suffix_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"ends in '\.xlsx'"):
        predict(tmp_path / "none", tmp_path / "none.csv", tmp_path / "out.xlsx")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        predict(tmp_path, tmp_path / "none.csv")


class Beside(nn.Module):
    """Answers with the last row of its input: covariates and calendar as the model sees them."""

    def forward(self, x, lengths):
        """Return the last channels as "quantiles" (B, 3, 3): every step ahead the same."""
        return x[torch.arange(len(x)), lengths - 1, -3:][:, None].expand(-1, 3, -1)


def test_a_forecaster_is_given_covariates_and_the_calendar_of_the_stamps():
    calendar = ("hour of day, sine", "hour of day, cosine")
    known = card("forecast", channels=("y", "temp", *calendar), calendar=calendar, freq="h")
    assert known.read == ("y", "temp")
    stamps = tuple(pd.date_range("2024-01-01", periods=n, freq="h") for n in (7, 12, 19))
    series = tuple(np.stack([np.zeros(len(s)), np.arange(len(s))], 1).astype(np.float32) for s in stamps)
    data = dataset("forecast", (7, 12, 19), series=series, channels=("y", "temp"), stamps=stamps, freq="h")
    frame = predict_dataset(Beside(), known, data, batch=2)
    last = np.array([6, 11, 18])
    angle = 2 * np.pi * last / 24
    np.testing.assert_allclose(frame["yhat-lo-80"][::3], last)
    np.testing.assert_allclose(frame["yhat"][::3], np.sin(angle), atol=1e-6)
    np.testing.assert_allclose(frame["yhat-hi-80"][::3], np.cos(angle), atol=1e-6)
    with pytest.raises(InputError, match="step numbers"):
        predict_dataset(Beside(), known, dataset("forecast", (7,), series=series[:1], channels=("y", "temp")))
    with pytest.raises(InputError, match="reads 2 channels: y, temp"):
        predict_dataset(Beside(), known, dataset("forecast", (7,)))


def test_what_is_known_ahead_is_read_behind_the_calendar_and_must_be_that_of_the_model():
    class Last(torch.nn.Module):
        def forward(self, x, lengths):
            return x[torch.arange(len(x)), lengths - 1][:, None].expand(-1, 3, -1)

    asked = card("forecast", channels=("y", "sale", "sale, ahead"), ahead=("sale",), horizon=3)
    series, future = np.arange(14, dtype=np.float32).reshape(7, 2), np.full((4, 1), 9.0)
    facts = {"series": (series,), "channels": ("y", "sale"), "future": (future,)}
    data = dataset("forecast", (7,), known=("sale",), **facts)
    assert predict_dataset(Last(), asked, data)["yhat-hi-80"].tolist() == [9.0] * 3
    short = dataset("forecast", (7,), known=("sale",), **{**facts, "future": (future[:2],)})
    with pytest.raises(InputError, match="sale for 2 steps after its last value, the model reads 3"):
        predict_dataset(Last(), asked, short)
    with pytest.raises(InputError, match="read with nothing known ahead, the model with sale"):
        predict_dataset(Last(), asked, dataset("forecast", (7,), **facts))


def test_a_card_says_what_the_channels_are():
    calendar = ("day of week, sine", "day of week, cosine")
    words = card("forecast", channels=("y", "temp", *calendar), calendar=calendar).markdown()
    assert "| covariates | temp (past values only) |" in words
    assert "day of week, sine, day of week, cosine of 2 pi times" in words
    with pytest.raises(ValueError, match="do not end with"):
        card("forecast", channels=("y", "a", "b", "c"), calendar=calendar)


def test_a_card_names_what_is_known_ahead_apart_from_what_is_read_up_to_the_present():
    words = card("forecast", channels=("y", "temp", "sale", "sale, ahead"), ahead=("sale",)).markdown()
    assert "| covariates | temp (past values only) |" in words
    assert "| known ahead | sale: the last channels are these" in words
    with pytest.raises(ValueError, match="do not end with"):
        card("forecast", channels=("y", "temp", "sale"), ahead=("sale",))


def steps(rows=6, length=24):
    draw = np.random.default_rng(1)
    return pd.DataFrame(draw.normal(size=(rows, length)), columns=[f"t{i}" for i in range(length)])


def answered(tmp_path, table, task="classify", request=None, **changes):
    """Return the predictions for a table, and those for its steps alone."""
    frames = []
    for name, what, asked in (("new", table, request or {}), ("bare", steps(), {})):
        run = run_folder(tmp_path / name, task, card(task, **changes), asked, "linear")
        what.to_csv(tmp_path / f"{name}.csv", index=False)
        frames.append(predict(run, tmp_path / f"{name}.csv"))
    return frames


@pytest.mark.parametrize("labels", [["no", None, "yes", "", "no", None], ["maybe", "no", "never", "yes", "2", None]])
@pytest.mark.parametrize("name", ["label", "verdict"])
def test_every_row_is_answered_whatever_its_label(labels, name, tmp_path):
    table = steps()
    table.insert(0, name, labels)
    frame, bare = answered(tmp_path, table)
    pd.testing.assert_frame_equal(frame, bare)
    assert "The labels in the file were not read." in frame.attrs["notes"]


def test_a_label_that_is_no_number_does_not_hinder_the_prediction_of_a_number(tmp_path):
    frame, bare = answered(tmp_path, steps().assign(target=["?", "1", "high", "", "2", "3"]), "regress")
    pd.testing.assert_frame_equal(frame, bare)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("shortest", [24, 20])
def test_the_column_of_ids_is_not_taken_for_the_label(labelled, shortest, tmp_path):
    table = steps()
    table.insert(0, "subject", list("uvwxyz"))
    table = table.assign(label="no") if labelled else table
    frame, bare = answered(tmp_path, table, request={"id": "subject"}, train_length_min=shortest)
    assert frame["id"].tolist() == list("uvwxyz")
    pd.testing.assert_frame_equal(frame.drop(columns="id"), bare.drop(columns="id"))


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [9, 4, 7, 4, 1, 0]])
def test_an_index_is_left_out_of_a_file_to_predict(labelled, rows, tmp_path):
    table = steps()
    table.insert(0, "Unnamed: 0", rows)
    frame, bare = answered(tmp_path, table.assign(label="no") if labelled else table)
    pd.testing.assert_frame_equal(frame, bare)
    assert "1 columns that count the rows were left out: 'Unnamed: 0'." in frame.attrs["notes"]
