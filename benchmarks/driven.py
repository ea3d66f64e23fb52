"""`advisor` run from outside, as a user would: in a process of its own, watched, timed and, if need be, killed."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETS = {
    "gun_point": ("ucr_uea/GunPoint/GunPoint_TRAIN.ts", ()),
    "japanese_vowels": ("ucr_uea/JapaneseVowels/JapaneseVowels_TRAIN.ts", ()),
    "nyc_taxi": ("nab_nyc_taxi_machine_temp/nyc_taxi.csv", ("--horizon", "48")),
}
"""Name -> file below the data folder, and the options that say what is asked of it."""


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes:
        code: Exit code; negative: the signal that ended it.
        wall_s: From start to end, start of Python included.
        cpu_s: Of the process and of its children that it waited for.
        words: What it said.
    """

    code: int
    wall_s: float
    cpu_s: float
    words: str


def asked(name: str, data: Path, out: Path, *options: str) -> list[str]:
    """Return the arguments of `advisor` that recommend for a set of `SETS`."""
    file, own = SETS[name]
    return ["recommend", str(data / file), *own, "--out", str(out), *options]


def cleared(run: Path) -> Path:
    """Return the log of a run after removing what an earlier run of that name left: folder, log and cache."""
    log = run.with_name(f"{run.name}.log")
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(cache_of(log), ignore_errors=True)
    log.unlink(missing_ok=True)
    return log


def cache_of(log: Path) -> Path:
    """Return the cache of the runs that share a log."""
    return log.with_name(f"{log.name}.cache").resolve()


def start(arguments: list[str], log: Path, address_space: int | None = None) -> "subprocess.Popen[bytes]":
    """Start `advisor` as the leader of a session; what it says goes to `log`.

    Its cache lies beside the log, so that no run learns from another that has another log.

    Args:
        arguments: Of the command line.
        log: File to append to.
        address_space: Bytes that it and each process that it starts may map; None: no limit.
    """
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "advisor", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, "ADVISOR_CACHE": str(cache_of(log))},
        )
    if address_space:
        resource.prlimit(process.pid, resource.RLIMIT_AS, (address_space, address_space))
    return process


def advise(arguments: list[str], log: Path, address_space: int | None = None) -> Ended:
    """Run `advisor` to its end; see `start`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    offset = log.stat().st_size if log.exists() else 0
    code = start(arguments, log, address_space).wait()
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ended(code, wall, cpu, log.read_bytes()[offset:].decode("utf-8", "replace"))


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started, workers in sessions of their own too, with SIGKILL and at once."""
    family = [process.pid, *descendants(process.pid)]
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, by their parents in /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        below = [child for child, of in parents.items() if of == parent]
        found += below
        todo += below
    return found


def trials(run: Path) -> list[dict[str, Any]]:
    """Return the finished trials of a run folder; a line cut short by a kill is none."""
    file = run / "trials.jsonl"
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def recommendation(run: Path) -> dict[str, Any]:
    """Return the recommendation of a finished run."""
    found: dict[str, Any] = json.loads((run / "recommendation.json").read_text(encoding="utf-8"))
    return found
