"""`make bench`: speed, memory and behaviour of the toolkit beside public layers, as ratios from one run.

`python -m benchmarks` runs `mixers`. The other parts: `memory` (gradient checkpointing), `behaviour` (synthetic tasks),
and of the search `statistics`, `limits`, `clock`, `resuming` and `big`. Nothing else may run on the machine meanwhile,
`behaviour` and `statistics` excepted: their budget is steps, not seconds.
"""

import json
import os
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import behaviour as tasks
from benchmarks import bigger as files
from benchmarks import clock as clocks
from benchmarks import limits as budgets
from benchmarks import memory as checkpoints
from benchmarks import mixers as layers
from benchmarks import resuming as kills
from benchmarks import short_of_memory as spaces
from benchmarks import statistics as alarms
from benchmarks.measure import machine
from benchmarks.quality.command import quality


def tell(message: str) -> None:
    """Say to stderr what is going on."""
    click.echo(message, err=True)


def write(result: dict[str, Any], path: Path) -> None:
    """Write JSON, replacing the file at once."""
    path.with_suffix(".tmp").write_text(json.dumps(result, indent=1))
    os.replace(path.with_suffix(".tmp"), path)


def show(table: Table) -> None:
    """Print a table; wide where the output is no terminal."""
    Console(width=None if Console().is_terminal else 200).print(table)


output = click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
folder = click.Path(file_okay=False, path_type=Path)
data = click.option("--data", default="../shared/data", show_default=True, type=folder, help="Folder of the data sets.")
room = click.option("--room", default="runs/bench", show_default=True, type=folder, help="Folder to work in.")
seeded = click.option("--seed", default=0, show_default=True)
quick = click.option("--quick", is_flag=True, help="Few lengths and rounds: does it run, not how fast.")


def listed(text: str) -> list[str]:
    """Return the parts of a comma-separated option."""
    return [part.strip() for part in text.split(",") if part.strip()]


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Speed and quality beside a peer, in one run, as ratios."""
    torch.set_num_threads(1)  # more threads make layers of this size slower
    if context.invoked_subcommand is None:
        context.invoke(mixers)


@main.command()
@quick
@click.option("--families", default="", help="Mixers by name, comma-separated; all if left out.")
@click.option("--lengths", default="", help="Lengths, comma-separated, multiples of 64.")
@output
def mixers(quick: bool = False, families: str = "", lengths: str = "", output: Path | None = None) -> None:
    """Time and peak memory of every mixer against length, beside its public peers."""
    wanted = [int(n) for n in listed(lengths)] or list(layers.QUICK_LENGTHS if quick else layers.LENGTHS)
    result = layers.measure(listed(families), wanted, quick, tell)
    if output:
        write(result, output)
    show(layers.table(result))


@main.command()
@quick
@output
def memory(quick: bool = False, output: Path | None = None) -> None:
    """Peak training memory and time with and without gradient checkpointing."""
    result = checkpoints.measure(quick)
    if output:
        write(result, output)
    show(checkpoints.table(result))


@main.command()
@click.option("--models", default="", help="Models of the table, comma-separated; all if left out.")
@click.option("--tasks", "names", default="", help="Tasks, comma-separated; all if left out.")
@click.option("--seeds", default=3, show_default=True, help="Seeds 0 to N - 1.")
@output
@click.option(
    "--table", type=click.Path(dir_okay=False, path_type=Path), help="Markdown page to write; measures nothing."
)
def behaviour(models: str, names: str, seeds: int, output: Path | None, table: Path | None) -> None:
    """What each kind of layer can learn: synthetic tasks; cells already in the JSON are kept."""
    path = output or Path("runs/behaviour.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine(), "cells": {}}
    if path.exists():
        result = json.loads(path.read_text())
    if table is not None:
        table.write_text(tasks.markdown(result))
        return
    for key, model, task, seed in tasks.missing(result["cells"], listed(models), listed(names), range(seeds)):
        result["cells"][key] = tasks.measure(model, task, seed)
        tell(f"{key}: {result['cells'][key]}")
        write(result, path)


@main.command()
@click.option("--simulations", default=400, show_default=True, help="Of each design and number of contenders.")
@seeded
@output
def statistics(simulations: int, seed: int, output: Path | None) -> None:
    """How often equal contenders are called different, and what is seen; designs already in the JSON are kept."""
    path = output or Path("runs/statistics.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else None
    result = alarms.measure(simulations, seed, tell, lambda so_far: write(so_far, path), before)
    write(result, path)
    show(alarms.table(result))


main.add_command(quality)


@main.command()
@click.option("--count", default=50, show_default=True, help="Budgets.")
@click.option("--seconds", default=20.0, show_default=True, help="Time limit of each run.")
@click.option("--memory", "starved", is_flag=True, help="Instead: one search under limited address spaces.")
@seeded
@data
@room
@output
def limits(count: int, seconds: float, starved: bool, seed: int, data: Path, room: Path, output: Path | None) -> None:
    """Are the limits kept by the exported choice, measured by another process?"""
    if starved:
        result = spaces.measure(spaces.SPACES_GIB, max(seconds, spaces.LEAST_S), room, tell, seed)
    else:
        result = budgets.measure(count, seconds, seed, data, room, tell)
    if output:
        write({"machine": machine(), **result}, output)
    show(spaces.table(result) if starved else budgets.table(result))


@main.command()
@click.option("--limits", "seconds", default="30,60,120,300", show_default=True, help="Seconds, comma-separated.")
@click.option("--full", is_flag=True, help="And half an hour.")
@click.option("--sets", default="gun_point,nyc_taxi", show_default=True, help="Comma-separated.")
@data
@room
@output
def clock(seconds: str, full: bool, sets: str, data: Path, room: Path, output: Path | None) -> None:
    """Is --time-limit kept, and how much of it trains candidates?"""
    wanted = [int(s) for s in listed(seconds)] + [clocks.FULL_S] * full
    result = clocks.measure(listed(sets), wanted, data, room, tell)
    if output:
        write({"machine": machine(), **result}, output)
    show(clocks.table(result))


@main.command()
@click.option("--count", default=20, show_default=True, help="Runs to kill.")
@click.option("--trials", default=8, show_default=True, help="Networks that each run trains.")
@click.option("--set", "name", default="gun_point", show_default=True)
@seeded
@data
@room
@output
def resuming(count: int, trials: int, name: str, seed: int, data: Path, room: Path, output: Path | None) -> None:
    """Kill runs at random moments, resume them, compare them with one that nobody disturbed."""
    result = kills.measure(name, data, room / "resuming", count, trials, seed, tell)
    if output:
        write({"machine": machine(), **result}, output)
    show(kills.table(result))


@main.command()
@click.option("--rows", default=10_000_000, show_default=True, help="Of the large file.")
@click.option("--seconds", default=120.0, show_default=True, help="Time limit of the run.")
@room
@output
def big(rows: int, seconds: float, room: Path, output: Path | None) -> None:
    """Seconds, memory and time of a training step on a large file, beside a small one."""
    result = files.measure(rows, seconds, room / "big", tell)
    if output:
        write({"machine": machine(), **result}, output)
    show(files.table(result))


if __name__ == "__main__":
    main()
