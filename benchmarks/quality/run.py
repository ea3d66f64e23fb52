"""One tool on one set: in a process of its own, with a hard end, scored, and kept as one cell of the result file."""

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import machine
from benchmarks.quality import sets
from benchmarks.quality.environments import python_of
from benchmarks.quality.folder import Meta, Task
from benchmarks.quality.score import score

ROOT = Path(__file__).parents[2]
TOOLS: dict[str, tuple[Task, ...]] = {
    "ours": ("forecast", "classify", "regress"),
    "networks": ("forecast", "classify", "regress"),
    "baselines": ("forecast", "classify", "regress"),
    "autogluon": ("forecast",),
    "neuralforecast": ("forecast",),
    "aeon": ("classify", "regress"),
}
UNTIMED = ("aeon", "baselines")  # they have no time limit and take what they take: their cells say 0 seconds

Cell = dict[str, Any]


def place() -> dict[str, Any]:
    """Return what the cells of one file have in common: processor, cores, memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    usable = len(os.sched_getaffinity(0))
    return {"name": machine()["name"], "cores": usable, "memory_gib": round(memory, 1), "system": platform.system()}


def counted(tool: str, seconds: int) -> int:
    """Return the seconds that a cell is kept under: 0 for tools without a limit."""
    return 0 if tool in UNTIMED else seconds


def key_of(name: str, tool: str, seconds: int, seed: int) -> str:
    """Return the name of a cell."""
    return f"{name} | {tool} | {counted(tool, seconds)} s | seed {seed}"


def planned(names: Sequence[str], tools: Sequence[str], seeds: int) -> Iterator[tuple[str, str, int]]:
    """Yield set, tool, seed: all tools on a set, one after the other, before the next set."""
    for name in names:
        for seed in range(seeds):
            for tool in tools:
                if sets.task_of(name) in TOOLS[tool]:
                    yield name, tool, seed


def measure(name: str, tool: str, seconds: int, seed: int, data: Path, work: Path, say: Callable[[str], None]) -> Cell:
    """Return one cell: seconds, versions, and the scores of each answer; `error` if there is no answer.

    Args:
        name: The set.
        tool: A key of `TOOLS`.
        seconds: What the tool is given to find a model.
        seed: Of the tool; data and split are the same for all.
        data: Folder of the development sets.
        work: Where the neutral folder, the tool's files and its log go.
        say: Told what happens.
    """
    home = work / name
    meta = sets.prepare(name, data, home)
    out = home / f"{tool}-{counted(tool, seconds)}-{seed}"
    _empty(out)
    cell: Cell = {"set": name, "task": meta.task, "tool": tool, "seconds": counted(tool, seconds), "seed": seed}
    cell |= {"at": datetime.now(UTC).isoformat(timespec="seconds"), "load_before": round(os.getloadavg()[0], 2)}
    try:
        python = python_of(tool, say)
    except RuntimeError as error:
        return cell | {"error": str(error)}
    began = time.perf_counter()
    failure = _run(python, tool, home / "data", out, seconds, seed)
    cell["wall_s"] = round(time.perf_counter() - began, 1)
    return cell | scored(meta, home, out, failure)


def scored(meta: Meta, home: Path, out: Path, failure: str | None) -> Cell:
    """Return the tool's own record with the scores of its answers beside it; answers before a failure count."""
    if not (out / "answer.json").exists():
        return {"error": failure or "the tool wrote no answer"}
    record = json.loads((out / "answer.json").read_text())
    for key, entry in record["models"].items():
        try:
            found = score(meta, home / "data", home / "truth.csv", out / f"{key}.csv")
        except (ValueError, KeyError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        record["models"][key] = {**entry, **found}
    if failure or not record["models"]:
        record["error"] = failure or "; ".join(record["notes"]) or "no answer"
    return record


def _run(python: Path, tool: str, folder: Path, out: Path, seconds: int, seed: int) -> str | None:
    """Run the adapter in a session of its own; return what went wrong."""
    command = [str(python), "-m", "benchmarks.quality.answer", tool, str(folder.resolve()), str(out.resolve())]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    limit = 4 * seconds + 300
    scratch = out / "scratch"
    scratch.mkdir()
    with (out / "log.txt").open("w") as log:
        child = subprocess.Popen(
            command, cwd=scratch, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            ended = child.wait(limit)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit} s"
        finally:
            _end(child)
    return None if ended == 0 else f"ended with {ended}: {_last_line(out / 'log.txt')}"


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started, in groups of their own, too, so that nothing runs beside the next tool."""
    for pid in _started_by(child.pid) if child.poll() is None else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _started_by(pid: int) -> list[int]:
    """Return the process and its living descendants."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listing.splitlines()]
    found = [pid]
    for parent in found:  # grows while it is walked
        found += [own for own, above in pairs if above == parent]
    return found


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
