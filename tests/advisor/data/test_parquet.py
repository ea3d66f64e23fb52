"""Parquet: what the index holds is not lost, and cells that are lists are refused."""

import numpy as np
import pandas as pd
import pytest

from advisor.data import read
from advisor.errors import InputError

pytest.importorskip("pyarrow")
DAYS = pd.date_range("2024-01-01", periods=20)


def stored(tmp_path, index, values=None):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"y": np.arange(float(len(index))) if values is None else values}, index=index).to_parquet(path)
    return path


@pytest.mark.parametrize("names", [(None, None), ("unique_id", "ds")])
def test_an_index_of_ids_and_times_is_a_panel(tmp_path, names):
    data = read(stored(tmp_path, pd.MultiIndex.from_product([["a", "b"], DAYS], names=names)))
    assert (data.ids, data.freq) == (("a", "b"), "D")
    assert (data.stamps[1] == DAYS).all()


@pytest.mark.parametrize("name", [None, "when"])
@pytest.mark.parametrize(("period", "freq"), [(None, "D"), ("M", "MS"), ("W", "W-MON")])
def test_an_index_of_times_is_the_time_with_and_without_a_name(tmp_path, name, period, freq):
    index = pd.period_range("2024-01-01", periods=20, freq=period) if period else DAYS
    data = read(stored(tmp_path, index.rename(name)))
    assert (data.ids, data.freq, data.stamps[0][0]) == (("y",), freq, pd.Timestamp("2024-01-01"))


def test_row_numbers_are_left_out_and_said_where_they_are_not_plain(tmp_path):
    assert read(stored(tmp_path, pd.RangeIndex(20))).ids == ("y",)
    data = read(stored(tmp_path, pd.Index([*range(40, 2, -2), 1])))
    assert data.ids == ("y",)
    assert "The index has no name and was left out." in data.notes


def test_an_index_with_the_name_of_a_column_is_refused(tmp_path):
    with pytest.raises(InputError, match="'y' occurs 2 times"):
        read(stored(tmp_path, DAYS.rename("y")))


def test_cells_that_are_lists_are_refused_by_the_name_of_their_column(tmp_path):
    with pytest.raises(InputError, match="the cells of column 'y' are lists") as caught:
        read(stored(tmp_path, DAYS, [None, *[[1.0, 2.0]] * 19]))
    assert "one column a step" in caught.value.hint
