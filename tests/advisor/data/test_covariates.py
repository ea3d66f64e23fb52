"""Covariates: what stands beside a named target, in the same rows."""

import numpy as np
import pandas as pd
import pytest

from advisor.artifact import ModelCard
from advisor.data import ReadOptions, read
from advisor.errors import InputError
from advisor.predict import trained_like

TARGET = ReadOptions(target=("y",))


def frame(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "date": pd.date_range("2023-01-01", periods=rows, freq="h"),
            "y": rng.normal(size=rows),
            "temp": rng.normal(size=rows),
            "wind": rng.choice(["N", "S", "W"], rows),
            "open": rng.choice(["yes", "no"], rows),
            "site": "north",
            "words": [f"text {i}" for i in range(rows)],
        }
    )


def card(data):
    return ModelCard(
        task="forecast", family="linear", baseline=True, channels=data.channels, horizon=3, freq=data.freq,
        quantiles=(0.1, 0.5, 0.9), train_length_max=60, train_length_min=60, data_sha256="", metric="mase", quality=1,
        quality_low=0, quality_high=2, versions={}, created="",
    )  # fmt: skip


def write(table, path):
    table.to_csv(path, index=False)
    return path


def test_numbers_and_few_words_become_channels_after_the_target_and_the_rest_is_said(tmp_path):
    table = frame()
    data = read(write(table, tmp_path / "a.csv"), TARGET)
    assert data.channels == ("y", "temp", "wind=N", "wind=S", "wind=W", "open=yes")
    expected = np.stack(
        [table.y, table.temp, *(table.wind == w for w in "NSW"), table.open == "yes"], axis=1
    ).astype(np.float32)  # fmt: skip
    np.testing.assert_allclose(data.series[0], expected, rtol=1e-6)
    said = " ".join(data.notes)
    assert "1 columns that never change were left out: 'site'" in said
    assert "1 columns of text of over 8 values were left out: 'words'" in said


def test_without_a_named_target_every_column_of_numbers_is_a_series_of_its_own(tmp_path):
    data = read(write(frame(), tmp_path / "a.csv"))
    assert (data.ids, data.channels) == (("y", "temp"), ("y",))


def test_a_panel_keeps_static_columns_and_fills_gaps_by_id(tmp_path):
    one, two = frame(seed=1), frame(seed=2)
    one["size"], two["size"] = 3.0, 5.0
    one.loc[10, "temp"] = np.nan
    two["temp"] = np.nan
    table = pd.concat([one.assign(unique_id="a"), two.assign(unique_id="b")])
    data = read(write(table, tmp_path / "a.csv"))
    temp, size = (data.channels.index(name) for name in ("temp", "size"))
    assert data.ids == ("a", "b")
    assert [set(values[:, size]) for values in data.series] == [{3.0}, {5.0}]
    assert data.series[0][10, temp] == pytest.approx((one.temp[9] + one.temp[11]) / 2, rel=1e-5)
    mean = data.series[0][:, temp].mean()
    np.testing.assert_allclose(data.series[1][:, temp], mean, rtol=1e-4)
    assert any("1 series have no value of covariate 'temp'" in note for note in data.notes)


def test_a_later_file_gives_the_channels_of_the_training_in_their_order(tmp_path):
    data = read(write(frame(), tmp_path / "a.csv"), TARGET)
    like = trained_like(card(data))
    later = frame(rows=20, seed=3)[["open", "wind", "temp", "y", "date"]]
    later["wind"] = "S"
    again = read(write(later, tmp_path / "b.csv"), TARGET, like=like)
    assert again.channels == data.channels
    np.testing.assert_allclose(again.series[0][:, :5], np.stack([later.y, later.temp, *np.eye(3)[[1] * 20].T], axis=1))


def test_a_file_that_lacks_a_covariate_is_refused_by_its_name(tmp_path):
    like = trained_like(card(read(write(frame(), tmp_path / "a.csv"), TARGET)))
    with pytest.raises(InputError, match="lacks 2 columns that the model reads beside the target: 'temp', 'wind'"):
        read(write(frame(rows=20).drop(columns=["temp", "wind"]), tmp_path / "b.csv"), TARGET, like=like)


def test_of_very_many_covariates_those_that_move_with_the_target_are_kept(tmp_path):
    table = frame(rows=100)[["date", "y"]]
    rng = np.random.default_rng(5)
    for k in range(40):
        table[f"c{k}"] = rng.normal(size=100) + 3 * table.y * (k % 5 == 0)
    data = read(write(table, tmp_path / "a.csv"), TARGET)
    assert len(data.channels) == 33
    assert {f"c{k}" for k in range(0, 40, 5)} <= set(data.channels)
    assert any("8 of 40 covariates move least with the target" in note for note in data.notes)


def test_an_equals_sign_in_a_column_or_a_cell_is_read_again_as_it_was(tmp_path):
    table = frame()
    table["a=b"] = np.where(np.arange(60) % 3 == 0, "x=1", "x=2")
    data = read(write(table, tmp_path / "a.csv"), TARGET)
    assert {"a=b=x=1", "a=b=x=2"} & set(data.channels)
    again = read(tmp_path / "a.csv", TARGET, like=data)
    assert again.channels == data.channels
    np.testing.assert_array_equal(again.series[0], data.series[0])
