"""What is wrong with time: gaps and jitter in a forecasting file, and a test file that overlaps or leaves a hole.

The search joins a test series to the end of its training series. Dates and step numbers decide whether that holds;
where both files number their rows from the same start (as M4 does), only equal values prove an overlap.
"""

import numpy as np
import pandas as pd

from advisor.audit.finding import Finding, share, some
from advisor.data.dataset import Dataset

MUCH, SOME = 0.05, 0.01


def irregular(dataset: Dataset) -> list[Finding]:
    """Return the finding on rows off the grid and places without a row."""
    s = dataset.sampling
    if s is None or not s.rows:
        return []
    off, empty = s.moved / s.rows, s.gaps / s.steps
    if max(off, empty) < SOME:
        return []
    parts = []
    if s.moved:
        far = f"{100 * s.shift:.2g} % of a step"
        parts.append(f"{s.moved} of {s.rows} rows ({share(s.moved, s.rows)}) are off it, by up to {far}")
    if s.gaps:
        parts.append(
            f"{s.gaps} of {s.steps} places ({share(s.gaps, s.steps)}) have no row, up to {s.longest_gap} running"
        )
    step = dataset.freq or "whole-number"
    return [
        Finding(
            code="irregular_sampling",
            severity="warning" if max(off, empty) >= MUCH else "note",
            counted=s.moved + s.gaps,
            of=s.rows + s.gaps,
            says=f"Time is irregular: on the {step} grid {' and '.join(parts)}.",
            do="The tool moved rows to the nearest place and interpolated the empty ones; resample to a coarser step "
            "if that invents too much.",
        )
    ]


def joins(dataset: Dataset, test: Dataset) -> list[Finding]:
    """Return the findings on how the series of a test file continue those of the training file."""
    if dataset.stamps is None or test.stamps is None:
        return []
    known = {name: i for i, name in enumerate(dataset.ids)}
    overlap, hole, before, common = {}, {}, [], 0
    for name, values, stamps in zip(test.ids, test.series, test.stamps, strict=True):
        if name not in known:
            continue
        common += 1
        past, times = dataset.series[known[name]], dataset.stamps[known[name]]
        if isinstance(times, pd.RangeIndex) and stamps[0] == times[0]:
            if _holds(past, values):
                overlap[name] = len(values)
            continue
        twice = len(times.intersection(stamps))
        if twice:
            overlap[name] = twice
        elif stamps[0] < times[0]:
            before.append(name)
        elif missed := _missed(times, stamps, dataset.freq):
            hole[name] = missed
    findings = []
    if overlap:
        findings.append(
            Finding(
                code="test_overlaps_training",
                severity="warning",
                counted=len(overlap),
                of=common,
                says=f"{len(overlap)} of {common} series of the test file share up to {max(overlap.values())} steps "
                "with the training file: what is to be forecast has been learnt.",
                do="Cut the training file before the first time of the test file.",
                examples=some(overlap),
            )
        )
    if before:
        findings.append(
            Finding(
                code="test_before_training",
                severity="warning",
                counted=len(before),
                of=common,
                says=f"{len(before)} of {common} series of the test file begin before their training series.",
                do="Give a test file that continues the training file; exchange the two if they were mixed up.",
                examples=some(before),
            )
        )
    if hole:
        findings.append(
            Finding(
                code="gap_before_test",
                severity="warning",
                counted=len(hole),
                of=common,
                says=f"{len(hole)} of {common} series of the test file begin up to {max(hole.values())} steps after "
                "the training series could continue; the tool joins them as if there were no gap.",
                do="Add the rows between to the training file.",
                examples=some(hole),
            )
        )
    if new := [name for name in test.ids if name not in known]:
        findings.append(
            Finding(
                code="test_ids_without_training",
                severity="note",
                counted=len(new),
                of=len(test),
                says=f"{len(new)} of {len(test)} series of the test file have no series of that name in the training "
                "file.",
                do="They are not scored; give their history in the training file.",
                examples=some(new),
            )
        )
    return findings


def _holds(past: np.ndarray, values: np.ndarray) -> bool:
    """Return whether values that vary are the first or the last steps of the training series."""
    n = len(values)
    if n > len(past) or n < 2 or np.ptp(values) == 0:
        return False
    return bool(np.array_equal(past[:n], values) or np.array_equal(past[-n:], values))


def _missed(times: pd.Index, stamps: pd.Index, freq: str | None) -> int:
    """Return the places between the last of `times` and the first of `stamps`, 0 where there are none."""
    if isinstance(times, pd.RangeIndex):
        return max(0, (int(stamps[0]) - int(times[-1])) // int(times.step) - 1)
    return len(pd.date_range(times[-1], stamps[0], freq=freq, inclusive="neither"))
