"""How a claim times its work: what is compared takes turns, and the least of several rounds counts.

A clock that a busy machine disturbs least: on a CPU with one thread the CPU time of this process, which others do not
slow except through shared caches; with more threads, or on an accelerator, the wall clock between two moments at which
the device has nothing left to do.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from profiles.device import synchronize

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
    clock = time.perf_counter if wall else _clock(target)
    calls = [_calls(_milliseconds(work, target, clock)) for work in works]
    best = [math.inf] * len(works)
    gc.collect()
    for _ in range(rounds):
        for i, work in enumerate(works):
            best[i] = min(best[i], *(_milliseconds(work, target, clock) for _ in range(calls[i])))
    return best


def _clock(target: "torch.device") -> Callable[[], float]:
    import torch

    return time.process_time if target.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter


def _calls(warm_up_ms: float) -> int:
    return max(1, min(MOST_CALLS, math.ceil(TURN_MS / max(warm_up_ms, 1e-6))))


def _milliseconds(work: Work, target: "torch.device", clock: Callable[[], float]) -> float:
    given = work.before()
    synchronize(target)
    start = clock()
    work.run(given)
    synchronize(target)
    return (clock() - start) * 1e3


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
