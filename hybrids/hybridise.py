"""From a trained pure model to a hybrid, one layer at a time, keeping only what pays.

For each layer in turn, on a copy: a fresh mixer takes the place of the old one; it learns to answer as the old one did
on the layer's own inputs (least squares, a few dozen steps); then the whole model is trained briefly and measured. The
copy becomes the model if its quality is still within the tolerance of the first model's and its cost has fallen; else
it is dropped, and not one bit of the model before has changed.

The order of the two stages follows MOHAWK (Bick et al. 2024, arXiv:2408.10189) and LoLCATs (Zhang et al. 2024,
arXiv:2410.10254); starting from the old projections where the new mixer has some of the same name and shape follows
Wang et al. 2024, arXiv:2408.15237. Greedy: it finds no pair of replacements of which each alone is refused.
"""

import copy
import math
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Annotated, NamedTuple, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrids.backbone import the_backbone
from hybrids.errors import ConfigError
from hybrids.layout import Layer, render
from hybrids.mixer import Mixer, MixerConfig, valid_steps
from hybrids.model import SequenceModel
from hybrids.shapes import Lengths, Tokens

Model = TypeVar("Model", bound=nn.Module)
Batch = tuple[Tensor, ...]
"""What the model is called with."""


class AlignConfig(BaseModel):
    """How a fresh mixer learns to answer as the old one did."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    steps: Annotated[int, Field(ge=0)] = 60
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    """Of Adam; falls linearly to 0."""


class Step(BaseModel):
    """One replacement that was tried."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")
    layer: int
    """Counted from 0, bottom first."""
    before: Layer
    after: Layer
    inherited: tuple[str, ...]
    """Tensors of the old mixer that the new one started from."""
    misfit_before: float
    """Squared error over the square of the old mixer's answers, before alignment; answering 0 would give 1."""
    misfit_after: float
    quality_before: float
    quality_after: float
    cost_before: float
    cost_after: float
    kept: bool
    why: str


class HybridPath(BaseModel):
    """Every replacement that was tried, in order, and what came of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")
    start: str
    """Layout of the model at the start."""
    end: str
    quality_start: float
    quality_end: float
    cost_start: float
    cost_end: float
    tolerance: float
    higher_is_better: bool
    seed: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """Return one line for the whole and one a step."""
        lines = [
            f"{self.start} became {self.end}: quality {self.quality_start:.4g} -> {self.quality_end:.4g}, "
            f"cost {self.cost_start:.4g} -> {self.cost_end:.4g}"
        ]
        for s in self.steps:
            lines.append(
                f"layer {s.layer}, {render((s.before,))} -> {render((s.after,))}: {'kept' if s.kept else 'refused'}; "
                f"{s.why} (misfit {s.misfit_before:.2g} -> {s.misfit_after:.2g})"
            )
        return "\n".join(lines)


class _Seen(NamedTuple):
    """What a mixer was called with, and its answer."""

    x: Tokens
    lengths: Lengths | None
    y: Tokens


def progressive(
    model: Model,
    *,
    replacement: MixerConfig,
    batches: Sequence[Batch],
    train: Callable[[Model], None],
    evaluate: Callable[[Model], float],
    cost: Callable[[Model], float],
    tolerance: float,
    higher_is_better: bool,
    order: Sequence[int] | None = None,
    align: AlignConfig | None = None,
    seed: int = 0,
) -> tuple[Model, HybridPath]:
    """Replace the mixers of a trained model one at a time; return the hybrid, in evaluation mode, and its path.

    The same arguments give the same result if the callables draw from torch's global generators only.

    Args:
        model: A trained `SequenceModel`, or anything with one `Backbone`; it is not changed.
        replacement: Settings of the mixer that comes in.
        batches: Inputs of the task, on the model's device, each the arguments of `model(...)`; for alignment.
        train: Trains a model in place, briefly, on the task.
        evaluate: Quality of a model, in evaluation mode, on data that `train` does not see.
        cost: Of a model, for example `lambda m: m.flops(512)` or its measured milliseconds.
        tolerance: How much worse than the first model's the quality may be, in the unit of the quality.
        higher_is_better: Of the quality.
        order: Layers to try, counted from 0; None: bottom to top, those that are of another kind.
        align: Settings of the alignment.
        seed: Of the fresh mixers, and of what the callables draw.

    Raises:
        ConfigError: `order` names no layer, no batches, or the replacement would see the future in a causal model.
    """
    stack = the_backbone(model)
    kinds = stack.kinds
    layers = [i for i, kind in enumerate(kinds) if kind != render((replacement,))] if order is None else list(order)
    if wrong := [i for i in layers if not 0 <= i < len(kinds)]:
        raise ConfigError(f"order names layer {wrong[0]}; the model has {len(kinds)}. Count from 0, bottom first.")
    if not batches:
        raise ConfigError("batches is empty. Pass at least one batch of inputs to align new layers on.")
    if stack.causal and not replacement.build(stack.width).causal:
        raise ConfigError(f"{replacement!r} sees the future, but the model is causal. Choose a causal mixer.")
    align, steps = align or AlignConfig(), []
    current = copy.deepcopy(model).eval()
    quality_start, cost_start = evaluate(current), cost(current)
    quality_now, cost_now = quality_start, cost_start
    for at in layers:
        candidate = copy.deepcopy(current)
        with torch.random.fork_rng(_devices(model)):
            torch.manual_seed(seed + at)
            before = the_backbone(candidate).layers[at]
            inherited, misfits = _replace(candidate, at, replacement, batches, align)
            train(candidate)
        candidate.eval()
        quality, spent = evaluate(candidate), cost(candidate)
        worse = quality_start - quality if higher_is_better else quality - quality_start
        held, cheaper = worse <= tolerance, spent < cost_now
        why = (
            f"quality {quality:.4g}, {'within' if held else 'not within'} {tolerance:.4g} of {quality_start:.4g}; "
            f"cost {spent:.4g}, {'less' if cheaper else 'not less'} than {cost_now:.4g}"
        )
        steps.append(
            Step(
                layer=at,
                before=before,
                after=replacement,
                inherited=inherited,
                misfit_before=misfits[0],
                misfit_after=misfits[1],
                quality_before=quality_now,
                quality_after=quality,
                cost_before=cost_now,
                cost_after=spent,
                kept=held and cheaper,
                why=why,
            )
        )
        if held and cheaper:
            current, quality_now, cost_now = candidate, quality, spent
    path = HybridPath(
        start=render(stack.layers),
        end=render(the_backbone(current).layers),
        quality_start=quality_start,
        quality_end=quality_now,
        cost_start=cost_start,
        cost_end=cost_now,
        tolerance=tolerance,
        higher_is_better=higher_is_better,
        seed=seed,
        steps=tuple(steps),
    )
    return current, path


def _devices(model: nn.Module) -> list[torch.device]:
    """Return the accelerators whose random state the model's work touches."""
    return list({p.device for p in model.parameters() if p.device.type == "cuda"})


def _replace(
    model: nn.Module, at: int, layer: MixerConfig, batches: Sequence[Batch], align: AlignConfig
) -> tuple[tuple[str, ...], tuple[float, float]]:
    """Put an aligned mixer into block `at`; return what it inherited and its misfit before and after alignment."""
    stack = the_backbone(model)
    seen = _watch(model, stack.stack()[at].mixer, batches)
    old = stack.replace(at, layer)
    new = stack.stack()[at].mixer
    if isinstance(model, SequenceModel):
        layers = stack.layers
        model.config = model.config.model_copy(update={"layers": layers, "family": render(layers)})
    fresh = new.state_dict()
    inherited = {n: t for n, t in old.state_dict().items() if n in fresh and t.shape == fresh[n].shape}
    new.load_state_dict(inherited, strict=False)
    first = _misfit(new, seen)
    _align(new, seen, align)
    return tuple(inherited), (first, _misfit(new, seen))


@torch.no_grad()
def _watch(model: nn.Module, mixer: Mixer, batches: Sequence[Batch]) -> list[_Seen]:
    """Return what `mixer` is called with and answers while `model` reads the batches in evaluation mode."""
    seen: list[_Seen] = []

    def note(_: nn.Module, inputs: tuple[Tensor, object, Lengths | None], answer: tuple[Tensor, object]) -> None:
        seen.append(_Seen(inputs[0], inputs[2], answer[0]))

    hook = mixer.register_forward_hook(note)
    try:
        for batch in batches:
            model(*batch)
    finally:
        hook.remove()
    return seen


def _errors(mixer: Mixer, seen: _Seen) -> tuple[Tensor, Tensor]:
    """Return the sums over valid steps of the squared error and of the square of the old answers."""
    error, size = (mixer(seen.x, None, seen.lengths)[0] - seen.y).square(), seen.y.square()
    if seen.lengths is not None:
        padding = ~valid_steps(seen.x, seen.lengths)[..., None]
        error, size = error.masked_fill(padding, 0), size.masked_fill(padding, 0)
    return error.sum(), size.sum()


@torch.no_grad()
def _misfit(mixer: Mixer, seen: Sequence[_Seen]) -> float:
    """Return the squared error over all calls, over the square of the old answers."""
    sums = [_errors(mixer, call) for call in seen]
    size = sum(float(s) for _, s in sums)
    return sum(float(e) for e, _ in sums) / size if size else math.inf


def _align(mixer: Mixer, seen: Sequence[_Seen], config: AlignConfig) -> None:
    """Train `mixer` to answer as was seen; one call a step, in turn."""
    was_training = mixer.training
    mixer.train()
    optimiser = torch.optim.Adam(mixer.parameters(), lr=config.learning_rate)
    with torch.enable_grad():
        for step, call in enumerate(islice(cycle(seen), config.steps)):
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * (1 - step / config.steps)
            error, size = _errors(mixer, call)
            optimiser.zero_grad()
            torch.autograd.backward(error / size.clamp_min(torch.finfo(size.dtype).tiny))
            optimiser.step()
    mixer.train(was_training)
