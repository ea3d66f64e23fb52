"""The end of a run: choose, refit, measure again, say why, save the model and the report."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
from torch import nn

from advisor import explain
from advisor.artifact import ModelCard, ahead_name, save_model
from advisor.choose import margin_of
from advisor.data import Dataset
from advisor.knowledge import Knowledge
from advisor.records import Recommendation, Request
from advisor.report.html import write_report
from advisor.search.driver import Search
from advisor.search.problem import Problem
from hybrids.committee import Committee
from hybrids.heads.forecast import ForecastConfig
from hybrids.model import SequenceModel
from profiles.gradient_reach import GradientReach, compare
from profiles.reach import model_reach


def conclude(
    search: Search,
    known: Knowledge,
    dataset: Dataset,
    request: Request,
    versions: dict[str, str],
    started: float,
) -> Recommendation:
    """Return the recommendation and leave the model, its card and the report in the run folder."""
    at = search.context
    plan, problem, budget, run = at.plan, at.problem, at.settings.budget, at.run
    choice = search.choose()
    curve = search.amounts()
    if curve is not None:
        run.write("data_size", curve)
    final, done = search.finish(choice.chosen)
    while missed := budget.misses(final.cost):
        if not search.put_aside(choice.chosen, missed):
            raise search.outcome.no_candidate()
        choice = search.choose()
        final, done = search.finish(choice.chosen)
    model, cost = done.model, final.cost
    search.outcome.contenders[search.outcome.contenders.index(choice.chosen)] = final
    choice = replace(choice, chosen=final, best=final if choice.best is choice.chosen else choice.best)
    quality = explain.test_quality(problem, done.test)
    ranked = explain.ranking(choice, search.outcome, problem, budget, at.families)
    unit = "origin" if plan.task == "forecast" else "fold"
    judged = plan.folds * plan.fold_cuts
    apart = f", {plan.stride} step{'s' if plan.stride > 1 else ''} apart" if plan.stride else ""
    how = f"the mean {at.metric.name} over {judged} {unit}s{apart}" if judged > 1 else f"one {unit} alone"
    reasons = (*explain.reasons(choice, ranked, quality, budget, request, how, search.against_naive()), *done.says)
    reached = _reach(model, problem)
    if reached is not None:
        run.write("model_reach", reached)
        needed = known.profile.dependence
        reasons += (compare(reached, needed.reach_from_end),) if needed and needed.reach_from_end else ()
    reasons += (curve.says,) if curve else ()
    margin = margin_of(plan, choice.best.mean, len(problem.rows))
    recommendation = Recommendation(
        family=final.family,
        baseline=final.baseline,
        config=final.config,
        quality=quality,
        latency_ms=cost.latency_ms(budget.latency_stat),
        latency_stat=budget.latency_stat,
        latency_error=cost.error,
        memory_mib=cost.peak_memory_mib,
        size_mib=cost.size_mib,
        ranking=tuple(ranked),
        tied_with=choice.tied,
        judged=len(problem.rows) or None,
        baselines=tuple(r for r in ranked if r.baseline),
        advice=explain.checks(known.advice, search.outcome.trials, at.metric, margin),
        reasons=reasons,
        request=request,
        versions=versions,
        wall_s=time.monotonic() - started,
        busy_s=at.pool.busy_s,
        workers=at.settings.workers,
        members=done.members,
        parts=tuple(part.family for part in final.parts),
    )
    card = ModelCard(
        task=plan.task,
        family=final.family,
        baseline=final.baseline,
        parts=tuple(part.family for part in final.parts),
        classes=dataset.classes,
        channels=(*dataset.channels, *plan.calendar, *map(ahead_name, plan.ahead)),
        calendar=plan.calendar,
        ahead=plan.ahead,
        id_columns=dataset.id_columns,
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


def _reach(model: nn.Module, problem: Problem) -> GradientReach | None:
    """Return how far the gradient of a network reaches on its own data; None for a baseline and for an ensemble."""
    model = model.members[0] if isinstance(model, Committee) else model
    if not isinstance(model, SequenceModel):
        return None
    head = model.config.head
    rows = problem.judged(0, head.look_back) if isinstance(head, ForecastConfig) else problem.rows
    return model_reach(model, rows.x, rows.lengths)


def integer_step(dataset: Dataset) -> int | None:
    """Return the step between integer stamps; None where stamps are times or there are none."""
    stamps = dataset.stamps[0] if dataset.stamps else None
    return int(stamps.step) if isinstance(stamps, pd.RangeIndex) else None
