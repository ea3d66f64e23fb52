"""The clock of a run: when each phase must end so that everything ends within the limit."""

import math
import time

PHASES = {"race": 0.42, "baselines": 0.55, "final": 0.67, "refit": 1.0}
"""Share of the time between the opening of the race and the end of the search by which each phase has ended.

A baseline that was begun in the race may end beside the first trainings of the final."""
LEAVING_SHARE, LEAVING_S = 0.03, 2.2
"""What measuring, the report and leaving take of the limit, and at least in seconds."""


class Clock:
    """Counts from the start of the command.

    Args:
        started: `time.monotonic()` when the command began.
        limit_s: Seconds that the whole run may take; None: no limit.
    """

    def __init__(self, started: float, limit_s: float | None) -> None:
        self.started, self.limit_s = started, limit_s
        self._opened = started
        self._raced: float | None = None

    def open(self) -> None:
        """Say that the race opens now: reading and measuring the data are over."""
        self._opened = time.monotonic()

    def race_is_over(self) -> None:
        """Say that the race ended now: the final shares what is really left."""
        self._raced = time.monotonic()

    def end_of(self, phase: str) -> float:
        """Return the `time.monotonic()` by which `phase` must have ended."""
        if self.limit_s is None:
            return math.inf
        leaving = max(LEAVING_SHARE * self.limit_s, min(LEAVING_S, 0.1 * self.limit_s))
        end = self.started + self.limit_s - leaving
        begin, share = self._opened, PHASES[phase]
        if self._raced is not None and phase != "race":
            begin, share = self._raced, (share - PHASES["race"]) / (1 - PHASES["race"])
        return begin + share * (end - begin)

    def until(self, phase: str) -> float:
        """Return the seconds left to `phase`, at least 0."""
        return max(0.0, self.end_of(phase) - time.monotonic())
