"""What a worker does: pure functions from a job to a result; everything it needs is in the job and the problem.

A job has a key, a hash of what it computes. Its files are named by the key, so that a job which goes on from another
names that one by its key, and a resumed run finds what is done already.
"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from safetensors.torch import load_file, save_file
from torch import nn

from advisor import baselines, metrics
from advisor.records import CurvePoint
from advisor.search.problem import Plan, Problem, Rows
from advisor.search.shares import share_of
from advisor.search.windows import fit_units, some_windows, spread, test_scores
from advisor.training.config import TrainConfig
from advisor.training.loop import answering, train
from advisor.training.rows import row_batches
from advisor.training.windows import window_batches
from hybrids import ModelConfig, SequenceModel
from hybrids.committee import Committee

MOST_JUDGED = 2000
NO_TIME = "no time was left to begin it"
Fold = int | Literal["all"] | None
"""What judges a training: a fold; None: nothing, all but the test part is learnt; "all": the test part too."""


class BaseJob(BaseModel):
    """What every job has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    seed: int
    folder: str
    """Where the files of jobs are."""
    deadline: float
    """`time.monotonic()` after which nothing is begun."""

    def key(self) -> str:
        """Return the hash of what this job computes: the same in every part of a run, whatever its clock."""
        facts = self.model_dump(mode="json", exclude={"folder", "deadline"})
        return hashlib.sha256(json.dumps(_timeless(facts), sort_keys=True).encode()).hexdigest()[:20]

    def weights(self) -> Path:
        """Return where the weights go."""
        return weights_of(self.folder, self.key())

    def leaves_weights(self) -> bool:
        """Return whether the job leaves weights, and not a score alone."""
        return True


class NetworkJob(BaseJob):
    """Train one network for one rung on everything but `fold`, score it, keep its weights and its progress."""

    kind: Literal["network"] = "network"
    model: ModelConfig
    train: TrainConfig
    fold: Fold
    start: str | None = None
    """Key of the job whose weights it starts from."""
    goes_on: str | None = None
    """Key of the job whose progress it goes on from."""
    test: bool = False
    """Whether to score the test part."""
    units: bool = False
    """Whether to keep the score of every judged unit."""
    share: float = 1.0
    """Of the data that it may learn from."""
    device: str = "cpu"


class BaselineJob(BaseJob):
    """Fit one baseline on every fold, score it, then fit it on all but the test part and keep its weights."""

    kind: Literal["baseline"] = "baseline"
    name: str
    look_back: int
    everything: bool = False
    """Fit it once, on the test part too, and score nothing."""
    only: int | None = None
    """Fit it for this fold alone and keep nothing but the score."""
    share: float = 1.0
    """Of the data that it may learn from."""

    def leaves_weights(self) -> bool:
        """Return whether it is fitted for good."""
        return self.only is None


class CommitteeJob(BaseJob):
    """Score the mean answer of networks of one architecture on folds that none has seen, and on the test part."""

    kind: Literal["committee"] = "committee"
    model: ModelConfig
    members: tuple[str, ...]
    """Keys of the jobs that trained them."""
    folds: tuple[int, ...]
    device: str = "cpu"

    def leaves_weights(self) -> bool:
        """Return False: its members have left theirs."""
        return False


Job = Annotated[NetworkJob | BaselineJob | CommitteeJob, Field(discriminator="kind")]
JOBS: TypeAdapter[Job] = TypeAdapter(Job)


class Result(BaseModel):
    """What a job found; `failed` says why there is nothing else."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    failed: str = ""
    infeasible: bool = False
    """The failure is one of means, such as memory, not of the training."""
    seconds: float = 0.0
    """Of training, with all earlier rungs."""
    busy_s: float = 0.0
    """Of the worker for this job alone."""
    steps: int = 0
    settled: bool = False
    """Patience ended the training."""
    curve: tuple[CurvePoint, ...] = ()
    folds: dict[int, float] = {}
    """The metric on each fold that the model was not trained on."""
    units: dict[int, tuple[float, ...]] = {}
    """One score a unit of these folds, where they were asked for."""
    test: tuple[float, ...] = ()
    """One score a unit of the test part."""

    @property
    def quality(self) -> float:
        """Return the mean over the folds."""
        return float(np.mean(list(self.folds.values())))


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
        batches = window_batches(data, look_back, plan.horizon, job.train, job.device)
    judged = folds_judged(plan, job.fold) if isinstance(job.fold, int) else []
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
        goes_on=progress_of(job.folder, job.goes_on) if job.goes_on else None,
        keep=progress_of(job.folder, key) if parts else None,
    )
    if not done.steps:
        return Result(failed=NO_TIME)
    if done.failed:
        return Result(failed=done.failed, seconds=done.seconds, steps=done.steps, curve=done.curve)
    save_weights(model, job.weights())
    units = {k: problem.score(answer, part) for k, part in parts.items()}
    return Result(
        seconds=done.seconds,
        steps=done.steps,
        settled=done.settled,
        curve=done.curve,
        folds={k: metrics.summarise(plan.task, scores) for k, scores in units.items()},
        units={k: _numbers(scores) for k, scores in units.items()} if job.units else {},
        test=test_scores(problem, model, look_back) if job.test else (),
    )


def folds_judged(plan: Plan, fold: int) -> list[int]:
    """Return the folds that a model judged on `fold` has not seen: by time, all origins; by rows, that one."""
    return list(range(plan.folds)) if plan.task == "forecast" else [fold]


def look_back_of(model: ModelConfig, plan: Plan) -> int:
    """Return the steps that a model reads: the window of a forecaster, else the longest series."""
    return model.head.look_back if model.head.kind == "forecast" else plan.length


def run_baseline(job: BaselineJob, problem: Problem) -> Result:
    """Fit and score one baseline on every fold, then on everything but the test part; or only fit it, on all."""
    began, plan, units = time.monotonic(), problem.plan, {}
    if job.everything:
        save_baseline(fit_baseline(job, problem, "all"), job.weights())
        return Result(seconds=time.monotonic() - began)
    by_time = plan.task == "forecast"
    alone = None if job.only is None else [job.only]
    for fold in alone or ([0] if by_time else range(plan.folds)):
        model = fit_baseline(job, problem, fold)
        for k in folds_judged(plan, fold):
            units[k] = problem.score(answering(model), problem.judged(k, job.look_back))
    folds = {k: metrics.summarise(plan.task, scores) for k, scores in units.items()}
    if alone:
        return Result(seconds=time.monotonic() - began, folds=folds)
    model = fit_baseline(job, problem, None)
    save_baseline(model, job.weights())
    return Result(
        seconds=time.monotonic() - began,
        folds=folds,
        units={k: _numbers(scores) for k, scores in units.items()},
        test=test_scores(problem, model, job.look_back),
    )


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
        season=plan.season,
        horizon=plan.horizon,
        seed=job.seed,
    )


def run_committee(job: CommitteeJob, problem: Problem) -> Result:
    """Score the committee."""
    plan = problem.plan
    model = committee(job.model, [weights_of(job.folder, key) for key in job.members]).to(job.device)
    look_back = look_back_of(job.model, plan)
    units = {k: problem.score(answering(model), problem.judged(k, look_back)) for k in job.folds}
    return Result(
        folds={k: metrics.summarise(plan.task, scores) for k, scores in units.items()},
        units={k: _numbers(scores) for k, scores in units.items()},
        test=test_scores(problem, model, look_back),
    )


def committee(member: ModelConfig, weights: list[Path]) -> SequenceModel | Committee:
    """Return the model that answers with the mean of the members; alone, a member answers for itself."""
    models = [member.build() for _ in weights]
    for model, path in zip(models, weights, strict=True):
        model.load_state_dict(load_file(path))
    return Committee.of(models) if len(models) > 1 else models[0].eval()


def weights_of(folder: str | Path, key: str) -> Path:
    """Return the weights that job `key` left."""
    return Path(folder) / f"{key}.safetensors"


def progress_of(folder: str | Path, key: str) -> Path:
    """Return the progress that job `key` left."""
    return Path(folder) / f"{key}.progress.safetensors"


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights, replacing the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}, temporary)
    os.replace(temporary, path)


def save_baseline(model: "baselines.Baseline", path: Path) -> None:
    """Write what `outcome.load_baseline` reads."""
    save_weights(model, path)
    path.with_suffix(".json").write_text(model.config.model_dump_json())


def _numbers(scores: np.ndarray) -> tuple[float, ...]:
    return tuple(float(s) for s in scores)


def _timeless(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts without how long it may train by the clock: another part of the run has another clock."""
    settings = facts.get("train")
    if settings and settings["seconds"] is not None:
        settings = {name: value for name, value in settings.items() if name not in ("seconds", "max_steps")}
        return {**facts, "train": settings}
    return facts
