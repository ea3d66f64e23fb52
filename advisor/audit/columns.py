"""A series of a forecasting file that is another one, shifted in time: it knows the other's future.

For each pair of series with the same stamps, the correlation of their first differences at every shift k up to half
the length, by FFT: O(P n log n) for P pairs. Series B is A shifted when |corr(dB_t, dA_{t+k})| >= 0.999 over the
overlap: B tells A's value k steps ahead, up to offset and scale. Differences, because two trends correlate at any
shift. Left out, since they would match by themselves: series whose differences repeat (correlate at 0.99 with their
own past: calendar columns, lines, pure cycles), or rest on fewer than 20 moves or 20 different moves (switches,
counters). The effective number of moves is the participation ratio (sum d^2)^2 / sum d^4. A difference of more than
10 times the median of those that are not 0 counts as that much, or a single jump, such as that of a shifted column to
the zeros it is filled up with, would hide all others.

Pairs beyond 16 million values of work are not compared; the finding says how many series were.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft

from advisor.audit.finding import Finding, some
from advisor.data.dataset import Dataset

COPY, OWN_PAST = 0.999, 0.99
FEWEST_MOVES = 20
FEWEST_STEPS = 2 * FEWEST_MOVES
JUMP = 10
MOST_WORK = 2**24


class Pair(NamedTuple):
    """Series `knows` at step t is series `told` at step t + `ahead`."""

    knows: int
    told: int
    ahead: int
    correlation: float


def shifted_series(dataset: Dataset, shapes: np.ndarray) -> list[Finding]:
    """Return the findings on series that are others ahead of time, or others at the same time with some noise.

    Args:
        dataset: A forecasting set; others have no findings.
        shapes: `equal.same_shape` of its series; of equal ones only the first is compared.
    """
    if dataset.stamps is None:
        return []
    alike: dict[tuple[object, object, int], list[int]] = defaultdict(list)
    for i, (one, stamps) in enumerate(zip(dataset.series, dataset.stamps, strict=True)):
        if shapes[i] == i and len(one) > FEWEST_STEPS:
            alike[stamps[0], stamps[-1], len(stamps)].append(i)
    pairs: list[Pair] = []
    compared = 0
    for rows in alike.values():
        if len(rows) > 1:
            size = fft.next_fast_len(2 * len(dataset.series[rows[0]]), real=True)
            chosen = rows[: int((1 + np.sqrt(1 + 8 * MOST_WORK / size)) / 2)]
            found, usable = _pairs(dataset, chosen, size)
            pairs += found
            compared += usable
    ahead, level = [p for p in pairs if p.ahead], [p for p in pairs if not p.ahead]
    return [*_ahead(dataset, ahead, compared), *_level(dataset, level, compared)]


def _ahead(dataset: Dataset, pairs: list[Pair], compared: int) -> list[Finding]:
    if not pairs:
        return []
    count, one = len({p.knows for p in pairs}), max(pairs, key=lambda p: p.correlation)
    return [
        Finding(
            code="series_knows_the_future",
            severity="warning",
            counted=count,
            of=compared,
            says=f"{count} of {_of(compared, dataset)} tell another one ahead of time: {dataset.ids[one.knows]!r} at "
            f"step t is {dataset.ids[one.told]!r} at step t + {one.ahead} (correlation of differences "
            f"{one.correlation:.4f}).",
            do="Leave the first out of the file, also as a covariate, unless it is truly known that far ahead.",
            examples=some(f"{dataset.ids[p.knows]}[t] = {dataset.ids[p.told]}[t + {p.ahead}]" for p in pairs),
        )
    ]


def _level(dataset: Dataset, pairs: list[Pair], compared: int) -> list[Finding]:
    if not pairs:
        return []
    count = len({p.knows for p in pairs})
    return [
        Finding(
            code="series_moves_as_another",
            severity="note",
            counted=count,
            of=compared,
            says=f"{count} of {_of(compared, dataset)} move as another one does at the same time (correlation of "
            f"differences {COPY} or more).",
            do="Leave them out: each counts twice in training and in the score.",
            examples=some(f"{dataset.ids[p.knows]} = {dataset.ids[p.told]}" for p in pairs),
        )
    ]


def _of(compared: int, dataset: Dataset) -> str:
    return f"{compared} series" if compared == len(dataset) else f"{compared} series compared ({len(dataset)} in all)"


def _pairs(dataset: Dataset, rows: list[int], size: int) -> tuple[list[Pair], int]:
    """Return the pairs among series of one length and how many could be compared; `size` is that of the FFT."""
    raw = [np.diff(dataset.series[i][:, 0].astype(np.float64)) for i in rows]
    moves = np.stack([calm(one) for one in raw])
    moves -= moves.mean(axis=1, keepdims=True)
    kept = [i for i, one in enumerate(moves) if count_moves(one) >= FEWEST_MOVES]
    spectra = {i: fft.rfft(moves[i], size) for i in kept}
    energy = np.concatenate([np.zeros((len(moves), 1)), np.cumsum(moves**2, axis=1)], axis=1)
    own = {i: np.abs(_profiles(spectra, energy, i, [i], size)[0][0, 1:]).max() for i in kept}
    usable = [i for i in kept if own[i] < OWN_PAST]
    pairs = []
    for a, i in enumerate(usable[:-1]):
        others = usable[a + 1 :]
        later, earlier = _profiles(spectra, energy, i, others, size)
        for j, i_first, j_first in zip(others, later, earlier, strict=True):
            directions = ((j, i, i_first), (i, j, j_first))
            hits = [(k, t, _copy(raw[t], raw[k], profile)) for k, t, profile in directions]
            found = [Pair(rows[k], rows[t], *hit) for k, t, hit in hits if hit]
            pairs += [min(found, key=lambda p: p.ahead)] if found else []
    return pairs, len(usable) if len(usable) > 1 else 0


def _profiles(
    spectra: dict[int, np.ndarray], energy: np.ndarray, i: int, others: Sequence[int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return correlations at shifts 0 ... n // 2 of i with each j of `others`, each (others, shifts).

    The first pairs i at step t + k with j at step t, the second j at step t + k with i at step t.
    """
    n = energy.shape[1] - 1
    k = np.arange(n // 2 + 1)
    products = fft.irfft(spectra[i] * np.conj(np.stack([spectra[j] for j in others])), size)
    own, other = energy[[i]], energy[list(others)]
    scale_later = np.sqrt((own[:, [n]] - own[:, k]) * other[:, n - k])
    scale_earlier = np.sqrt((other[:, [n]] - other[:, k]) * own[:, n - k])
    floor = 1e-9 * np.sqrt(own[:, [n]] * other[:, [n]])
    later, earlier = products[:, k], products[:, -k]
    return (
        np.divide(later, scale_later, out=np.zeros(later.shape), where=scale_later > floor),
        np.divide(earlier, scale_earlier, out=np.zeros(earlier.shape), where=scale_earlier > floor),
    )


def _copy(told: np.ndarray, knows: np.ndarray, profile: np.ndarray) -> tuple[int, float] | None:
    """Return the shift of highest correlation and its exact value, where that is the one of a copy."""
    k = int(np.argmax(np.abs(profile)))
    if abs(profile[k]) < OWN_PAST:
        return None
    a, b = calm(told[k:]), calm(knows[: len(knows) - k])
    if min(count_moves(a), count_moves(b)) < FEWEST_MOVES:
        return None
    exact = float(np.corrcoef(a, b)[0, 1])
    return (k, exact) if abs(exact) >= COPY else None


def calm(moves: np.ndarray) -> np.ndarray:
    """Return the moves without outliers: what is beyond 10 times the usual size of a move is cut to that."""
    sizes = np.abs(moves[moves != 0])
    most = JUMP * float(np.median(sizes)) if sizes.size else 0.0
    return np.asarray(np.clip(moves, -most, most))


def count_moves(moves: np.ndarray) -> float:
    """Return the effective number of moves, or the number of different ones where that is smaller."""
    squares = moves**2
    if not squares.any():
        return 0.0
    different = len(np.unique(np.round(moves / np.sqrt(squares.mean()), 3)))
    return min(float(different), float(squares.sum() ** 2 / (squares**2).sum()))
