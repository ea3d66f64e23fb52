"""The verbs that look and say before anything is trained: inspect, profile, device, rules, lab."""

from pathlib import Path
from typing import Any

import click

from advisor.cli.talk import FILE, JSON, Finite, as_json, facts, listed, reading, say


@click.command()
@click.argument("data", type=FILE)
@reading
@JSON
def inspect(data: Path, to_json: bool, **options: Any) -> None:
    """Say what DATA was taken for, what else it could be, and what was changed in reading."""
    from advisor import api
    from advisor.audit import lines as audited
    from advisor.data.calendar import calendar_words, choose_calendar

    found = api.inspect(data, **_asked(options))
    dataset = found.dataset
    if to_json:
        as_json(
            {
                "format": dataset.format,
                "task": dataset.task,
                "covariates": dataset.channels[1:] if dataset.task == "forecast" else (),
                "known": dataset.known,
                "calendar": choose_calendar(dataset.stamps or ()),
                "rivals": dataset.rivals,
                "notes": dataset.notes,
                "profile": found.profile.model_dump(mode="json"),
                "audit": [one.model_dump(mode="json") for one in found.findings],
            }
        )
        return
    click.echo(f"format: {dataset.format}\ntask: {dataset.task}")
    if dataset.task == "forecast":
        calendar = calendar_words(choose_calendar(dataset.stamps or ()))
        past = [name for name in dataset.channels[1:] if name not in dataset.known]
        click.echo(f"covariates (past only): {', '.join(past) or 'none'}\ncalendar: {calendar or 'none'}")
        if dataset.known:
            click.echo(f"known ahead: {', '.join(dataset.known)}")
    parts = {"could also be": dataset.rivals, "changed in reading": dataset.notes, "audit": audited(found.findings)}
    for title, lines in parts.items():
        click.echo(f"{title}: {'nothing' if not lines else ''}")
        for line in lines:
            click.echo(f"  {line}")
    facts(found.profile)


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """Return what `reading` adds, as `api.inspect` takes it."""
    short = {"time": options["time_column"], "id": options["id_column"]}
    return {name: options[name] for name in ("task", "target", "known")} | short


@click.command()
@click.argument("data", type=FILE)
@reading
@click.option("--horizon", type=click.IntRange(1), help="Steps to forecast; one if left out.")
@click.option("--seconds", type=Finite(0.5), default=10.0, show_default=True, help="For the dependence.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--reach", is_flag=True, help="Also how far each family's gradient reaches before training: 15 s.")
@JSON
def profile(
    data: Path, horizon: int | None, seconds: float, seed: int, reach: bool, to_json: bool, **options: Any
) -> None:
    """Measure DATA: lengths, channels, classes, missing values, seasons, how far back the past matters."""
    from advisor import api

    read = api.inspect(data, **_asked(options))
    found = api.profile(read.dataset, horizon, seconds, seed)
    reaches = api.reaches(found) if reach else {}
    if to_json:
        record = found.model_dump(mode="json")
        as_json({**record, "reach": {n: r.model_dump(mode="json") for n, r in reaches.items()}} if reach else record)
        return
    facts(found.model_copy(update={"dependence": None}))
    if found.dependence is not None:
        ahead = f" for {horizon or 1} step{'s' * (horizon is not None and horizon > 1)} ahead"
        click.echo(f"the past{ahead if found.task == 'forecast' else ''}: {found.dependence.says}")
        for note in found.dependence.notes:
            click.echo(f"  {note}")
    for name, one in sorted(reaches.items(), key=lambda item: -item[1].reach_steps):
        far = f"all {one.looked}" if one.all_the_way else f"{one.reach_steps} of {one.looked}"
        click.echo(f"untrained {name}: its gradient reaches {far} tokens")


@click.command()
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0 or mps.")
@click.option("--calibrate", is_flag=True, help="Measure time and memory against length, family by family: 2 minutes.")
@click.option("-o", "--out", type=FILE, help="Write the calibration here too, for --target-device elsewhere.")
@JSON
def device(device: str, calibrate: bool, out: Path | None, to_json: bool) -> None:
    """Measure the device: cores, memory, speed; with --calibrate also where one architecture overtakes another."""
    from advisor import api
    from advisor.calibrations import said_of

    if out is not None and not calibrate:
        raise click.UsageError("-o writes a calibration: add --calibrate.")
    if not calibrate:
        found = api.device_profile(device)
        if to_json:
            as_json(found)
            return
        facts(found)
        click.echo(f"length and cost: {said_of(found)}")
        return
    measured = api.calibrate(device, out, say=say)
    if to_json:
        as_json(measured)
        return
    from profiles.calibration import words

    for line in words(measured):
        click.echo(line)


TASKS = ["classify", "regress", "forecast", "tag", "transcribe", "translate"]
ASSUMED = {"samples": 5000, "length": 100}
"""What `rules` takes for granted where nothing is said."""


@click.command()
@click.option("--explain", metavar="KEY", help="The page of one rule.")
@click.option("--rules", "own", type=FILE, help="TOML file of your own rules.")
@click.option("--target-device", type=FILE, help="Calibration to take lengths from; this device's if left out.")
@click.option("--task", type=click.Choice(TASKS), help="Facts: which rules fire?")
@click.option("--samples", type=click.IntRange(1), help=f"Facts: number of series; {ASSUMED['samples']} if left out.")
@click.option("--length", type=click.IntRange(1), help=f"Facts: steps a series; {ASSUMED['length']} if left out.")
@click.option("--reach", type=click.IntRange(0), help="Facts: steps of the past that matter.")
@click.option("--horizon", type=click.IntRange(1), help="Facts: steps to forecast.")
@click.option("--season", type=click.IntRange(1), help="Facts: steps after which the series repeats.")
@click.option("--modality", type=click.Choice(["series", "text", "audio", "several"]), help="Facts: what they are.")
@click.option("--scenario", help="SC1 to SC5, or its word; recognised if left out.")
@click.option("--streaming", is_flag=True, default=None, help="Facts: answers step by step.")
@click.option("--batch-size", type=click.IntRange(1), help="Facts: series answered at once.")
@click.option("--max-latency-ms", type=Finite(0, min_open=True), help="Facts: limit on one answer.")
@click.option("--max-memory-mib", type=Finite(0, min_open=True), help="Facts: limit on its memory.")
@click.option("--max-model-mib", type=Finite(0, min_open=True), help="Facts: limit on the model.")
@click.option("--step-ms", type=Finite(0, min_open=True), help="Facts: time between two steps.")
@click.option("--edge", is_flag=True, default=None, help="Facts: a phone or an embedded device.")
@click.option("--cloud", is_flag=True, default=None, help="Facts: a service in a data centre.")
@click.option(
    "--pretrained", is_flag=True, default=None, help="Facts: weights of a pretrained Transformer are at hand."
)
@click.option("--device-kind", type=click.Choice(["cpu", "cuda", "mps"]), help="Facts: where the model runs.")
@click.option("--device-memory-mib", type=Finite(0, min_open=True), help="Facts: memory of that device.")
@click.option("--missing-operators", help="Facts: what the target lacks, such as LSTM,Scan; see operators.toml.")
@JSON
def rules(
    explain: str | None, own: Path | None, target_device: Path | None, task: str | None, to_json: bool, **said: Any
) -> None:
    """Show the documents' advice; with --task and facts, which of it applies, and what would change it."""
    from advisor import rules as engine

    mine = engine.own_rules(own) if own else ()
    known = {name: value for name, value in said.items() if value is not None}
    if explain:
        page = engine.page(explain, mine)
        as_json({"key": explain.upper(), "page": page}) if to_json else click.echo(page)
    elif task is not None:
        _judged(task, known, mine, target_device, to_json)
    elif known:
        raise click.UsageError(f"--{next(iter(known)).replace('_', '-')} is a fact: say --task too.")
    elif to_json:
        as_json({key: row.model_dump(mode="json") for key, row in engine.scenarios().items()})
    else:
        rows = [(row.key, row.document, row.says) for row in engine.scenarios().values()]
        rows += [(row.key, row.document, row.says) for row in mine]
        for key, document, says in rows:
            click.echo(f"{key:5} {document}: {says}")


def _judged(task: str, known: dict[str, Any], mine: Any, target: Path | None, to_json: bool) -> None:
    """Print which rules fire for these facts, the ranking, and what would change it."""
    from pydantic import ValidationError

    from advisor import calibrations, counterfactual
    from advisor import rules as engine
    from advisor.errors import InputError
    from hybrids.families import FAMILIES
    from profiles.device import measure_device

    assumed = {name: value for name, value in ASSUMED.items() if name not in known}
    facts = {**ASSUMED, **known}
    facts["length_p50"] = facts.pop("length")
    facts["missing_operators"] = listed(facts.pop("missing_operators", None))
    if target is None and facts.get("device_kind", "cpu") != "cpu":
        found = None
    else:
        found = calibrations.load_target(target) if target else calibrations.cached(measure_device("cpu"))
    if found is not None:
        facts |= {"crossovers": found.reliable_crossovers, "failed_families": found.failed}
        facts["missing_operators"] = (*facts["missing_operators"], *found.missing_operators)
    try:
        situation = engine.Facts(task=task, **facts)
    except ValidationError as error:
        (first, *_) = error.errors()
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.", "give a finite number.") from error
    advice = engine.advise(situation, tuple(FAMILIES), mine)
    needs = {name: family.needs for name, family in FAMILIES.items() if family.needs}
    met = {"encoder_decoder": task == "translate", "cross_fusion": situation.modality == "several"}
    needs = {name: what for name, what in needs.items() if not met[name]}
    turns = counterfactual.before(situation, tuple(name for name in FAMILIES if name not in needs), mine)
    if to_json:
        as_json({**advice.model_dump(mode="json"), "turns": [turn.model_dump(mode="json") for turn in turns]})
        return
    if assumed:
        said = " and ".join(f"{value} {'series' if name == 'samples' else 'steps'}" for name, value in assumed.items())
        say(f"assumed: {said}")
    for line in engine.explain_advice(advice):
        click.echo(line)
    for name, what in needs.items():
        click.echo(f"{name} needs {what}.")
    click.echo("What would change the advice:")
    for line in counterfactual.lines(turns) or ["no single change of the facts"]:
        click.echo(f"  {line}")


@click.command()
@click.argument("claims", nargs=-1)
@click.option("--quick", is_flag=True, help="Fewer lengths, seeds and rounds: two minutes instead of ten.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0 or mps.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of torch, on a CPU.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("-o", "--out", type=FILE, default=Path("lab"), show_default=True, help="Folder for page and records.")
@JSON
def lab(claims: tuple[str, ...], out: Path, to_json: bool, **conditions: Any) -> None:
    """Measure the documents' CLAIMS (CL1 to CL13; all if left out) on this device, and write a page."""
    from datetime import UTC, datetime

    from advisor import api
    from advisor import lab as laboratory
    from advisor.lab.claim import Conditions
    from advisor.lab.page import write_page

    asked = Conditions(**conditions)
    device = api.device_profile(asked.device)
    found = laboratory.run_lab(claims, asked, say, out)
    write_page(out / "index.html", laboratory.gathered(out, asked), device, asked, datetime.now(UTC).date().isoformat())
    if to_json:
        as_json([one.model_dump(mode="json") for one in found])
    else:
        for line in laboratory.lines(found):
            click.echo(line)
    say(f"page: {out / 'index.html'}")
