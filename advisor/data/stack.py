"""Series of different lengths one after the other in one array, which may be a file that was mapped into memory.

Taking a series or shortening all of them copies nothing, so a problem of many rows costs its workers no memory but
the pages they touch.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np


@dataclass(frozen=True)
class SeriesStack(Sequence[np.ndarray]):
    """A sequence of float32 arrays (length, C), each a view.

    Attributes:
        flat: (total, C).
        begin: First row of each series, (N,) int64.
        end: Row after its last, (N,) int64.
    """

    flat: np.ndarray
    begin: np.ndarray
    end: np.ndarray

    @staticmethod
    def of(series: Iterable[np.ndarray]) -> "SeriesStack":
        """Return a copy of `series`, all with the same number of channels."""
        parts = list(series)
        sizes = np.array([len(one) for one in parts], np.int64)
        end = np.cumsum(sizes)
        flat = np.concatenate(parts).astype(np.float32, copy=False) if parts else np.zeros((0, 1), np.float32)
        return SeriesStack(flat, end - sizes, end)

    @property
    def sizes(self) -> np.ndarray:
        """Return the length of each series, (N,)."""
        return np.asarray(self.end - self.begin)

    def shortened(self, steps: np.ndarray | int) -> "SeriesStack":
        """Return the series without their last `steps`; a shorter one becomes empty."""
        return SeriesStack(self.flat, self.begin, np.maximum(self.begin, self.end - steps))

    def take(self, rows: np.ndarray) -> "SeriesStack":
        """Return the series at `rows`."""
        return SeriesStack(self.flat, self.begin[rows], self.end[rows])

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.begin)

    @overload
    def __getitem__(self, at: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, at: slice) -> "SeriesStack": ...
    def __getitem__(self, at: int | slice) -> "np.ndarray | SeriesStack":
        """Return one series, or several."""
        if isinstance(at, slice):
            return SeriesStack(self.flat, self.begin[at], self.end[at])
        return self.flat[self.begin[at] : self.end[at]]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Go through the series."""
        return (self.flat[a:b] for a, b in zip(self.begin.tolist(), self.end.tolist(), strict=True))
