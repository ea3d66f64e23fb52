"""How far back the past matters for a forecast: the farthest step that still removes forecast error.

Values become normal scores of their ranks. Three things are measured against the distance k into the past:
- what step k adds to a linear forecast one step ahead beyond all nearer steps (`partial`),
- the same for a forecast of the horizon's last step, where seasons show that the next step hides,
- what pairs of steps add together (`interactions`), for dependence that no single step shows.
Fixed seasonal patterns are taken off before (`patterns`). A season matters if, with its pattern left in, the steps
from a quarter of a season back on add to a forecast of the next step or of the step half a season ahead (at most the
horizon). `farthest` then says which of all these matter, once for the data and once for each resample of them.

Not seen: seasons whose pattern drifts within a few repetitions, and interactions of three steps or more. Where a
nonlinear map of one step also leaves a linear trace at its multiples (tent map), the farthest of these is the answer.

Cost: about 20 operations for each value and lag, up to four times over; `seconds` bounds how many are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from profiles.dependence.draws import LEAST_SERIES, Draw, Measured
from profiles.dependence.farthest import ALPHA, MATTERS, Evidence, farthest_step
from profiles.dependence.fluctuation import hurst_exponent
from profiles.dependence.interactions import Pair, find_pairs
from profiles.dependence.model import Dependence, DependenceCurve
from profiles.dependence.partial import Array, Counts, Partial, normal_scores, partial_correlations
from profiles.dependence.patterns import take_off_patterns, wanders
from profiles.seasonality import Season, acf

MOST_LAGS = 2100
"""A week of 5-minute steps, and a little."""
EXTREME = 0.01
"""Share of the values cut off at either end before their autocorrelation is taken."""
LEAST_STEPS = 12
CELLS_PER_SECOND = 3e7
"""Series times steps times lags for three passes, measured on one core of a shared server."""
RESAMPLES = 100
DRAWN = 300
"""Points of the curve at most."""


@dataclass(frozen=True)
class Sample:
    """The part of the data that is read.

    Attributes:
        x: (series, length), normal scores; zeros after the end of a shorter series.
        lengths: (series,).
        lags: Steps back that are looked at.
        notes: What was left out; one sentence each.
    """

    x: Array
    lengths: Counts
    lags: int
    notes: tuple[str, ...]


def dependence_on_lags(
    series: Sequence[np.ndarray], horizon: int, seasons: Sequence[Season], seconds: float, seed: int
) -> Dependence:
    """Return how far back the past matters for forecasting.

    Args:
        series: Each of shape (length, channels), finite; a channel counts as a series.
        horizon: Steps to forecast; with 1 and known seasons a forecast one main season ahead is looked at too.
        seasons: Periods that are known; empty: they are looked for.
        seconds: About how long it may take on one core.
        seed: Of the part that is read and of the resampling.
    """
    rng = np.random.default_rng(seed)
    sample = _sample([one[:, c] for one in series for c in range(one.shape[1])], seconds, rng)
    if not len(sample.x):
        return _nothing(sample)
    x, lengths, lags = sample.x, sample.lengths, sample.lags
    each = [one[:n] for one, n in zip(x, lengths, strict=True)]
    strength = np.median([acf(one, lags) for one in each], axis=0)
    whole = x.copy()
    known = take_off_patterns(each, [s.period for s in seasons], lags)
    ahead = seasons[0].period if seasons and horizon == 1 else horizon
    ahead = int(np.clip(ahead, 1, lengths.min() // 6))
    passes = [partial_correlations(x, lengths, lags, h) for h in sorted({1, ahead})]
    measured = Measured(passes, _seasonal(whole, lengths, known, lags, ahead), known, _independent(passes[0].errors))
    blocks = passes[0].parts.shape[2]
    reach, periods = _judged(measured, Draw.all_of(len(x), blocks), lags)
    near = partial_correlations(x, lengths, max(reach, 1)) if reach < lags else passes[0]
    pairs = find_pairs(x, near.errors, lengths, lags, ALPHA, blocks)
    reach = max(reach, *(pair.far for pair in pairs), 0)
    low, high = _interval(measured, pairs, reach, rng)
    exponents = [h for one in each[:DRAWN] if (h := hurst_exponent(np.diff(one))) is not None]
    more = [f"As the next step hides seasons, a forecast {ahead} steps ahead was looked at too."] * (ahead > horizon)
    return Dependence(
        reach_steps=reach,
        reach_low=low,
        reach_high=high,
        looked=lags,
        curve=_curve(measured.evidence(Draw.all_of(len(x), blocks)), pairs),
        seasons=tuple(Season(period=p, strength=round(float(np.clip(strength[p], 0, 1)), 4)) for p in periods),
        hurst=round(float(np.median(exponents)), 3) if exponents else None,
        says=_says((reach, low, high), lags, periods, pairs),
        notes=(*sample.notes, *more),
    )


def _nothing(sample: Sample) -> Dependence:
    """Return that nothing could be measured."""
    return Dependence(
        reach_steps=0,
        reach_low=0,
        reach_high=0,
        looked=1,
        curve=DependenceCurve(steps=(), values=(), floor=(), x_label="steps back", y_label="partial correlation"),
        says=f"How far back the past matters was not measured: no series moves and has {LEAST_STEPS} steps.",
        notes=sample.notes,
    )


def _sample(channels: list[np.ndarray], seconds: float, rng: np.random.Generator) -> Sample:
    """Return the series that are long enough, evenly spread and cut at the front to what `seconds` allow."""
    notes = []
    moving = [one for one in channels if len(one) and np.ptp(one) > 0]
    if len(moving) < len(channels):
        notes.append(f"{len(channels) - len(moving)} of {len(channels)} series are constant and were left out.")
    least = max(LEAST_STEPS, int(np.median([len(one) for one in moving])) // 2) if moving else LEAST_STEPS
    kept = [one for one in moving if len(one) >= least]
    if len(kept) < len(moving):
        notes.append(f"{len(moving) - len(kept)} series shorter than {least} steps were left out.")
    if not kept:
        return Sample(np.empty((0, 0)), np.empty(0, dtype=np.int64), 1, tuple(notes))
    lags = min(MOST_LAGS, min(len(one) for one in kept) // 3)
    cells = seconds * CELLS_PER_SECOND / lags
    longest = max(len(one) for one in kept)
    count = int(np.clip(cells // longest, min(LEAST_SERIES, len(kept)), len(kept)))
    if count < len(kept):
        notes.append(f"{count} of {len(kept)} series were read, evenly spread.")
        kept = [kept[int(i)] for i in (np.arange(count) + rng.random()) * len(kept) / count]
    steps = max(3 * lags, int(cells / count))
    if steps < longest:
        notes.append(f"The last {steps} steps of longer series were read.")
    kept = [one[-steps:] for one in kept]
    x = np.zeros((count, max(len(one) for one in kept)))
    for row, one in zip(x, kept, strict=True):
        row[: len(one)] = _scores(np.asarray(one, dtype=np.float64))
    return Sample(x, np.array([len(one) for one in kept]), lags, tuple(notes))


def _scores(one: Array) -> Array:
    """Return the normal scores of a series, or the sum of those of its changes where it wanders like a random walk.

    Ranks of a rate that is held for years would blow up its last digits, so the values are asked too, not only ranks.
    """
    scores, held = normal_scores(one), np.clip(one, *np.quantile(one, [EXTREME, 1 - EXTREME]))
    if not (wanders(scores) or wanders(held)):
        return scores
    walk = np.cumsum(normal_scores(np.diff(one, prepend=one[0])))
    return np.asarray((walk - walk.mean()) / walk.std(), dtype=np.float64)


def _seasonal(whole: Array, lengths: Counts, known: list[int], lags: int, ahead: int) -> dict[int, list[Partial]]:
    """Return for each period the partial correlations with all patterns, one and half a season ahead."""
    horizons = {p: sorted({1, min(ahead, p // 2)}) for p in known}
    farthest = min(lags, 2 * max(known, default=0))
    passes = {h: partial_correlations(whole, lengths, farthest, h) for h in {h for hs in horizons.values() for h in hs}}
    return {p: [passes[h] for h in hs] for p, hs in horizons.items()}


def _independent(errors: Array) -> tuple[float, float]:
    """Return how many independent series have a mean of squares as variable, and as skewed, as these together.

    The partial correlations of two series whose errors correlate by r correlate by r squared.
    """
    related: Array = np.nan_to_num(np.atleast_2d(np.corrcoef(errors)))
    np.fill_diagonal(related, 1)
    shares = np.linalg.eigvalsh(related**2) / len(related)
    second, third = float(np.sum(shares**2)), float(np.sum(shares**3))
    return 1 / second, second**3 / third**2


def _judged(measured: Measured, draw: Draw, limit: int) -> tuple[int, tuple[int, ...]]:
    """Return the reach in a draw of the data, and the periods that matter there."""
    standing = measured.standing(draw)
    return farthest_step(measured.evidence(draw), measured.known, standing, limit)


def _interval(measured: Measured, pairs: tuple[Pair, ...], reach: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return the 5th and the 95th percentile of the reach over resampled stretches of time, or series if many.

    Each resample decides anew which steps, seasons and pairs matter.
    """
    count, blocks = measured.passes[0].parts.shape[1:]
    found = []
    for _ in range(RESAMPLES):
        draw = Draw.again(count, blocks, rng)
        far = [pair.far for pair in pairs if draw.stands(pair)]
        found.append(max(_judged(measured, draw, 2 * reach)[0], *far, 0))
    low, high = np.percentile(found, [5, 95], method="nearest")
    return min(int(low), reach), max(int(high), reach)


def _curve(evidence: list[Evidence], pairs: tuple[Pair, ...]) -> DependenceCurve:
    """Return the partial correlations of the horizon that shows most, the largest of each range of steps."""
    lags = len(evidence[0].squares)
    values = np.stack([np.sqrt(one.gain) for one in evidence])
    floors = np.stack([np.sqrt(np.maximum(MATTERS, one.chance * (one.floors() - 1))) for one in evidence])
    best = np.argmax(values / floors, axis=0)
    value, floor = values[best, np.arange(lags)], floors[best, np.arange(lags)]
    for pair in pairs:
        value[pair.far - 1] = max(value[pair.far - 1], float(np.sqrt(pair.share)))
    edges = np.unique(np.round(np.geomspace(1, lags + 1, DRAWN + 1)).astype(int) - 1)
    top = [a + int(np.argmax(value[a:b] / floor[a:b])) for a, b in pairwise(edges)]
    return DependenceCurve(
        steps=tuple(row + 1 for row in top),
        values=tuple(round(float(value[row]), 4) for row in top),
        floor=tuple(round(float(floor[row]), 4) for row in top),
        x_label="steps back",
        y_label="partial correlation, beyond all nearer steps",
    )


def _says(ends: tuple[int, int, int], lags: int, periods: tuple[int, ...], pairs: tuple[Pair, ...]) -> str:
    """Return the finding in a sentence."""
    reach, low, high = ends
    if not reach:
        return f"None of the last {lags} steps removes {MATTERS:.0%} of the error of a forecast by itself."
    steps = "The last step matters" if reach == 1 else f"The last {reach} steps matter"
    why = [f"season {' and '.join(map(str, periods))}"] if periods else []
    why += [f"steps {pair.near} and {pair.far} back count together" for pair in pairs[:2]]
    beyond = f"none farther back of {lags} removes {MATTERS:.0%} more" if reach < lags else "no more could be looked at"
    return f"{steps} (90 % interval {low} to {high}): {'; '.join([*why, beyond])}."
