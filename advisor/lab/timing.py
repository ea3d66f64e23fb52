"""How a claim times its work: what is compared takes turns, and the least of several rounds counts.

The clock is the one that a busy machine disturbs least (profiles.clock).
"""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from profiles.clock import Clock, clock_for, timed

if TYPE_CHECKING:
    import torch

TURN_MS, MOST_CALLS = 8.0, 12
"""A turn of a short work is several calls, up to so many, until it has had this time in the warm-up's measure."""


class Work(NamedTuple):
    """What is timed: `run` on what `before` returned; `before` itself is not timed."""

    run: Callable[[Any], object]
    before: Callable[[], object] = lambda: None


def least_ms(works: Sequence[Work], target: "torch.device", rounds: int, *, wall: bool = False) -> list[float]:
    """Return the least milliseconds of each work over `rounds` turns, after one call each to warm up.

    Args:
        works: What is compared.
        target: The device on which they run.
        rounds: Turns of each.
        wall: Use the wall clock whatever the threads, to compare numbers of threads.
    """
    import torch

    clock = "wall" if wall else clock_for(target, torch.get_num_threads())
    calls = [_calls(_milliseconds(work, target, clock)) for work in works]
    best = [math.inf] * len(works)
    gc.collect()
    for _ in range(rounds):
        for i, work in enumerate(works):
            best[i] = min(best[i], *(_milliseconds(work, target, clock) for _ in range(calls[i])))
    return best


def _calls(warm_up_ms: float) -> int:
    return max(1, min(MOST_CALLS, math.ceil(TURN_MS / warm_up_ms)))


def _milliseconds(work: Work, target: "torch.device", clock: Clock) -> float:
    given = work.before()
    return timed(lambda: work.run(given), target, clock)[0]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give torch so many threads on the CPU, and put the number back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
