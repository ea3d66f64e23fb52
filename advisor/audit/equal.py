"""Which series are the same: byte for byte, up to offset and scale within float tolerance, or at their beginning.

Two series are the same when, after z-normalisation of each channel, their root mean squared difference is at most
1e-4 standard deviations. Series that do not vary, straight lines, and series of fewer than 8 different values are
only compared byte for byte: many of them look alike once offset and scale are gone.

Cost: O(N L) to hash and to project, O(N log N) to sort. Series within the tolerance have projections on fixed random
unit vectors within the tolerance (Cauchy-Schwarz), so only those that agree on all projections are compared, among
the next 16 in the order of the first.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

TOLERANCE = 1e-4
MOST_NEIGHBOURS = 16
PROJECTIONS = 4
FEWEST_VALUES = 8
BEGINNING = 16
"""Steps that two cuts of one recording have in common at least, where both are taken from its beginning."""
STRAIGHT = 0.9999
"""A series is called a straight line from this correlation with time on."""


def same_bytes(series: Sequence[np.ndarray]) -> np.ndarray:
    """Return (N,) the index of the first series with the same shape and bytes."""
    first: dict[tuple[tuple[int, ...], bytes], int] = {}
    digests = (hashlib.blake2b(np.ascontiguousarray(one).data, digest_size=16).digest() for one in series)
    keys = ((one.shape, digest) for one, digest in zip(series, digests, strict=True))
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], dtype=np.int64)


def same_beginning(series: Sequence[np.ndarray]) -> np.ndarray:
    """Return (N,) the index of the first series whose first 16 steps have the same bytes, itself where none.

    Series that are shorter, or in whose beginning no channel has 8 different values, stand alone: many begin alike.
    """
    first: dict[bytes, int] = {}
    out = np.arange(len(series))
    for i, values in enumerate(series):
        begins = np.ascontiguousarray(values[:BEGINNING])
        if len(begins) == BEGINNING and max(len(np.unique(channel)) for channel in begins.T) >= FEWEST_VALUES:
            out[i] = first.setdefault(begins.tobytes(), i)
    return out


def same_shape(series: Sequence[np.ndarray]) -> np.ndarray:
    """Return (N,) the index of the first series that is the same up to offset and scale, see the module.

    Args:
        series: Each (length, channels), finite.
    """
    group = same_bytes(series)
    sizes = defaultdict(list)
    for i in np.unique(group):
        sizes[series[i].shape].append(int(i))
    parent = np.arange(len(series))
    for rows in sizes.values():
        _join_near(series, rows, parent)
    return np.asarray(_roots(parent)[group])


def joined(*groupings: np.ndarray) -> np.ndarray:
    """Return (N,) groups in which rows that any of the groupings puts together are together.

    Args:
        groupings: Each (N,) the index of a row of the same group.
    """
    parent = np.arange(len(groupings[0]))
    for grouping in groupings:
        for i, j in enumerate(grouping):
            _join(parent, i, int(j))
    return _roots(parent)


def _join_near(series: Sequence[np.ndarray], rows: list[int], parent: np.ndarray) -> None:
    """Join the rows, all of one shape, that are the same up to offset and scale."""
    shape = series[rows[0]].shape
    size = int(np.prod(shape))
    if len(rows) < 2 or shape[0] < 3:
        return
    directions = np.random.default_rng(size).normal(size=(size, PROJECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    flat = {i: z.ravel() @ directions for i in rows if (z := normalised(series[i])) is not None}
    kept, keys = np.array(list(flat)), np.array(list(flat.values())).reshape(-1, PROJECTIONS)
    order = np.argsort(keys[:, 0], kind="stable")
    kept, keys = kept[order], keys[order]
    near = TOLERANCE * np.sqrt(size)
    for step in range(1, min(MOST_NEIGHBOURS, len(kept) - 1) + 1):
        apart = np.abs(keys[step:] - keys[:-step])
        if (apart[:, 0] > near).all():
            return
        for k in np.flatnonzero((apart <= near).all(axis=1)):
            i, j = int(kept[k]), int(kept[k + step])
            a, b = normalised(series[i]), normalised(series[j])
            if a is not None and b is not None and float(np.sqrt(np.mean((a - b) ** 2))) <= TOLERANCE:
                _join(parent, i, j)


def normalised(values: np.ndarray) -> np.ndarray | None:
    """Return (length, channels) with mean 0 and deviation 1 a channel, float64; None where no channel has a shape.

    A channel that does not vary becomes zeros. None: every channel is constant or a straight line, or the series has
    fewer than 8 different values.
    """
    if len(set(values[:FEWEST_VALUES, 0].tolist())) < FEWEST_VALUES and len(np.unique(values)) < FEWEST_VALUES:
        return None
    wide = values.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    deviation = centred.std(axis=0)
    varies = deviation > 1e-6 * np.abs(wide).max(axis=0)
    z = np.divide(centred, deviation, out=np.zeros_like(wide), where=varies)
    time = np.arange(len(wide)) - (len(wide) - 1) / 2
    slope = np.abs(z.T @ time) / (np.linalg.norm(time) * np.sqrt(len(wide)))
    return z if bool((varies & (slope < STRAIGHT)).any()) else None


def _join(parent: np.ndarray, i: int, j: int) -> None:
    a, b = _root(parent, i), _root(parent, j)
    parent[max(a, b)] = min(a, b)


def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        i = int(parent[i])
    return i


def _roots(parent: np.ndarray) -> np.ndarray:
    """Return the root of every row; parents lie before their children."""
    out = parent.copy()
    for i in range(len(out)):
        out[i] = out[out[i]]
    return out
