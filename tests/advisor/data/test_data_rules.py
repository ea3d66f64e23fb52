"""What happens to gaps, duplicates, disorder, odd dates and odd labels: closed forms, each with its note."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.audit import audit
from advisor.data import ReadOptions, read
from advisor.data.fill import fill
from advisor.data.grid import find_grid, like_grid
from advisor.errors import InputError


def csv(stamps, values):
    """Return a table of one column."""
    return "time,y\n" + "\n".join(f"{t},{v}" for t, v in zip(stamps, values, strict=True))


def days(count, freq="D", start="2024-01-01"):
    return [str(t) for t in pd.date_range(start, periods=count, freq=freq)]


def says(data, words):
    return any(words in note for note in data.notes)


def found(data, code, test=None):
    return next(one for one in audit(data, test) if one.code == code)


def test_a_gap_in_a_line_is_filled_by_the_line(write):
    data = read(write(csv(days(20), [n if n not in (3, 4, 9) else "" for n in range(20)])))
    np.testing.assert_array_equal(data.series[0][:, 0], np.arange(20))
    assert data.missing == 3 / 20
    assert says(data, "3 missing of 20 values were interpolated")


def test_edges_take_the_nearest_value_and_infinities_count_as_missing(write):
    data = read(write(csv(days(10), ["", "NA", 2, 3, "inf", 5, 6, 7, "1e300", "nan"])))
    assert data.series[0][:, 0].tolist() == [2, 2, 2, 3, 4, 5, 6, 7, 7]
    assert says(data, "2 missing and 2 infinite (or beyond float32) of 9 values")
    assert says(data, "1 steps after the last value of the target were left out.")


def test_rows_that_are_not_there_are_gaps(write):
    kept = [n for n in range(20) if n not in (5, 6)]
    data = read(write(csv([days(20)[n] for n in kept], kept)))
    np.testing.assert_array_equal(data.series[0][:, 0], np.arange(20))
    assert says(data, "2 steps had no row on the D grid")


def test_gaps_of_half_the_grid_are_refused(write):
    stamps = days(6) + days(6, start="2024-03-01")
    with pytest.raises(InputError, match="12 of the 66 places"):
        read(write(csv(stamps, range(12))))


def test_two_rows_at_one_time_become_their_mean(write):
    stamps = days(10)
    data = read(write(csv([*stamps, stamps[4]], [*range(10), 8])))
    assert data.series[0][4, 0] == 6
    assert says(data, "1 rows repeat the time of another row (1 with other values)")


@given(st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter(tmp_path_factory, order):
    path = tmp_path_factory.mktemp("order") / "f.csv"
    stamps = days(12, "h")
    path.write_text(csv([stamps[n] for n in order], order), encoding="utf-8")
    data = read(path)
    assert data.series[0][:, 0].tolist() == list(range(12))
    assert says(data, "sorted") == (list(order) != sorted(order))


def test_jittered_rows_move_to_the_nearest_place(write):
    stamps = days(20, "h")
    stamps[7] = stamps[7].replace(":00:00", ":04:00")
    data = read(write(csv(stamps, range(20))))
    assert data.series[0][:, 0].tolist() == list(range(20))
    assert data.freq == "h"
    assert says(data, "irregular: 1 rows were moved")


@pytest.mark.parametrize("freq", ["h", "15min", "D", "W-SUN", "MS", "ME", "YS-JAN", "B", "2h", "3D"])
def test_every_regular_axis_is_found_and_rebuilt(write, freq):
    index = pd.date_range("2023-01-31" if freq == "ME" else "2023-01-01", periods=60, freq=freq)
    data = read(write(csv([str(t) for t in index], range(60))))
    assert (data.freq, len(data.stamps[0])) == (freq, 60)
    assert (data.stamps[0] == index).all()
    again = like_grid(data.freq, data.stamps[0])
    micro = index.to_numpy().astype("datetime64[us]").astype(np.int64)
    found = find_grid([micro], True)
    assert (again.kind, again.step, again.month_end) == (found.kind, found.step, found.month_end)


@pytest.mark.parametrize(
    "form", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y%m%d", "%d %b %Y", "%b %d, %Y", "%Y-%m-%dT%H:%M"]
)
def test_dates_in_one_form_are_read_and_the_form_is_said(write, form):
    index = pd.date_range("2024-01-10", periods=40, freq="D")
    data = read(write("date;y\n" + "\n".join(f"{t.strftime(form)};{n}" for n, t in enumerate(index))))
    assert (data.stamps[0] == index).all()


@pytest.mark.parametrize("form", ["%b-%d-%Y", "%b %Y", "%B %Y", "%b-%y", "%d-%b-%y", "%Y-%b"])
def test_months_by_name_are_read(write, form):
    index = pd.date_range("1995-01-01", periods=40, freq="MS")
    data = read(write("date;y\n" + "\n".join(f"{t.strftime(form)};{n}" for n, t in enumerate(index))))
    assert (data.stamps[0] == index).all() and data.freq == "MS"


def test_a_month_whose_short_name_is_its_long_one_is_no_doubt(write):
    data = read(write(csv([f"May {2000 + k}" for k in range(10)], range(10))))
    assert data.freq == "YS-MAY" and data.stamps[0][0] == pd.Timestamp("2000-05-01")


@pytest.mark.parametrize("form", ["{y}Q{q}", "{y}-Q{q}", "{y} q{q}", "Q{q} {y}", "Q{q}-{y}"])
def test_quarters_are_read_as_their_first_days(write, form):
    index = pd.date_range("1999-04-01", periods=20, freq="QS")
    data = read(write(csv([form.format(y=t.year, q=t.quarter) for t in index], range(20))))
    assert (data.stamps[0] == index).all() and says(data, "first days")


@pytest.mark.parametrize("coarse", ["quarter", "month"])
def test_days_are_taken_for_time_before_months_and_quarters(write, coarse):
    index = pd.date_range("2024-01-10", periods=40, freq="D")
    named = [f"{t.year}Q{t.quarter}" if coarse == "quarter" else t.strftime("%Y-%m") for t in index]
    rows = "\n".join(f"{name},{t.date()},{n}" for n, (name, t) in enumerate(zip(named, index, strict=True)))
    data = read(write(f"{coarse},trading_day,y\n{rows}"), ReadOptions(task="forecast", target=("y",)))
    assert data.freq == "D" and len(data.series[0]) == 40


def test_a_day_that_does_not_refine_the_month_is_not_the_time(write):
    months = pd.date_range("2020-01-01", periods=24, freq="MS")
    for other in (["2015-03-01"] * 24, [str((t + pd.Timedelta(days=12 + t.month)).date()) for t in months]):
        rows = "\n".join(f"{t:%Y-%m},{o},{n}" for n, (t, o) in enumerate(zip(months, other, strict=True)))
        data = read(write(f"month,opened,y\n{rows}"), ReadOptions(task="forecast", target=("y",)))
        assert data.freq == "MS" and len(data.series[0]) == 24


def test_days_and_months_that_cannot_be_told_apart_are_refused(write):
    days_or_months = [f"{k}/1/2024" for k in range(1, 13)]
    second_of_january_or_first_of_february = [f"01/02/{year}" for year in range(2000, 2012)]
    for stamps in (days_or_months, second_of_january_or_first_of_february):
        with pytest.raises(InputError, match="both fit every row"):
            read(write(csv(stamps, range(12))))


def test_offsets_are_converted_to_utc_and_said(write):
    stamps = [f"{t}+02:00" for t in days(10, "h")]
    data = read(write(csv(stamps, range(10))))
    assert data.stamps[0][0] == pd.Timestamp("2023-12-31 22:00")
    assert data.stamps[0].tz is None
    assert says(data, "converted to UTC")


def test_a_date_is_no_offset(write):
    assert not says(read(write(csv(days(10), range(10)))), "UTC")


def test_seconds_since_1970_are_dates(write):
    data = read(write(csv([1_700_000_000 + 60 * n for n in range(10)], range(10))))
    assert data.freq == "min"
    assert says(data, "seconds since 1970")


def test_short_empty_and_constant_series_are_named(write):
    text = "unique_id,ds,y\n" + "\n".join(
        f"{name},{t},{value}"
        for name, count, value in (("ok", 9, ""), ("flat", 9, 4), ("short", 3, 1))
        for t, value in ((t, value) for t in range(count))
    )
    data = read(write(text))
    assert data.ids == ("flat",)
    assert says(data, "1 series without any value were dropped: 'ok'")
    assert says(data, "1 series shorter than 8 steps were dropped: 'short'")
    assert not says(data, "constant")
    assert found(data, "constant_target").says == "There is nothing to learn: 1 of 1 series are constant (4)."


def labelled(labels, values="1,2,3,4,5,6,7,8,9"):
    return "label," + ",".join(f"x{n}" for n in range(9)) + "\n" + "\n".join(f"{label},{values}" for label in labels)


def test_rows_without_a_label_are_dropped_and_counted(write):
    data = read(write(labelled(["a", "", "b", "NA", "a", "b"])))
    assert (len(data), data.ids) == (4, ("0", "2", "4", "5"))
    assert says(data, "2 rows without a label were dropped")


def test_one_class_is_refused_and_a_class_of_one_is_named(write):
    with pytest.raises(InputError, match=r"single class \(a\)"):
        read(write(labelled("aaaa")))
    assert says(read(write(labelled("aaab"))), "1 classes have one row")


def test_classes_written_as_1_and_1_point_0_are_one(write):
    assert read(write(labelled(["1", "1.0", "2", "2.0"]))).classes == ("1", "2")


def test_a_test_file_keeps_the_training_order_and_may_lack_labels(write):
    train = read(write(labelled("bbaacc"), "train.csv"))
    assert train.classes == ("a", "b", "c")
    assert read(write(labelled("cc"), "test.csv"), like=train).labels.tolist() == [2, 2]
    bare = "\n".join(line.partition(",")[2] for line in labelled("abc").splitlines())
    predict = read(write(bare, "predict.csv"), like=train)
    assert predict.labels is None
    assert (predict.classes, len(predict), predict.series[0].shape) == (train.classes, 3, (9, 1))


def test_an_unknown_label_in_a_test_file_is_named(write):
    train = read(write(labelled("abab"), "train.csv"))
    with pytest.raises(InputError, match=r"2 of 3 labels are not among the training classes: 'z' \(2 rows\)"):
        read(write(labelled("azz"), "test.csv"), like=train)


def test_rows_that_are_also_in_training_are_counted(write):
    train = read(write(labelled("abab"), "train.csv"))
    test = read(write(labelled("ab"), "test.csv"), like=train)
    assert not test.notes
    assert found(train, "test_series_in_training", test).counted == 2


def test_other_channels_than_in_training_are_refused(write):
    head = "@problemName T\n@classLabel true a b\n@data\n"
    train = read(write(f"{head}1,2:1,2:a\n1,3:1,2:b\n", "train.ts"))
    with pytest.raises(InputError, match="1 channels, the training set has 2"):
        read(write(f"{head}1,2:a\n", "test.ts"), like=train)


def test_a_short_continuation_of_a_training_series_is_accepted(write):
    train = read(write(csv(days(30, "h"), range(30)), "train.csv"))
    test = read(write(csv(days(3, "h", "2024-01-02 06:00"), range(3)), "test.csv"), like=train)
    assert (test.ids, len(test.series[0]), test.freq) == (("y",), 3, "h")


def test_another_step_than_in_training_is_refused(write):
    train = read(write(csv(days(30, "h"), range(30)), "train.csv"))
    with pytest.raises(InputError, match="steps by D, the training set by h"):
        read(write(csv(days(30), range(30)), "test.csv"), like=train)


def test_a_word_for_another_task_than_the_training_set_is_refused(write):
    train = read(write(labelled("abab")))
    with pytest.raises(InputError, match="--task forecast"):
        read(write(labelled("ab")), ReadOptions(task="forecast"), like=train)


@given(st.lists(st.booleans(), min_size=2, max_size=30).filter(lambda known: not all(known) and any(known)))
def test_filling_a_line_between_known_points_gives_the_line_back(known):
    mask = np.array(known)
    line = 2.0 * np.arange(len(mask)) - 5
    out, missing, _ = fill(np.where(mask, line, np.nan)[:, None])
    first, last = np.flatnonzero(mask)[[0, -1]]
    np.testing.assert_allclose(out[first : last + 1, 0], line[first : last + 1], rtol=1e-6)
    assert (out[:first, 0] == line[first]).all()
    assert (out[last:, 0] == line[last]).all()
    assert missing == (~mask).sum()
