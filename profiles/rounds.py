"""Which family is timed at which length, how often, and until when: the plan of a calibration.

Lengths go upwards. At each one all families take turns, round after round, so that what disturbs the machine disturbs
all alike; the least of a family's rounds counts. A round costs 2 to 4 times as much at twice the length, so a family
whose next length does not fit into the time or the memory left ends there, and that is said. GRU, LSTM and Transformer
go on longest: the crossovers rest on them.
"""

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

from hybrids.memory import available_bytes
from profiles.clock import Clock
from profiles.crossover import ATTENTION, RECURRENT
from profiles.curves import Curve, curve
from profiles.device import MIB
from profiles.passes import Stack, in_words, out_of_memory, release

CORE = (*RECURRENT, ATTENTION)
LEAST_ROUNDS, MOST_ROUNDS = 3, 15
"""Fewer only where the time is over; every family has one at the shortest length."""
SHARE = 0.06
"""Part of the whole time after which a length gets no further rounds."""
CORE_SHARE = 0.5
"""Most of the time left that is kept for the core families at longer lengths."""
TWICE_UP_TO = 512
"""Length up to which the core has two turns in a round."""
MEMORY_EVERY = 2
"""Peak memory is measured at every second length: it has no noise, and the memory profiler is slow."""
PROFILED = 3.0
"""Time of a pass under the memory profiler over that of a plain one, until it is known for the family."""
MEMORY_SHARE = 0.5
"""Part of the free memory that a pass may be expected to take."""


class Rounds:
    """Times and memory of several families on one device.

    Attributes:
        training: Family -> length -> milliseconds of each round.
        inference: As `training`.
        memory: Family -> length -> MiB, above 0.
        failed: Family -> why it cannot run at the shortest length.
        ended: Family -> why memory or an error kept it from a longer length.
        no_time: Family -> length that there was no time for.
        loads: Wall-clock time over counted time, one a pass.
    """

    def __init__(
        self,
        families: Sequence[str],
        shape: tuple[int, int, int],
        target: torch.device,
        clock: Clock,
        deadline: float,
        say: Callable[[str], None],
    ) -> None:
        self.target, self.deadline, self.say = target, deadline, say
        self.seconds = deadline - time.perf_counter()
        self.training: dict[str, dict[int, list[float]]] = {}
        self.inference: dict[str, dict[int, list[float]]] = {}
        self.memory: dict[str, dict[int, float]] = {}
        self.failed: dict[str, str] = {}
        self.ended: dict[str, str] = {}
        self.no_time: dict[str, int] = {}
        self.loads: list[float] = []
        self._wall: dict[str, dict[int, float]] = {}
        self._profiled: dict[str, float] = {}
        self._stacks: dict[str, Stack] = {}
        for family in families:
            try:
                self._stacks[family] = Stack(family, *shape, target, clock)
            except Exception as error:  # whatever a family lacks here is a finding about the device
                self.failed[family] = in_words(error)

    def run(self, lengths: Sequence[int]) -> None:
        """Measure at increasing lengths until the time, the memory or the families are over."""
        for place, length in enumerate(lengths):
            began = time.perf_counter()
            self._refuse_what_does_not_fit(length)
            later, memory = lengths[place + 1 :], place % MEMORY_EVERY == 0
            kept_s = self._refuse_what_takes_too_long(length, later, memory) if place else 0.0
            done = 0
            while self._stacks and done < MOST_ROUNDS:
                start = time.perf_counter()
                for family in self._turns(length):
                    if family in self._stacks:
                        self._once(family, length)
                if done == 0 and memory:
                    self._memory_of_all(length)
                done += 1
                now = time.perf_counter()
                if now + (now - start) > self.deadline - kept_s:
                    break
                if done >= LEAST_ROUNDS and now - began > SHARE * self.seconds:
                    break
            if not self._stacks:
                return
            self.say(
                f"  {length} steps: {len(self._stacks)} families, {done} rounds, {time.perf_counter() - began:.1f} s"
            )

    def curves(self, times: dict[str, dict[int, list[float]]]) -> dict[str, Curve]:
        """Return the least time of each family at each length, as curves."""
        return {name: curve(list(cells), [min(cell) for cell in cells.values()]) for name, cells in times.items()}

    def memory_curves(self) -> dict[str, Curve]:
        """Return the memory of each family as curves."""
        return {name: curve(list(cells), list(cells.values())) for name, cells in self.memory.items()}

    def halves(self) -> list[float]:
        """Return by how much the least of the even rounds differs from that of the odd ones, cell by cell.

        Absolute differences of logarithms, of training times: the same family timed twice.
        """
        cells = [cell for found in self.training.values() for cell in found.values() if len(cell) > 1]
        return [abs(math.log(min(cell[::2]) / min(cell[1::2]))) for cell in cells]

    def _turns(self, length: int) -> list[str]:
        """Return who runs in one round: every family once, those of the core twice where that is cheap."""
        core = [family for family in self._stacks if family in CORE]
        others = [family for family in self._stacks if family not in CORE]
        half = len(others) // 2
        again = core if length <= TWICE_UP_TO else []
        return [*core, *others[:half], *again, *others[half:]]

    def _once(self, family: str, length: int) -> None:
        """Run one round of one family; an error ends the family."""
        stack = self._stacks[family]
        try:
            trained, wall = stack.training(length)
            answered, more_wall = stack.inference(length)
        except Exception as error:  # out of memory, or an operation this device lacks: a finding, not a failure
            self._end(family, _why(error, length))
            return
        self.training.setdefault(family, {}).setdefault(length, []).append(trained)
        self.inference.setdefault(family, {}).setdefault(length, []).append(answered)
        walls = self._wall.setdefault(family, {})
        walls[length] = min(walls.get(length, math.inf), (wall + more_wall) / 1e3)
        self.loads.append((wall + more_wall) / (trained + answered))

    def _memory_of_all(self, length: int) -> None:
        for family, stack in list(self._stacks.items()):
            try:
                began = time.perf_counter()
                peak = stack.peak_mib(length)
                self._profiled[family] = (time.perf_counter() - began) / self._wall[family][length]
                if peak > 0:
                    self.memory.setdefault(family, {})[length] = peak
                else:
                    self.say(f"  {family}: memory is not measured, its growth does not show at {length} steps")
            except Exception as error:  # as in `_once`; where only the profiler fails, times are still measured
                if out_of_memory(error):
                    self._end(family, _why(error, length))
                else:
                    self.say(f"  {family}: memory is not measured, {_why(error, length)}")

    def _end(self, family: str, why: str) -> None:
        del self._stacks[family]
        (self.ended if family in self.training else self.failed)[family] = why
        release(self.target)

    def _refuse_what_does_not_fit(self, length: int) -> None:
        free = available_bytes(self.target)
        if free is None:
            return
        room = MEMORY_SHARE * free / MIB
        for family, cells in self.memory.items():
            need = _grown(cells, length, most=2.0)
            if family in self._stacks and need > room:
                self._end(family, f"{length} steps would take about {need:.0f} MiB, {room:.0f} MiB may be taken")

    def _refuse_what_takes_too_long(self, length: int, later: Sequence[int], memory: bool) -> float:
        """End what cannot finish its rounds in time; return the seconds kept for the core at longer lengths."""
        passes = {family: LEAST_ROUNDS + memory * self._profiled.get(family, PROFILED) for family in self._stacks}
        once = {family: _grown(self._wall.get(family, {}), length, most=2.0) for family in self._stacks}
        need = {family: passes[family] * once[family] for family in self._stacks}
        left = self.deadline - time.perf_counter()
        core, kept = [family for family in CORE if family in need], 0.0
        for longer in later:
            more = sum(passes[family] * _grown(self._wall.get(family, {}), longer, most=2.0) for family in core)
            if kept + more > CORE_SHARE * left:
                break
            kept += more
        others = sorted((family for family in need if family not in core), key=lambda family: need[family])
        while others and sum(need.values()) > left - kept:
            need.pop(others[-1])
            self._no_time(others.pop(), length)
        if sum(need.values()) > left:
            for family in need:
                self._no_time(family, length)
        return kept

    def _no_time(self, family: str, length: int) -> None:
        del self._stacks[family]
        self.no_time[family] = length


def _why(error: Exception, length: int) -> str:
    return f"{in_words(error)} at {length} steps"


def _grown(cells: dict[int, float], length: int, most: float) -> float:
    """Return what a cost will be at a longer length if it grows on as between its last two, at most as L^most."""
    if not cells:
        return 0.0
    known = sorted(cells)
    power = most
    for shorter, longer in list(pairwise(known))[-1:]:
        power = math.log(cells[longer] / cells[shorter]) / math.log(longer / shorter)
    growth: float = (length / known[-1]) ** min(most, max(1.0, power))
    return cells[known[-1]] * growth
