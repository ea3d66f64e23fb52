"""Where on this device one kind of architecture becomes cheaper than another, by length.

Two curves of cost against length are compared by the ratio of their fits, at lengths 1 % apart between the shortest
and the longest that both were measured at; a crossover is a length where the ratio is 1. The fits even out the noise
of single lengths. What is left moves the crossover: the ratio is shifted by the noise up and down to see how far.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from profiles.curves import Curve

DOCUMENTS_SHORT, DOCUMENTS_LONG = 512, 1024
"""LEN1 and LEN2 (D4 section 3.2)."""
RECURRENT, ATTENTION = ("gru", "lstm"), "transformer"
COMPARED_FROM = 64
"""Shorter lengths are measured, but the documents' question is not about them, and there all networks cost alike. They
are compared only where nothing longer was measured."""
STEP = 1.01
"""Factor between two lengths that are compared."""
NAMES = (
    "the length up to which recurrent networks are cheaper",
    "the length from which attention is cheaper",
    "the length from which recurrent networks are cheaper",
)
"""Of `short_below`, `long_from` and `recurrent_from`, for people."""
Ratio = Sequence[tuple[float, float]]
"""Length and logarithm of one cost over another, by increasing length."""


class Crossovers(BaseModel):
    """Measured lengths that stand in for the documents' 512 and 1024 (LEN1 to LEN3), training time, one device."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    short_below: int = Field(ge=0)
    """Up to this length a recurrent network trains in no more time than attention, at every shorter length too; 0: at
    none; `longest`: at every length measured. Lengths below 64 are not compared, here and below, unless nothing longer
    was measured."""
    long_from: int | None = None
    """From this length on attention trains in no more time than a recurrent network; None: at no length measured."""
    longest: int = Field(ge=1)
    """Greatest length measured."""
    device: str
    """Name of the device, for people."""
    says: str
    """Both lengths in one sentence, with the lengths of the documents beside them."""
    recurrent_from: int | None = None
    """From this length on up to `longest` a recurrent network trains in less time than attention; None: at none."""


class Pair(BaseModel):
    """Which of two families is cheaper at which lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    quantity: Literal["training", "inference"]
    first: str
    second: str
    below: str
    """The cheaper one at the shortest length that both were measured at."""
    above: str
    """The cheaper one at the longest."""
    crossovers: tuple[int, ...]
    """Lengths where the cheaper one changes, increasing; empty: it never does."""
    shortest: int
    longest: int


def crossovers(training: Mapping[str, Curve], device: str, batch: int) -> Crossovers | None:
    """Return the crossovers of training time; None where there is nothing to compare, see `why_none`.

    The recurrent network is the cheaper of GRU and LSTM at each length. Lengths from 64 on are compared, all where
    nothing longer was measured.

    Args:
        training: Family -> time of a training step.
        device: Name of the device, for people.
        batch: Sequences in a training step, for people.
    """
    ratio = _recurrent_over_attention(training)
    if ratio is None:
        return None
    short_below, long_from, recurrent_from = _read(ratio)
    return Crossovers(
        short_below=short_below,
        long_from=long_from,
        longest=round(ratio[-1][0]),
        device=device,
        says=f"On {device}, training batch {batch}, {_says(short_below, long_from, recurrent_from, ratio)}.",
        recurrent_from=recurrent_from,
    )


def why_none(training: Mapping[str, Curve]) -> str:
    """Return why these times have no crossovers, in words; empty where they have."""
    if ATTENTION not in training or not any(name in training for name in RECURRENT):
        return "No crossover: it needs the Transformer, and GRU or LSTM."
    if _recurrent_over_attention(training) is None:
        return "No crossover: it needs two lengths that the Transformer and the recurrent networks were measured up to."
    return ""


def uncertainty(training: Mapping[str, Curve], noise: float) -> tuple[float, str]:
    """Return by which factor noise can move a crossover, and which one in words.

    Args:
        training: Family -> time of a training step.
        noise: Relative error of a ratio of two times, such as 0.04.

    Returns:
        The factor is 1 where nothing moves and infinite where a crossover appears or goes away.
    """
    ratio = _recurrent_over_attention(training)
    if ratio is None:
        return 1.0, ""
    shifted = [_read([(n, r + shift) for n, r in ratio]) for shift in (-noise, 0.0, noise)]
    worst, says = 1.0, ""
    for name, found in zip(NAMES, zip(*shifted, strict=True), strict=True):
        known = [length or 0 for length in found]
        low, middle, high = min(known), known[1], max(known)
        factor = 1.0 if low == high else math.inf if low == 0 else max(high / middle, middle / low)
        if factor > worst:
            worst, says = factor, f"{name} can be anything from {low or 'none'} to {high}"
    return worst, says


def pairs(quantity: Literal["training", "inference"], curves: Mapping[str, Curve]) -> tuple[Pair, ...]:
    """Return every pair of families measured over a common range of lengths, and where the cheaper one changes."""
    found = []
    for first, second in combinations(curves, 2):
        ratio = _ratio([curves[first]], curves[second])
        if not ratio:
            continue
        found.append(
            Pair(
                quantity=quantity,
                first=first,
                second=second,
                below=first if ratio[0][1] <= 0 else second,
                above=first if ratio[-1][1] <= 0 else second,
                crossovers=tuple(round(length) for length, _ in _crossings(ratio)),
                shortest=round(ratio[0][0]),
                longest=round(ratio[-1][0]),
            )
        )
    return tuple(found)


def _recurrent_over_attention(training: Mapping[str, Curve]) -> Ratio | None:
    recurrent = [training[name] for name in RECURRENT if name in training]
    if not recurrent or ATTENTION not in training:
        return None
    ratio = _ratio(recurrent, training[ATTENTION])
    longer = [cell for cell in ratio if cell[0] >= COMPARED_FROM]
    return (longer if len(longer) > 1 else ratio) or None


def _ratio(cheapest_of: Sequence[Curve], other: Curve) -> Ratio:
    """Return the log of the cheapest of some curves over another one; empty without a common range of lengths."""
    every = [*cheapest_of, other]
    shortest, longest = max(one.lengths[0] for one in every), min(one.lengths[-1] for one in every)
    if shortest >= longest:
        return ()
    steps = math.ceil(math.log(longest / shortest) / math.log(STEP))
    grid = [shortest * (longest / shortest) ** (i / steps) for i in range(steps + 1)]
    return [(n, math.log(min(one.fit.at(n) for one in cheapest_of) / other.fit.at(n))) for n in grid]


def _crossings(ratio: Ratio) -> list[tuple[float, bool]]:
    """Return each length where the sign changes, and whether the ratio is above 1 after it."""
    found = []
    for (n, before), (m, after) in pairwise(ratio):
        if (before <= 0) != (after <= 0):
            share = before / (before - after)
            found.append((n * (m / n) ** share, after > 0))
    return found


def _read(ratio: Ratio) -> tuple[int, int | None, int | None]:
    """Return `short_below`, `long_from` and `recurrent_from`; see `Crossovers`."""
    crossings, shortest, longest = _crossings(ratio), round(ratio[0][0]), round(ratio[-1][0])
    rises = [length for length, above in crossings if above]
    falls = [length for length, above in crossings if not above]
    up_to = math.floor(rises[0]) if rises else longest
    short_below = 0 if ratio[0][1] > 0 else up_to
    if ratio[-1][1] > 0:
        return short_below, math.ceil(rises[-1]) if rises else shortest, None
    recurrent_from = math.ceil(falls[-1]) if falls else shortest
    return short_below, None, recurrent_from


def _says(short_below: int, long_from: int | None, recurrent_from: int | None, ratio: Ratio) -> str:
    shortest, longest = round(ratio[0][0]), round(ratio[-1][0])
    beside = f"the documents say recurrent below {DOCUMENTS_SHORT} and attention from {DOCUMENTS_LONG}"
    if short_below == longest:
        what = f"a recurrent network trains in no more time than attention at every length from {shortest} to {longest}"
    elif long_from == shortest:
        what = f"attention trains in less time than a recurrent network at every length from {shortest} to {longest}"
    elif long_from is not None:
        what = f"attention trains in no more time from {long_from} steps on (measured up to {longest})"
        if short_below:
            what = f"a recurrent network trains in no more time than attention up to {short_below} steps, and {what}"
    else:
        what = f"a recurrent network trains in less time than attention from {recurrent_from} to {longest} steps"
        what += f", and up to {short_below}" if short_below else ", and in more below: the reverse of the documents"
    return f"{what}; {beside}"
