"""`make bench`: speed, memory and behaviour of the toolkit beside public layers, as ratios from one run.

`python -m benchmarks` runs `mixers`. The other parts: `memory` (gradient checkpointing), `behaviour` (synthetic tasks).
Nothing else may run on the machine meanwhile, `behaviour` excepted: its budget is steps, not seconds.
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
from benchmarks import memory as checkpoints
from benchmarks import mixers as layers
from benchmarks.measure import machine


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


if __name__ == "__main__":
    main()
