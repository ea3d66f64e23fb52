"""Small files of every format: what is recognised, and which flag says otherwise."""

import gzip
import hashlib
import sys

import numpy as np
import pandas as pd
import pytest

from advisor.data import ReadOptions, read
from advisor.errors import InputError, MissingExtraError


def panel(ids=("a", "b"), steps=12, names="unique_id,ds,y"):
    """Return a long panel whose value is 100 * id + step."""
    days = pd.date_range("2024-01-01", periods=steps, freq="D")
    return (
        names
        + "\n"
        + "\n".join(f"{i},{d:%Y-%m-%d},{100 * k + n}" for k, i in enumerate(ids) for n, d in enumerate(days))
    )


def wide(rows=20, steps=10, label=lambda i: "ab"[i % 2], header=True, place=0):
    """Return labelled rows whose values are row + step / 100."""
    lines = []
    for i in range(-1 if header else 0, rows):
        cells = [f"x{n}" if i < 0 else str(i + n / 100) for n in range(steps)]
        cells.insert(len(cells) if place else 0, "label" if i < 0 else str(label(i)))
        lines.append(",".join(cells))
    return "\n".join(lines)


@pytest.mark.parametrize("names", ["unique_id,ds,y", "item_id,timestamp,target", "shop,day_of_sale,amount"])
def test_a_long_panel_becomes_one_series_an_id(write, names):
    data = read(write(panel(names=names)))
    assert (data.task, data.ids, data.freq) == ("forecast", ("a", "b"), "D")
    np.testing.assert_array_equal(data.series[1][:, 0], 100 + np.arange(12))
    assert data.format.startswith("long panel")


def test_flags_name_the_columns_of_a_panel_and_several_targets_become_id_slash_target(write):
    text = "n,where,u,v\n" + "\n".join(f"{t},{i},{t},{-t}" for i in (7, 8) for t in range(10))
    data = read(write(text), ReadOptions(time="n", id="where", target=("u", "v")))
    assert data.ids == ("7/u", "7/v", "8/u", "8/v")
    assert data.freq is None
    assert data.stamps[0].equals(pd.RangeIndex(10))


def test_a_panel_with_labels_is_refused_with_the_format_that_is_read(write):
    path = write("id,t,x,label\n" + "\n".join(f"{i},{t},{t},{'ab'[i % 2]}" for i in range(6) for t in range(9)))
    with pytest.raises(InputError, match="long panel") as caught:
        read(path, ReadOptions(task="classify"))
    assert "one row a series" in caught.value.hint
    assert len(read(path, ReadOptions(task="forecast"))) == 6


@pytest.mark.parametrize("place", [0, 1])
def test_labelled_rows_are_found_by_the_name_of_the_label(write, place):
    data = read(write(wide(place=place)))
    assert (data.task, data.classes, len(data), data.series[3].shape) == ("classify", ("a", "b"), 20, (10, 1))
    assert data.labels.tolist() == [0, 1] * 10
    assert any("--task regress" in rival for rival in data.rivals)
    assert any("--task forecast" in rival for rival in data.rivals)


def test_a_label_without_a_name_is_the_first_column_of_few_whole_numbers(write):
    data = read(write(wide(label=lambda i: i % 3, header=False)))
    assert (data.task, data.classes) == ("classify", ("0", "1", "2"))


def test_many_fractional_labels_are_regressed_on(write):
    data = read(write(wide(label=lambda i: i / 7)))
    assert data.task == "regress"
    np.testing.assert_allclose(data.labels, np.arange(20) / 7)


def test_a_word_says_which_task_the_same_file_is_for(write):
    path = write(wide(label=lambda i: i % 3))
    assert read(path).task == "classify"
    assert read(path, ReadOptions(task="regress")).task == "regress"
    assert read(path, ReadOptions(task="forecast")).task == "forecast"


def test_rows_of_a_ucr_file_end_where_their_padding_begins(write):
    text = "\n".join("\t".join([str(i % 2), *(["1.5"] * (4 + i)), *(["NaN"] * (6 - i))]) for i in range(6))
    data = read(write(text, "X_TRAIN.tsv"))
    assert [len(s) for s in data.series] == [4, 5, 6, 7, 8, 9]
    assert data.missing == 0
    assert any("6 of 6 rows end in blanks" in note for note in data.notes)


def test_a_ts_file_of_unequal_length_with_missing_values(write):
    text = "@problemName T\n@univariate false\n@dimensions 2\n@equalLength false\n@classLabel true up down\n@data\n"
    data = read(write(text + "1,?,3:4,5,6:down\n1,2:3,4:up\n", "T_TRAIN.ts"))
    assert data.classes == ("up", "down")
    assert data.labels.tolist() == [1, 0]
    assert data.series[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert data.missing == 1 / 10


def test_a_ts_file_of_numbers_is_a_regression(write):
    data = read(write("@problemName T\n@targetlabel true\n@data\n1,2,3:0.5\n2,3,4:1.5\n", "T.ts"))
    assert (data.task, data.labels.tolist()) == ("regress", [0.5, 1.5])


def test_m4_rows_are_series_and_end_at_trailing_blanks(write):
    head = "V1," + ",".join(f"V{n}" for n in range(2, 14))
    data = read(write(f"{head}\nH1,{','.join('1' * 12)}\nH2,{','.join('2' * 9)},,,\n"))
    assert (data.ids, [len(s) for s in data.series], data.freq) == (("H1", "H2"), [12, 9], None)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_separator_reads_the_same(write, separator):
    data = read(write(panel().replace(",", separator)))
    assert data.series[1][5, 0] == 105


def test_gzip_changes_nothing_but_a_note(tmp_path, write):
    plain = write(panel(), "p.csv")
    packed = tmp_path / "p.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, two = read(plain), read(packed)
    assert [s.tolist() for s in one.series] == [s.tolist() for s in two.series]
    assert two.name == one.name == "p"
    assert "The file is gzipped." in two.notes
    assert two.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


def test_a_cut_gzip_is_refused(tmp_path):
    path = tmp_path / "p.csv.gz"
    path.write_bytes(gzip.compress(panel().encode())[:-20])
    with pytest.raises(InputError, match="gzip"):
        read(path)


def test_parquet_reads_as_the_same_csv(tmp_path, write):
    pytest.importorskip("pyarrow")
    path = tmp_path / "p.parquet"
    frame = pd.read_csv(write(panel()), parse_dates=["ds"])
    frame.to_parquet(path, index=False)
    data, plain = read(path), read(write(panel()))
    assert data.ids == plain.ids and data.freq == plain.freq
    assert [s.tolist() for s in data.series] == [s.tolist() for s in plain.series]


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "p.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        read(path)
    assert caught.value.hint == 'pip install "sequence-architecture-advisor[parquet]"'


def test_a_target_that_is_not_a_column_is_named_with_the_columns_there_are(write):
    with pytest.raises(InputError, match="no column 'nope'; it has 'unique_id', 'ds', 'y'"):
        read(write(panel()), ReadOptions(target=("nope",)))


def test_the_readers_do_not_import_torch():
    import subprocess

    code = "import sys, advisor.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
