"""Splits never leak, keep every class in training, and repeat with the seed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.data import Dataset, forecast_cut, split_by_id
from advisor.errors import InputError


def labelled(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    n = len(labels)
    return Dataset("d", "classify", tuple(map(str, range(n))), (np.zeros((3, 1), np.float32),) * n, ("x",), labels)


def series(lengths):
    return Dataset(
        "d",
        "forecast",
        tuple(f"s{n}" for n in lengths),
        tuple(np.arange(n, dtype=np.float32)[:, None] for n in lengths),
        ("y",),
        stamps=tuple(pd.RangeIndex(n) for n in lengths),
    )


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.floats(0.05, 0.95), st.integers(0, 9))
def test_every_series_is_on_one_side_and_every_class_in_training(counts, share, seed):
    data = labelled(counts)
    train, held = split_by_id(data, share, seed)
    assert sorted([*train, *held]) == list(range(len(data)))
    assert set(data.labels[train]) == set(range(len(counts)))
    assert set(data.labels[held]) == {k for k, count in enumerate(counts) if count > 1}
    for k, count in enumerate(counts):
        assert abs((data.labels[held] == k).sum() - share * count) <= 1
    again = split_by_id(data, share, seed)
    assert np.array_equal(train, again[0]) and np.array_equal(held, again[1])


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_outside_zero_and_one_is_refused(share):
    with pytest.raises(InputError, match="between 0 and 1"):
        split_by_id(labelled([3, 3]), share, 0)


@given(st.integers(1, 9))
def test_history_and_tail_together_are_the_series(steps):
    data = series([10, 15])
    history, tails = forecast_cut(data, steps)
    for whole, head, tail, stamps in zip(data.series, history.series, tails, history.stamps, strict=True):
        assert np.array_equal(np.concatenate([head, tail]), whole)
        assert len(tail) == steps and len(stamps) == len(head)


def test_series_too_short_to_cut_are_left_out_by_name():
    history, tails = forecast_cut(series([5, 20, 9]), 9)
    assert history.ids == ("s20",) and len(tails) == 1
    assert "2 series of 9 or fewer steps were left out: s5, s9." in history.notes
    with pytest.raises(InputError, match="no series is longer than 20 steps; the longest has 20"):
        forecast_cut(series([5, 20]), 20)
