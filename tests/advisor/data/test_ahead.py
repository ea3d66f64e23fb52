"""What is known ahead is read beyond the last value of the target, and moved to where a window of the past sees it."""

import numpy as np
import pandas as pd
import pytest

from advisor.audit import ahead, audit
from advisor.data import ReadOptions, forecast_cut, read
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
    assert len(plain.series[0]) == STEPS and plain.known == plain.future == ()
    said = "5 steps after the last value of the target were left out; to use what is known of them, name the columns"
    assert any(said in note for note in plain.notes) and not any("missing" in note for note in plain.notes)


def test_a_series_of_a_wide_table_goes_on_to_the_last_value_of_any_and_no_further(tmp_path):
    frame = table().rename(columns={"y": "north", "heat": "south"}).drop(columns="price")
    frame.loc[STEPS - 2 :, "south"] = np.nan
    data = read(stored(frame, tmp_path), ReadOptions(task="forecast"))
    assert [len(one) for one in data.series] == [STEPS, STEPS]
    assert any("2 missing" in note for note in data.notes) and any("5 steps after" in note for note in data.notes)


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
        (ASKED.model_copy(update={"known": ("date",)}), "is taken for time, id or target"),
        (ASKED.model_copy(update={"known": ("y",)}), "is taken for time, id or target"),
        (ASKED.model_copy(update={"known": ("blank",)}), "holds no values"),
        (ASKED.model_copy(update={"known": ("words",)}), "holds dates or more than 8 words"),
        (ReadOptions(task="forecast", known=("price",)), "none is named"),
    ],
)
def test_what_cannot_be_known_ahead_is_refused(tmp_path, asked, words):
    frame = table().rename(columns={"y": "load"} if not asked.target else {})
    frame = frame.assign(blank=np.nan, words=[f"word{k}" for k in range(len(frame))])
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


@pytest.mark.parametrize("series", [1, 2])
def test_a_test_file_is_scored_at_origins_whose_future_is_known_in_full(tmp_path, series):
    frame = pd.concat([table().iloc[:STEPS].assign(id=f"s{k}") for k in range(series)])
    place, asked = frame.groupby("id").cumcount(), ASKED.model_copy(update={"id": "id"})
    train = read(stored(frame[place < 40], tmp_path), asked)
    test = read(stored(frame[(place >= 40) & (place < 50)], tmp_path, "b.csv"), asked, like=train)
    problem = prepare(train, test, 1, 4, seed=0)
    assert len(problem.test) == len(problem.test.group) == 2 * series  # of 10 steps the last 2 are no whole horizon
    assert "with all their steps" in problem.plan.test_words


def test_a_known_column_named_as_the_target_channel_is_not_the_target(tmp_path):
    frame = table().rename(columns={"y": "sold", "price": "y"})
    data = read(stored(frame, tmp_path), ReadOptions(task="forecast", target=("sold",), known=("y",)))
    assert data.channels == ("y", "heat", "y") and data.known_places == (2,)
    np.testing.assert_allclose(prepare(data, None, 1, 4, 0).all_series[0][:, -1], frame["y"][4 : STEPS + 4], rtol=1e-6)


def test_a_series_that_is_dropped_anyway_may_lack_what_is_known_and_another_may_not(tmp_path):
    short, whole = table().iloc[:3].assign(id="short", price=np.nan), table().assign(id="whole")
    asked = ASKED.model_copy(update={"id": "id"})
    data = read(stored(pd.concat([short, whole]), tmp_path), asked)
    assert data.ids == ("whole",) and len(data.future) == 1
    with pytest.raises(InputError, match="series 'bare' has no value in a column that is known ahead"):
        read(stored(pd.concat([table().assign(id="bare", price=np.nan), whole]), tmp_path), asked)


def test_a_later_file_may_leave_a_known_flag_blank_and_the_count_is_said(tmp_path):
    frame = table().assign(event=np.where(np.arange(STEPS + BEYOND) % 7 == 0, "fair", ""))
    asked = ASKED.model_copy(update={"known": ("event",)})
    train = read(stored(frame, tmp_path), asked)
    assert train.known == ("event=fair",)
    later = read(stored(frame.assign(event=""), tmp_path, "b.csv"), asked, like=train)
    assert later.known == train.known and not later.future[0].any()
    assert any(f"{BEYOND} cells of 'event', known ahead, are blank where the target is" in n for n in later.notes)


def test_what_is_known_ahead_and_never_changes_is_kept_and_said_and_all_of_many_are(tmp_path):
    frame = table()
    more = {f"k{n}": frame["price"] * n + np.arange(len(frame)) % (n + 2) for n in range(40)}
    frame = frame.assign(flat=1.0, **more)
    asked = ASKED.model_copy(update={"known": ("flat", *more)})
    data = read(stored(frame, tmp_path), asked)
    assert data.known == ("flat", *more) and data.channels == ("y", *data.known)
    assert any("'flat', known ahead, never changes" in note for note in data.notes)


def test_a_cut_moves_what_it_cuts_off_into_the_future(tmp_path):
    frame = table()
    cut = forecast_cut(read(stored(frame, tmp_path), ASKED), 10)
    np.testing.assert_allclose(cut.history.future[0][:, 0], frame["price"][STEPS - 10 :], rtol=1e-6)


@pytest.mark.parametrize("late", [0, 1, 3])
def test_what_is_the_target_within_the_horizon_is_a_warning_where_it_is_called_known(tmp_path, late):
    frame = table().assign(twin=lambda t: 3 * t["y"].shift(late).bfill().ffill() + 1)
    told, quiet = (ASKED.model_copy(update={"known": known}) for known in (("twin", "price"), ("price",)))
    codes = {one.code: one for one in audit(read(stored(frame, tmp_path), told), horizon=3)}
    assert ("known_ahead_tells_the_target" in codes) == (late < 3)
    if late < 3:
        one = codes["known_ahead_tells_the_target"]
        assert (one.severity, one.counted, one.of) == ("warning", 1, 2) and "twin" in one.examples[0]
    assert "known_ahead_tells_the_target" not in {one.code for one in audit(read(stored(frame, tmp_path), quiet))}


def test_of_long_series_the_last_steps_are_looked_at_and_of_many_the_first(tmp_path, monkeypatch):
    frame = pd.concat([table().assign(id=f"s{k}") for k in range(3)]).assign(twin=lambda t: 2 * t["y"].ffill())
    data = read(stored(frame, tmp_path), ASKED.model_copy(update={"id": "id", "known": ("twin",)}))
    for work, looked in ((2**24, 3), (50, 1)):
        monkeypatch.setattr(ahead, "MOST_WORK", work)
        (one,) = ahead.told_ahead(data, 1)
        assert (one.counted, one.of) == (looked, looked)


def test_series_that_share_what_is_known_ahead_are_no_warning(tmp_path):
    frame = table().assign(other=lambda t: np.sin(t["y"] * 40) + t["heat"], double=lambda t: 2 * t["price"])
    asked = ReadOptions(task="forecast", target=("y", "other"), known=("price", "double"))
    assert not audit(read(stored(frame, tmp_path), asked), horizon=4)
