"""What is asked of a worker, and what it answers: data only, JSON in and out. `work` does it.

A job has a key, a hash of what it computes. Its files are named by the key, so that a job which goes on from another
names that one by its key, and a resumed run finds what is done already.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from advisor.records import CurvePoint
from advisor.training.config import TrainConfig
from hybrids import ModelConfig

NO_TIME = "no time was left to begin it"
TEST = "test"
"""Name of the test part in a file of answers."""
Fold = int | Literal["all"] | None
"""What judges a training: a fold; None: nothing, all but the test part is learnt; "all": the test part too."""


class BaseJob(BaseModel):
    """What every job has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    seed: int
    folder: str
    """Where the files of jobs are."""
    deadline: float
    """`time.monotonic()` by which it must be done; nothing is begun after it."""
    begin_by: float | None = None
    """An earlier moment after which it is not begun; None: the deadline alone counts."""

    def key(self) -> str:
        """Return the hash of what this job computes: the same in every part of a run, whatever its clock."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()[:20]

    def facts(self) -> dict[str, Any]:
        """Return what the result depends on, as JSON."""
        return self.model_dump(mode="json", exclude={"folder", "deadline", "begin_by"})

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
    """Whether to keep the score of every judged unit, and the answers to them."""
    share: float = 1.0
    """Of the data that it may learn from."""
    limit_s: float | None = None
    """Time limit of the run that the final and the last training are made for, if not the first one; see `limits`."""
    device: str = "cpu"

    def facts(self) -> dict[str, Any]:
        """Return what the result depends on, without how long it may train by the clock, which is another each time.

        What came later than the first runs is left out where it asks for nothing: they know no such field.
        """
        facts = super().facts()
        if self.limit_s is None:
            del facts["limit_s"]
        if not self.train.replaced:
            del facts["train"]["replaced"]
        if self.train.seconds is not None:
            facts["train"] = {k: v for k, v in facts["train"].items() if k not in ("seconds", "max_steps")}
        return facts


class BaselineJob(BaseJob):
    """Fit one baseline on every fold, score it, then fit it on all but the test part and keep its weights."""

    kind: Literal["baseline"] = "baseline"
    name: str
    look_back: int
    square_root: bool = False
    """Of the target, which is never negative (forecast)."""
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
    passing: bool = False
    """The failure may not come again, such as a full disk."""
    seconds: float = 0.0
    """Of training, with all earlier rungs."""
    busy_s: float = 0.0
    """Of the worker for this job alone."""
    asked_s: float | None = None
    """Seconds that the training was given; None where steps were counted."""
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
    def settles(self) -> bool:
        """Return whether a later part of the run need not do the job again: a failure of means settles nothing."""
        return not (self.infeasible or self.passing)

    @property
    def quality(self) -> float:
        """Return the mean over the folds."""
        return float(np.mean(list(self.folds.values())))


def weights_of(folder: str | Path, key: str) -> Path:
    """Return the weights that job `key` left."""
    return Path(folder) / f"{key}.safetensors"


def answers_of(folder: str | Path, key: str) -> Path:
    """Return the answers (forecasts: medians) that job `key` left to the units of each `fold_name` and of `TEST`."""
    return Path(folder) / f"{key}.answers.safetensors"


def fold_name(fold: int) -> str:
    """Return the name of a fold in a file of answers."""
    return f"fold {fold}"


def progress_of(folder: str | Path, key: str) -> Path:
    """Return the progress that job `key` left."""
    return Path(folder) / f"{key}.progress.safetensors"
