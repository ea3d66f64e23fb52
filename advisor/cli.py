"""Command line: parse, call the library, print. Nothing else prints. Data to stdout, talk to stderr.

Only click is imported here; every verb loads what it needs, so that help answers at once.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its memory profiler warns of blocks older than the measurement
STARTED = time.monotonic()
FILE = click.Path(path_type=Path)


class Seconds(click.ParamType[float]):
    """A time such as 90, 90s, 3m or 1h, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", str(value).strip())
        seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2] or "s"] if found else 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is not a time such as 90s, 3m or 1h.", param, ctx)
        return seconds


class Verbs(click.Group):
    """Turns a deliberate error into one line and a hint on stderr, with its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen verb."""
        from advisor.errors import AdvisorError

        try:
            return super().invoke(ctx)
        except AdvisorError as error:
            click.echo(f"error: {error.message}\nhint: {error.hint}", err=True)
            ctx.exit(error.exit_code)


def say(line: str) -> None:
    """Tell the user what happens, on stderr."""
    click.echo(line, err=True)


def as_json(record: Any) -> None:
    """Print a record or a plain value as JSON on stdout."""
    data = record.model_dump(mode="json") if hasattr(record, "model_dump") else record
    click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how to read a file."""
    for option in (
        click.option("--id", "id_column", help="Column that tells series apart."),
        click.option("--time", "time_column", help="Column of the time stamps."),
        click.option("--target", multiple=True, help="Label column, or the columns to forecast (repeat it)."),
        click.option("--task", type=click.Choice(["classify", "regress", "forecast"]), help="Guessed if left out."),
    ):
        command = option(command)
    return command


JSON = click.option("--json", "to_json", is_flag=True, help="Print the record instead of text.")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="sequence-architecture-advisor")
def main() -> None:
    """Which sequence architecture for this data, on this device, within this budget?"""


@main.command()
@click.argument("data", type=FILE)
@reading
@click.option("--horizon", type=click.IntRange(1), help="Steps to forecast; one season if left out.")
@click.option("--test", type=FILE, help="File with the data that the reported quality comes from.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0 or mps.")
@click.option("--max-latency-ms", type=click.FloatRange(0, min_open=True), help="Limit of one answer.")
@click.option("--latency-stat", type=click.Choice(["p50", "p95", "p99"]), default="p95", show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Series answered at once.")
@click.option("--streaming", is_flag=True, help="Only architectures that can answer step by step.")
@click.option("--max-memory-mib", type=click.FloatRange(0, min_open=True), help="Peak memory of one answer.")
@click.option("--max-model-mib", type=click.FloatRange(0, min_open=True), help="Size of the stored weights.")
@click.option("--time-limit", type=Seconds(), help="For everything: 90s, 3m, 1h.")
@click.option("--preset", type=click.Choice(["fast", "medium", "best"]), help="2, 10 or 60 minutes.")
@click.option("--families", help="Families that may race, separated by commas; all if left out.")
@click.option("--trials", type=click.IntRange(1), help="Networks to train instead of a time limit; repeatable.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=FILE, help="Run folder; NAME-run if left out.")
@click.option("--resume", is_flag=True, help="Go on with what the run folder holds.")
@JSON
def recommend(data: Path, families: str | None, preset: str | None, to_json: bool, **options: Any) -> None:
    """Search, compare and recommend a trained model for DATA."""
    from advisor.api import PRESETS
    from profiles.budget import Budget

    limits = ("max_latency_ms", "latency_stat", "batch_size", "streaming", "max_memory_mib", "max_model_mib")
    budget = Budget(**{name: options.pop(name) for name in limits})
    limit = options.pop("time_limit") or (PRESETS[preset] if preset else None)
    names = tuple(f.strip() for f in families.split(",") if f.strip()) if families else ()
    _recommend(data, to_json, budget=budget, time_limit_s=limit, families=names, **options)


def _recommend(data: Path, to_json: bool, **options: Any) -> None:
    from rich.console import Console

    from advisor import api
    from advisor.report.console import print_recommendation

    out = options["out"] = options.get("out") or Path(f"{data.name.split('.')[0]}-run")
    try:
        found = api.recommend(data, say=say, started=STARTED, **options)
    except KeyboardInterrupt:
        kept = (Path(out) / "run.json").exists()
        say(
            "\ninterrupted; "
            + (f"what is finished is kept. Go on with:\n  advisor resume {out}" if kept else "nothing was begun.")
        )
        sys.exit(130)
    if to_json:
        as_json(found)
    else:
        wide = Console(width=None if sys.stdout.isatty() else 120)
        print_recommendation(found, wide, out)
    say(f"done in {time.monotonic() - STARTED:.1f} s; report: {out / 'report.html'}")


@main.command()
@click.argument("run", type=FILE)
@click.option("--time-limit", type=Seconds(), help="For the rest; the run's own limit if left out.")
@JSON
def resume(run: Path, time_limit: float | None, to_json: bool) -> None:
    """Go on with a stopped run; what it finished is kept."""
    from advisor.records import Request
    from advisor.runs import Run
    from profiles.budget import Budget

    folder = Run(run)
    asked = Request.model_validate(folder.read("run")["request"])
    _recommend(
        Path(asked.data),
        to_json,
        test=asked.test,
        task=asked.task,
        target=asked.target,
        time_column=asked.time,
        id_column=asked.id,
        horizon=asked.horizon,
        device=asked.device,
        budget=Budget.model_validate(folder.read("budget")),
        time_limit_s=time_limit or asked.time_limit_s,
        trials=None if time_limit else asked.trials,
        families=asked.families,
        seed=asked.seed,
        out=run,
        resume=True,
    )


@main.command()
@click.argument("data", type=FILE)
@reading
@JSON
def inspect(data: Path, to_json: bool, **options: Any) -> None:
    """Say what DATA was taken for, what else it could be, and what was changed in reading."""
    from advisor import api

    found = api.inspect(
        data, task=options["task"], target=options["target"], time=options["time_column"], id=options["id_column"]
    )
    dataset = found.dataset
    if to_json:
        as_json(
            {
                "format": dataset.format,
                "task": dataset.task,
                "rivals": dataset.rivals,
                "notes": dataset.notes,
                "profile": found.profile.model_dump(mode="json"),
            }
        )
        return
    click.echo(f"format: {dataset.format}\ntask: {dataset.task}")
    for title, lines in (("could also be", dataset.rivals), ("changed in reading", dataset.notes)):
        click.echo(f"{title}: {'nothing' if not lines else ''}")
        for line in lines:
            click.echo(f"  {line}")
    _facts(found.profile)


def _facts(record: Any) -> None:
    for name, value in record.model_dump(mode="json").items():
        if value not in (None, [], ()):
            shown = f"{value:.6g}" if isinstance(value, float) else value
            click.echo(f"{name}: {shown}")


@main.command()
@click.argument("data", type=FILE)
@reading
@JSON
def profile(data: Path, to_json: bool, **options: Any) -> None:
    """Measure DATA: lengths, channels, classes, missing values, season."""
    from advisor import api

    found = api.inspect(
        data, task=options["task"], target=options["target"], time=options["time_column"], id=options["id_column"]
    ).profile
    as_json(found) if to_json else _facts(found)


@main.command()
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0 or mps.")
@JSON
def device(device: str, to_json: bool) -> None:
    """Measure the device: cores, memory, speed."""
    from advisor import api

    found = api.device_profile(device)
    as_json(found) if to_json else _facts(found)


@main.command()
@click.option("--explain", metavar="KEY", help="The page of one rule.")
@click.option("--task", type=click.Choice(["classify", "regress", "forecast"]), help="Facts: which rules fire?")
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True, help="Facts: number of series.")
@click.option("--length", type=click.IntRange(1), default=100, show_default=True, help="Facts: steps a series.")
@click.option("--horizon", type=click.IntRange(1), help="Facts: steps to forecast.")
@click.option("--streaming", is_flag=True, help="Facts: answers step by step.")
@click.option("--max-model-mib", type=click.FloatRange(0, min_open=True), help="Facts: limit on the model.")
@click.option("--max-latency-ms", type=click.FloatRange(0, min_open=True), help="Facts: limit on one answer.")
@JSON
def rules(explain: str | None, task: str | None, samples: int, length: int, to_json: bool, **facts: Any) -> None:
    """Show the documents' advice; with --task and facts, which of it applies."""
    from advisor import rules as engine
    from hybrids.families import FAMILIES

    if explain:
        click.echo(engine.page(explain))
        return
    if task is None:
        table = engine.scenarios()
        if to_json:
            as_json({key: row.model_dump(mode="json") for key, row in table.items()})
            return
        for key, row in table.items():
            click.echo(f"{key:5} {row.document}: {row.says}")
        return
    advice = engine.advise(engine.Facts(task=task, samples=samples, length_p50=length, **facts), tuple(FAMILIES))
    if to_json:
        as_json(advice)
        return
    for one in advice.fired:
        click.echo(f"{one.key:5} strength {one.strength:.2f}: {one.says} {one.because}")
    for family in advice.ranking:
        needs = FAMILIES[family.family].needs
        click.echo(f"{family.score:+.2f} {family.family}" + (f" (needs {needs})" if needs else ""))


@main.command()
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


@main.command()
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


@main.command()
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
