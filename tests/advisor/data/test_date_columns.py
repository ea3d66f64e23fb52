"""One column a date or year: one series a row, stamped as the columns are named."""

import numpy as np
import pandas as pd
import pytest

from advisor.data import ReadOptions, read
from advisor.data.delimited import read_table
from advisor.data.sniff import open_source
from advisor.data.wide import is_m4
from advisor.errors import InputError


def wide(columns, before="country", names=("Chad", "Peru", "Iran")):
    """Return one row a name whose value is 100 * row + column."""
    rows = [f"{name}," + ",".join(str(100 * k + n) for n in range(len(columns))) for k, name in enumerate(names)]
    return "\n".join([f"{before},{','.join(map(str, columns))}", *rows])


@pytest.mark.parametrize("word", ["country", ""])
def test_years_after_a_word_are_a_header_and_stamps(write, word):
    data = read(write(wide(range(1990, 2010), word)))
    assert (data.task, data.ids, len(data.series[0])) == ("forecast", ("Chad", "Peru", "Iran"), 20)
    np.testing.assert_array_equal(data.series[1][:, 0], 100 + np.arange(20))
    assert data.stamps[0].equals(pd.RangeIndex(1990, 2010))


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y%m%d", "%m/%d/%y", "%d.%m.%Y", "%d %b %Y"])
def test_days_are_stamps_in_every_form(write, form):
    index = pd.date_range("2020-01-22", periods=40)
    data = read(write(wide(index.strftime(form), "Page")))
    assert (data.freq, data.ids) == ("D", ("Chad", "Peru", "Iran"))
    assert (data.stamps[2] == index).all()
    assert "one column a date" in data.format


def test_months_are_stamps_and_blanks_at_both_ends_no_steps(write):
    index = pd.date_range("2020-01-01", periods=12, freq="MS")
    text = "shop," + ",".join(index.strftime("%Y-%m")) + "\nx,,,3,4,5,,7,8,9,10,11,\ny" + ",2" * 12 + "\nz" + "," * 12
    data = read(write(text))
    assert (data.ids, data.freq, len(data.series[0])) == (("x", "y"), "MS", 9)
    assert data.series[0][:, 0].tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert data.stamps[0][0] == index[2]
    assert "1 of 3 rows begin or end in blanks; they were taken as shorter series." in data.notes
    assert any("without any value were dropped: 'z'" in note for note in data.notes)


def test_the_id_is_the_text_that_names_each_row_else_all_text_else_the_one_that_is_said(write):
    days = [str(day.date()) for day in pd.date_range("2020-01-22", periods=10)]
    text = wide(days, "state,nation,Lat", ["Hubei,China,30.9", "Tibet,China,31.6", ",Peru,9.1"])
    data = read(write(text))
    assert data.ids == ("Hubei/China", "Tibet/China", "Peru")
    assert "1 columns that are neither id nor date were left out: 'Lat'." in data.notes
    assert read(write(text.replace("Tibet,China", "Tibet,India"))).ids == ("China", "India", "Peru")
    assert read(write(text), ReadOptions(id="Lat")).ids == ("30.9", "31.6", "9.1")


def test_rows_of_one_id_are_refused_with_the_cure(write):
    with pytest.raises(InputError, match="one column a date, and 1 of its rows repeat") as caught:
        read(write(wide(range(1990, 2010), names=("Chad", "Chad", "Iran"))))
    assert "melt the table to columns unique_id, ds, y" in caught.value.hint


def test_rows_that_have_dates_of_their_own_stay_steps(write):
    months = [f"2020-{m:02d}" for m in range(1, 13)]
    days = [str(day.date()) for day in pd.date_range("2020-01-22", periods=10)]
    assert read(write(wide(months, "day", days))).ids == tuple(months)


def test_labelled_rows_may_name_their_steps_by_dates(write):
    data = read(write(wide(range(1990, 2010), "label", ["a", "b", "a", "b"])))
    assert (data.task, data.series[0].shape) == ("classify", (20, 1))


def test_words_of_a_first_row_before_a_value_that_repeats_are_data(write):
    data = read(write("\n".join(f"{'ab'[k % 2]},{','.join(['5'] * 9)},{k}" for k in range(8))))
    assert (data.task, len(data), data.classes) == ("classify", 8, ("a", "b"))


def test_m4_rows_are_known_by_the_id_that_is_said(write):
    path = write(wide([f"week{n}" for n in range(12)], "w0,store", [f"{k},{name}" for k, name in enumerate("xyz")]))
    table = read_table(open_source(path))
    assert not is_m4(table)
    assert is_m4(table, "store")
