"""A search under a limited address space: what does not fit fails with its reason, and the search goes on.

The series are so long that random convolutions over every step of them need more than there is; networks, whose stem
strides over them, do not. Every process of the run, the driver that measures candidates included, may map only so many
bytes (RLIMIT_AS): allocations really fail.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.driven import advise, cleared, recommendation, trials

STEPS, SERIES = 6000, 48
FAMILIES = ("transformer", "conv", "gru")
GIBIBYTE = 2**30
LEAST_S = 90.0
"""Time limit that lets every family of these begin on two cores."""
SPACES_GIB = (1.8, 2.2, 2.6)
"""A process that has loaded torch and the data maps 1.1 GiB, the driver 1.6."""


def measure(
    spaces: Sequence[float], seconds: float, room: Path, tell: Callable[[str], None], seed: int = 0
) -> dict[str, Any]:
    """Return one row a limit: how the run ended, trials by state, and reasons that speak of memory."""
    room.mkdir(parents=True, exist_ok=True)
    file = write(room / "long_series.csv", seed)
    rows = []
    for space in spaces:
        run = room / f"space-{space:g}"
        options = ["--families", ",".join(FAMILIES), "--time-limit", f"{seconds:g}s", "--out", str(run)]
        log = cleared(run)
        ended = advise(["recommend", str(file), *options], log, int(space * GIBIBYTE))
        found = trials(run)
        states = {state: sum(t["state"] == state for t in found) for state in sorted({t["state"] for t in found})}
        starved = {t["family"]: t["reason"] for t in found if "memory" in t["reason"].lower()}
        row: dict[str, Any] = {"space_gib": space, "exit": ended.code, "states": states, "starved": starved}
        row["chosen"] = recommendation(run)["family"] if ended.code == 0 else None
        row["says"] = "" if ended.code == 0 else ended.words.strip()[-300:]
        row["went_on"] = bool(starved) and ended.code == 0
        tell(str(row))
        rows.append(row)
    return {"steps": STEPS, "series": SERIES, "rows": rows, "shown": any(row["went_on"] for row in rows)}


def write(file: Path, seed: int) -> Path:
    """Write labelled rows, one series a row: a slow or a fast wave in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(STEPS)
    with file.open("w") as out:
        out.write("label," + ",".join(f"t{i}" for i in range(STEPS)) + "\n")
        for i in range(SERIES):
            wave = np.sin(time / (5 + 20 * (i % 2)) + rng.uniform(0, 6)) + rng.normal(size=STEPS)
            out.write(f"{'fast' if i % 2 == 0 else 'slow'}," + ",".join(f"{v:.3f}" for v in wave) + "\n")
    return file


def table(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    show = Table(title=f"{result['series']} series of {result['steps']} steps under a limited address space")
    for column in ("address space", "exit", "chosen", "trials", "short of memory"):
        show.add_column(column)
    for row in result["rows"]:
        states = ", ".join(f"{count} {state}" for state, count in row["states"].items())
        reasons = "; ".join(f"{family}: {why}" for family, why in row["starved"].items())
        show.add_row(f"{row['space_gib']:g} GiB", str(row["exit"]), row["chosen"] or "", states, reasons or row["says"])
    return show
