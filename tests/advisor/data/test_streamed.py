"""Reading in blocks: the same data as reading at once, whatever the blocks; what is wrong is said."""

import numpy as np
import pandas as pd
import pytest

from advisor.data import ReadOptions, read, scratch, streamed
from advisor.errors import InputError
from advisor.search import problem as problems
from advisor.search.prepare import prepare


@pytest.fixture
def blocks(monkeypatch):
    """Read any file in blocks of 7 rows, with its arrays in files; a function turns that off."""

    def blocks(on):
        monkeypatch.setattr(streamed, "FROM_BYTES", 0 if on else 2**40)
        monkeypatch.setattr(streamed, "ROWS_A_BLOCK", 7)
        monkeypatch.setattr(scratch, "FROM_BYTES", 0 if on else 2**40)

    return blocks


def panel(stamps, seed=0):
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "unique_id": f"{k:03d}", "ds": stamps, "y": rng.normal(size=len(stamps)),
                "temp": rng.normal(size=len(stamps)), "wind": rng.choice(["N", "S", "W"], len(stamps)),
            }
        )
        for k in range(4)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def both(table, path, blocks, options, sep=","):
    table.to_csv(path, index=False, sep=sep)
    found = []
    for on in (True, False):
        blocks(on)
        found.append(read(path, options))
    assert "read in blocks" in found[0].format
    assert "read in blocks" not in found[1].format
    return found


def same(fast, slow):
    assert (fast.ids, fast.channels, fast.freq, fast.sha256) == (slow.ids, slow.channels, slow.freq, slow.sha256)
    assert fast.missing == pytest.approx(slow.missing)
    for a, b, left, right in zip(fast.series, slow.series, fast.stamps, slow.stamps, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert left.equals(right)


STAMPS = {
    "hours": pd.date_range("2023-03-01", periods=30, freq="h"),
    "numbers": np.arange(100, 190, 3),
    "seconds since 1970": 1_700_000_000 + 3600 * np.arange(30),
}


@pytest.mark.parametrize("kind", STAMPS)
def test_a_shuffled_panel_with_gaps_and_repeats_is_read_as_at_once(tmp_path, blocks, kind):
    table = panel(STAMPS[kind])
    table.loc[[3, 40, 41], ["y", "temp"]] = np.nan
    table = pd.concat([table.drop(index=[10, 55]), table.iloc[[5, 80]]]).sample(frac=1, random_state=0)
    same(*both(table, tmp_path / "a.csv", blocks, ReadOptions()))


def test_a_table_is_read_as_at_once_with_and_without_a_target(tmp_path, blocks):
    table = panel(STAMPS["hours"])[:30].drop(columns="unique_id")
    for target in ((), ("temp",)):
        same(*both(table, tmp_path / "a.tsv", blocks, ReadOptions(target=target, task="forecast"), sep="\t"))


def test_a_later_file_is_read_like_the_training_set(tmp_path, blocks):
    path = tmp_path / "a.csv"
    fast, slow = both(panel(STAMPS["hours"]), path, blocks, ReadOptions())
    later = panel(pd.date_range("2023-04-01", periods=12, freq="h"), seed=1).iloc[:, ::-1]
    later.to_csv(tmp_path / "b.csv", index=False)
    for on, like in ((True, fast), (False, slow)):
        blocks(on)
        assert read(tmp_path / "b.csv", like=like).channels == fast.channels


def test_what_is_known_ahead_is_read_as_at_once(tmp_path, blocks):
    table = panel(pd.date_range("2023-03-01", periods=60, freq="h"))
    table.loc[table.groupby("unique_id").cumcount() >= 55, "y"] = np.nan
    fast, slow = both(table, tmp_path / "a.csv", blocks, ReadOptions(known=("wind", "temp")))
    same(fast, slow)
    assert fast.known == slow.known == ("temp", "wind=N", "wind=S", "wind=W")
    for a, b in zip(fast.future, slow.future, strict=True):
        assert a.shape == (5, 4)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    made = []
    for on, data in ((True, fast), (False, slow)):
        blocks(on)
        made.append(prepare(data, None, 1, 4, 0).all_series.flat)
    np.testing.assert_allclose(made[0], made[1], rtol=1e-5, atol=1e-6)


def test_a_problem_of_mapped_series_is_that_of_series_in_memory(tmp_path, blocks):
    fast, slow = both(
        panel(pd.date_range("2023-03-01", periods=90, freq="h")), tmp_path / "a.csv", blocks, ReadOptions()
    )
    made = []
    for on, data in ((True, fast), (False, slow)):
        blocks(on)
        prepare(data, None, 1, 4, 0).save(tmp_path / "work")
        made.append(problems.load(tmp_path / "work"))
    assert made[0].plan == made[1].plan
    np.testing.assert_allclose(made[0].all_series.flat, made[1].all_series.flat, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(made[0].judged(0, 8).x, made[1].judged(0, 8).x, rtol=1e-5, atol=1e-6)


def test_what_is_no_number_or_no_date_far_down_is_refused(tmp_path, blocks, monkeypatch):
    blocks(True)
    monkeypatch.setattr(streamed, "SAMPLES", 2)
    monkeypatch.setattr(streamed, "SAMPLE_BYTES", 512)
    for column, value, says in (("y", "much", "much"), ("ds", "soon", "'soon' is not a date")):
        table = panel(STAMPS["hours"]).astype({column: object})
        table.loc[100, column] = value
        table.to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(InputError, match=says):
            read(tmp_path / "a.csv")


def test_forgotten_pages_come_back(monkeypatch):
    monkeypatch.setattr(scratch, "FROM_BYTES", 0)
    array = scratch.scratch_array((5000, 3))
    array[:] = np.arange(15000).reshape(5000, 3)
    scratch.forget(array[10:20])
    np.testing.assert_array_equal(array, np.arange(15000).reshape(5000, 3))
    scratch.forget(np.zeros(3))
