"""Missing and infinite values inside one series: linear between neighbours, the nearest value at the edges."""

import numpy as np

_LARGEST = float(np.finfo(np.float32).max)


def fill(values: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return a finite float32 copy and what was replaced.

    Args:
        values: float64 (length, channels), each channel with at least one finite value.

    Returns:
        Filled values, count of missing values, count of infinite ones (or too large for float32).
    """
    missing = np.isnan(values)
    endless = ~missing & ~(np.abs(np.nan_to_num(values, posinf=np.inf, neginf=-np.inf)) <= _LARGEST)
    gaps = missing | endless
    if not gaps.any():
        return values.astype(np.float32), 0, 0
    out = values.copy()
    steps = np.arange(len(values))
    for channel in np.flatnonzero(gaps.any(axis=0)):
        known = ~gaps[:, channel]
        out[~known, channel] = np.interp(steps[~known], steps[known], values[known, channel])
    return out.astype(np.float32), int(missing.sum()), int(endless.sum())


def has_value(values: np.ndarray) -> np.ndarray:
    """Return (channels,) whether each channel holds one usable number."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(values) <= _LARGEST).any(axis=0))


def filled_note(missing: int, endless: int, total: int) -> list[str]:
    """Return the sentence that says what `fill` replaced, if anything."""
    if not missing + endless:
        return []
    parts = [f"{missing} missing"] * bool(missing) + [f"{endless} infinite (or beyond float32)"] * bool(endless)
    return [f"{' and '.join(parts)} of {total} values were interpolated in time (nearest value at the edges)."]
