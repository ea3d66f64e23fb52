"""Numbers that stand for "no value", such as -999: they are read as values, and are not.

A code is 99, 999, ... or -99, -999, ... that occurs at least three times in one channel, is its largest or smallest
value, and lies further from all other values than these lie from each other. Cost: O(values).
"""

import numpy as np

from advisor.audit.finding import Finding, some
from advisor.data.dataset import Dataset

_CODES = {sign * (10.0**digits - 1) for sign in (1, -1) for digits in range(2, 7)}
FEWEST = 3


def missing_codes(dataset: Dataset) -> list[Finding]:
    """Return the finding on codes among the values; each series to forecast counts as a channel of its own."""
    if dataset.task == "forecast":
        channels = [(name, one[:, 0]) for name, one in zip(dataset.ids, dataset.series, strict=True)]
    else:
        whole = np.concatenate(dataset.series)
        channels = [(name, whole[:, c]) for c, name in enumerate(dataset.channels)]
    found = [(name, code, count) for name, values in channels for code, count in _codes(values)]
    if not found:
        return []
    total = sum(count for _, _, count in found)
    return [
        Finding(
            code="codes_for_missing",
            severity="warning",
            counted=total,
            of=sum(one.size for one in dataset.series),
            says=f"{total} values look like codes for a missing value, far outside of all others.",
            do="Leave these cells blank in the file if they mean that there is no value: blanks are interpolated.",
            examples=some(f"{name}: {code:g} ({count} times)" for name, code, count in found),
        )
    ]


def _codes(values: np.ndarray) -> list[tuple[float, int]]:
    """Return each code among the extremes of one channel, with how often it occurs."""
    found = []
    for code in (float(values.min()), float(values.max())):
        if code not in _CODES:
            continue
        rest = values[values != np.float32(code)]
        count = len(values) - len(rest)
        if count >= FEWEST and rest.size and np.abs(rest - code).min() > np.ptp(rest):
            found.append((code, count))
    return found
