"""A share of the data: smaller ones lie inside larger ones, classes keep their shares, forecasters keep the newest."""

import numpy as np
import pytest

from advisor.data.rows import Rows
from advisor.data.stack import SeriesStack
from advisor.search.shares import share_of


def rows(labels):
    n = len(labels)
    x = np.arange(n, dtype=np.float32)[:, None, None]
    return Rows(x, np.ones(n, np.int64), np.array(labels), np.ones(n), np.arange(n))


def test_all_of_the_data_is_the_data():
    data = rows([0, 1])
    assert share_of(data, 1.0, 0, True) is data


def test_every_class_keeps_its_share_and_at_least_one_row():
    part = share_of(rows([0] * 80 + [1] * 20 + [2]), 0.25, 3, True)
    assert np.bincount(part.y).tolist() == [20, 5, 1]


@pytest.mark.parametrize("classify", [True, False])
def test_a_smaller_share_lies_inside_a_larger_one(classify):
    data = rows([0, 1] * 30)
    quarter, half = (set(share_of(data, share, 1, classify).group) for share in (0.25, 0.5))
    assert len(quarter) < len(half) and quarter < half


def test_of_few_series_the_newest_steps_are_kept():
    stack = SeriesStack.of([np.arange(8.0)[:, None], np.arange(5.0)[:, None]])
    part = share_of(stack, 0.5, 0, False)
    assert [one[:, 0].tolist() for one in part] == [[4, 5, 6, 7], [2, 3, 4]]


def test_of_many_series_some_are_kept_whole():
    stack = SeriesStack.of([np.full((6, 1), k) for k in range(40)])
    part = share_of(stack, 0.25, 0, False)
    assert part.sizes.tolist() == [6] * 10
