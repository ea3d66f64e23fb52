"""From data that were read to a recommendation: what is known, the search, the conclusion."""

import json
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from advisor import calibrations, knowledge
from advisor.audit import audit
from advisor.conclude import conclude
from advisor.data import HELD_SHARE, Dataset
from advisor.data.calendar import calendar_words
from advisor.data.profile import profile_of
from advisor.errors import InputError
from advisor.records import Recommendation, Request
from advisor.rules import Advice, OwnRule
from advisor.runs import Run, readable
from advisor.search import store
from advisor.search.clock import Clock
from advisor.search.context import Settings
from advisor.search.driver import Search
from advisor.search.gate import cost_of, steps_read, trivial
from advisor.search.gatekeeper import GATE_S
from advisor.search.knobs import Knobs
from advisor.search.lock import only_driver
from advisor.search.outcome import Outcome
from advisor.search.prepare import prepare
from advisor.search.problem import Plan, Problem
from advisor.search.race import Race
from advisor.search.recipes.forecast import look_back_of
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.data import DataProfile
from profiles.device import DeviceProfile, available_cores
from profiles.target import Target, TargetError

PACKAGES = ("torch", "numpy", "scikit-learn", "optuna", "pandas", "onnx", "onnxruntime")
MOST_WORKERS = 8
DECIDES = ("test", "task", "target", "time", "id", "known", "horizon", "seed", "streaming")
"""Of a request: what the results of a run depend on beside the data."""
TARGET_SHARE = 0.15
"""Of the limit, for timing this device against a target where that was not done before."""
GLANCES = 3
"""Measurements of the trivial answer, of which the quickest counts."""


def carry_out(
    run: Run,
    dataset: Dataset,
    held: Dataset | None,
    own: Sequence[OwnRule],
    machine: DeviceProfile,
    request: Request,
    budget: Budget,
    say: Callable[[str], None],
    started: float,
) -> Recommendation:
    """Return the recommendation for a problem that was read, and leave everything in the run folder.

    Raises:
        InputError: the data leave nothing to learn, or an option cannot be followed.
        NoCandidateError: nothing keeps the budget.
    """
    facts = profile_of(dataset, seen=1.0 if held else 1 - HELD_SHARE)
    problem = prepare(dataset, held, facts.season, request.horizon, request.seed)
    plan = problem.plan
    _say_plan(say, facts, plan)
    findings = audit(dataset, held, plan.horizon or None)
    for one in findings:
        if one.severity == "error":
            raise InputError(one.says, one.do)
    versions = {**{name: _version(name) for name in PACKAGES}, "python": platform.python_version()}
    asked = {"request": request.model_dump(), "versions": versions, "sha256": dataset.sha256}
    asked["test_sha256"] = held.sha256 if held else ""
    here = budget if request.target_device is None else budget.model_copy(update={"max_latency_ms": None})
    refuse_if_nothing_fits(run, plan, here, request.device)
    with only_driver(run):
        _same_question(run, asked)
        run.write("run", asked)
        run.write("budget", budget)
        problem.save(run.work)
        workers = 1 if request.device != "cpu" else max(1, min(available_cores(), MOST_WORKERS))
        settings = Settings(
            budget, request.device, request.seed, request.trials, workers, request.committee, request.networks_only
        )
        with readable(run.work):
            search = Search(problem, settings, Clock(started, request.time_limit_s), run, say)
        try:
            search.load()
            if request.target_device is None:
                search.begin()
            families = request.families or tuple(FAMILIES)
            known = knowledge.know(facts, machine, findings, problem, request, budget, families, own)
            for line in knowledge.words(known):
                say(line)
            known.save(run)
            ranked = tuple(one.family for one in known.advice.ranking)
            target = _target(request, known.advice, say)
            given = _given(run, request, problem, ranked, asked, say)
            if not search.explore(ranked, given, target):
                raise search.outcome.no_candidate()
            found = conclude(search, known, dataset, request, versions, started)
            if _learns(request) and search.race is not None:
                _learn(problem, search.race, say)
            return found
        finally:
            search.close()


def _learns(request: Request) -> bool:
    """Return whether earlier runs may help: never where a number of trials asks for the same answer every time."""
    return request.store and request.trials is None


def _learn(problem: Problem, race: Race, say: Callable[[str], None]) -> None:
    """Keep what did well for later runs; where the file cannot be written, say so and go on."""
    try:
        kept = store.keep(problem, race)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        say(f"store: nothing is kept for later runs ({error})")
        return
    if kept:
        say(f"store: {kept} configurations better than their default are kept for runs on similar data")


def _given(
    run: Run,
    request: Request,
    problem: Problem,
    families: tuple[str, ...],
    asked: dict[str, Any],
    say: Callable[[str], None],
) -> dict[str, list[Knobs]]:
    """Return family -> configurations of earlier runs on similar data, written down in run.json."""
    if not _learns(request):
        return {}
    given = store.warm_start(problem, families)
    run.write("run", {**asked, "given": {f: [k.model_dump(mode="json") for k in of] for f, of in given.items()}})
    if given:
        count = sum(len(knobs) for knobs in given.values())
        say(
            f"store: {count} configurations from earlier runs on similar data are tried after the defaults (--no-store)"
        )
    return given


def _same_question(run: Run, asked: dict[str, Any]) -> None:
    """Refuse to go on with a run that was begun on other data or divided otherwise: its results would not fit.

    Raises:
        InputError: what decides the data or their division differs.
    """
    if not (run.path / "run.json").exists():
        return
    before = run.read("run")
    old, new = before.get("request", {}), asked["request"]
    other = [name for name in DECIDES if (old.get(name) or None) != (json.loads(json.dumps(new[name])) or None)]
    files = {"sha256": "data file", "test_sha256": "test file"}  # an older run has not the latter
    other = [name for key, name in files.items() if before.get(key, asked[key]) != asked[key]] + other
    if other:
        raise InputError(
            f"{run.path} was begun with another {other[0].replace('_', ' ')}.", "say --out ANOTHER to begin anew."
        )


def _target(request: Request, advice: Advice, say: Callable[[str], None]) -> Target | None:
    """Return the device that the model is for, where it is not the one that trains."""
    if request.target_device is None:
        return None
    limit = request.time_limit_s
    families = [one.family for one in advice.ranking]
    seconds = calibrations.QUICK_SECONDS if limit is None else TARGET_SHARE * limit
    try:
        found = calibrations.target_of(request.target_device, request.device, families, seconds=seconds, say=say)
    except TargetError as error:
        raise InputError(error.message, error.hint) from error
    say(f"target: latencies are predicted for {found.name}, not measured there")
    return found


def _say_plan(say: Callable[[str], None], facts: DataProfile, plan: Plan) -> None:
    size = f"{facts.samples} series, {facts.length_p50} steps (median), {facts.channels} channels"
    task = f"{facts.task}, {len(facts.classes)} classes" if facts.classes else facts.task
    if facts.task == "forecast":
        task += f", horizon {plan.horizon}, season {facts.season if facts.season > 1 else 'none found'}"
    say(f"task: {task}; {size}")
    if plan.task == "forecast":
        ahead = f"known ahead: {', '.join(plan.ahead)}" if plan.ahead else "past only"
        covariates = f"{', '.join(plan.covariates)} ({ahead})" if plan.covariates else "none"
        say(f"covariates: {covariates}; calendar: {calendar_words(plan.calendar) or 'none'}")
    if plan.ahead and (read := look_back_of(plan)) < plan.horizon:
        say(f"the data are short: of what is known ahead only the last {read} of {plan.horizon} steps are read")
    if plan.nonnegative:
        say("the target is never negative: its square root is forecast, and squared again")
    say(f"test: {plan.test_words}; choices are made on {plan.folds} folds of the rest")


def refuse_if_nothing_fits(run: Run, plan: Plan, budget: Budget, device: str) -> None:
    """Before anything is written: if even the trivial answer breaks the budget at its quickest, nothing can keep it.

    Raises:
        NoCandidateError: it does.
    """
    if budget.max_latency_ms is budget.max_memory_mib is budget.max_model_mib is None:
        return
    model, name = trivial(plan)
    costs = [cost_of(model, steps_read(plan), budget, device, GATE_S) for _ in range(GLANCES)]
    misses = budget.misses(min(costs, key=lambda cost: cost.latency_ms(budget.latency_stat)))
    if misses:
        outcome = Outcome()
        outcome.missed(name, misses)
        raise outcome.no_candidate(begun=(run.path / "run.json").exists())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
