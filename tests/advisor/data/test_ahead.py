"""What is known ahead is read beyond the last value of the target, and moved to where a window of the past sees it."""

import numpy as np
import pandas as pd
import pytest

from advisor.data import ReadOptions, read
from advisor.data.ahead import ahead_of
from advisor.errors import InputError
from advisor.search.prepare import prepare

ASKED = ReadOptions(task="forecast", target=("y",), known=("price",))
STEPS, BEYOND = 60, 5


def table(rows=STEPS + BEYOND, seed=0):
    """Return a table whose last rows have no target."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=rows, freq="D").astype(str), "y": rng.random(rows).round(3),
            "heat": rng.random(rows).round(3), "price": rng.random(rows).round(3),
        }
    )  # fmt: skip
    frame.loc[rows - BEYOND :, ["y", "heat"]] = np.nan
    return frame


def stored(frame, tmp_path, name="a.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def test_a_channel_ahead_is_the_channel_some_steps_later_and_its_last_value_where_that_is_unknown():
    values, future = np.arange(10.0)[:, None], np.array([[10.0], [11.0]])
    assert ahead_of(values, future, 3)[:, 0].tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11, 11]
    assert ahead_of(values, future[:0], 20)[:, 0].tolist() == [9] * 10


def test_rows_without_a_target_are_the_future_of_what_is_known_and_no_steps(tmp_path):
    frame = table()
    data = read(stored(frame, tmp_path), ASKED)
    assert data.channels == ("y", "heat", "price") and data.known == ("price",)
    assert len(data.series[0]) == len(data.stamps[0]) == STEPS
    np.testing.assert_allclose(data.future[0][:, 0], frame["price"][STEPS:], rtol=1e-6)
    assert any("5 rows after the last value of the target hold them" in note for note in data.notes)
    assert "known ahead: price" in data.format and not any("missing" in note for note in data.notes)
    plain = read(stored(frame, tmp_path), ASKED.model_copy(update={"known": ()}))
    assert len(plain.series[0]) == STEPS + BEYOND and plain.known == plain.future == ()


def test_each_series_of_a_panel_has_its_own_future_and_words_give_a_channel_each(tmp_path):
    parts = [table(seed=k).assign(id=f"s{k}") for k in range(2)]
    frame = pd.concat([parts[0], parts[1].iloc[:-2]])
    frame["day"] = np.where(np.arange(len(frame)) % 3 == 0, "sale", "none")
    asked = ReadOptions(task="forecast", target=("y",), id="id", known=("day", "price"))
    data = read(stored(frame, tmp_path), asked)
    assert data.known == ("price", "day=sale") and [one.shape for one in data.future] == [(5, 2), (3, 2)]
    np.testing.assert_allclose(data.future[1][:, 0], parts[1]["price"][STEPS:-2], rtol=1e-6)
    assert len(data.take(np.array([1])).future) == 1
    assert data.targets().known == ()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ASKED.model_copy(update={"known": ("rain",)}), "rain"),
        (ASKED.model_copy(update={"known": ("date",)}), "no values beside the target"),
        (ASKED.model_copy(update={"known": ("y",)}), "no values beside the target"),
        (ASKED.model_copy(update={"known": ("flat",)}), "never changes"),
        (ReadOptions(task="forecast", known=("price",)), "none is named"),
    ],
)
def test_what_cannot_be_known_ahead_is_refused(tmp_path, asked, words):
    frame = table().rename(columns={"y": "load"} if not asked.target else {}).assign(flat=1.0)
    with pytest.raises(InputError, match=words):
        read(stored(frame, tmp_path), asked)


def test_a_problem_holds_what_is_known_a_horizon_later_as_its_last_channel(tmp_path):
    frame = table()
    problem = prepare(read(stored(frame, tmp_path), ASKED), None, 1, 4, seed=0)
    assert problem.plan.ahead == ("price",) and problem.plan.channels == problem.all_series[0].shape[1]
    one, price = problem.all_series[0], frame["price"].to_numpy(np.float32)
    np.testing.assert_allclose(one[:, 2], price[:STEPS])
    np.testing.assert_allclose(one[:, -1], price[4 : STEPS + 4])


def test_at_a_test_file_the_last_steps_of_training_know_what_that_file_holds(tmp_path):
    frame = table()
    train = read(stored(frame.iloc[:40], tmp_path), ASKED)
    test = read(stored(frame.iloc[40:], tmp_path, "b.csv"), ASKED, like=train)
    problem = prepare(train, test, 1, 4, seed=0)
    price = frame["price"].to_numpy(np.float32)
    np.testing.assert_allclose(problem.all_series[0][:, -1], price[4:44])
    last = problem.test.x[0, : problem.test.lengths[0], -1]
    np.testing.assert_allclose(last[-4:], price[40:44])
