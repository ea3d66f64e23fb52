"""The verbs that read a finished run: predict, export, report, explain."""

import sys
from pathlib import Path

import click

from advisor.cli.talk import FILE, JSON, as_json, say


@click.command()
@click.argument("run", type=FILE)
@click.argument("data", type=FILE)
@click.option("-o", "--out", type=FILE, help="CSV file; stdout if left out.")
@JSON
def predict(run: Path, data: Path, out: Path | None, to_json: bool) -> None:
    """Answer for DATA with the model of RUN."""
    from advisor.predict import predict as answer

    frame = answer(run, data, out)
    for note in frame.attrs.get("notes", ()):
        say(note)
    if to_json:
        click.echo(frame.to_json(orient="records", date_format="iso", indent=1))
    elif out is None:
        click.echo(frame.to_csv(index=False), nl=False)
    else:
        say(f"{len(frame)} rows written to {out}")


@click.command()
@click.argument("run", type=FILE)
@click.option("--format", "form", type=click.Choice(["onnx", "pt2", "safetensors"]), default="onnx", show_default=True)
@click.option("-o", "--out", type=FILE, required=True, help="File (safetensors: folder) to write.")
@JSON
def export(run: Path, form: str, out: Path, to_json: bool) -> None:
    """Export the model of RUN, verified against it at lengths and batches not used for the export."""
    from advisor.export import export as write

    found = write(run, form, out)  # type: ignore[arg-type]
    if to_json:
        as_json(found)
    else:
        click.echo(found.words())


@click.command()
@click.argument("run", type=FILE)
@JSON
def report(run: Path, to_json: bool) -> None:
    """Write report.html again from the records of RUN, and print the recommendation."""
    from rich.console import Console

    from advisor.report.console import print_recommendation
    from advisor.report.html import write_report
    from advisor.runs import Run

    found = Run(run).recommendation()
    path = write_report(run)
    if to_json:
        as_json(found)
    else:
        print_recommendation(found, Console(width=None if sys.stdout.isatty() else 120), run)
    say(f"report: {path}")


@click.command()
@click.argument("run", type=FILE)
@click.option("--family", help="Why not this one, and what would make it win?")
@JSON
def explain(run: Path, family: str | None, to_json: bool) -> None:
    """Say why RUN recommends what it does, and what would have to change for another answer."""
    from advisor.counterfactual import explain_run

    found = explain_run(run, family)
    if to_json:
        as_json(found)
        return
    for line in found.lines():
        click.echo(line)
