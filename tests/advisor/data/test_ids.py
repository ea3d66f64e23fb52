"""Which columns tell rows of one time apart, and which are part of the time; what is refused where none do."""

import numpy as np
import pandas as pd
import pytest

from advisor.data import ReadOptions, read, streamed
from advisor.errors import InputError

DAYS = pd.date_range("2023-03-25", periods=40)
HOURS = pd.date_range("2023-03-25", periods=24 * 14, freq="h")
MONTHS = pd.date_range("2010-01-01", periods=60, freq="MS")


def numbers(rows, seed=0):
    return np.random.default_rng(seed).normal(size=rows).round(3)


def crossed(*groups):
    """Return a row for each choice of one from each group, the last group fastest, with a value."""
    index = pd.MultiIndex.from_product([values for _, values in groups], names=[name for name, _ in groups])
    return index.to_frame(index=False).assign(sales=numbers(len(index)))


def written(table, tmp_path, name="a.csv", sep=","):
    table.to_csv(tmp_path / name, index=False, sep=sep)
    return tmp_path / name


def says(data, words):
    return any(words in note for note in data.notes)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("stores", [["1", "2", "3"], ["north", "south", "west"]])
def test_two_columns_that_tell_rows_apart_are_one_id(tmp_path, stores, shuffled):
    table = crossed(("store", stores), ("item", [7, 8]), ("date", DAYS))[["date", "store", "item", "sales"]]
    wanted = table.sales[(table.store == stores[1]) & (table.item == 8)].to_numpy(np.float32)
    table = table.sample(frac=1, random_state=0) if shuffled else table
    data = read(written(table, tmp_path))
    assert sorted(data.ids) == [f"{store}/{item}" for store in stores for item in (7, 8)]
    assert "id in 'store'/'item'" in data.format and "--id" in data.rivals[0]
    np.testing.assert_array_equal(data.series[data.ids.index(f"{stores[1]}/8")][:, 0], wanted)


def test_three_columns_are_one_id_and_several_targets_stand_after_it(tmp_path):
    table = crossed(("a", [1, 2]), ("b", ["x", "y"]), ("c", [5, 6]), ("date", DAYS)).assign(more=1.5)
    data = read(written(table, tmp_path), ReadOptions(target=("sales", "more")))
    assert len(data) == 16 and data.ids[:2] == ("1/x/5/sales", "1/x/5/more")


def test_a_column_of_whole_numbers_is_the_id_and_values_that_are_whole_are_not(tmp_path):
    table = crossed(("Store", range(1, 6)), ("Date", DAYS))
    table["Sales"] = np.random.default_rng(1).poisson(3, len(table))
    table["DayOfWeek"] = table.Date.dt.day_of_week
    table["Open"] = 1
    data = read(written(table.drop(columns="sales"), tmp_path), ReadOptions(target=("Sales",)))
    assert data.ids == ("1", "2", "3", "4", "5") and data.channels == ("y", "DayOfWeek")


def test_a_declared_id_that_does_not_tell_rows_apart_is_joined_with_the_column_that_does(tmp_path):
    table = crossed(("item_id", ["a", "b"]), ("store", [1, 2]), ("date", DAYS))
    assert read(written(table, tmp_path)).ids == ("a/1", "a/2", "b/1", "b/2")


def test_a_key_of_rows_is_no_id_beside_columns_that_are(tmp_path):
    table = crossed(("date", DAYS), ("store", [1, 2]), ("family", ["x", "y"]))
    table.insert(0, "id", np.arange(len(table)) + 500)
    assert sorted(read(written(table, tmp_path), ReadOptions(target=("sales",))).ids) == ["1/x", "1/y", "2/x", "2/y"]


def test_a_slash_in_the_words_does_not_merge_two_ids(tmp_path):
    table = pd.concat([crossed(("date", DAYS)).assign(a=a, b=b) for a, b in (("x/y", "z"), ("x", "y/z"), ("x", "z"))])
    with pytest.raises(InputError, match="80 of 120 rows repeat the time of another row"):
        read(written(table.assign(sales=numbers(120)), tmp_path))


def test_a_later_file_of_few_rows_an_id_is_read_with_the_same_columns(tmp_path):
    train = read(written(crossed(("store", [1, 2, 3]), ("item", [7, 8]), ("date", DAYS)), tmp_path))
    later = crossed(("store", [1, 2, 3]), ("item", [7, 8]), ("date", DAYS[:3] + pd.Timedelta(days=40)))
    again = read(written(later, tmp_path, "b.csv"), like=train)
    assert again.ids == train.ids and {len(values) for values in again.series} == {3}


def test_rows_that_nothing_tells_apart_are_refused_with_the_cure_but_few_are_averaged(tmp_path):
    table = pd.DataFrame({"date": DAYS.repeat(3), "load": numbers(120)})
    with pytest.raises(InputError, match="80 of 120 rows repeat the time of another row") as caught:
        read(written(table, tmp_path))
    assert "--id" in caught.value.hint and "--time" in caught.value.hint
    few = pd.concat([table[::3], table[1:20:3]])
    assert says(read(written(few, tmp_path)), "7 rows repeat the time of another row (7 with other values)")


def test_a_named_id_under_which_rows_repeat_times_is_refused(tmp_path):
    table = crossed(("store", [1, 2]), ("item", [7, 8]), ("date", DAYS))
    with pytest.raises(InputError, match="80 of 160 rows"):
        read(written(table, tmp_path), ReadOptions(id="store"))


def test_rows_that_fill_each_other_are_merged_without_conflict(tmp_path):
    one = pd.DataFrame({"date": DAYS, "a": numbers(40), "b": None})
    two = pd.DataFrame({"date": DAYS, "a": None, "b": numbers(40, 1)})
    data = read(written(pd.concat([one, two]), tmp_path))
    assert data.missing == 0 and says(data, "40 rows repeat the time of another row (0 with other values)")


@pytest.mark.parametrize("first", [1, 1001])
def test_an_hour_that_occurs_twice_makes_neither_a_key_nor_a_word_an_id(tmp_path, first):
    stamps = HOURS.insert(3, HOURS[3])
    table = pd.DataFrame({"id": np.arange(len(stamps)) + first, "ts": stamps, "load": numbers(len(stamps))})
    table["wind"] = np.where(np.arange(len(stamps)) % 2, "N", "S")
    data = read(written(table, tmp_path), ReadOptions(target=("load",)))
    assert data.ids == ("load",) and len(data.series[0]) == len(HOURS) and says(data, "1 rows repeat the time")


def test_a_column_named_id_of_many_rows_each_is_the_id(tmp_path):
    data = read(written(crossed(("id", [30, 40]), ("date", DAYS)), tmp_path))
    assert data.ids == ("30", "40")


@pytest.mark.parametrize("form", ["%H:%M:%S", "%H:%M", "%H.%M.%S", "%H.%M", "%H:%M:%S.000", "%I:%M %p"])
def test_a_day_and_a_clock_in_two_columns_are_one_time(tmp_path, form):
    table = pd.DataFrame({"Date": HOURS.strftime("%d/%m/%Y"), "Time": HOURS.strftime(form), "power": numbers(336)})
    data = read(written(table, tmp_path, sep=";"))
    assert data.ids == ("power",) and data.freq == "h" and (data.stamps[0] == HOURS).all()
    assert says(data, "Times were put together from the columns Date, Time.")
    assert (read(tmp_path / "a.csv", ReadOptions(time="Date")).stamps[0] == HOURS).all()


@pytest.mark.parametrize(("name", "first"), [("hour", 0), ("HR", 1)])
def test_a_day_and_an_hour_in_two_columns_are_one_time(tmp_path, name, first):
    table = pd.DataFrame({"date": HOURS.strftime("%Y-%m-%d"), name: HOURS.hour + first, "load": numbers(336)})
    data = read(written(table, tmp_path))
    assert data.ids == ("load",) and (data.stamps[0] == HOURS + pd.Timedelta(hours=first)).all()


def test_days_hours_and_minutes_are_one_time(tmp_path):
    stamps = pd.date_range("2023-03-25", periods=300, freq="15min")
    table = pd.DataFrame({"date": stamps.date, "hour": stamps.hour, "minute": stamps.minute, "load": numbers(300)})
    assert (read(written(table, tmp_path)).stamps[0] == stamps).all()


@pytest.mark.parametrize("meters", [["a", "b"], [11, 12]])
def test_a_clock_is_joined_in_a_panel_too(tmp_path, meters):
    table = crossed(("meter", meters), ("stamp", HOURS))
    table["date"], table["clock"] = table.stamp.dt.strftime("%Y-%m-%d"), table.stamp.dt.strftime("%H:%M")
    data = read(written(table[["meter", "date", "clock", "sales"]], tmp_path))
    assert data.ids == tuple(map(str, meters)) and (data.stamps[1] == HOURS).all()


def test_the_hour_at_which_a_shop_opens_is_no_time_of_its_days(tmp_path):
    table = crossed(("shop", ["a", "b", "c"]), ("date", DAYS))
    table["opens"] = table["shop"].map({"a": "08:00", "b": "09:00", "c": "09:30"})
    data = read(written(table, tmp_path))
    assert data.ids == ("a", "b", "c") and data.freq == "D"


def test_half_hours_that_are_numbered_are_no_id(tmp_path):
    table = crossed(("date", DAYS), ("settlement_period", range(1, 49)))
    with pytest.raises(InputError, match="1880 of 1920 rows"):
        read(written(table, tmp_path), ReadOptions(target=("sales",)))


@pytest.mark.parametrize("ids", [None, "id", "shop"])
def test_year_and_month_are_the_first_days_of_months(tmp_path, ids):
    table = crossed((ids or "x", ["a", "b", "c"] if ids else ["a"]), ("m", MONTHS))
    table["year"], table["month"] = table.m.dt.year, table.m.dt.month
    data = read(written(table[[*([ids] if ids else []), "year", "month", "sales"]], tmp_path))
    assert data.ids == (("a", "b", "c") if ids else ("sales",))
    assert data.freq == "MS" and all((stamps == MONTHS).all() for stamps in data.stamps)
    assert says(data, "first days of the months in 'year' and 'month'")


def test_years_and_numbers_that_are_no_months_are_no_times(tmp_path):
    table = pd.DataFrame({"year": MONTHS.year, "month": MONTHS.month * 5, "sales": numbers(60)})
    assert says(read(written(table, tmp_path)), "No time column was found")


@pytest.mark.parametrize("parts", [["year", "month"], ["year", "month", "day"]])
def test_a_column_of_finer_times_goes_before_years_and_months(tmp_path, parts):
    table = pd.DataFrame({part: getattr(HOURS, part) for part in parts})
    table = table.assign(ds=HOURS, load=numbers(len(HOURS)))
    assert (read(written(table, tmp_path), ReadOptions(target=("load",))).stamps[0] == HOURS).all()


@pytest.mark.parametrize("ids", [["a", "b", "c"], None])
def test_a_table_of_numbered_steps_with_the_target_last_is_forecast(tmp_path, ids):
    table = crossed(*([("unique_id", ids)] if ids else []), ("ds", range(40)))
    table = table.drop(columns="sales").assign(**{f"c{k}": numbers(len(table), k) for k in range(8)})
    data = read(written(table.assign(y=numbers(len(table), 9)), tmp_path), ReadOptions(target=("y",)))
    assert data.task == "forecast" and data.ids == (tuple(ids) if ids else ("y",)) and len(data.channels) == 9


def test_rows_with_a_label_whose_times_repeat_are_still_labelled_rows(tmp_path):
    table = pd.DataFrame({"step": np.arange(30) % 5, **{f"c{k}": numbers(30, k) for k in range(9)}})
    assert read(written(table.assign(y=numbers(30, 9)), tmp_path)).task == "regress"


@pytest.fixture
def in_blocks(monkeypatch):
    """Read any file in blocks whose sample is its two ends; a function turns that on or off."""
    monkeypatch.setattr(streamed, "SAMPLES", 2)
    return lambda on: monkeypatch.setattr(streamed, "FROM_BYTES", 0 if on else 2**40)


def same(fast, slow):
    assert (fast.ids, fast.freq, fast.channels) == (slow.ids, slow.freq, slow.channels)
    for one, two in zip(fast.series, slow.series, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.mark.parametrize("columns", [("shop",), ("store", "item")])
def test_a_large_panel_whose_sample_does_not_show_the_id_is_read_as_a_small_one(
    tmp_path, monkeypatch, in_blocks, columns
):
    monkeypatch.setattr(streamed, "SAMPLE_BYTES", 300)
    table = crossed(*((name, ["a", "b", "c"]) for name in columns), ("date", DAYS))
    path = written(table, tmp_path)
    in_blocks(True)
    fast = read(path)
    assert "read in blocks" not in fast.format
    in_blocks(False)
    same(fast, read(path))
    assert len(fast) == 3 ** len(columns)


def test_a_large_panel_whose_sample_shows_half_of_the_id_is_read_as_a_small_one(tmp_path, monkeypatch, in_blocks):
    monkeypatch.setattr(streamed, "SAMPLE_BYTES", 850)
    table = crossed(("store", [1, 2]), ("item", ["x", "y"]), ("date", DAYS))
    path = written(table.iloc[[*range(40), *range(80, 160), *range(40, 80)]], tmp_path)
    in_blocks(True)
    source, sample = streamed.sample_of(path)
    streamed_alone = streamed.read_streamed(source, sample, ReadOptions(), None, panel=True)
    assert set(sample.cells("store")) == {"1"} and streamed_alone is None
    assert sorted(read(path).ids) == ["1/x", "1/y", "2/x", "2/y"]


def test_a_large_panel_of_an_id_in_two_columns_is_read_in_blocks(tmp_path, in_blocks):
    table = crossed(("date", DAYS), ("store", [1, 2, 3]), ("item", ["x", "y"]))
    path = written(table, tmp_path)
    in_blocks(True)
    fast = read(path)
    assert "read in blocks" in fast.format and "id in 'store'/'item'" in fast.format
    in_blocks(False)
    same(fast, read(path))


def test_a_file_too_large_to_read_at_once_is_refused_where_its_id_is_not_found(tmp_path, monkeypatch, in_blocks):
    monkeypatch.setattr(streamed, "SAMPLE_BYTES", 300)
    monkeypatch.setattr(streamed, "MAX_BYTES", 1000)
    path = written(crossed(("shop", ["a", "b", "c"]), ("date", DAYS)), tmp_path)
    in_blocks(True)
    with pytest.raises(InputError, match="80 of 120 rows") as caught:
        read(path)
    assert "--id" in caught.value.hint
    assert read(path, ReadOptions(id="shop")).ids == ("a", "b", "c")


@pytest.mark.parametrize("columns", [("shop",), ("store", "item")])
def test_a_file_of_one_series_has_the_id_columns_of_the_file_that_it_is_read_like(tmp_path, columns):
    table = crossed(*((name, ["a", "b", "c"]) for name in columns), ("date", DAYS))
    trained = read(written(table, tmp_path))
    assert trained.id_columns == columns
    alone = table[(table[list(columns)] == "b").all(axis=1)]
    assert read(written(alone, tmp_path), like=trained).ids == ("/".join("b" for _ in columns),)


@pytest.mark.parametrize("form", ["%B", "%b", "%b."])
def test_a_year_and_a_month_in_words_are_a_time(tmp_path, form):
    table = pd.DataFrame({"year": MONTHS.year, "month": MONTHS.strftime(form), "passengers": numbers(60)})
    data = read(written(table, tmp_path))
    assert data.freq == "MS" and len(data) == 1 and (data.stamps[0] == MONTHS).all()


def test_two_words_of_very_different_length_are_two_series(tmp_path):
    days = pd.date_range("2019-01-01", periods=400)
    spans = {"A": days, "B": days[50:80]}
    rows = [pd.DataFrame({"date": at, "symbol": name, "close": numbers(len(at))}) for name, at in spans.items()]
    data = read(written(pd.concat(rows), tmp_path))
    assert data.ids == ("A", "B") and [len(one) for one in data.series] == [400, 30]


def test_a_column_named_id_needs_no_eight_rows_a_value(tmp_path):
    brief = crossed(("id", range(100, 200)), ("date", DAYS[:3]))
    long = crossed(("id", range(10)), ("date", DAYS[:30]))
    data = read(written(pd.concat([brief, long]), tmp_path))
    assert len(data) == 10 and any("100 series" in note for note in data.notes)


@pytest.mark.parametrize("part", ["dom", "DayofMonth", "week", "Date"])
def test_a_year_and_a_month_without_the_finer_part_are_no_time(tmp_path, part):
    days = pd.date_range("2021-01-01", periods=400)
    finer = days.isocalendar().week.to_numpy() if part == "week" else days.day
    data = read(
        written(pd.DataFrame({"year": days.year, "month": days.month, part: finer, "sales": numbers(400)}), tmp_path)
    )
    assert data.stamps[0].equals(pd.RangeIndex(400)) and "time in no column" in data.format


@pytest.mark.parametrize("by", [["year", "month"], ["store", "item"]])
def test_a_year_and_a_month_are_the_time_of_ids_in_two_columns_in_any_order(tmp_path, by):
    table = crossed(("date", MONTHS), ("store", [1, 2, 3]), ("item", [4, 5]))
    table = table.assign(year=table["date"].dt.year, month=table["date"].dt.month).drop(columns="date")
    data = read(written(table.sort_values(by, kind="stable"), tmp_path))
    assert data.freq == "MS" and sorted(data.ids) == [f"{s}/{i}" for s in (1, 2, 3) for i in (4, 5)]


def test_years_that_repeat_are_time_where_a_column_of_text_tells_their_rows_apart(tmp_path):
    table = crossed(("firm", ["US Steel", "IBM", "Goodyear"]), ("year", range(1935, 1955)))
    data = read(written(table[["sales", "firm", "year"]], tmp_path))
    assert (data.ids, data.id_columns) == (("US Steel", "IBM", "Goodyear"), ("firm",))
    assert [len(one) for one in data.series] == [20, 20, 20]


def test_numbers_that_repeat_are_no_time_where_text_does_not_tell_their_rows_apart(tmp_path):
    table = crossed(("firm", ["US Steel", "IBM"]), ("step", range(30))).assign(step=lambda t: t.step % 15)
    data = read(written(table, tmp_path))
    assert says(data, "'step' holds numbers that repeat") and not data.id_columns
