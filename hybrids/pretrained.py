"""Start a hybrid from weights that were trained before: an encoder from Hugging Face, or any model of this toolkit.

Layers are paired by kind, the i-th attention layer of the source with the i-th of the model, or as the caller says.
Then a tensor is taken where name and shape agree and it means the same in both. Nothing happens silently: `Taken`
accounts for every tensor of both sides.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from hybrids import bert
from hybrids.backbone import Backbone, the_backbone
from hybrids.errors import ConfigError
from hybrids.model import load

PARTS = ("frontend", "backbone")
"""What is taken unless the caller says otherwise; a head belongs to its task."""


class Moved(BaseModel):
    """A tensor that was taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    target: str
    numbers: int


class Left(BaseModel):
    """A tensor that was left as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    side: Literal["source", "model"]
    name: str
    why: str


class Taken(BaseModel):
    """The account of an initialisation; `str` gives it line by line."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    source: str
    moved: tuple[Moved, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]
    """Where the settings of paired layers differ: the weights start from the source's, but compute something else."""
    numbers: int
    """All weights of the model, taken or not."""

    def __str__(self) -> str:
        """Return one line for the whole and one for each tensor and note."""
        sides = {"model": "kept fresh in the model", "source": "left in the source"}
        taken = sum(m.numbers for m in self.moved)
        return "\n".join(
            [
                f"took {len(self.moved)} tensors from {self.source}: {taken} of the model's {self.numbers} weights",
                *(f"took {m.source} as {m.target}: {m.numbers} weights" for m in self.moved),
                *(f"{sides[item.side]} {item.name}: {item.why}" for item in self.left),
                *(f"note: {note}" for note in self.notes),
            ]
        )


class _Side(NamedTuple):
    """A model seen as a stack, the path of the stack in it, and its tensors by name."""

    backbone: Backbone
    path: str
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module) -> "_Side":
        backbone = the_backbone(model)
        (path,) = (name for name, part in model.named_modules() if part is backbone)
        return cls(backbone, f"{path}." if path else "", model.state_dict())

    def layer(self, name: str) -> int | None:
        """Return the layer that tensor `name` belongs to, if to any."""
        found = re.match(re.escape(self.path) + r"blocks\.(\d+)\.", name)
        return int(found[1]) if found else None

    def within(self, name: str) -> str:
        """Return the name inside its layer, inside the stack, or the name."""
        return re.sub(r"^blocks\.\d+\.", "", name.removeprefix(self.path))


def initialise(
    model: nn.Module,
    source: Path | nn.Module,
    *,
    layers: Mapping[int, int] | None = None,
    parts: tuple[str, ...] = PARTS,
) -> Taken:
    """Copy into `model` what fits of `source`, and return the account.

    Args:
        model: Anything with one `Backbone`; changed in place.
        source: A folder that `hybrids.model.save` wrote, a run (its `model` folder is read), a Hugging Face encoder
            (see `hybrids.bert`), or a model in memory.
        layers: From layer of the source to layer of the model, both counted from 0; None: paired by kind, in order.
            Layers of different kinds share what has the same name and shape, such as the projections of attention and
            linear attention (Wang et al. 2024, arXiv:2408.15237).
        parts: Attributes of the model that may change. Buffers, such as the mean of the training data, never do.

    Raises:
        ConfigError: nothing fits, the source cannot be read, or `layers` names a layer that does not exist, or one of
            the model's twice.
    """
    origin, said, unread = _opened(source)
    theirs, ours = _Side.of(origin), _Side.of(model)
    pairs = _pairs(theirs.backbone, ours.backbone, layers)
    weights = dict(model.named_parameters(remove_duplicate=False))
    moved: list[Moved] = []
    left = [Left(side="source", name=name, why="not a part of an encoder's layers") for name in unread]
    for name, tensor in theirs.tensors.items():
        at = theirs.layer(name)
        if at is not None and at not in pairs:
            left.append(Left(side="source", name=name, why="its layer has no partner in the model"))
            continue
        here = ours.path + name.removeprefix(theirs.path) if name.startswith(theirs.path) else name
        if at is not None:
            here = f"{ours.path}blocks.{pairs[at]}.{theirs.within(name)}"
        why = _refusal(here, tensor, theirs, ours, weights, parts)
        if why is None:
            moved.append(Moved(source=name, target=here, numbers=tensor.numel()))
        elif here in ours.tensors:
            left.append(Left(side="model", name=here, why=why))
        else:
            left.append(Left(side="source", name=name, why=why))
    told = {m.target for m in moved} | {item.name for item in left if item.side == "model"}
    left += [
        Left(side="model", name=name, why="the source has nothing of this name")
        for name in ours.tensors
        if name not in told
    ]
    if not moved:
        raise ConfigError(
            f"nothing of {said} fits: width {theirs.backbone.width} there, {ours.backbone.width} here. "
            f"{left[0].name}: {left[0].why}. Build the model with the width and the layers of the source."
        )
    with torch.no_grad():
        for m in moved:
            weights[m.target].copy_(theirs.tensors[m.source])
    return Taken(
        source=said,
        moved=tuple(moved),
        left=tuple(left),
        notes=tuple(_notes(origin, model, pairs, {m.target.partition(".")[0] for m in moved})),
        numbers=sum(p.numel() for p in model.parameters()),
    )


def _opened(source: Path | nn.Module) -> tuple[nn.Module, str, tuple[str, ...]]:
    """Return the source as a model, its name for people, and tensors that were not read."""
    if isinstance(source, nn.Module):
        return source, f"a {type(source).__name__} in memory", ()
    folder = source if (source / "config.json").is_file() else source / "model"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{source} holds no config.json. Pass a model folder, a run or a Hugging Face encoder.")
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "model_type" in settings:
            encoder, unread = bert.read(folder)
            return encoder, str(folder), unread
        return load(folder), str(folder), ()
    except json.JSONDecodeError as error:
        raise ConfigError(f"{folder / 'config.json'} is not JSON ({error}). Save the model again.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "it"
        raise ConfigError(
            f"{folder} holds no sequence model of ours: {place}: {fault['msg']}. Pass a network's folder."
        ) from error


def _pairs(theirs: Backbone, ours: Backbone, layers: Mapping[int, int] | None) -> dict[int, int]:
    """Return from layer of the source to layer of the model."""
    if layers is not None:
        for numbers, stack, words in ((layers.keys(), theirs, "source"), (layers.values(), ours, "model")):
            if wrong := [i for i in numbers if not 0 <= i < len(stack.layers)]:
                raise ConfigError(
                    f"the {words} has no layer {wrong[0]}; it has {len(stack.layers)}. Count from 0, bottom first."
                )
        if len(set(layers.values())) < len(layers):
            raise ConfigError(f"layers {dict(layers)} fills a layer of the model twice. Name each layer once.")
        return dict(layers)
    pairs: dict[int, int] = {}
    for kind in dict.fromkeys(theirs.kinds):
        there, here = ([i for i, k in enumerate(stack.kinds) if k == kind] for stack in (theirs, ours))
        pairs |= dict(zip(there, here, strict=False))
    return dict(sorted(pairs.items()))


def _refusal(
    name: str, tensor: Tensor, theirs: _Side, ours: _Side, weights: dict[str, nn.Parameter], parts: tuple[str, ...]
) -> str | None:
    """Return why the tensor is not taken as the model's `name`, or None."""
    stacked = name.startswith(ours.path)
    part = "backbone" if stacked else name.partition(".")[0]
    within, there, here = ours.within(name), theirs.backbone.style, ours.backbone.style
    if name not in ours.tensors:
        return "the model has nothing of this name"
    if part not in parts:
        return f"{part} was not asked for"
    if name not in weights:
        return "a statistic of the source's data"
    if tensor.shape != weights[name].shape:
        return f"shape {tuple(tensor.shape)} in the source, {tuple(weights[name].shape)} in the model"
    if stacked and there.norm != here.norm and re.match(r"(feedforward_)?norm\.", within):
        return f"{there.norm}-norm in the source, {here.norm}-norm in the model"
    if stacked and there.feedforward != here.feedforward and within.startswith("feedforward."):
        return f"{there.feedforward} in the source, {here.feedforward} in the model"
    return None


def _notes(origin: nn.Module, model: nn.Module, pairs: dict[int, int], changed: set[str]) -> list[str]:
    """Return, in words, the settings in which paired layers and other parts differ."""
    theirs, ours = the_backbone(origin).layers, the_backbone(model).layers
    notes = []
    for i, j in pairs.items():
        old, new = theirs[i].model_dump(), ours[j].model_dump()
        different = [
            f"{key} {old.get(key, 'absent')} there, {new.get(key, 'absent')} here"
            for key in {**old, **new}
            if old.get(key) != new.get(key)
        ]
        if different:
            notes.append(f"layer {i} of the source became layer {j}: {'; '.join(different)}")
    parts, others = dict(model.named_children()), dict(origin.named_children())
    for name in sorted(changed & parts.keys() & others.keys()):
        here, there = (f"{type(p).__name__}({getattr(p, 'config', '')})" for p in (parts[name], others[name]))
        if here != there:
            notes.append(f"{name}: {there} there, {here} here")
    return notes
