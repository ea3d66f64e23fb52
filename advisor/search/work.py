"""What a worker does: pure functions from a job to a result; everything it needs is in the job and the problem."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import nn

from advisor import baselines, metrics
from advisor.data.rows import Rows
from advisor.search.held_looks import held_looks
from advisor.search.jobs import (
    NO_TIME,
    TEST,
    BaselineJob,
    CommitteeJob,
    Fold,
    Job,
    NetworkJob,
    Result,
    answers_of,
    fold_name,
    progress_of,
    weights_of,
)  # fmt: skip
from advisor.search.problem import Answer, Plan, Problem, answers_to
from advisor.search.shares import share_of
from advisor.search.windows import fit_units, some_windows, spread, test_rows
from advisor.training.loop import answering, train
from advisor.training.rows import row_batches
from advisor.training.windows import window_batches
from hybrids import ModelConfig, SequenceModel
from hybrids.committee import Committee

MOST_JUDGED = 2000
"""Units that a look during training scores."""


def run(job: Job, problem: Problem) -> Result:
    """Do the job."""
    match job:
        case NetworkJob():
            return run_network(job, problem)
        case BaselineJob():
            return run_baseline(job, problem)
        case CommitteeJob():
            return run_committee(job, problem)


def run_network(job: NetworkJob, problem: Problem) -> Result:
    """Train and score one network."""
    plan, key = problem.plan, job.key()
    torch.manual_seed(job.seed)
    model = job.model.build()
    look_back = look_back_of(job.model, plan)
    data = share_of(problem.training(job.fold), job.share, job.seed, plan.task == "classify")
    fit_units(model, data)
    if job.start:
        model.load_state_dict(load_file(weights_of(job.folder, job.start)))
    model.to(job.device)
    if isinstance(data, Rows):
        batches = row_batches(data, job.train, job.device)
    else:
        batches = window_batches(data, look_back, plan.horizon, plan.season, job.train, job.device)
    judged = folds_judged(plan, job.fold) if isinstance(job.fold, int) else []
    parts = {k: problem.judged(k, look_back) for k in judged}
    answer = answering(model)
    quick = {k: part.take(spread(len(part), MOST_JUDGED // len(parts))) for k, part in parts.items()}
    scored = sum(map(len, parts.values())) + (len(problem.test) if job.test else 0)

    held = held_looks(plan.task, parts, job.goes_on is not None) if job.units else None

    def judge() -> float:
        if held is not None:
            return held.look(answer)
        return float(np.mean([metrics.summarise(plan.task, problem.score(answer, part)) for part in quick.values()]))

    done = train(
        plan.task,
        model,
        batches,
        job.train,
        seed=job.seed,
        judge=judge if parts else None,
        higher_is_better=metrics.METRICS[plan.task].higher_is_better,
        deadline=job.deadline,
        reserve=scored / max(1, sum(map(len, quick.values()))),
        goes_on=progress_of(job.folder, job.goes_on) if job.goes_on else None,
        keep=progress_of(job.folder, key) if parts else None,
    )
    if not done.steps:
        return Result(failed=NO_TIME)
    if done.failed:
        return Result(failed=done.failed, seconds=done.seconds, steps=done.steps, curve=done.curve)
    save_weights(model, job.weights())
    found = _scored(
        problem,
        {k: (answer, part) for k, part in parts.items()},
        (answer, test_rows(problem, look_back)) if job.test else None,
        answers_of(job.folder, key) if job.units else None,
        {fold_name(k): answers for k, answers in held.answers().items()} if held is not None else {},
    )
    return Result(
        seconds=done.seconds,
        asked_s=job.train.seconds,
        steps=done.steps,
        settled=done.settled,
        curve=done.curve,
        folds=found.folds,
        units=found.units if job.units else {},
        test=found.test,
    )


def folds_judged(plan: Plan, fold: int) -> list[int]:
    """Return the folds that a model judged on `fold` has not seen: by time, all origins; by rows, that one."""
    return list(range(plan.folds)) if plan.task == "forecast" else [fold]


def look_back_of(model: ModelConfig, plan: Plan) -> int:
    """Return the steps that a model reads: the window of a forecaster, else the longest series."""
    return model.head.look_back if model.head.kind == "forecast" else plan.length


def run_baseline(job: BaselineJob, problem: Problem) -> Result:
    """Fit and score one baseline on every fold, then on everything but the test part; or only fit it, on all."""
    began, plan = time.monotonic(), problem.plan
    asked: dict[int, tuple[Answer, Rows]] = {}
    if job.everything:
        save_baseline(fit_baseline(job, problem, "all"), job.weights())
        return Result(seconds=time.monotonic() - began)
    by_time = plan.task == "forecast"
    alone = None if job.only is None else [job.only]
    for fold in alone or ([0] if by_time else range(plan.folds)):
        answer = answering(fit_baseline(job, problem, fold))
        asked |= {k: (answer, problem.judged(k, job.look_back)) for k in folds_judged(plan, fold)}
    if alone:
        return Result(seconds=time.monotonic() - began, folds=_scored(problem, asked).folds)
    model = fit_baseline(job, problem, None)
    save_baseline(model, job.weights())
    test = (answering(model), test_rows(problem, job.look_back))
    found = _scored(problem, asked, test, answers_of(job.folder, job.key()))
    return Result(seconds=time.monotonic() - began, folds=found.folds, units=found.units, test=found.test)


def fit_baseline(job: BaselineJob, problem: Problem, fold: Fold) -> "baselines.Baseline":
    """Return the baseline fitted to what may be learnt from."""
    plan = problem.plan
    data = share_of(problem.training(fold), job.share, job.seed, plan.task == "classify")
    x, lengths, y = (
        (data.x, data.lengths, data.y) if isinstance(data, Rows) else some_windows(data, job.look_back, plan)
    )
    return baselines.fit(
        job.name,
        plan.task,
        x,
        lengths,
        y,
        classes=plan.classes,
        season=plan.season if plan.season > 1 else usable_season(plan.calendar_season, job.look_back),
        horizon=plan.horizon,
        ahead=len(plan.ahead),
        square_root=job.square_root,
        seed=job.seed,
    )


def usable_season(season: int, look_back: int) -> int:
    """Return `season` where a window holds it twice, else 1: none."""
    return season if 2 * season <= look_back else 1


def run_committee(job: CommitteeJob, problem: Problem) -> Result:
    """Score the committee."""
    plan = problem.plan
    model = committee(job.model, [weights_of(job.folder, key) for key in job.members]).to(job.device)
    look_back, answer = look_back_of(job.model, plan), answering(model)
    asked = {k: (answer, problem.judged(k, look_back)) for k in job.folds}
    files = [answers_of(job.folder, key) for key in job.members]
    given: dict[str, np.ndarray] = {}
    if plan.task == "forecast" and all(file.exists() for file in files):  # as in the final: see `held_looks`
        each = [load_arrays(file) for file in files]
        given = {fold_name(k): np.mean([one[fold_name(k)] for one in each], axis=0) for k in job.folds}
    found = _scored(problem, asked, (answer, test_rows(problem, look_back)), given=given)
    return Result(folds=found.folds, units=found.units, test=found.test)


def committee(member: ModelConfig, weights: list[Path]) -> SequenceModel | Committee:
    """Return the model that answers with the mean of the members; alone, a member answers for itself."""
    models = [member.build() for _ in weights]
    for model, path in zip(models, weights, strict=True):
        model.load_state_dict(load_file(path))
    return Committee.of(models) if len(models) > 1 else models[0].eval()


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights, replacing the file in one step."""
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    _write(lambda temporary: save_file(weights, temporary), path)


def save_baseline(model: "baselines.Baseline", path: Path) -> None:
    """Write what `outcome.load_baseline` reads."""
    save_weights(model, path)
    path.with_suffix(".json").write_text(model.config.model_dump_json())


class _Scored(NamedTuple):
    """The part of a result that says how good a model is."""

    folds: dict[int, float]
    units: dict[int, tuple[float, ...]]
    test: tuple[float, ...]


def _scored(
    problem: Problem,
    judged: Mapping[int, tuple[Answer, Rows]],
    test: tuple[Answer, Rows] | None = None,
    keep: Path | None = None,
    given: Mapping[str, np.ndarray] | None = None,
) -> _Scored:
    """Return how good the answers are.

    Args:
        problem: Its metric.
        judged: Fold -> who answers, and the units that are asked for.
        test: The same of the test part.
        keep: File for the answers themselves; see `jobs.answers_of`.
        given: Answers that are known already, by name.

    Raises:
        FloatingPointError: An answer is not a finite number: the job has failed.
    """
    task, asked = problem.plan.task, {fold_name(k): one for k, one in judged.items()} | ({TEST: test} if test else {})
    given = given or {}
    answers = {name: given[name] if name in given else answers_to(*one) for name, one in asked.items()}
    for name, answer in answers.items():
        if lost := int((~np.isfinite(answer.reshape(len(answer), -1)).all(1)).sum()):
            raise FloatingPointError(f"{lost} of {len(answer)} answers to {name} are not finite numbers")
    scores = {name: metrics.units(task, answers[name], rows.y, rows.scale) for name, (_, rows) in asked.items()}
    if keep is not None:
        kept = {name: np.ascontiguousarray(a[..., 1:2] if task == "forecast" else a) for name, a in answers.items()}
        _write(lambda path: save_arrays(kept, path), keep)
    return _Scored(
        {k: metrics.summarise(task, scores[fold_name(k)]) for k in judged},
        {k: tuple(map(float, scores[fold_name(k)])) for k in judged},
        tuple(map(float, scores.get(TEST, ()))),
    )


def _write(save: Callable[[Path], None], path: Path) -> None:
    """Let `save` write a file that replaces `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    save(temporary)
    os.replace(temporary, path)
