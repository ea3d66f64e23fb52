"""What every family costs on this device against length, in less than two minutes: `calibrate`.

Training time (forward and backward), inference time (the whole sequence, batch 1) and peak memory of training, for
stacks of one width and depth, at 16, 32, 64, ... steps; fits with exponents (profiles.curves), crossover lengths
(profiles.crossover) and the noise they rest on. The claims behind it: CL1, CL8, CL9, CL11.

Times go by the clock that other programs disturb least (profiles.clock). The least of interleaved rounds counts.

Stand-alone: `python -m profiles.calibration -o raspberry.json` needs torch, numpy, pydantic, jaxtyping and safetensors.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from profiles.clock import Clock, clock_for
from profiles.crossover import Crossovers, Pair, crossovers, pairs, uncertainty, why_none
from profiles.curves import Curve
from profiles.device import DeviceError, DeviceProfile, measure_device, resolve

SECONDS = 110.0
BATCH = {"cpu": 4, "cuda": 32, "mps": 16}
"""Sequences in a training step, by kind of device: a GPU wants more to be busy."""
LENGTHS = {"cpu": (16, 4096), "cuda": (16, 16384), "mps": (16, 8192)}
"""Shortest and longest length, by kind of device; the time and the memory may end it before."""
TOLERANCE = 1.25
"""Crossovers that noise can move by more than this factor are not to be relied on."""
BAND = 2.0
"""The ratio of two times is taken to be uncertain by so many typical differences of repeated measurements."""
SHOWN = (64, 512, 4096)


class Shape(BaseModel):
    """What the measured stacks are like: calibrations can be compared where these agree."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    width: int = Field(default=64, ge=8)
    depth: int = Field(default=2, ge=1)
    batch: int = Field(default=4, ge=1)
    """Sequences in a training step; inference has one."""


class Noise(BaseModel):
    """How well the times can be repeated."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    repeat_percent: float
    """Median difference between the even and the odd rounds of the same family at the same length."""
    load: float
    """Median of wall-clock time over the time that was counted; well above 1: other programs ran."""
    rounds: int
    """Fewest rounds behind a training time."""
    crossover_factor: float | None
    """By how much this noise can move a crossover length; None: it can appear or go away."""
    too_noisy: bool
    """The crossovers are not to be relied on: the factor is above 1.25, or every time was measured once."""
    says: str
    """The above in words."""


class Calibration(BaseModel):
    """Cost against length on one device; JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    schema_version: Literal[1] = 1
    device: DeviceProfile
    threads: int = Field(ge=1)
    """Threads of torch while measuring."""
    shape: Shape
    clock: Clock
    date: str
    """Day of the measurement, UTC."""
    seconds: float
    """How long it took."""
    training: dict[str, Curve]
    """Family -> milliseconds of one training step."""
    inference: dict[str, Curve]
    """Family -> milliseconds for one sequence."""
    memory: dict[str, Curve]
    """Family -> MiB that one training step adds at its highest."""
    failed: dict[str, str]
    """Family -> why it cannot run here even at the shortest length (HW1)."""
    ended: dict[str, str]
    """Family -> why memory or an error kept it from longer lengths."""
    no_time: dict[str, int]
    """Family -> length that there was no time left for."""
    noise: Noise
    crossovers: Crossovers | None = None
    """None where GRU and LSTM, or the Transformer, were not measured, or not at two common lengths."""
    pairs: tuple[Pair, ...] = ()
    """Every two families, training and inference: which is cheaper where."""
    missing_operators: tuple[str, ...] = ()
    """Operators that the device is known to lack; not measured, filled in by hand (HW1)."""

    @property
    def reliable_crossovers(self) -> Crossovers | None:
        """Return the crossovers; None where there are none or noise can move them too far."""
        return None if self.noise.too_noisy else self.crossovers


def calibrate(
    device: str = "cpu",
    seconds: float = SECONDS,
    *,
    families: Sequence[str] = (),
    lengths: Sequence[int] = (),
    shape: Shape | None = None,
    threads: int = 1,
    say: Callable[[str], None] = lambda words: None,
) -> Calibration:
    """Measure every family that is one stack of layers; see the module.

    Args:
        device: "cpu", "cuda", "cuda:1" or "mps".
        seconds: For everything; longer lengths and slower families are left out where it does not suffice.
        families: Which; all that are one stack of layers if empty.
        lengths: Increasing; 16, 32, 64, ... if empty.
        shape: Of the stacks; if left out width 64, 2 layers, and a batch of 4 on a CPU, 32 on a GPU (16 on Metal).
        threads: Of torch, on a CPU.
        say: Told of every length.

    Raises:
        DeviceError: the device is not there.
        ValueError: a family has no stack, or lengths do not increase from at least 1.
    """
    import torch

    from hybrids.families import FAMILIES
    from profiles.rounds import Rounds

    began = time.perf_counter()
    stacked = tuple(name for name, row in FAMILIES.items() if row.variants)
    unknown = [name for name in families if name not in stacked]
    if unknown or list(lengths) != sorted({n for n in lengths if n > 0}):
        raise ValueError(f"cannot calibrate {unknown or list(lengths)}; families: {', '.join(stacked)}; lengths: 1 up.")
    target, before = resolve(device), torch.get_num_threads()
    shape = shape or Shape(batch=BATCH[target.type])
    clock = clock_for(target, threads)
    try:
        torch.set_num_threads(threads)
        with torch.random.fork_rng(devices=[]):
            profile = measure_device(device)
            torch.manual_seed(0)
            sizes = (shape.width, shape.depth, shape.batch)
            rounds = Rounds(families or stacked, sizes, target, clock, began + seconds, say)
            rounds.run(lengths or _doubling(*LENGTHS[target.type]))
    finally:
        torch.set_num_threads(before)
    training, inference = rounds.curves(rounds.training), rounds.curves(rounds.inference)
    cells = [cell for found in rounds.training.values() for cell in found.values()]
    return Calibration(
        device=profile,
        threads=threads,
        shape=shape,
        clock=clock,
        date=datetime.now(UTC).date().isoformat(),
        seconds=round(time.perf_counter() - began, 1),
        training=training,
        inference=inference,
        memory=rounds.memory_curves(),
        failed=rounds.failed,
        ended=rounds.ended,
        no_time=rounds.no_time,
        noise=noise_of(training, rounds.halves(), rounds.loads, min(map(len, cells), default=0)),
        crossovers=crossovers(training, profile.name, shape.batch),
        pairs=pairs("training", training) + pairs("inference", inference),
    )


def noise_of(training: dict[str, Curve], halves: Sequence[float], loads: Sequence[float], rounds: int) -> Noise:
    """Return how well times repeat and what that does to the crossovers.

    Args:
        training: Family -> time of a training step.
        halves: Relative differences of repeated measurements.
        loads: Wall-clock time over counted time, one a pass.
        rounds: Fewest rounds behind a time.
    """
    repeat = statistics.median(halves) if halves else 0.0
    factor, moved = uncertainty(training, BAND * repeat)
    noisy = factor > TOLERANCE or not halves
    load = statistics.median(loads) if loads else 1.0
    says = f"Times repeat within {100 * repeat:.1f} % (median)"
    if not halves:
        says = "Every time was measured once: how well it repeats is not known"
    if load > TOLERANCE:
        says += f"; other programs ran, a pass took {load:.1f} times as long as it was worked on"
    if noisy and halves:
        says += f"; within twice that, {moved}: too noisy to rely on the crossovers. Repeat it on a quiet machine"
    elif halves and not why_none(training):
        moves = f"can move a crossover by {100 * (factor - 1):.0f} % at most" if moved else "moves no crossover"
        says += f"; that {moves}"
    return Noise(
        repeat_percent=100 * repeat,
        load=load,
        rounds=rounds,
        crossover_factor=factor if factor < float("inf") else None,
        too_noisy=noisy,
        says=says + ".",
    )


def words(calibration: Calibration) -> list[str]:
    """Return a calibration in lines for people."""
    shape, device = calibration.shape, calibration.device
    how = f"{calibration.threads} thread{'s' * (calibration.threads > 1)}" if device.kind == "cpu" else device.kind
    lines = [
        f"{device.name}, torch {device.torch}, {how}: {shape.depth} layers of width {shape.width}, training batch "
        f"{shape.batch}, inference of 1 sequence; measured {calibration.date} in {calibration.seconds:.0f} s.",
        f"{'':20}{'train, ms at':>24}{'grows':>8}{'infer, ms at':>24}{'grows':>8}{'fit':>6}{'memory':>9}",
        f"{'':20}{_cells(SHOWN)}{'as L^':>8}{_cells(SHOWN)}{'as L^':>8}{'':>6}{'as L^':>9}",
    ]
    for name, train in calibration.training.items():
        infer, memory = calibration.inference[name], calibration.memory.get(name)
        lines.append(
            f"{name:20}{_times(train)}{_power(train)}{_times(infer)}{_power(infer)}"
            f"{f'{train.fit.error_percent:.0f}%' if train.is_judged else '-':>6}{_power(memory) if memory else '':>9}"
        )
    lines += [f"{name}: cannot run here, {why}" for name, why in calibration.failed.items()]
    lines += _ends(calibration)
    found = calibration.crossovers
    return [*lines, why_none(calibration.training) if found is None else found.says, calibration.noise.says]


def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate this device from the command line, with nothing but torch and what the toolkit needs; return 0."""
    parser = argparse.ArgumentParser(prog="python -m profiles.calibration", description=calibrate.__doc__)
    parser.add_argument("-o", "--out", type=Path, help="JSON file to write; to standard output if left out")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:0 or mps")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--families", default="", help="separated by commas; all if left out")
    asked = parser.parse_args(arguments)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its memory profiler warns of blocks older than its start
    families = tuple(name.strip() for name in asked.families.split(",") if name.strip())

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        found = calibrate(asked.device, asked.seconds, families=families, threads=asked.threads, say=say)
    except (DeviceError, ValueError) as error:
        parser.error(str(error))
    if asked.out is None:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")
    else:
        write(found, asked.out)
    for line in words(found):
        say(line)
    return 0


def write(calibration: Calibration, path: Path) -> None:
    """Save as JSON; a reader sees the old file or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _doubling(shortest: int, longest: int) -> tuple[int, ...]:
    lengths = [shortest]
    while lengths[-1] < longest:
        lengths.append(2 * lengths[-1])
    return tuple(lengths)


def _ends(calibration: Calibration) -> list[str]:
    """Return which families were measured less far than asked, and why."""
    over: dict[int, list[str]] = {}
    for name, length in calibration.no_time.items():
        over.setdefault(length, []).append(name)
    lines = [f"No time was left for {length} steps: {', '.join(names)}." for length, names in sorted(over.items())]
    return [*lines, *(f"{name} ended early: {why}." for name, why in calibration.ended.items())]


def _cells(lengths: Sequence[int]) -> str:
    return "".join(f"{length:>8}" for length in lengths)


def _times(curve: Curve) -> str:
    """Return the times at the lengths shown; ~ marks those read off the fit, beyond what was measured.

    With too few points for such a fit, - stands there.
    """
    shown = []
    for length in SHOWN:
        ms, measured = curve.at(length), curve.lengths[0] <= length <= curve.lengths[-1]
        text = ("" if measured else "~") + (f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}")
        shown.append(text if measured or curve.is_judged else "-")
    return "".join(f"{ms:>8}" for ms in shown)


def _power(curve: Curve) -> str:
    return f"{'-' if curve.fit.exponent is None else f'{curve.fit.exponent:.2f}':>8}"


if __name__ == "__main__":
    sys.exit(main())
