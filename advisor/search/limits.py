"""The time limits that a run was given, one after the other.

The final and the last training are as long as the limit allows. A run that is resumed with far more time makes them
anew, under keys of their own; with as much time, or less, it finds those that it has.
"""

from pathlib import Path

from advisor.search.results import Lines

LONGER = 2.0
"""Times the last limit from which on a new one counts."""


def counted_limit(file: Path, limit_s: float | None) -> float | None:
    """Return the limit that the trainings of the final belong to; None: the first one, or none.

    Args:
        file: Where the limits that count are kept; a new one is added.
        limit_s: Of this part of the run.
    """
    if limit_s is None:
        return None
    lines = Lines(file)
    limits = [float(str(line["limit_s"])) for line in lines.found]
    if not limits or limit_s >= LONGER * limits[-1]:
        lines.add({"limit_s": limit_s})
        limits.append(limit_s)
    return limits[-1] if len(limits) > 1 else None
