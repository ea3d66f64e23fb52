"""Malformed files: a correct reading with notes, or a clear refusal; never anything else, and soon."""

import csv
import time
from pathlib import Path

import numpy as np
import pytest

from advisor.data import ReadOptions, read
from advisor.errors import InputError

BAD = Path(__file__).parents[4] / "shared" / "data" / "bad"
TASKS = {"classification": "classify", "regression": "regress", "forecast": "forecast", "any": None}


def cases():
    """Return (path, task) of every malformed table of numbers."""
    if not (BAD / "index.csv").is_file():
        return [pytest.param(None, None, marks=pytest.mark.skip(reason="../shared/data/bad is not on this computer"))]
    found = []
    with (BAD / "index.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            word = row["task"].split(" ")[0]
            if word in TASKS:
                path = BAD / row["path"]
                files = [path] if path.is_file() else sorted(path.glob("*.csv"))
                found += [pytest.param(f, TASKS[word], id=f"{row['path']}:{f.name}") for f in files]
    return found


@pytest.mark.parametrize(("path", "task"), cases())
def test_a_malformed_file_is_read_with_notes_or_refused_with_a_cure(path, task):
    start = time.perf_counter()
    for options in (ReadOptions(task=task), ReadOptions()):
        try:
            data = read(path, options)
        except InputError as error:
            said = 10 < len(error.message) < 2000 and bool(error.hint)
        else:
            said = all(np.isfinite(s).all() and len(s) for s in data.series)
        assert said
    assert time.perf_counter() - start < 10
    assert not Path("/tmp/hsm_pickle_was_executed").exists()


REFUSED = {
    "01_empty.csv": "is empty (0 bytes)",
    "02_header_only.csv": "no data rows after the header",
    "05_mixed_dtype_target.csv": "5 cells are not numbers (line 19, 'load_mw': '-'; line 31, 'load_mw': '12,5'",
    "11_single_class.csv": "long panel",
    "14_ragged_rows.csv": "line 83",
    "15_100k_columns.csv": "100,000 columns",
    "17_nul_bytes.csv": "byte 0x00 at line 46",
    "18_mixed_date_formats.csv": "mixes date forms",
    "25_non_utf8_text.tsv": "at line 2, 3, 4, 5",
    "26_repetitive_4mb.csv": "the same time stamp",
    "27_bomb.csv.gz": "5,000,000 lines",
    "29_duplicate_column_names.csv": "'value' occurs 3 times",
    "32_malformed_TRAIN.ts": "5 lines break its header (line 10: dimensions of unequal length (5, 8); line 11",
    "33_pickle_canary.pkl": "can run code",
    "33_pickle_canary.npy": "can run code",
    "33_pickle_canary.pt": "can run code",
    "37_mixed_timezones_dst.csv": "line 7",
    "38_only_three_rows.csv": "the longest has 3 steps",
    "40_nonnumeric_horizon_labels.csv": "'values'",
}
READ = {
    "03_semicolon_decimal_comma.csv": "decimal comma",
    "04_utf16_bom.csv": "UTF-16-LE",
    "06_duplicate_timestamps.csv": "14 rows repeat the time of another row (2 with other values)",
    "07_unsorted_time.csv": "sorted",
    "08_irregular_frequency.csv": "irregular: 100 rows were moved",
    "09_all_nan_column.csv": "'temp_c'",
    "10_inf_values.csv": "4 infinite (or beyond float32) of 480 values",
    "28_formula_injection.csv": "1 columns that never change",
    "39_windows_newlines_quotes.csv": "cleaned",
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_refusal_names_the_rule_and_the_value(shared, name):
    with pytest.raises(InputError) as caught:
        read(shared / "bad" / name)
    assert REFUSED[name] in caught.value.message


@pytest.mark.parametrize("name", READ)
def test_what_was_repaired_is_said(shared, name):
    assert any(READ[name] in note for note in read(shared / "bad" / name).notes)


def test_hostile_ids_are_kept_letter_by_letter(shared):
    ids = read(shared / "bad" / "28_formula_injection.csv").ids
    assert {"../../x", "$(id)", "<script>alert(1)</script>"} <= set(ids)
    assert len(ids) == 10


def test_a_decimal_comma_is_a_decimal_point(shared):
    data = read(shared / "bad" / "03_semicolon_decimal_comma.csv")
    assert data.series[0][0, 0] == np.float32(50.002)
