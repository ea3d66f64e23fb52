"""Series that occur twice, inside a file or in training and test; labels that contradict each other; shared ids.

Also says which rows belong together, so that a split keeps them on one side. Cost: that of `equal.same_shape` over all
series.
"""

from collections import Counter
from typing import Literal

import numpy as np

from advisor.audit.equal import joined, same_beginning, same_bytes, same_shape
from advisor.audit.finding import Finding, share, some
from advisor.data.dataset import Dataset
from advisor.data.table import is_missing

FEWEST_IDS = 10
"""Below this many distinct ids, ids are not kept apart in a split: too few sides to choose from."""


def together(dataset: Dataset) -> np.ndarray:
    """Return (N,) for each labelled row the first row it must share its side of a split with, itself where none.

    Rows belong together when their series are the same (see `equal`), when these begin alike, as cuts of one recording
    do, or when the file gives them the same id; of beginnings and ids there must be at least 10.
    """
    groupings = (same_beginning(dataset.series), _by_id(dataset))
    apart = [one for one in groupings if one is not None and len(np.unique(one)) >= FEWEST_IDS]
    return joined(same_shape(dataset.series), *apart)


def repeated(dataset: Dataset, shapes: np.ndarray) -> list[Finding]:
    """Return the finding on series that repeat an earlier one of the same file.

    Args:
        dataset: The file. Constant series to forecast do not count: they have a finding of their own.
        shapes: `equal.same_shape` of its series.
    """
    exact = same_bytes(dataset.series)
    copies = np.flatnonzero(shapes != np.arange(len(dataset)))
    again = np.array([i for i in copies if dataset.task != "forecast" or np.ptp(dataset.series[i]) > 0], dtype=np.int64)
    if not again.size:
        return []
    forecast = dataset.task == "forecast"
    return [
        Finding(
            code="repeated_series",
            severity="note" if forecast else "warning",
            counted=len(again),
            of=len(dataset),
            says=f"{len(again)} of {len(dataset)} series repeat an earlier one ({_how(exact[again] != again)}).",
            do="Drop them: each counts twice in training and in the score."
            if forecast
            else "The tool keeps copies on one side of every split, so they do not leak; drop those that are one "
            "measurement stored twice.",
            examples=some(f"{dataset.ids[i]} = {dataset.ids[shapes[i]]}" for i in again),
        )
    ]


def cuts_of_one(dataset: Dataset, shapes: np.ndarray) -> list[Finding]:
    """Return the finding on labelled series that begin alike and go on differently: cuts of one recording.

    Args:
        dataset: The file.
        shapes: `equal.same_shape` of its series; whole copies have a finding of their own.
    """
    begins = same_beginning(dataset.series)
    cuts = [i for i, j in enumerate(begins) if i != j and shapes[i] != shapes[j]]
    if dataset.labels is None or not cuts:
        return []
    severity, do = _sides(len(np.unique(begins)), "cuts", "recordings")
    return [
        Finding(
            code="same_beginnings",
            severity=severity,
            counted=len(cuts),
            of=len(dataset),
            says=f"{len(cuts)} of {len(dataset)} series begin with the steps of an earlier one: cuts of one recording.",
            do=do,
            examples=some(f"{dataset.ids[i]} like {dataset.ids[begins[i]]}" for i in cuts),
        )
    ]


def contradictions(dataset: Dataset) -> list[Finding]:
    """Return the finding on series that are equal byte for byte but have different labels."""
    if dataset.labels is None:
        return []
    group = same_bytes(dataset.series)
    members = [np.flatnonzero(group == g) for g, size in Counter(group.tolist()).items() if size > 1]
    torn = [rows for rows in members if len(np.unique(dataset.labels[rows])) > 1]
    if not torn:
        return []
    count, n = sum(map(len, torn)), len(dataset)
    if dataset.task == "classify":
        wrong = sum(len(rows) - int(np.bincount(dataset.labels[rows]).max()) for rows in torn)
        bound = f"no model can put more than {share(n - wrong, n)} of these series into the right class"
    else:
        squares = sum(float(((dataset.labels[rows] - dataset.labels[rows].mean()) ** 2).sum()) for rows in torn)
        bound = f"no model can reach an rmse below {np.sqrt(squares / n):.3g} on these series"
    return [
        Finding(
            code="contradicting_labels",
            severity="warning",
            counted=count,
            of=n,
            says=f"{count} of {n} series equal another one byte for byte but have another label: {bound}.",
            do="Correct the labels, or add the channel that tells these series apart.",
            examples=some(" = ".join(dataset.ids[i] for i in rows[:3]) for rows in torn),
        )
    ]


def in_both(dataset: Dataset, test: Dataset) -> list[Finding]:
    """Return the findings on series and ids of the test file that are in the training file as well."""
    m = len(test)
    series = (*dataset.series, *test.series)
    groups = same_shape(series)
    shapes, exact = groups[len(dataset) :], same_bytes(series)[len(dataset) :]
    seen = np.flatnonzero(shapes < len(dataset))
    findings = []
    if seen.size:
        other = 0
        if dataset.labels is not None and test.labels is not None:
            other = int(np.sum(dataset.labels[shapes[seen]] != test.labels[seen]))
        out = int(np.isin(groups[: len(dataset)], shapes[seen]).sum())
        findings.append(
            Finding(
                code="test_series_in_training",
                severity="warning",
                counted=len(seen),
                of=m,
                says=f"{len(seen)} of {m} series of the test file are also in the training file "
                f"({_how(exact[seen] < len(dataset))}{f', {other} with another label' if other else ''}): "
                "a score on them says nothing of new series.",
                do=f"Remove the {out} rows from the training file, or those from the test file: the tool keeps both "
                "files as they were given.",
                examples=some(f"test {test.ids[i]} = training {dataset.ids[shapes[i]]}" for i in seen),
            )
        )
    shared = _shared_ids(dataset, test)
    if shared:
        of = len(set(test.groups or ()))
        findings.append(
            Finding(
                code="id_in_both_files",
                severity="warning",
                counted=len(shared),
                of=of,
                says=f"{len(shared)} of {of} ids of the test file are also ids of the training file.",
                do="If an id is a person, a machine or a place, the score is one for those already known: give all "
                "series of an id to one file to learn how new ones do.",
                examples=some(shared),
            )
        )
    return findings


def shared_ids(dataset: Dataset) -> list[Finding]:
    """Return the finding on ids that several labelled series of one file have."""
    by_id = _by_id(dataset)
    if by_id is None or len(np.unique(by_id)) == len(dataset):
        return []
    ids, counts = np.unique(by_id, return_counts=True)
    several = ids[counts > 1]
    severity, do = _sides(len(ids), "series", "ids")
    assert dataset.groups is not None
    return [
        Finding(
            code="ids_with_several_series",
            severity=severity,
            counted=len(several),
            of=len(ids),
            says=f"{len(several)} of {len(ids)} ids have several series, up to {counts.max()}.",
            do=do,
            examples=some(dataset.groups[i] for i in several),
        )
    ]


def _sides(count: int, members: str, wholes: str) -> tuple[Literal["note", "warning"], str]:
    """Return how grave it is that `count` wholes have several members each, and what to do about it."""
    if count >= FEWEST_IDS:
        return "note", f"The tool keeps all {members} of one on one side of every split: the score is for new {wholes}."
    return "warning", (
        f"Fewer than {FEWEST_IDS} {wholes} are too few to keep apart: {members} of one are on both sides of a split, "
        f"and the score is for known {wholes}. Give a test file with other {wholes}."
    )


def _by_id(dataset: Dataset) -> np.ndarray | None:
    """Return (N,) the first row with the same id; rows without one stand alone; None where the file has no ids."""
    if dataset.groups is None:
        return None
    first: dict[str, int] = {}
    return np.array([i if is_missing(g) else first.setdefault(g, i) for i, g in enumerate(dataset.groups)])


def _shared_ids(dataset: Dataset, test: Dataset) -> list[str]:
    """Return the ids in both files, sorted; none where both files only number their rows."""
    if dataset.groups is None or test.groups is None or (_numbers_rows(dataset.groups) and _numbers_rows(test.groups)):
        return []
    return sorted(name for name in {*dataset.groups} & {*test.groups} if not is_missing(name))


def _numbers_rows(ids: tuple[str, ...]) -> bool:
    """Return whether the ids are 0, 1, 2, ... or 1, 2, 3, ... in some order."""
    if not all(name.strip().isdigit() for name in ids):
        return False
    numbers = sorted(int(name) for name in ids)
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _how(exact: np.ndarray) -> str:
    """Return in words how many of the copies are exact."""
    same, scaled = int(exact.sum()), int((~exact).sum())
    return " and ".join([f"{same} byte for byte"] * bool(same) + [f"{scaled} up to offset and scale"] * bool(scaled))
