"""Judged units side by side: labelled series, or the windows of forecasts, padded to one length."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """A set of judged units.

    Attributes:
        x: Raw inputs (N, L, C), right-padded with zeros.
        lengths: Valid steps (N,).
        y: Class indices (N,), numbers (N,), or futures (N, H).
        scale: MASE denominators (N,), ones unless forecast.
        group: Units drawn together in a bootstrap, (N,).
    """

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    group: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        """Return the units at `rows`."""
        return Rows(self.x[rows], self.lengths[rows], self.y[rows], self.scale[rows], self.group[rows])

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.x)


def joined(parts: list[Rows]) -> Rows:
    """Return the units of all parts as one, padded to the longest."""
    longest = max(part.x.shape[1] for part in parts)
    x = np.concatenate([np.pad(p.x, ((0, 0), (0, longest - p.x.shape[1]), (0, 0))) for p in parts])
    return Rows(x, *(np.concatenate([getattr(p, k) for p in parts]) for k in ("lengths", "y", "scale", "group")))
