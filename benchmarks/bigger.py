"""Large files: seconds to read, memory of a whole run, and time of a training step against the rows of the file.

Files of 1,000 hourly series are made, one of 100 steps each and one of as many as are asked for. Of each: seconds to
read, profile and prepare it, peak resident memory meanwhile, and CPU time of drawing a batch and of a whole training
step of a small GRU (128 windows, one thread), each in a process of its own. Then `advisor recommend` runs on the large
one and the memory of it and of all processes below it is sampled five times a second: the sum of resident memory, in
which pages of files and libraries that several processes share count once each process, and the sum of proportional
memory, in which they count once.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.table import Table

from benchmarks.driven import descendants, recommendation, start
from benchmarks.measure import in_fresh_process

SERIES, SMALL_STEPS = 1000, 100
HORIZON, LOOK_BACK, BATCH, STEPS = 24, 48, 128, 300
MIB = 2**20


def make(path: Path, steps: int, seed: int = 0) -> None:
    """Write a long panel of `SERIES` hourly series: a day of its own phase, and noise."""
    draw = np.random.default_rng(seed)
    stamps = pd.date_range("2020-01-01", periods=steps, freq="h").strftime("%Y-%m-%d %H:%M:%S").tolist()
    hours = np.arange(steps)
    with path.open("w") as file:
        file.write("unique_id,ds,y\n")
        for k in range(SERIES):
            y = 10 + 3 * np.sin(2 * np.pi * (hours / 24 + draw.random())) + draw.normal(scale=0.5, size=steps)
            file.writelines(f"s{k:04d},{ds},{value:.3f}\n" for ds, value in zip(stamps, y.tolist(), strict=True))


def prepared(path: Path, room: Path) -> dict[str, float]:
    """Read, profile, audit and divide a file, and leave the problem in `room`."""
    from advisor.audit import audit
    from advisor.data import read
    from advisor.data.profile import profile_of
    from advisor.search.prepare import prepare

    began = time.perf_counter()
    dataset = read(path)
    read_s = time.perf_counter() - began
    facts = profile_of(dataset, seen=0.8)
    audit(dataset, None, HORIZON)
    problem = prepare(dataset, None, facts.season, HORIZON, 0)
    problem.save(room)
    rows = sum(len(one) for one in dataset.series)
    return {"rows": rows, "read_s": read_s, "rest_s": time.perf_counter() - began - read_s, "peak_mib": peak_mib()}


def stepped(room: Path) -> dict[str, float]:
    """Return milliseconds of CPU for a drawn batch and for a training step on the problem in `room`."""
    from advisor.search.problem import load
    from advisor.search.windows import fit_units
    from advisor.training.config import TrainConfig
    from advisor.training.loop import train
    from advisor.training.windows import window_batches
    from hybrids import ModelConfig
    from hybrids.families import layers
    from hybrids.frontends.window import WindowConfig
    from hybrids.heads.forecast import ForecastConfig

    problem = load(room)
    plan, series = problem.plan, problem.training(0)
    calendar = len(plan.calendar)
    model = ModelConfig(
        family="gru", channels_in=plan.channels, width=32, layers=layers("gru", 1, True, None),
        frontend=WindowConfig(channels_in=plan.channels, calendar=calendar, patch=6),
        head=ForecastConfig(horizon=HORIZON, look_back=LOOK_BACK),
    ).build()  # fmt: skip
    config = TrainConfig(batch=BATCH, max_steps=STEPS)
    fit_units(model, series)
    batches = window_batches(series, LOOK_BACK, HORIZON, plan.season, config, "cpu")
    generator = torch.Generator().manual_seed(0)
    began = time.process_time()
    for _ in range(STEPS):
        batches(generator)
    drawn_s = time.process_time() - began
    began = time.process_time()
    done = train("forecast", model, batches, config, seed=0, judge=None, higher_is_better=False)
    step_s = (time.process_time() - began) / done.steps
    return {"draw_ms": 1e3 * drawn_s / STEPS, "step_ms": 1e3 * step_s, "step_peak_mib": peak_mib()}


def peak_mib() -> float:
    """Return the peak of this process's resident memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def watched(path: Path, seconds: float, room: Path) -> dict[str, Any]:
    """Run `advisor recommend` on a file and sample the memory of it and of all processes below it."""
    out = room / "run"
    options = ("--horizon", str(HORIZON), "--time-limit", f"{seconds:.0f}s", "--out", str(out))
    process = start(["recommend", str(path), *options], room / "recommend.log")
    began, resident, proportional, most = time.perf_counter(), 0.0, 0.0, 0
    while process.poll() is None:
        every = [process.pid, *descendants(process.pid)]
        sums = [memory_mib(pid) for pid in every]
        resident = max(resident, sum(one for one, _ in sums))
        proportional = max(proportional, sum(one for _, one in sums))
        most = max(most, len(every))
        time.sleep(0.2)
    found: dict[str, Any] = {
        "code": process.returncode, "wall_s": time.perf_counter() - began, "processes": most,
        "resident_mib": resident, "proportional_mib": proportional,
    }  # fmt: skip
    if process.returncode == 0:
        chosen = recommendation(out)
        found |= {"family": chosen["family"], "quality": chosen["quality"]["value"]}
    return found


def memory_mib(pid: int) -> tuple[float, float]:
    """Return resident and proportional memory of a process; zeros where it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0, 0.0
    parts = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    resident, proportional = (int(parts[key].split()[0]) / 1024 if key in parts else 0.0 for key in ("Rss", "Pss"))
    return resident, proportional


def measure(rows: int, seconds: float, room: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of a small and of a large file, and of a whole run on the large one.

    Args:
        rows: Of the large file.
        seconds: Time limit of the run.
        room: Folder to work in; the files are removed.
        tell: Told what goes on.
    """
    room.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"files": []}
    for steps in (SMALL_STEPS, max(SMALL_STEPS, rows // SERIES)):
        path, work = room / f"panel-{steps}.csv", room / f"problem-{steps}"
        make(path, steps)
        one: dict[str, Any] = {"mib": path.stat().st_size / MIB}
        for function, arguments in ((prepared, (path, work)), (stepped, (work,))):
            answer = in_fresh_process(function, *arguments, preload="torch")
            assert isinstance(answer, dict)
            one |= answer
        result["files"].append(one)
        tell(f"{steps * SERIES} rows: {one}")
        for file in work.iterdir():
            file.unlink()
        if steps * SERIES < rows:
            path.unlink()
    result["run"] = watched(path, seconds, room)
    path.unlink()
    tell(f"recommend: {result['run']}")
    return result


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    shown = Table(title="Large files")
    names = {
        "rows": "rows", "mib": "file, MiB", "read_s": "read, s", "rest_s": "profile and prepare, s",
        "peak_mib": "peak resident, MiB", "draw_ms": "draw a batch, ms", "step_ms": "training step, ms",
    }  # fmt: skip
    for title in names.values():
        shown.add_column(title, justify="right")
    for one in result["files"]:
        shown.add_row(*(f"{one[key]:,.0f}" if one[key] >= 100 else f"{one[key]:.2f}" for key in names))
    run = result["run"]
    shown.caption = (
        f"advisor recommend on the large file: {run['processes']} processes, peak resident "
        f"{run['resident_mib']:.0f} MiB, proportional {run['proportional_mib']:.0f} MiB, {run['wall_s']:.0f} s, exit "
        f"code {run['code']}"
    )
    return shown
