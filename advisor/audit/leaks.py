"""A label hidden in one value of the series: a column that is the label, or tells it perfectly while no other does.

What is looked at, of each labelled series: a channel that is constant within each series (a static feature) as one
value; else every step of every channel where all series have one length, and else the first, last and mean value of
each channel; and the length.

Classes: the values of the feature in each class fill intervals that do not touch. Numbers: the feature rises or
falls with the label without one exception, or has an absolute correlation of 0.9999 with it. It counts as a leak only
where few features do so (at most 5 %) and no other comes near (the middle 80 % of each class in intervals that do not
touch; an absolute correlation of 0.99): in a smooth series that is simply easy to tell, neighbours come near.

Cost: O(N F) for F features.
"""

import numpy as np

from advisor.audit.finding import Finding, some
from advisor.data.dataset import Dataset

FEWEST_ROWS = 20
"""With fewer rows a feature may tell the labels by chance."""
FEW = 0.05
NEAR_CORRELATION = 0.99
LINE = 0.9999
MOST_OTHERS = 256


def label_in_series(dataset: Dataset) -> list[Finding]:
    """Return the finding on features that tell the label alone."""
    if dataset.labels is None or len(dataset) < FEWEST_ROWS or len(np.unique(dataset.labels)) < 2:
        return []
    values, names = _features(dataset)
    classify = dataset.task == "classify"
    perfect = _apart(values, dataset.labels, 0.0) if classify else _follows(values, dataset.labels)
    found = np.flatnonzero(perfect)
    if not found.size or len(found) > max(1, FEW * len(names)):
        return []
    others = np.flatnonzero(~perfect)
    others = others[:: max(1, len(others) // MOST_OTHERS)]
    if not others.size:
        return []
    near = (
        _apart(values[:, others], dataset.labels, 0.1)
        if classify
        else np.abs(_correlation(values[:, others], dataset.labels)) >= NEAR_CORRELATION
    )
    if near.any():
        return []
    told = "tells the class alone, without one error," if classify else "follows the label without exception"
    return [
        Finding(
            code="label_in_series",
            severity="warning",
            counted=len(found),
            of=len(names),
            says=f"{len(found)} of {len(names)} values of a series {told} in {len(dataset)} rows, and no other comes "
            "near: a copy of the label may be among the values.",
            do="If it is not known before the label is, leave that column out; else the score means nothing.",
            examples=some(names[i] for i in found),
        )
    ]


def _features(dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """Return (rows, features) and the name of each feature."""
    lengths = {len(one) for one in dataset.series}
    static = np.all([(one == one[:1]).all(axis=0) for one in dataset.series], axis=0)
    first = np.stack([one[0] for one in dataset.series])
    named = [f"channel {name}" for name in dataset.channels]
    columns, names = [first[:, static]], [f"{named[c]} (static)" for c in np.flatnonzero(static)]
    moving = np.flatnonzero(~static)
    if len(lengths) == 1:
        cube = np.stack([one[:, moving] for one in dataset.series])
        columns.append(cube.reshape(len(cube), -1))
        several = len(dataset.channels) > 1
        names += [
            f"step {t + 1} of {cube.shape[1]}" + f" in {named[c]}" * several
            for t in range(cube.shape[1])
            for c in moving
        ]
    else:
        last = np.stack([one[-1] for one in dataset.series])
        mean = np.stack([one.mean(axis=0) for one in dataset.series])
        columns += [first[:, moving], last[:, moving], mean[:, moving]]
        columns.append(np.array([[len(one)] for one in dataset.series], dtype=np.float64))
        names += [f"{what} of {named[c]}" for what in ("first value", "last value", "mean") for c in moving]
        names.append("length")
    return np.concatenate(columns, axis=1), names


def _apart(values: np.ndarray, labels: np.ndarray, trim: float) -> np.ndarray:
    """Return (F,) whether the intervals of the classes, `trim` of their rows left out at each end, do not touch."""
    rows = [values[labels == k] for k in np.unique(labels)]
    low = np.stack([part.min(axis=0) if trim == 0 else np.quantile(part, trim, axis=0) for part in rows])
    high = np.stack([part.max(axis=0) if trim == 0 else np.quantile(part, 1 - trim, axis=0) for part in rows])
    order = np.argsort(low, axis=0, kind="stable")
    low, high = np.take_along_axis(low, order, 0), np.take_along_axis(high, order, 0)
    return np.asarray((high[:-1] < low[1:]).all(axis=0))


def _follows(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (F,) whether a feature is a rising or falling function of the label, or nearly a line of it."""
    order = np.argsort(labels, kind="stable")
    steps = np.diff(values[order].astype(np.float64), axis=0)
    rises = (np.diff(labels[order].astype(np.float32)) > 0)[:, None]
    exact = np.where(rises, steps > 0, steps == 0).all(axis=0) | np.where(rises, steps < 0, steps == 0).all(axis=0)
    return np.asarray(exact | (np.abs(_correlation(values, labels)) >= LINE))


def _correlation(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (F,) Pearson's correlation with the label, 0 for a constant feature."""
    x, y = values - values.mean(axis=0, dtype=np.float64), labels - labels.mean()
    scale = np.linalg.norm(x, axis=0) * np.linalg.norm(y)
    return np.asarray(np.divide(x.T @ y, scale, out=np.zeros(x.shape[1]), where=scale > 0))
