"""What is known before anything is trained: the data, the device, the audit, and what the rules make of it all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor import audit, calibrations, counterfactual
from advisor.audit import Finding
from advisor.counterfactual import Turn
from advisor.data.scratch import forget
from advisor.records import Request
from advisor.rules import Advice, Facts, OwnRule, advise, facts_from
from advisor.runs import Run
from advisor.search.problem import Problem
from advisor.search.recipes.forecast import look_back_of
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.calibration import Calibration
from profiles.data import DataProfile
from profiles.dependence import Dependence, measure_dependence
from profiles.device import DeviceProfile

SHARE, LEAST_S, MOST_S = 0.05, 1.0, 10.0
"""Of the time limit, for the dependence; between so many seconds."""


@dataclass(frozen=True)
class Knowledge:
    """Facts and advice; every part is saved in the run folder.

    Attributes:
        profile: The data.
        machine: The device that trains.
        findings: What is suspicious in the data, worst first.
        calibration: Cost against length on the device that the model is for; None where it was never measured.
        facts: What the rules read.
        advice: What they answer.
        turns: What would have to change for another answer.
    """

    profile: DataProfile
    machine: DeviceProfile
    findings: tuple[Finding, ...]
    calibration: Calibration | None
    facts: Facts
    advice: Advice
    turns: tuple[Turn, ...]

    def save(self, run: Run) -> None:
        """Write each part into the run folder."""
        run.write("data_profile", self.profile)
        run.write("device_profile", self.machine)
        run.write("advice", self.advice)
        run.write("facts", self.facts)
        run.write("audit", self.findings)
        run.write("turns", self.turns)
        if self.calibration is not None:
            run.write("calibration", self.calibration)


def know(
    profile: DataProfile,
    machine: DeviceProfile,
    findings: tuple[Finding, ...],
    problem: Problem,
    request: Request,
    budget: Budget,
    families: Sequence[str],
    own: Sequence[OwnRule] = (),
) -> Knowledge:
    """Return everything that can be known of a problem without training.

    Args:
        profile: Of the data, without the dependence, which is measured here on what may be learnt from.
        machine: The device that trains.
        findings: Of the audit.
        problem: The data, divided.
        request: What was asked.
        budget: What the model may cost.
        families: Those that the rules rank.
        own: The user's rules.
    """
    calibration = calibration_for(request, machine)
    profile = profile.model_copy(update={"dependence": dependence_of(problem, profile, request)})
    plan = problem.plan
    facts = facts_from(
        profile,
        calibration.device if calibration is not None and request.target_device else machine,
        budget,
        plan.horizon or None,
        context=look_back_of(plan) if plan.task == "forecast" else None,
        crossovers=None if calibration is None else calibration.reliable_crossovers,
        missing_operators=(
            *request.missing_operators,
            *(() if calibration is None else calibration.missing_operators),
        ),
        failed_families={} if calibration is None else calibration.failed,
        scenario=request.scenario,
    )
    stacked = [family for family in families if not FAMILIES[family].needs]
    return Knowledge(
        profile=profile,
        machine=machine,
        findings=findings,
        calibration=calibration,
        facts=facts,
        advice=advise(facts, families, own),
        turns=counterfactual.before(facts, stacked, own) if stacked else (),
    )


def calibration_for(request: Request, machine: DeviceProfile) -> Calibration | None:
    """Return the calibration of the device that the model is for: the file the user gave, or that of this device."""
    if request.target_device:
        return calibrations.load_target(request.target_device)
    return calibrations.cached(machine)


def dependence_of(problem: Problem, profile: DataProfile, request: Request) -> Dependence:
    """Return how far back the past matters, measured without the test part."""
    plan = problem.plan
    limit = request.time_limit_s
    seconds = MOST_S if limit is None else float(np.clip(SHARE * limit, LEAST_S, MOST_S))
    if plan.task == "forecast":
        series: list[np.ndarray] = [one[:, :1] for one in problem.series]
        found = measure_dependence(
            series, plan.task, horizon=plan.horizon, seasons=profile.seasons, seconds=seconds, seed=request.seed
        )
        forget(problem.all_series.flat)
        return found
    rows = problem.rows
    series = [x[:n] for x, n in zip(rows.x, rows.lengths, strict=True)]
    return measure_dependence(series, plan.task, rows.y, seconds=seconds, seed=request.seed)


def words(known: Knowledge) -> list[str]:
    """Return what a user is told before the search, a line each."""
    dependence, advice = known.profile.dependence, known.advice
    lines = [f"audit: {line}" for line in audit.lines(known.findings)]
    if dependence is not None:
        lines += [f"the past: {dependence.says}", *(f"  {note}" for note in dependence.notes)]
    lines.append(f"length and cost: {_cost_words(known)}")
    keys = ", ".join(one.key for one in advice.fired if not one.procedure) or "none"
    expected = [one.family for one in advice.ranking if not FAMILIES[one.family].needs]
    lines.append(f"documents' rules that fire: {keys}; they expect {', '.join(expected[:3])}")
    set_aside = dict.fromkeys((one.stands, one.set_aside) for one in advice.conflicts)
    lines += [f"  {stands} stands against {aside}, which is set aside" for stands, aside in set_aside]
    lines += [f"  {line}" for line in counterfactual.lines(known.turns, most=3)]
    return lines


def _cost_words(known: Knowledge) -> str:
    """Return what the rules on length rest on."""
    calibration, crossovers = known.calibration, known.facts.crossovers
    if crossovers is not None:
        return crossovers.says
    stand = "so the documents' 512 and 1024 steps stand"
    if calibration is None:
        return f"this device is not calibrated, {stand}; `advisor device --calibrate` measures them in two minutes"
    return f"{calibration.noise.says} There is no crossover to rely on, {stand}"
