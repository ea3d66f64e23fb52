"""The clock of a run: when each phase must end so that everything ends within the limit."""

import math
import time

PHASES = {"baselines": 0.25, "start": 0.46, "refine": 0.60, "final": 0.82, "refit": 0.955}
"""Share of the limit by which each phase has ended; the rest is for measuring, the report and leaving."""


class Clock:
    """Counts from the start of the command.

    Args:
        started: `time.monotonic()` when the command began.
        limit_s: Seconds that the whole run may take; None: no limit.
    """

    def __init__(self, started: float, limit_s: float | None) -> None:
        self.started, self.limit_s = started, limit_s

    def end_of(self, phase: str) -> float:
        """Return the `time.monotonic()` by which `phase` must have ended."""
        return math.inf if self.limit_s is None else self.started + self.limit_s * PHASES[phase]

    def until(self, phase: str) -> float:
        """Return the seconds left to `phase`, at least 0."""
        return max(0.0, self.end_of(phase) - time.monotonic())

    def lasts(self, phase: str) -> float:
        """Return the seconds that the clock plans for `phase`."""
        ends = list(PHASES.values())
        at = list(PHASES).index(phase)
        return math.inf if self.limit_s is None else self.limit_s * (ends[at] - (ends[at - 1] if at else 0.0))

    def used_s(self) -> float:
        """Return the seconds since the command began."""
        return time.monotonic() - self.started
