"""From data that were read to a recommendation: what is known, the search, the conclusion."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

from advisor import calibrations, knowledge
from advisor.audit import audit
from advisor.conclude import conclude
from advisor.data import HELD_SHARE, Dataset
from advisor.data.profile import profile_of
from advisor.errors import InputError, NoCandidateError
from advisor.records import Recommendation, Request
from advisor.rules import Advice, OwnRule
from advisor.runs import Run
from advisor.search.clock import Clock
from advisor.search.driver import Search
from advisor.search.gate import trivial
from advisor.search.prepare import prepare
from advisor.search.problem import Plan
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.data import DataProfile
from profiles.device import DeviceProfile, available_cores
from profiles.target import Target, TargetError

PACKAGES = ("torch", "numpy", "scikit-learn", "optuna", "pandas", "onnx", "onnxruntime")
MOST_WORKERS = 8
TARGET_SHARE = 0.15
"""Of the limit, for timing this device against a target where that was not done before."""


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
    known = knowledge.know(
        facts,
        machine,
        findings,
        problem,
        request,
        budget,
        request.families or tuple(FAMILIES),
        own,
    )
    for line in knowledge.words(known):
        say(line)
    versions = {**{name: _version(name) for name in PACKAGES}, "python": platform.python_version()}
    run.write("run", {"request": request.model_dump(), "versions": versions, "sha256": dataset.sha256})
    run.write("budget", budget)
    known.save(run)
    problem.save(run.work)
    cores = available_cores()
    search = Search(
        problem,
        families=tuple(one.family for one in known.advice.ranking),
        budget=budget,
        device=request.device,
        clock=Clock(started, request.time_limit_s),
        run=run,
        seed=request.seed,
        trials=request.trials,
        workers=1 if request.device != "cpu" else max(1, min(cores, MOST_WORKERS)),
        say=say,
        target=_target(request, known.advice, say),
    )
    try:
        admitted = search.gate()
        if not admitted:
            refuse_if_nothing_fits(search, budget)
        search.explore(admitted)
        search.final()
        if not search.outcome.contenders:
            _no_candidate(search)
        return conclude(search, known, dataset, request, versions, started)
    finally:
        search.close()


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
    say(f"test: {plan.test_words}; choices are made on {plan.folds} folds of the rest")


def refuse_if_nothing_fits(search: Search, budget: Budget) -> None:
    """Before anything is fitted: if even the trivial answer breaks the budget, nothing can keep it."""
    model, name = trivial(search.plan)
    cost = search.cost(model, search.plan.length, 0.05)
    misses = budget.misses(cost)
    if misses:
        search.outcome.nearest = (name, str(misses[0]))
        _no_candidate(search)


def _no_candidate(search: Search) -> None:
    family, miss = search.outcome.nearest or ("none", "no candidate could be trained")
    raise NoCandidateError(
        f"no candidate keeps the budget; nearest is {family} with {miss}.",
        f"relax {miss.split(':')[0].replace('_', '-')} above that, or give a faster device.",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
