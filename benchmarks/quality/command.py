"""`python -m benchmarks quality`: the command line of the quality benchmark."""

import json
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.quality import run, sets, summary

RESULT = Path("benchmarks/results/quality.json")


def tell(message: str) -> None:
    """Say to stderr what is going on."""
    click.echo(message, err=True)


def listed(text: str) -> list[str]:
    """Return the parts of a comma-separated option."""
    return [part.strip() for part in text.split(",") if part.strip()]


@click.command()
@click.option("--sets", "names", default="", help="Sets by name, group or task, comma-separated; all if left out.")
@click.option("--tools", default=",".join(run.TOOLS), show_default=True, help="Tools, comma-separated.")
@click.option("--seconds", default=120, show_default=True, help="What each tool is given to find a model.")
@click.option("--seeds", default=1, show_default=True, help="Seeds 0 to N - 1 of the tools; the data stay the same.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option(
    "--work", type=click.Path(path_type=Path), default=Path("runs/quality"), show_default=True, help="Scratch."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=RESULT, show_default=True)
@click.option("--again", is_flag=True, help="Measure what the file already has, too.")
@click.option("--table", is_flag=True, help="Print the file's table in Markdown; measures nothing.")
def quality(
    names: str, tools: str, seconds: int, seeds: int, data: Path, work: Path, output: Path, again: bool, table: bool
) -> None:
    """Scores of what each tool finds in the same time; cells already in the JSON are kept.

    Nothing else may run on the machine meanwhile.
    """
    result = opened(output)
    if table:
        click.echo(summary.markdown(result, seconds))
        return
    wanted = listed(tools)
    unknown = [tool for tool in wanted if tool not in run.TOOLS]
    if unknown:
        raise click.UsageError(f"no such tool: {', '.join(unknown)}; there are {', '.join(run.TOOLS)}")
    try:
        chosen = sets.chosen(listed(names))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if result["machine"] != run.place():
        raise click.UsageError(f"{output} was measured on another machine; name another file with -o")
    if not data.is_dir():
        raise click.UsageError(f"{data} is not there; say where the sets are with --data")
    for name, tool, seed in run.planned(chosen, wanted, seeds):
        key = run.key_of(name, tool, seconds, seed)
        if not again and key in result["cells"] and "error" not in result["cells"][key]:
            continue
        tell(key)
        result["cells"][key] = cell = run.measure(name, tool, seconds, seed, data, work, tell)
        write(result, output)
        tell(f"  {summary.words(cell)}")
    for show in summary.tables(result, seconds):
        Console(width=None if Console().is_terminal else 200).print(show)
    for line in summary.verdicts(result, seconds):
        click.echo(line)


def opened(path: Path) -> dict[str, Any]:
    """Return what the file holds, or an empty result."""
    if not path.exists():
        return {"machine": run.place(), "cells": {}}
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def write(result: dict[str, Any], path: Path) -> None:
    """Write the file, replacing it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".tmp").write_text(json.dumps(result, indent=1))
    os.replace(path.with_suffix(".tmp"), path)
