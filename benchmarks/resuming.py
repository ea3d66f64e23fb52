"""Runs killed at random moments and resumed, beside one that nobody disturbed.

With `--trials` and a seed the answer does not depend on the clock, so the two must agree: every trial that was on disk
at the kill is still there and the same, no number and no candidate comes twice, the final table is equal (latencies and
seconds apart, which are measured). The driver and its workers get SIGKILL together.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.driven import advise, asked, cleared, kill, recommendation, start, trials

SECOND_KILL = 0.3
"""Share of the runs whose resumption is killed too."""
DIGITS = 9


def measure(
    name: str, data: Path, room: Path, count: int, n_trials: int, seed: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Return one row a killed run, and whether all agree with the undisturbed one.

    Args:
        name: Of the data set.
        data: Folder of the data sets.
        room: Folder to work in; emptied.
        count: Runs to kill.
        n_trials: Networks that each run trains.
        seed: Of the runs, and of the moments.
        tell: Told a line a run.
    """
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    options = ("--trials", str(n_trials), "--seed", str(seed))
    whole = room / "undisturbed"
    ended = advise(asked(name, data, whole, *options), cleared(whole))
    if ended.code != 0:
        raise RuntimeError(f"the undisturbed run ended with {ended.code}: {ended.words[-2000:]}")
    tell(f"undisturbed: {ended.wall_s:.0f} s, {len(trials(whole))} trials")
    rng, rows = random.Random(seed), []
    for i in range(count):
        row = one(asked(name, data, room / f"run-{i}", *options), room / f"run-{i}", whole, ended.wall_s, rng)
        tell(f"run {i}: {row}")
        rows.append(row)
        if row["kept"]:
            shutil.rmtree(room / f"run-{i}")
    return {
        "set": name,
        "trials": n_trials,
        "seed": seed,
        "undisturbed_s": ended.wall_s,
        "rows": rows,
        "all_kept": all(row["kept"] for row in rows),
    }


def one(arguments: list[str], run: Path, whole: Path, wall_s: float, rng: random.Random) -> dict[str, Any]:
    """Start, kill, resume to the end, compare; return what happened."""
    log = cleared(run)
    moments, on_disk = [rng.uniform(0, wall_s)], []
    if rng.random() < SECOND_KILL:
        moments.append(rng.uniform(0, wall_s))
    for moment in moments:
        begun = (run / "run.json").exists()
        process = start(["resume", str(run)] if begun else arguments, log)
        time.sleep(moment)
        kill(process)
        on_disk.append(trials(run))
    begun = (run / "run.json").exists()
    ended = advise(["resume", str(run)] if begun else arguments, log)
    faults = [] if ended.code == 0 else [f"resuming ended with {ended.code}: {ended.words.strip()[-300:]}"]
    if not faults:
        faults = compared(on_disk, run, whole)
    return {
        "killed_after_s": moments,
        "trials_at_kill": [len(found) for found in on_disk],
        "begun": begun,
        "resumed_s": ended.wall_s,
        "faults": faults,
        "kept": not faults,
    }


def compared(on_disk: list[list[dict[str, Any]]], run: Path, whole: Path) -> list[str]:
    """Return what differs from a run without kills; nothing where all is well."""
    now, faults = trials(run), []
    for found in on_disk:
        lost = [trial["number"] for trial in found if trial not in now]
        if lost:
            faults.append(f"finished trials lost or changed: {lost}")
    numbers = [trial["number"] for trial in now]
    if len(set(numbers)) < len(numbers):
        faults.append(f"numbers that come twice: {sorted({n for n in numbers if numbers.count(n) > 1})}")
    mine, theirs = Counter(map(essence, now)), Counter(map(essence, trials(whole)))
    if mine != theirs:
        extra, missing = list(mine - theirs), list(theirs - mine)
        counts = f"{mine.total()} against {theirs.total()}"
        faults.append(f"other trials: {counts}; extra {extra[:2]}, missing {missing[:2]}")
    if final_table(run) != final_table(whole):
        pairs = zip(final_table(run), final_table(whole), strict=False)
        faults.append(f"another final table: {next((f'{a} / {b}' for a, b in pairs if a != b), 'other length')}")
    return faults


def essence(trial: dict[str, Any]) -> str:
    """Return what a trial is, without what was timed."""
    quality = None if trial["quality"] is None else round(trial["quality"], DIGITS)
    return f"{trial['family']} {trial['state']} {quality} {sorted(trial['config'].get('knobs', {}).items())}"


def final_table(run: Path) -> list[tuple[Any, ...]]:
    """Return the ranking of a run, without what was timed."""
    return [
        (
            row["family"],
            row["state"],
            None if row["validation"] is None else round(row["validation"], DIGITS),
            None if row["quality"] is None else round(row["quality"]["value"], DIGITS),
            row["trials"],
        )
        for row in recommendation(run)["ranking"]
    ]


def table(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    title = f"{result['set']}: {result['trials']} trials, {result['undisturbed_s']:.0f} s undisturbed"
    show = Table(title=title)
    for column in ("killed after", "trials on disk", "resumed in", "same as undisturbed"):
        show.add_column(column)
    for row in result["rows"]:
        show.add_row(
            ", ".join(f"{s:.1f} s" for s in row["killed_after_s"]),
            ", ".join(map(str, row["trials_at_kill"])),
            f"{row['resumed_s']:.1f} s",
            "yes" if row["kept"] else "; ".join(row["faults"]),
        )
    return show
