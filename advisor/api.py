"""The verbs as functions: what the command line calls, and what `from advisor import ...` gives."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from advisor.data import Dataset, ReadOptions, Task, read
from advisor.errors import InputError, NoCandidateError
from advisor.records import Recommendation, Request
from advisor.rules import Advice, advise, facts_from
from advisor.runs import Run
from profiles.budget import Budget
from profiles.data import DataProfile, profile_data
from profiles.device import DeviceError, DeviceProfile, available_cores, measure_device

if TYPE_CHECKING:
    from advisor.search.driver import Search

PRESETS = {"fast": 120.0, "medium": 600.0, "best": 3600.0}
PACKAGES = ("torch", "numpy", "scikit-learn", "optuna", "pandas", "onnx", "onnxruntime")
MOST_WORKERS = 8


def quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Inspection:
    """What a file was taken for, before any training."""

    dataset: Dataset
    profile: DataProfile


def inspect(
    data: str | Path,
    *,
    task: Task | None = None,
    target: Sequence[str] = (),
    time: str | None = None,
    id: str | None = None,
) -> Inspection:
    """Read and profile a file; nothing is trained.

    Raises:
        InputError: the file cannot be read as sequences.
    """
    dataset = read(Path(data), ReadOptions(task=task, target=tuple(target), time=time, id=id))
    return Inspection(dataset, profile(dataset))


def profile(dataset: Dataset) -> DataProfile:
    """Return the measured facts of a dataset."""
    return profile_data(dataset.series, dataset.task, dataset.labels, dataset.classes, dataset.freq, dataset.missing)


def device_profile(device: str) -> DeviceProfile:
    """Measure the device.

    Raises:
        InputError: it is not there.
    """
    try:
        return measure_device(device)
    except DeviceError as error:
        raise InputError(str(error), error.hint) from error


def load_run(path: str | Path) -> Recommendation:
    """Return the recommendation of a finished run."""
    return Run(Path(path)).recommendation()


def recommend(
    data: str | Path,
    *,
    test: str | Path | None = None,
    task: Task | None = None,
    target: Sequence[str] = (),
    time_column: str | None = None,
    id_column: str | None = None,
    horizon: int | None = None,
    device: str = "cpu",
    budget: Budget | None = None,
    time_limit_s: float | None = None,
    trials: int | None = None,
    families: Sequence[str] = (),
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = quiet,
    started: float | None = None,
) -> Recommendation:
    """Search, compare, choose and save a trained model for `data`.

    Args:
        data: The file.
        test: A file that no choice sees; None: a part of `data` is held out.
        task: None: guessed from the file.
        target: Label column, or the columns to forecast.
        time_column: Name of the time column.
        id_column: Name of the column that tells series apart.
        horizon: Steps to forecast.
        device: cpu, cuda, cuda:0 or mps.
        budget: Limits; None: no limit.
        time_limit_s: Seconds for everything; None with `trials` None: 600.
        trials: Networks to train instead of a time limit; the same seed then gives the same recommendation on CPU.
        families: Which to try; empty: all.
        seed: Of every random choice.
        out: Run folder; None: NAME-run beside the working directory's files.
        resume: Go on with what the run folder holds.
        say: Told a line at a time what happens.
        started: `time.monotonic()` at which the clock began; None: now.

    Raises:
        InputError: the file or an option cannot be used.
        NoCandidateError: nothing keeps the budget.
    """
    from hybrids.families import FAMILIES

    started = time.monotonic() if started is None else started
    unknown = [f for f in families if f not in FAMILIES]
    if unknown:
        raise InputError(f"no family is named {unknown[0]!r}.", f"choose from {', '.join(FAMILIES)}.")
    if trials is None and time_limit_s is None:
        time_limit_s = PRESETS["medium"]
    run = Run(Path(out) if out else Path(f"{Path(data).name.split('.')[0]}-run"))
    fresh(run, resume)
    options = ReadOptions(task=task, target=tuple(target), time=time_column, id=id_column)
    dataset = read(Path(data), options)
    say(f"data: {dataset.format}")
    for words in (*dataset.rivals, *dataset.notes):
        say(f"  {words}")
    held = read(Path(test), options, like=dataset) if test else None
    for words in held.notes if held else ():
        say(f"  test file: {words}")
    facts = profile(dataset)
    request = Request(
        data=str(Path(data).resolve()),
        test=str(Path(test).resolve()) if test else None,
        task=dataset.task,
        target=tuple(target),
        time=time_column,
        id=id_column,
        horizon=horizon,
        device=device,
        time_limit_s=None if trials is not None else time_limit_s,
        trials=trials,
        families=tuple(families),
        seed=seed,
        streaming=(budget or Budget()).streaming,
    )
    return _searched(run, dataset, held, facts, request, budget or Budget(), say, started)


def fresh(run: Run, resume: bool) -> None:
    """Make sure that the folder is free, or that there is something to go on with.

    Raises:
        InputError: a run is there already, or none is.
    """
    there = (run.path / "run.json").exists()
    if resume and not there:
        raise InputError(f"{run.path} holds no run to resume.", "leave out --resume to begin one.")
    if there and not resume:
        raise InputError(
            f"{run.path} holds a run already.", f"go on with `advisor resume {run.path}`, or say --out ANOTHER."
        )
    if run.path.exists() and not run.path.is_dir():
        raise InputError(f"{run.path} is not a folder.", "say --out ANOTHER.")


def _searched(
    run: Run,
    dataset: Dataset,
    held: Dataset | None,
    facts: DataProfile,
    request: Request,
    budget: Budget,
    say: Callable[[str], None],
    started: float,
) -> Recommendation:
    from advisor.search.clock import Clock
    from advisor.search.driver import Search
    from advisor.search.prepare import prepare
    from advisor.search.space import look_back_of
    from hybrids.families import FAMILIES

    machine = device_profile(request.device)
    problem = prepare(dataset, held, facts.season, request.horizon, request.seed)
    plan = problem.plan
    horizon = plan.horizon or None
    context = look_back_of(plan) if plan.task == "forecast" else None
    advice = advise(facts_from(facts, machine, budget, horizon, context=context), request.families or tuple(FAMILIES))
    versions = {**{name: _version(name) for name in PACKAGES}, "python": platform.python_version()}
    run.write("run", {"request": request.model_dump(), "versions": versions, "sha256": dataset.sha256})
    for name, record in (("data_profile", facts), ("device_profile", machine), ("budget", budget), ("advice", advice)):
        run.write(name, record)
    problem.save(run.work)
    _say_plan(say, facts, plan.horizon, plan.test_words, plan.folds, advice)
    cores = available_cores()
    search = Search(
        problem,
        families=tuple(one.family for one in advice.ranking),
        budget=budget,
        device=request.device,
        clock=Clock(started, request.time_limit_s),
        run=run,
        seed=request.seed,
        trials=request.trials,
        workers=1 if request.device != "cpu" else max(1, min(cores, MOST_WORKERS)),
        say=say,
    )
    try:
        admitted = search.gate()
        if not admitted:
            _refuse_if_nothing_fits(search, budget)
        search.explore(admitted)
        search.final()
        if not search.outcome.contenders:
            _no_candidate(search)
        return _finish(search, advice, facts, dataset, request, versions, started)
    finally:
        search.close()


def _say_plan(
    say: Callable[[str], None], facts: DataProfile, horizon: int, test_words: str, folds: int, advice: Advice
) -> None:
    from hybrids.families import FAMILIES

    size = f"{facts.samples} series, {facts.length_p50} steps (median), {facts.channels} channels"
    task = f"{facts.task}, {len(facts.classes)} classes" if facts.classes else facts.task
    if facts.task == "forecast":
        task += f", horizon {horizon}, season {facts.season if facts.season > 1 else 'none found'}"
    say(f"task: {task}; {size}")
    say(f"test: {test_words}; choices are made on {folds} folds of the rest")
    keys = ", ".join(one.key for one in advice.fired) or "none"
    expected = [one.family for one in advice.ranking if not FAMILIES[one.family].needs]
    say(f"documents' rules that fire: {keys}; they expect {', '.join(expected[:3])}")


def _refuse_if_nothing_fits(search: "Search", budget: Budget) -> None:
    """Before anything is fitted: if even the trivial answer breaks the budget, nothing can keep it."""
    from advisor.search.gate import cost_of, trivial

    plan = search.plan
    model, name = trivial(plan)
    cost = cost_of(model, plan.length, budget, search.device, 0.05)
    misses = budget.misses(cost)
    if misses:
        search.outcome.nearest = (name, str(misses[0]))
        _no_candidate(search)


def _no_candidate(search: "Search") -> None:
    family, miss = search.outcome.nearest or ("none", "no candidate could be trained")
    raise NoCandidateError(
        f"no candidate keeps the budget; nearest is {family} with {miss}.",
        f"relax {miss.split(':')[0].replace('_', '-')} above that, or give a faster device.",
    )


def _finish(
    search: "Search",
    advice: Advice,
    facts: DataProfile,
    dataset: Dataset,
    request: Request,
    versions: dict[str, str],
    started: float,
) -> Recommendation:
    from dataclasses import replace
    from datetime import UTC, datetime

    from safetensors.torch import load_file
    from torch import nn

    from advisor import explain
    from advisor.artifact import ModelCard, save_model
    from advisor.choose import choose, margin_of
    from advisor.report.html import write_report
    from advisor.search.gate import cost_of
    from advisor.search.outcome import load_baseline

    plan, problem, budget, run = search.plan, search.problem, search.budget, search.run
    choice = choose(search.outcome.contenders, plan, len(problem.rows))
    chosen = choice.chosen
    if chosen.gated is None:
        model: nn.Module = load_baseline(chosen.weights)
        test = chosen.test
    else:
        weights, test = search.refit(chosen)
        model = chosen.gated.config.build()
        model.load_state_dict(load_file(weights))
    cost = cost_of(model, chosen.cost.length, budget, request.device, 0.3)
    final = replace(chosen, cost=cost, test=test)
    search.outcome.contenders[search.outcome.contenders.index(chosen)] = final
    choice = replace(choice, chosen=final, best=final if choice.best is chosen else choice.best)
    quality = explain.test_quality(problem, test)
    ranked = explain.ranking(choice, search.outcome, problem, budget, search.families)
    how = f"the mean {search.metric.name} over {plan.folds} {'origins' if plan.task == 'forecast' else 'folds'}"
    missed = budget.misses(cost)
    reasons = explain.reasons(choice, ranked, quality, budget, request, how)
    if missed:
        reasons += (f"Measured again after training it no longer keeps the budget: {missed[0]}.",)
    recommendation = Recommendation(
        family=final.family,
        baseline=final.baseline,
        config=final.config,
        quality=quality,
        latency_ms=cost.latency_ms(budget.latency_stat),
        latency_stat=budget.latency_stat,
        memory_mib=cost.peak_memory_mib,
        size_mib=cost.size_mib,
        ranking=tuple(ranked),
        tied_with=choice.tied,
        baselines=tuple(r for r in ranked if r.baseline),
        advice=explain.checks(advice, ranked, search.metric, margin_of(plan, choice.best.mean, len(problem.rows))),
        reasons=reasons,
        request=request,
        versions=versions,
        wall_s=time.monotonic() - started,
    )
    card = ModelCard(
        task=plan.task,
        family=final.family,
        baseline=final.baseline,
        classes=dataset.classes,
        channels=dataset.channels,
        horizon=plan.horizon or None,
        season=plan.season,
        freq=dataset.freq,
        step=integer_step(dataset),
        quantiles=(0.1, 0.5, 0.9) if plan.task == "forecast" else (),
        train_length_max=max(len(s) for s in dataset.series),
        train_length_min=min(len(s) for s in dataset.series),
        data_sha256=dataset.sha256,
        metric=quality.metric,
        quality=quality.value,
        quality_low=quality.low,
        quality_high=quality.high,
        versions=versions,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    save_model(model, run.path / "model", card)
    run.write("recommendation", recommendation)
    write_report(run.path)
    return recommendation


def integer_step(dataset: Dataset) -> int | None:
    """Return the step between integer stamps; None where stamps are times or there are none."""
    stamps = dataset.stamps[0] if dataset.stamps else None
    return int(stamps.step) if isinstance(stamps, pd.RangeIndex) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
