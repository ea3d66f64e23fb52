"""Readers: any known file of sequences to one `Dataset`; and splits of it that do not leak.

Whatever is filled, dropped, sorted or renamed on the way is counted in `Dataset.notes`. Missing values: linear in
time, nearest at the edges; infinities count as missing. The rules of each step stand in its module.
"""

from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.reading import read
from advisor.data.splits import HELD_SHARE, Cut, folds_by_id, forecast_cut, split_by_id

__all__ = ["HELD_SHARE", "Cut", "Dataset", "ReadOptions", "folds_by_id", "forecast_cut", "read", "split_by_id"]
