"""How well `--time-limit` is kept, and how much of the time trains or judges candidates.

The wall-clock is measured from outside, start of Python included, and may not exceed the limit by more than 5 %. Two
shares of wall-clock x workers stand side by side. Busy: seconds that workers spent inside jobs, which train and judge
candidates (the recommendation's busy_s). CPU: all CPU seconds of the command and its workers; above the first by
loading, reading, measuring costs and the report, below it where processes wait for a core.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.driven import advise, asked, cleared, recommendation, trials

FULL_S = 1800
MOST_OVER = 1.05
LEAST_SHARE = 0.90


def measure(
    names: Sequence[str], limits: Sequence[int], data: Path, room: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Return one row a set and limit.

    Args:
        names: Of `driven.SETS`.
        limits: Seconds.
        data: Folder of the data sets.
        room: Folder for the runs.
        tell: Told a line a run.
    """
    room.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in names:
        for limit in limits:
            run = room / f"clock-{name}-{limit}"
            ended = advise(asked(name, data, run, "--time-limit", f"{limit}s"), cleared(run))
            row: dict[str, Any] = {"set": name, "limit_s": limit, "wall_s": ended.wall_s, "exit": ended.code}
            row["of_limit"] = ended.wall_s / limit
            row["kept"] = ended.code == 0 and row["of_limit"] <= MOST_OVER
            if ended.code == 0:
                found = recommendation(run)
                room_s = ended.wall_s * found["workers"]
                row |= {"workers": found["workers"], "chosen": found["family"], "members": found["members"]}
                row |= {"busy_share": found["busy_s"] / room_s, "cpu_share": ended.cpu_s / room_s}
                row["trials"] = len(trials(run))
            else:
                row["words"] = ended.words[-500:]
            tell(json.dumps(row))
            rows.append(row)
    return {"rows": rows, "all_kept": all(row["kept"] for row in rows)}


def table(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    show = Table(title=f"at most {MOST_OVER:.2f} of the limit; at least {LEAST_SHARE:.0%} on candidates is the goal")
    for column in ("set", "limit", "wall-clock", "of the limit", "busy", "CPU"):
        show.add_column(column, justify="left" if column == "set" else "right")
    for row in result["rows"]:
        kept = "" if row["kept"] else " (broken)"
        shares = [f"{row[name]:.0%}" if name in row else "-" for name in ("busy_share", "cpu_share")]
        words = (f"{row['limit_s']} s", f"{row['wall_s']:.1f} s", f"{row['of_limit']:.3f}{kept}")
        show.add_row(row["set"], *words, *shares)
    return show
