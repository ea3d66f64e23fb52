"""How much of a labelled series cheap models need to tell its label, and whether position within it matters.

Each series is cut to its last, first or middle k steps; ridge regressions on values, interval statistics and random
convolutions, and a sparse model of screened steps and pairs, are cross-validated on every cut (`quality`). The reach
is the smallest k that does as well as all steps, within the noise over the series (`sufficient`). It is 0 when no cut
does better than on permuted labels, or than chance and one series more. Position matters when windows in random order
lose a good part of the gain.

Cost: about 50 cuts, each O(n^3 + n^2 (k + 40 K)) for n series of K classes, with 40 permutations of the labels; n, the
resolution and the pairs are bounded by `seconds`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from profiles.dependence.model import Dependence, DependenceCurve
from profiles.dependence.quality import Judge, Target
from profiles.dependence.ridge import Floats, Ints
from profiles.dependence.sufficient import Contexts, Reach, full_part
from profiles.dependence.windows import DIRECTIONS, Part, Stack

FEWEST = 4
"""Series below which nothing is asked."""
STEPS_IN_10_S, VALUES_IN_10_S, PAIRS_IN_10_S, FITS_IN_10_S = 180_000, 1_200_000, 2.5e10, 4.5e7
"""Steps and values read, operations of one screen of pairs and of one fit, in about 10 seconds of one core."""
FITS_A_CLASS = 10
"""Weight of one class and squared series beside one cubed series: a fit for the labels and for all permutations."""
LOOKED_SHARE = 5
"""A reach is counted up to a length that one in so many of the series has."""
MOST_STEPS, MOST_VALUES = 2048, 40_000
"""Steps and values of one series; of a longer one the means and spreads of short bins are read."""
ROUNDS = 2
"""Times that the contexts around the answer are made denser, threefold each."""
SURE = 3.0
"""Standard deviations of the best permuted quality that a quality must lie above its mean, and above all of them."""
WINDOWS, SHUFFLES = 8, 2
"""Windows that each series is cut into to ask whether position matters, and how often they are shuffled."""
LOST = 0.2
"""Share of the gain over chance that must be lost, beyond twice its standard error, to say that position matters."""


class Lengths(NamedTuple):
    """Steps of the series: the fewest, the median, the most, and how far back a reach is counted."""

    shortest: int
    median: int
    longest: int
    looked: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Lengths":
        """Return the summary of these lengths; none are as one of a single step."""
        ordered = sorted(lengths) or [1]
        looked = ordered[-len(ordered) // LOOKED_SHARE]
        return cls(ordered[0], int(np.median(ordered)), ordered[-1], looked)

    def notes(self) -> list[str]:
        """Return what a reader must know of series of unequal length."""
        if self.shortest == self.longest:
            return []
        return [
            f"Series have {self.shortest} to {self.longest} steps, in the median {self.median}; a reach is counted up "
            f"to {self.looked}, which one in {LOOKED_SHARE} has."
        ]


class Position(NamedTuple):
    """Quality with every step in place, with windows shuffled, and with all steps shuffled."""

    whole: float
    windows: float
    steps: float
    matters: bool


def dependence_on_context(
    series: Sequence[np.ndarray], labels: np.ndarray, classify: bool, seconds: float, seed: int
) -> Dependence:
    """Return how much of each series is needed to tell its label.

    Args:
        series: Each of shape (length, channels), finite.
        labels: Class indices or numbers, one for each series.
        classify: Whether the labels are classes.
        seconds: About how long it may take on one core; sets how much is read, by counting.
        seed: Of the part that is read and of the permutations.
    """
    values = np.asarray(labels)
    notes = _notes_on_labels(values, classify)
    usable: Ints = np.flatnonzero([len(one) > 0 for one in series])
    lengths = Lengths.of([len(series[i]) for i in usable])
    notes += lengths.notes()
    if len(usable) < len(series):
        notes.append(f"{len(series) - len(usable)} series have no step and were not read.")
    if len(usable) < FEWEST or len(np.unique(values[usable])) < 2:
        why = "the label never changes" if len(usable) >= FEWEST else f"{len(usable)} series are too few"
        return _nothing(lengths.looked, f"How much of a series matters cannot be told: {why}.", notes)
    rows, bin_steps, more = _part_to_read(series, values, usable, classify, seconds, seed)
    notes += more
    with threadpool_limits(1):
        return _measured(
            [_binned(series[i], bin_steps) for i in rows],
            values[rows],
            classify,
            seconds,
            seed,
            lengths,
            bin_steps,
            notes,
        )


def _measured(
    series: Sequence[np.ndarray],
    labels: np.ndarray,
    classify: bool,
    seconds: float,
    seed: int,
    lengths: Lengths,
    bin_steps: int,
    notes: list[str],
) -> Dependence:
    """Return the answer for the part that is read; small matrices are solved fastest by one thread."""
    target = Target.of(labels, classify)
    stack = Stack.of(series)
    judge = Judge(stack, target, PAIRS_IN_10_S * seconds / 10, seed)
    notes += judge.notes
    contexts, chance = _explored(judge)
    named, looked = _measure(target), lengths.looked
    credit, tops = contexts.best(), chance.max(axis=1)
    best, luck = float(credit.mean()), float(credit.max()) / len(credit)
    floor = max(float(tops.max()), float(tops.mean() + SURE * tops.std()), contexts.chance + luck)
    reaches = {reach.direction: reach for reach in contexts.reaches()}
    nearest = min(reaches.values(), key=lambda reach: reach.steps)
    curve = _curve(contexts, nearest, bin_steps, named)
    there = contexts.quality(contexts.enough(nearest))
    if best <= floor + 1e-9 or there <= contexts.chance + luck:
        says = (
            f"Cheap models see nothing: their best {named} on any part of the series is {best:.2f}, and permuted "
            f"labels or the luck of one series reach {floor:.2f}; this does not prove that nothing is there."
        )
        return _nothing(looked, says, notes, curve)
    steps, low, high = (min(max(round(k * bin_steps), 1), looked) for k in (nearest.steps, nearest.low, nearest.high))
    position = _position(judge, contexts, nearest)
    counted = {d: min(max(round(r.steps * bin_steps), 1), looked) for d, r in reaches.items()}
    notes.append(f"Steps needed when counted {', '.join(f'{d} {k}' for d, k in counted.items())}; of {looked}.")
    notes.append(f"With all steps of each series in random order {named} is {position.steps:.2f}.")
    return Dependence(
        reach_steps=steps,
        reach_low=min(low, steps),
        reach_high=max(high, steps),
        looked=looked,
        kind=nearest.direction,
        reach_from_end=counted["from the end"],
        curve=curve,
        position_matters=position.matters,
        says=_sentence(nearest, (steps, low, high), lengths, contexts, position, named),
        notes=tuple(notes),
    )


def _explored(judge: Judge) -> tuple[Contexts, Floats]:
    """Return the credits of contexts on a grid of doublings, refined around the answer, and the chance on the grid."""
    longest = judge.stack.values.shape[1]
    grid = np.unique(np.round(np.geomspace(1, longest, int(np.ceil(np.log2(longest))) + 1)).astype(int))
    parts = [Part(d, int(k)) for d in DIRECTIONS for k in grid[:-1]] + [full_part(longest)]
    credits, chance = judge.judge(parts, with_chance=True)
    contexts = Contexts(longest, judge.target.blind())
    contexts.add(parts, credits)
    for _ in range(ROUNDS):
        finer: list[Part] = []
        for direction in DIRECTIONS:
            low, high = contexts.bracket(direction)
            between = np.unique(np.geomspace(max(low, 1), high, 4)[1:-1].round().astype(int))
            finer += [Part(direction, int(k)) for k in between if low < k < high]
        if finer:
            contexts.add(finer, judge.judge(finer)[0])
    contexts.floor = {part: float(np.quantile(column, 0.95)) for part, column in zip(parts, chance.T, strict=True)}
    return contexts, chance


def _position(judge: Judge, contexts: Contexts, reach: Reach) -> Position:
    """Ask the needed part and the full series again after shuffling each series on its own."""
    asked = [contexts.enough(reach), full_part(contexts.longest)]
    whole = _best([contexts.credits[part] for part in asked])
    mixed = [_best(judge.judge(asked, judge.stack.shuffled(WINDOWS, seed))[0]) for seed in range(SHUFFLES)]
    steps = _best(judge.judge(asked, judge.stack.shuffled(0, SHUFFLES))[0])
    lost = whole - np.mean(mixed, axis=0)
    noise = 2 * float(lost.std()) / np.sqrt(len(lost))
    matters = lost.mean() > max(noise, LOST * (whole.mean() - contexts.chance))
    return Position(float(whole.mean()), float(np.mean(mixed)), float(steps.mean()), bool(matters))


def _best(credits: Sequence[Floats]) -> Floats:
    return max((credit[np.argmax(credit.mean(1))] for credit in credits), key=lambda credit: float(credit.mean()))


def _part_to_read(
    series: Sequence[np.ndarray], labels: np.ndarray, usable: Ints, classify: bool, seconds: float, seed: int
) -> tuple[Ints, int, list[str]]:
    """Return which series are read, how many steps make one bin, and notes on what is left out."""
    notes = []
    lengths, channels, share = np.array([len(series[i]) for i in usable]), series[0].shape[1], seconds / 10
    longest = int(lengths.max())
    bin_steps = max(-(-longest // MOST_STEPS), -(-longest * channels // MOST_VALUES))
    if bin_steps > 1:
        notes.append(f"Means and spreads of {bin_steps} steps at a time were read, so a reach is a multiple of that.")
        longest, channels = -(-longest // bin_steps), 2 * channels
    classes = len(np.unique(labels[usable])) if classify else 1
    count = np.arange(1.0, len(usable) + 1)
    fitted = int(np.sum(count**3 + FITS_A_CLASS * classes * count**2 <= FITS_IN_10_S * share))
    most = min(fitted, STEPS_IN_10_S * share / longest, VALUES_IN_10_S * share / longest / channels)
    most = max(int(most), 10 * FEWEST)
    if len(usable) <= most:
        return usable, bin_steps, notes
    rows = usable[_drawn(labels[usable], most, seed)]
    notes.append(f"{most} of {len(series)} series were read, drawn at random in proportion to the labels.")
    if classify and (left := classes - len(np.unique(labels[rows]))):
        notes.append(f"{left} of {classes} classes are so rare that none of their series was drawn.")
    return rows, bin_steps, notes


def _drawn(labels: np.ndarray, most: int, seed: int) -> Ints:
    """Return random places of `most` labels, sorted; each class, or span of numbers, keeps its share within one."""
    rng = np.random.default_rng(seed)
    by_label = np.lexsort((rng.random(len(labels)), labels))
    return np.sort(by_label[((np.arange(most) + rng.random()) * len(labels) / most).astype(np.int64)])


def _binned(one: np.ndarray, bin_steps: int) -> np.ndarray:
    """Return mean and spread of each channel over bins of steps (bins, 2 C), or the series itself for bins of 1."""
    if bin_steps == 1:
        return one
    cuts = np.arange(0, len(one), bin_steps)
    counts = np.diff(np.append(cuts, len(one)))[:, None]
    mean = np.add.reduceat(one.astype(np.float64), cuts) / counts
    square = np.add.reduceat(one.astype(np.float64) ** 2, cuts) / counts
    return np.concatenate([mean, np.sqrt(np.maximum(square - mean**2, 0))], axis=1)


def _curve(contexts: Contexts, reach: Reach, bin_steps: int, named: str) -> DependenceCurve:
    along = contexts.along(reach.direction)
    asked = [part for part in along if part in contexts.floor]
    floor = np.interp(
        np.log([part.steps for part in along]),
        np.log([part.steps for part in asked]),
        [contexts.floor[part] for part in asked],
    )
    return DependenceCurve(
        steps=tuple(part.steps * bin_steps for part in along),
        values=tuple(round(contexts.quality(part), 4) for part in along),
        floor=tuple(round(float(f), 4) for f in floor),
        x_label=f"steps {reach.direction}",
        y_label=named,
    )


def _measure(target: Target) -> str:
    if target.classes is None:
        return "explained variance of the ranks"
    counts = np.bincount(target.classes)
    return "accuracy" if counts.max() <= max(1.1 * counts.min(), counts.min() + 1) else "balanced accuracy"


def _sentence(
    reach: Reach,
    numbers: tuple[int, int, int],
    lengths: Lengths,
    contexts: Contexts,
    position: Position,
    named: str,
) -> str:
    steps, low, high = numbers
    looked, longest = lengths.looked, lengths.longest
    which = {"from the end": "last", "from the start": "first", "from the middle": "middle"}[reach.direction]
    there, full = contexts.quality(contexts.enough(reach)), contexts.quality(full_part(contexts.longest))
    if steps < looked:
        of = f"{looked} steps" if lengths.shortest == longest else f"up to {longest} steps (median {lengths.median})"
        enough = f"The {which} {steps} of {of} are enough"
    elif looked < longest:
        enough = f"The {which} {looked} of up to {longest} steps (median {lengths.median}), or more, are needed"
    else:
        enough = f"All {looked} steps are needed"
    order = "matters" if position.matters else "does not matter much"
    return (
        f"{enough} (90 % interval {low} to {high}): {named} {there:.2f} there, {full:.2f} with all; position within "
        f"the series {order} ({position.whole:.2f}, with windows shuffled {position.windows:.2f})."
    )


def _notes_on_labels(labels: np.ndarray, classify: bool) -> list[str]:
    if not classify:
        return []
    once = int((np.unique(labels, return_counts=True)[1] == 1).sum())
    return [f"{once} classes have one series: no model can learn and be tested on them."] if once else []


def _nothing(looked: int, says: str, notes: Sequence[str], curve: DependenceCurve | None = None) -> Dependence:
    empty = DependenceCurve(steps=(), values=(), floor=(), x_label="steps", y_label="quality")
    return Dependence(
        reach_steps=0, reach_low=0, reach_high=0, looked=looked, reach_from_end=0 if curve else None,
        kind="from the end", curve=curve or empty, says=says, notes=tuple(notes),
    )  # fmt: skip
