"""Which clock a timing goes by, and one call timed with it; nothing is left to do on the device before and after.

On a CPU with one thread the processor time of this process: other programs slow it only through shared caches. With
more threads it would count all of them, and an accelerator does not appear in it: there the wall clock counts.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from profiles.device import synchronize

if TYPE_CHECKING:
    import torch

Clock = Literal["process", "wall"]
"""process counts the processor time of this process, wall what passes."""
LEAST_MS = 1e-6
"""A coarse clock can stand still during a call; a time of 0 has no logarithm and no ratio."""


def clock_for(target: "torch.device", threads: int) -> Clock:
    """Return the clock for a device and the number of threads that torch uses on the CPU."""
    return "process" if target.type == "cpu" and threads == 1 else "wall"


def timed(run: Callable[[], object], target: "torch.device", clock: Clock) -> tuple[float, float]:
    """Return the milliseconds of one call by `clock` and by the wall clock, both at least 1e-6."""
    synchronize(target)
    wall, busy = time.perf_counter(), time.process_time()
    run()
    synchronize(target)
    busy, wall = time.process_time() - busy, time.perf_counter() - wall
    return max(LEAST_MS, 1e3 * (busy if clock == "process" else wall)), max(LEAST_MS, 1e3 * wall)
