"""What a worker does: pure functions from a job to a result; everything it needs is in the job and the problem."""

import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import nn

from advisor import baselines, metrics
from advisor.records import CurvePoint
from advisor.search.problem import Plan, Problem, Rows
from advisor.training.config import TrainConfig
from advisor.training.loop import answering, train
from advisor.training.rows import row_batches
from advisor.training.windows import window_batches
from hybrids import ModelConfig, SequenceModel
from hybrids.heads.pooled import RegressHead

MOST_JUDGED = 2000
MOST_WINDOWS = 20_000


class NetworkJob(BaseModel):
    """Train one network on everything but `fold` (None: on all), score it, keep its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["network"] = "network"
    model: ModelConfig
    train: TrainConfig
    seed: int
    fold: int | None
    start: str | None = None
    """Weights to start from."""
    save: str
    test: bool = False
    deadline: float
    device: str = "cpu"


class BaselineJob(BaseModel):
    """Fit one baseline on every fold and on everything, score it, keep its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["baseline"] = "baseline"
    name: str
    look_back: int
    seed: int
    save: str
    deadline: float


class Result(BaseModel):
    """What a job found; `failed` says why there is nothing else."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    failed: str = ""
    seconds: float = 0.0
    steps: int = 0
    curve: tuple[CurvePoint, ...] = ()
    folds: dict[int, float] = {}
    """The metric on each fold that the model was not trained on."""
    test: tuple[float, ...] = ()
    """One score a unit of the test part."""


def run_network(job: NetworkJob, problem: Problem) -> Result:
    """Train and score one network."""
    plan = problem.plan
    torch.manual_seed(job.seed)
    model = job.model.build()
    look_back = job.model.head.look_back if job.model.head.kind == "forecast" else plan.length
    data = problem.training(job.fold)
    if isinstance(data, Rows):
        fit_units(model, data)
    if job.start:
        model.load_state_dict(load_file(job.start))
    model.to(job.device)
    if isinstance(data, Rows):
        batches = row_batches(data, job.train, job.device)
    else:
        batches = window_batches(data, look_back, plan.horizon, job.train, job.device)
    judged = [] if job.fold is None else folds_judged(plan, job.fold)
    parts = {k: problem.judged(k, look_back) for k in judged}
    answer = answering(model)
    quick = {k: part.take(spread(len(part), MOST_JUDGED // len(parts))) for k, part in parts.items()}

    def judge() -> float:
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
    )
    if done.failed:
        return Result(failed=done.failed, seconds=done.seconds, steps=done.steps, curve=done.curve)
    save_weights(model, Path(job.save))
    return Result(
        seconds=done.seconds,
        steps=done.steps,
        curve=done.curve,
        folds={k: metrics.summarise(plan.task, problem.score(answer, part)) for k, part in parts.items()},
        test=test_scores(problem, model, look_back) if job.test else (),
    )


def folds_judged(plan: Plan, fold: int) -> list[int]:
    """Return the folds that a model judged on `fold` has not seen: by time, all origins; by rows, that one."""
    return list(range(plan.folds)) if plan.task == "forecast" else [fold]


def spread(n: int, most: int) -> np.ndarray:
    """Return at most `most` of n indices, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def fit_units(model: SequenceModel, rows: Rows) -> None:
    """Set the model's input scaling, and its target's unit, from the rows it may learn from."""
    valid = np.arange(rows.x.shape[1])[None] < rows.lengths[:, None]
    values = rows.x[valid]
    model.frontend.fit(torch.from_numpy(values.mean(0)), torch.from_numpy(values.std(0)))
    if isinstance(model.head, RegressHead):
        model.head.fit(float(rows.y.mean()), float(rows.y.std()))


def test_scores(problem: Problem, model: nn.Module, look_back: int) -> tuple[float, ...]:
    """Return one score a unit of the test part; a forecaster is given the last `look_back` steps."""
    test = problem.test
    if problem.plan.task == "forecast":
        keep = np.minimum(test.lengths, look_back)
        x = np.zeros((len(test), look_back, 1), np.float32)
        for i, (row, size, k) in enumerate(zip(test.x, test.lengths, keep, strict=True)):
            x[i, :k] = row[size - k : size]
        test = Rows(x, keep, test.y, test.scale, test.group)
    return tuple(float(s) for s in problem.score(answering(model), test))


def run_baseline(job: BaselineJob, problem: Problem) -> Result:
    """Fit and score one baseline on every fold, then on everything."""
    began, plan, scores = time.monotonic(), problem.plan, {}
    by_time = plan.task == "forecast"
    for fold in [0] if by_time else range(plan.folds):
        model = fit_baseline(job, problem, fold)
        for k in folds_judged(plan, fold):
            part = problem.judged(k, job.look_back)
            scores[k] = metrics.summarise(plan.task, problem.score(answering(model), part))
    model = fit_baseline(job, problem, None)
    save_weights(model, Path(job.save))
    Path(job.save).with_suffix(".json").write_text(model.config.model_dump_json())
    return Result(
        seconds=time.monotonic() - began,
        folds=scores,
        test=test_scores(problem, model, job.look_back),
    )


def fit_baseline(job: BaselineJob, problem: Problem, fold: int | None) -> "baselines.Baseline":
    """Return the baseline fitted to what may be learnt from."""
    plan, data = problem.plan, problem.training(fold)
    x, lengths, y = (data.x, data.lengths, data.y) if isinstance(data, Rows) else some_windows(data, job, plan)
    return baselines.fit(
        job.name,
        plan.task,
        x,
        lengths,
        y,
        classes=plan.classes,
        season=plan.season,
        horizon=plan.horizon,
        seed=job.seed,
    )


def some_windows(
    series: tuple[np.ndarray, ...], job: BaselineJob, plan: Plan
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return at most 20,000 windows and their futures, in the order of time, spread over all series."""
    need = job.look_back + plan.horizon
    padded = [np.concatenate([np.full(max(0, need - len(s)), s[0], np.float32), s]) for s in series]
    each = max(1, MOST_WINDOWS // len(padded))
    cut = np.stack([s[at : at + need] for s in padded for at in spread(len(s) - need + 1, each)])
    rank = np.concatenate([np.linspace(0, 1, len(spread(len(s) - need + 1, each))) for s in padded])
    cut = cut[np.argsort(rank, kind="stable")]
    lengths = np.full(len(cut), job.look_back, np.int64)
    return cut[:, : job.look_back, None], lengths, cut[:, job.look_back :]


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights, replacing the file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, temporary)
    temporary.replace(path)
