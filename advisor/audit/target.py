"""Whether there is something to learn, and enough to learn it from: constant values, classes, counts, gaps."""

import numpy as np

from advisor.audit.finding import Finding, share, some
from advisor.data.dataset import Dataset
from advisor.data.splits import HELD_SHARE
from advisor.metrics import wilson_interval

FEWEST_LABELLED = 8
FEW_TEST_ROWS = 30
"""Below this many rows to judge on, the 95 % interval of an accuracy can be more than a third wide (Wilson: 0.34)."""
FEW_IN_CLASS = 5
"""Rows a class needs so that each of five folds has one."""
RARE = 0.05
MISSING_MUCH, MISSING_SOME = 0.2, 0.05


def constants(dataset: Dataset) -> list[Finding]:
    """Return the findings on targets, series and channels that never change."""
    n = len(dataset)
    flat = np.array([bool((one == one[:1]).all()) for one in dataset.series])
    count, names = int(flat.sum()), [dataset.ids[i] for i in np.flatnonzero(flat)]
    if dataset.task == "forecast" and count == n:
        return [_constant_target(f"{n} of {n} series are constant ({_one(dataset)})", n)]
    findings = []
    if dataset.labels is not None and len(dataset.labels) and np.ptp(dataset.labels) == 0:
        label = f"{dataset.labels[0]:g}" if dataset.task == "regress" else dataset.classes[int(dataset.labels[0])]
        findings.append(_constant_target(f"{n} of {n} labels are {label}", n))
    if count:
        forecast = dataset.task == "forecast"
        findings.append(
            Finding(
                code="constant_series",
                severity="note" if forecast else "warning",
                counted=count,
                of=n,
                says=f"{count} of {n} series are constant{'' if forecast else ' in every channel'}.",
                do="Leave them out: repeating the value is exact, and no scale of their errors is defined."
                if forecast
                else "Look whether the sensor was off; only the level of such a series can tell its label.",
                examples=some(names),
            )
        )
    dead = np.all([(one == dataset.series[0][0]).all(axis=0) for one in dataset.series], axis=0)
    if len(dataset.channels) > 1 and dead.any() and not dead.all():
        findings.append(
            Finding(
                code="constant_channels",
                severity="note",
                counted=int(dead.sum()),
                of=len(dead),
                says=f"{int(dead.sum())} of {len(dead)} channels have one value in all series.",
                do="Leave them out: they cost time and tell nothing.",
                examples=some(dataset.channels[c] for c in np.flatnonzero(dead)),
            )
        )
    return findings


def classes(dataset: Dataset, test: Dataset | None) -> list[Finding]:
    """Return the findings on classes that are rare, small, or not in the test file."""
    if dataset.task != "classify" or dataset.labels is None:
        return []
    n, k = len(dataset), len(dataset.classes)
    counts = np.bincount(dataset.labels, minlength=k)
    findings = []
    largest = int(counts.argmax())
    rare = np.flatnonzero(counts < RARE * counts[largest])
    if rare.size:
        findings.append(
            Finding(
                code="unbalanced_classes",
                severity="warning",
                counted=len(rare),
                of=k,
                says=f"Classes are unbalanced: {dataset.classes[largest]!r} is {share(int(counts[largest]), n)} of {n} "
                f"rows, {len(rare)} of {k} classes have less than a twentieth of its rows.",
                do="Compare every accuracy with that of always answering the largest class; give more rows of the "
                "rare ones.",
                examples=some(f"{dataset.classes[i]}: {counts[i]}" for i in rare),
            )
        )
    once, small = np.flatnonzero(counts == 1), np.flatnonzero((counts > 1) & (counts < FEW_IN_CLASS))
    if once.size:
        findings.append(
            Finding(
                code="classes_with_one_row",
                severity="warning",
                counted=len(once),
                of=k,
                says=f"{len(once)} of {k} classes have one row, which cannot be both learnt from and judged on.",
                do="Give more rows, merge these classes with others, or leave them out.",
                examples=some(dataset.classes[i] for i in once),
            )
        )
    if small.size:
        findings.append(
            Finding(
                code="small_classes",
                severity="note",
                counted=len(small),
                of=k,
                says=f"{len(small)} of {k} classes have fewer than {FEW_IN_CLASS} rows, so not every fold has one.",
                do="Give more rows of these classes.",
                examples=some(f"{dataset.classes[i]}: {counts[i]}" for i in small),
            )
        )
    if test is not None and test.labels is not None:
        absent = np.setdiff1d(np.flatnonzero(counts), test.labels)
        if absent.size:
            findings.append(
                Finding(
                    code="classes_not_in_test",
                    severity="note",
                    counted=len(absent),
                    of=k,
                    says=f"{len(absent)} of {k} classes do not occur in the test file: the score says nothing of them.",
                    do="Give test rows of these classes.",
                    examples=some(dataset.classes[i] for i in absent),
                )
            )
    return findings


def amounts(dataset: Dataset, test: Dataset | None, horizon: int | None) -> list[Finding]:
    """Return the findings on too few rows, series shorter than the horizon needs, and missing values."""
    findings = []
    n = len(dataset)
    if dataset.task != "forecast":
        judged = len(test) if test else round(HELD_SHARE * n)
        if n < FEWEST_LABELLED or judged < FEW_TEST_ROWS:
            findings.append(_few_rows(dataset, judged, exact=test is not None))
    elif horizon is not None:
        lengths = np.array([len(one) for one in dataset.series])
        need = 2 * horizon
        short = np.flatnonzero(lengths < need)
        if short.size:
            findings.append(
                Finding(
                    code="series_shorter_than_horizon",
                    severity="warning",
                    counted=len(short),
                    of=n,
                    says=f"{len(short)} of {n} series have fewer than {need} steps, two horizons of {horizon}: too "
                    "short to learn from a past and be judged on a future.",
                    do=f"Leave them out, or take --horizon {max(1, int(lengths.min()) // 2)}.",
                    examples=some(f"{dataset.ids[i]}: {lengths[i]} steps" for i in short),
                )
            )
    if dataset.missing >= MISSING_SOME:
        total = sum(one.size for one in dataset.series)
        filled = round(dataset.missing * total)
        findings.append(
            Finding(
                code="missing_values",
                severity="warning" if dataset.missing >= MISSING_MUCH else "note",
                counted=filled,
                of=total,
                says=f"{share(filled, total)} of the values were missing and are interpolated.",
                do="Scores count interpolated values as truth; leave out the series or stretches that are mostly "
                "missing.",
            )
        )
    return findings


def _few_rows(dataset: Dataset, judged: int, exact: bool) -> Finding:
    n = len(dataset)
    if n < FEWEST_LABELLED:
        return Finding(
            code="few_rows",
            severity="error",
            counted=n,
            of=FEWEST_LABELLED,
            says=f"{n} labelled series are fewer than the {FEWEST_LABELLED} that training needs.",
            do="Give more labelled series.",
        )
    low, high = wilson_interval(0.5, judged)
    said = f"{'' if exact else 'About '}{judged} labelled series judge the final model"
    if dataset.task == "classify":
        said += f": the 95 % interval of an accuracy is up to {100 * (high - low):.0f} points wide"
    return Finding(
        code="few_rows",
        severity="note",
        counted=judged,
        of=FEW_TEST_ROWS,
        says=f"{said}.",
        do="Read the interval, not only the score; give a larger test file or more rows.",
    )


def _constant_target(what: str, n: int) -> Finding:
    return Finding(
        code="constant_target",
        severity="error",
        counted=n,
        of=n,
        says=f"There is nothing to learn: {what}.",
        do="Repeat the value, which is exact; no model is worth training. Check that this is the right target.",
    )


def _one(dataset: Dataset) -> str:
    values = {float(one[0, 0]) for one in dataset.series}
    return f"{min(values):g}" if len(values) == 1 else f"{min(values):g} to {max(values):g}"
