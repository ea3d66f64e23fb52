"""The model folder: settings as JSON, weights as safetensors, and a card that says what the model is for.

config.json           `ModelConfig`, `CommitteeConfig`, `BaselineConfig` or `EnsembleConfig`
weights.safetensors   the state dict; its metadata repeats the config, so that files of two saves are not mixed
card.json card.md     `ModelCard`, for programs and for people
"""

import json
import os
from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from advisor.baselines import Baseline, BaselineConfig, build
from advisor.ensemble import Ensemble, EnsembleConfig
from advisor.errors import InputError
from advisor.records import Record, interval_words, listed
from advisor.runs import write_text
from hybrids.committee import Committee, CommitteeConfig
from hybrids.model import ModelConfig, SequenceModel
from profiles.task import Task

CONFIG, WEIGHTS, CARD, WORDS = "config.json", "weights.safetensors", "card.json", "card.md"


class ModelCard(Record):
    """What a saved model answers, what it was trained on and how good it was."""

    task: Task
    family: str
    baseline: bool
    parts: tuple[str, ...] = ()
    """Families and baselines whose mean an ensemble answers with; empty for every other model."""
    classes: tuple[str, ...] = ()
    """In the order of the logits; empty unless classify."""
    channels: tuple[str, ...]
    """What the model reads, in this order; of a forecast: the target, covariates, calendar, what is known ahead."""
    calendar: tuple[str, ...] = ()
    """Channels after those that are read: computed from the stamps; see `advisor.data.calendar`."""
    ahead: tuple[str, ...] = ()
    """Covariates known ahead: the last channels are these, a horizon later; see `advisor.data.ahead`."""
    id_columns: tuple[str, ...] = ()
    """Columns of the training file whose words together name a series; none: it held no such column."""
    horizon: Annotated[int, Field(ge=1)] | None = None
    """Steps ahead; None unless forecast."""
    season: Annotated[int, Field(ge=1)] = 1
    freq: str | None = None
    """pandas offset alias of the training step; None for step numbers, or unless forecast."""
    step: Annotated[int, Field(ge=1)] | None = None
    """Step between integer stamps in training; None: a file's own step is taken."""
    quantiles: tuple[float, ...] = ()
    """Levels of a forecast, ascending: low, median, high."""
    train_length_max: Annotated[int, Field(ge=1)]
    train_length_min: Annotated[int, Field(ge=1)]
    data_sha256: str
    metric: str
    quality: float
    """On data that no choice has seen, in the metric's unit."""
    quality_low: float | None
    """Of the 95 % interval; None, as `quality_high`: there were too few units for one."""
    quality_high: float | None
    versions: dict[str, str]
    created: str

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        """Refuse a card that lacks what its task needs."""
        if self.task == "classify" and len(self.classes) < 2:
            raise ValueError(f"classify needs at least 2 classes, got {len(self.classes)}")
        if self.task == "forecast" and (self.horizon is None or len(self.quantiles) != 3 or not self.read):
            raise ValueError("forecast needs a horizon, 3 quantiles and a target channel")
        made = (*self.calendar, *(ahead_name(name) for name in self.ahead))
        if made != self.channels[len(self.read) :]:
            raise ValueError(f"the channels {self.channels} do not end with {made}")
        if self.train_length_min > self.train_length_max:
            raise ValueError(f"train_length_min {self.train_length_min} is above the max {self.train_length_max}")
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """Return the channels that are read from a file."""
        return self.channels[: len(self.channels) - len(self.calendar) - len(self.ahead)]

    def preparation(self) -> dict[str, str]:
        """Return what a caller of the model alone has to do before: `predict` does it, the graph does not."""
        said = {
            "missing values": "none may be left: fill each channel of a series before, linear in time, the nearest "
            "value at the edges; infinite values count as missing"
        }
        if self.ahead:
            said["known ahead"] = f"{_some(self.ahead)}: the last channels are these, {self.horizon} steps later"
        if self.calendar:
            said["calendar"] = (
                f"{_some(self.calendar)} of 2 pi times the share of the cycle that has passed: of the day since "
                "midnight, of the week since Monday 00:00, of the year since 1 January"
            )
        return said

    def markdown(self) -> str:
        """Return the card for people."""
        answers = {
            "classify": f"logits of {len(self.classes)} classes: {_some(self.classes)}",
            "regress": "one number, in the unit of the target",
            "forecast": f"quantiles {', '.join(map(str, self.quantiles))} of the next {self.horizon} steps",
        }
        rows = {
            "task": self.task,
            "kind": "baseline" if self.baseline else "network",
            "input": f"{len(self.channels)} channels: {_some(self.channels)}; raw values, scaling is inside",
            "answer": answers[self.task],
            "quality": f"{self.metric} {self.quality:.4g} ({interval_words(self.quality_low, self.quality_high)}), on "
            "data that no choice has seen",
            "trained on": f"series of {self.train_length_min} to {self.train_length_max} steps; "
            f"file sha256 {self.data_sha256 or 'unknown'}",
            "created": self.created,
            "versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        }
        if self.parts:
            rows["kind"] = f"the mean answer of {listed(self.parts)}"
        rows.update(self.preparation())
        if self.task == "forecast":
            past = tuple(name for name in self.read[1:] if name not in self.ahead)
            rows["covariates"] = f"{_some(past) or 'none'} (past values only)"
            rows["step"] = f"{self.freq or self.step or 'as in the file'}; season of {self.season} steps"
        table = "\n".join(f"| {name} | {_cell(text)} |" for name, text in rows.items())
        return f"# {self.family}, to {self.task}\n\n| | |\n|---|---|\n{table}\n"


def ahead_name(name: str) -> str:
    """Return the name of the channel that holds a covariate a horizon later."""
    return f"{name}, ahead"


def _cell(text: str) -> str:
    """Return text that stays inside one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def save_model(model: nn.Module, folder: Path, card: ModelCard) -> None:
    """Write the model folder; every file is replaced in one step.

    Args:
        model: A `SequenceModel`, a `Committee` of them, a fitted `Baseline`, or an `Ensemble` of such.
        folder: Made if missing.
        card: What is said of the model.
    """
    if not isinstance(model, SequenceModel | Committee | Baseline | Ensemble):
        raise TypeError(f"only a network, a Committee, a Baseline or an Ensemble is saved, not {type(model).__name__}")
    config = model.config.model_dump_json()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()}
    temporary = folder / f"{WEIGHTS}.tmp"
    save_file(weights, temporary, metadata={"config": config})
    os.replace(temporary, folder / WEIGHTS)
    write_text(folder / CARD, card.model_dump_json(indent=1) + "\n")
    write_text(folder / WORDS, card.markdown())
    write_text(folder / CONFIG, json.dumps(json.loads(config), indent=1) + "\n")


def load_model(folder: Path) -> tuple[nn.Module, ModelCard]:
    """Return the model that `save_model` wrote, in evaluation mode on the CPU, and its card.

    Raises:
        InputError: A file is missing or damaged, or the files are not of one save.
    """
    missing = [name for name in (CONFIG, WEIGHTS, CARD) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} has no {', '.join(missing)}.",
            "give the folder of a finished run; finish a stopped one with `advisor resume`.",
        )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        card = ModelCard.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, "pt") as file:
            trained_as = json.loads((file.metadata() or {}).get("config", "null"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if trained_as != config:
            raise InputError(f"{folder}: {CONFIG} and {WEIGHTS} are not of one save.", "write the model again.")
        model = _empty(config)
        model.load_state_dict(weights)
    except InputError:
        raise
    except (ValidationError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{folder} is not a readable model ({first}).", "write the model again.") from error
    return model.eval(), card


def _empty(config: dict[str, object]) -> nn.Module:
    """Return an unfitted model; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        if config.get("kind") == "network":
            return ModelConfig.model_validate(config).build()
        if config.get("kind") == "committee":
            return CommitteeConfig.model_validate(config).build()
        if config.get("kind") == "ensemble":
            return EnsembleConfig.model_validate(config).build()
        return build(BaselineConfig.model_validate(config))
