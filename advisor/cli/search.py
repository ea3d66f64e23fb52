"""The verbs that train: recommend, resume."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from advisor.cli.talk import FILE, JSON, STARTED, Finite, Seconds, as_json, listed, reading, say


@click.command()
@click.argument("data", type=FILE)
@reading
@click.option(
    "--horizon",
    type=click.IntRange(1),
    help="Steps to forecast; one season, or without one a tenth of the median length, 24 at most.",
)
@click.option("--test", type=FILE, help="File with the data that the reported quality comes from.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0 or mps.")
@click.option("--max-latency-ms", type=Finite(0, min_open=True), help="Limit of one answer.")
@click.option("--latency-stat", type=click.Choice(["p50", "p95", "p99"]), default="p95", show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Series answered at once.")
@click.option("--streaming", is_flag=True, help="Only architectures that can answer step by step.")
@click.option("--max-memory-mib", type=Finite(0, min_open=True), help="Peak memory of one answer.")
@click.option("--max-model-mib", type=Finite(0, min_open=True), help="Size of the stored weights.")
@click.option("--scenario", help="SC1 to SC5, or its word: which application it is; recognised if left out.")
@click.option("--rules", type=FILE, help="TOML file of your own rules, heard beside the documents'.")
@click.option("--target-device", type=FILE, help="Calibration of the device that the model is for, if another.")
@click.option("--missing-operators", help="What the target lacks, such as LSTM,Scan; it counts against families.")
@click.option("--time-limit", type=Seconds(), help="For everything: 90s, 3m, 1h.")
@click.option("--preset", type=click.Choice(["fast", "medium", "best"]), help="2, 10 or 60 minutes.")
@click.option("--families", help="Families that may race, separated by commas; all if left out.")
@click.option("--trials", type=click.IntRange(1), help="Networks to train instead of a time limit; repeatable.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--committee", type=click.IntRange(0, 16), help="Most networks of a kind answering together; 0: one.")
@click.option("--networks-only", is_flag=True, help="Recommend a trained network; no baselines but the naive one.")
@click.option("--store/--no-store", default=True, help="Learn from earlier runs on similar data, and for later ones.")
@click.option("--out", type=FILE, help="Run folder; NAME-run if left out.")
@click.option("--resume", is_flag=True, help="Go on with what the run folder holds.")
@JSON
def recommend(data: Path, families: str | None, preset: str | None, to_json: bool, **options: Any) -> None:
    """Search, compare and recommend a trained model for DATA."""
    from advisor.api import PRESETS
    from advisor.errors import InputError
    from profiles.budget import Budget

    ends = {"--time-limit": options["time_limit"], "--preset": preset, "--trials": options["trials"]}
    given = [name for name, value in ends.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are given together.", f"give one of {', '.join(ends)}.")
    limits = ("max_latency_ms", "latency_stat", "batch_size", "streaming", "max_memory_mib", "max_model_mib")
    budget = Budget(**{name: options.pop(name) for name in limits})
    limit = options.pop("time_limit") or (PRESETS[preset] if preset else None)
    options["missing_operators"] = listed(options["missing_operators"])
    _recommend(data, to_json, budget=budget, time_limit_s=limit, families=listed(families), **options)


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


@click.command()
@click.argument("run", type=FILE)
@click.option("--time-limit", type=Seconds(), help="For the rest; the run's own limit if left out.")
@JSON
def resume(run: Path, time_limit: float | None, to_json: bool) -> None:
    """Go on with a stopped run; what it finished is kept."""
    from advisor.records import Request
    from advisor.runs import Run, readable
    from profiles.budget import Budget

    folder = Run(run)
    with readable(run / "run.json"):
        asked = Request.model_validate(folder.read("run").get("request"))
    with readable(run / "budget.json"):
        budget = Budget.model_validate(folder.read("budget"))
    _recommend(
        Path(asked.data),
        to_json,
        test=asked.test,
        task=asked.task,
        target=asked.target,
        time_column=asked.time,
        id_column=asked.id,
        known=asked.known,
        horizon=asked.horizon,
        device=asked.device,
        budget=budget,
        time_limit_s=time_limit or asked.time_limit_s,
        trials=None if time_limit else asked.trials,
        families=asked.families,
        seed=asked.seed,
        scenario=asked.scenario,
        rules=asked.rules,
        target_device=asked.target_device,
        missing_operators=asked.missing_operators,
        committee=asked.committee,
        networks_only=asked.networks_only,
        store=asked.store,
        out=run,
        resume=True,
    )
