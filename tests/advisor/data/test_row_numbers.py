"""Columns that count rows, as pandas writes its index: left out of tables and of labelled rows, and said."""

import numpy as np
import pandas as pd
import pytest

from advisor.data import ReadOptions, read, scratch, streamed


def labelled(rows=20, steps=10):
    """Return labelled rows whose values are row + step / 100."""
    table = pd.DataFrame({f"x{n}": np.arange(rows) + n / 100 for n in range(steps)})
    return table.assign(label=["a", "b"] * (rows // 2))


def told(data):
    return [note for note in data.notes if "count the rows were left out" in note]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "row"])
@pytest.mark.parametrize("start", [0, 1, 800])
def test_an_index_is_no_step_of_labelled_rows(write, name, start):
    table = labelled().set_axis(range(start, start + 20))
    data = read(write(table.to_csv(index_label=name)))
    assert data.series[3][:, 0].tolist() == pytest.approx([3 + n / 100 for n in range(10)])
    assert told(data) == [f"1 columns that count the rows were left out: {name or 'unnamed_1'!r}."]


def test_an_index_saved_twice_and_shuffled_is_left_out_in_training_and_test(write):
    table = labelled().reset_index(names="Unnamed: 0").sample(frac=1, random_state=0)
    train = read(write(table[:14].to_csv(), "a.csv"))
    test = read(write(pd.concat([table[14:], table[14:]]).to_csv(), "b.csv"), like=train)
    for data in (train, test):
        assert {len(one) for one in data.series} == {10}
        assert told(data) == ["2 columns that count the rows were left out: 'unnamed_1', 'Unnamed: 0'."]


def test_the_label_without_a_name_is_found_after_an_index(write):
    table = labelled().rename(columns={"label": "digit"})
    table = table[["digit", *table.columns[:-1]]].replace({"a": 1, "b": 2})
    data = read(write(table.to_csv()))
    assert (data.task, data.classes, data.series[0].shape) == ("classify", ("1", "2"), (10, 1))


def test_first_labels_without_a_name_stay_labels(write):
    table = labelled()
    table.insert(0, "", [1, 2] * 10)
    data = read(write(table.drop(columns="label").to_csv(index=False)), ReadOptions(task="classify"))
    assert (data.classes, data.series[0].shape, told(data)) == (("1", "2"), (10, 1), [])


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
@pytest.mark.parametrize("start", [0, 800])
def test_an_index_is_no_series_of_a_table_wherever_it_starts(write, name, start):
    table = pd.DataFrame({"u": np.sin(np.arange(40.0))}, index=range(start, start + 40))
    path = write(table.to_csv(index_label=name))
    data = read(path)
    for one in (data, read(path, like=data)):
        assert one.ids == ("u",)
        assert told(one)


def test_whole_numbers_that_rise_unevenly_stay_a_series_under_a_name(write):
    table = pd.DataFrame({"index": np.cumsum(np.arange(40) % 3 + 1), "u": np.sin(np.arange(40.0))})
    assert read(write(table.to_csv(index=False))).ids == ("index", "u")


def test_an_index_is_found_in_pieces_of_a_large_file(write, monkeypatch):
    for module in (streamed, scratch):
        monkeypatch.setattr(module, "FROM_BYTES", 0)
    monkeypatch.setattr(streamed, "SAMPLES", 2)
    monkeypatch.setattr(streamed, "SAMPLE_BYTES", 512)
    table = pd.DataFrame({"u": np.sin(np.arange(400.0)), "v": np.cos(np.arange(400.0))})
    data = read(write(table.to_csv()))
    assert "read in blocks" in data.format
    assert data.ids == ("u", "v")
    assert told(data)


def test_an_index_before_m4_rows_is_no_step(write):
    table = pd.DataFrame({"V1": ["H1", "H2"], **{f"V{n}": [n, -n] for n in range(2, 14)}})
    data = read(write(table.to_csv()))
    assert (data.ids, data.series[0][:, 0].tolist()) == (("H1", "H2"), list(range(2, 14)))
    assert told(data)
