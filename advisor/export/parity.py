"""What an exported file must answer, and the gate that it does: compared with the model at shapes the export never saw.

A file that agrees at the example's shape proves nothing: a frozen length or an unrolled recurrence agrees there too. So
batches, lengths (ragged, from 1 step to ten times the example), levels and amplitudes differ from the export's.

The error is measured against the range of the answers plus 2 % of their level, and may be at most 1e-4 of that. The
range keeps a high level (sales of 10,000 a day) from hiding a wrong graph; the 2 % allow for float32 at that level.

Trees and shares of positive values have steps: two runtimes that round a sum differently stand on two sides of one. So
what exceeds the tolerance is compared with what the model itself does when its inputs move by a few units in the last
place; an answer may be off by as much as its own model moves there, and no more. Forests have so many thresholds that
some inputs stand on one which those moves do not find: where a forest is off, fresh inputs are drawn, and the file must
answer to all of them as the model does. A wrong file does not.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from advisor.artifact import ModelCard
from advisor.baselines.boosting import GradientBoosting
from advisor.baselines.trees import Forest
from advisor.errors import AdvisorError
from hybrids.shapes import Lengths, Series
from profiles.task import Task

TOLERANCE = 1e-4
LEVEL_SHARE = 0.02
ROUNDING, DRAWS = 8 * float(np.finfo(np.float32).eps), 64
"""Largest relative change of an input that rounding is taken for, and how many such changes are tried."""
AGAIN = 3
"""Fresh inputs that a file with a forest must answer to where it was off."""
LONGEST = 4096
"""Longest series the gate and the timing run, in steps."""
LEVELS = (
    ("frontend.mean", "frontend.scale", 0),
    ("channel_mean", "channel_scale", 0),
    ("other_mean", "other_scale", 1),
)
"""Buffers that tell mean and deviation of the data, and how many channels before theirs they leave out."""
SIZES = (1, 6, 7)
"""Places in `boosting.summary` that have no level: deviation, slope, mean absolute step."""

Format = Literal["onnx", "pt2", "safetensors"]
Answers = dict[str, np.ndarray]
Runner = Callable[[Tensor, Tensor], Answers]
Axes = dict[str, tuple[int | str, ...]]

OUTPUTS: dict[Task, tuple[str, ...]] = {
    "classify": ("logits", "probabilities"),
    "regress": ("value",),
    "forecast": ("quantiles",),
}


class ExportError(AdvisorError):
    """The exported file does not answer as the model does, or cannot be written; nothing was written."""


class OffError(ExportError):
    """It answers, but not as the model does."""


class Check(BaseModel):
    """One comparison of the file with the model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    batch: int
    length: int
    max_abs_error: float
    relative_error: float
    """Over the range of the answers plus 2 % of their level; beyond the model's own steps where it has such."""
    passed: bool
    drawn_again: bool = False
    """The first inputs stood on a threshold of a tree, and fresh ones were taken; see the module."""


class ExportReport(BaseModel):
    """What was written, and the proof that it answers as the model does."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    path: str
    format: Format
    sha256: str
    """Of the file; of weights.safetensors for a folder."""
    size_bytes: int
    opset: int | None = None
    inputs: Axes
    outputs: Axes
    dynamic_batch: bool
    dynamic_length: bool
    parity: tuple[Check, ...]
    latency_ms: float
    """Median for one series of the longest training length (4096 steps at most), one CPU thread."""
    notes: tuple[str, ...] = ()

    def words(self) -> str:
        """Return the report for people."""
        worst = max(check.relative_error for check in self.parity)
        drawn = sum(check.drawn_again for check in self.parity)
        again = f"; {drawn} on fresh inputs, where a rounded sum stood on a threshold" if drawn else ""
        free = [name for name, free in (("batch", self.dynamic_batch), ("length", self.dynamic_length)) if free]
        lines = [
            f"{self.path}: {self.format}{f', opset {self.opset}' if self.opset else ''}, {self.size_bytes:,} bytes",
            *(f"input  {name} {list(axes)}" for name, axes in self.inputs.items()),
            *(f"output {name} {list(axes)}" for name, axes in self.outputs.items()),
            f"dynamic: {' and '.join(free) or 'nothing'}",
            f"parity: {len(self.parity)} shapes, largest relative error {worst:.1e} (allowed {TOLERANCE:.0e}){again}",
            f"latency: {self.latency_ms:.3g} ms, one series, one thread",
            *self.notes,
        ]
        return "\n".join(lines)


class Written(NamedTuple):
    """What a format's writer hands back; see `ExportReport`."""

    run: Runner
    dynamic_length: bool
    notes: tuple[str, ...]
    opset: int | None = None


class Answering(nn.Module):
    """The model with the outputs of `OUTPUTS`: for classify the probabilities beside the logits."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, x: Series, lengths: Lengths) -> tuple[Tensor, ...]:
        """Return the outputs in the order of `OUTPUTS`."""
        answer = self.model(x, lengths)
        return (answer, answer.softmax(-1)) if self.task == "classify" else (answer,)


class Case(NamedTuple):
    """Inputs to compare on."""

    batch: int
    length: int
    gain: float = 1.0
    level: float = 0.0
    turn: int = 0
    """Of the draws of inputs."""


def example_length(model: nn.Module) -> int:
    """Return a generic length to export at: several tokens, and no multiple of a patch or chunk."""
    configs = [getattr(part, "config", None) for part in (model, *getattr(model, "parts", ()))]
    return max(70, *(4 * int(getattr(getattr(one, "frontend", None), "patch", 1)) + 3 for one in configs))


def cases(card: ModelCard, example: int, dynamic_length: bool) -> list[Case]:
    """Return what to compare on; a fixed length leaves only the batch to vary."""
    longest = min(card.train_length_max, LONGEST)
    if not dynamic_length:
        return [Case(batch, card.train_length_max, gain) for batch, gain in ((1, 1.0), (2, 3.0), (5, 1.0))]
    level = 1000.0 if card.task == "forecast" else 0.0
    return [
        Case(1, 1), Case(1, 7), Case(2, 64), Case(3, 131, 3.0), Case(5, 64, 1.0, level), Case(2, longest),
        Case(1, min(10 * example, LONGEST), 3.0),
    ]  # fmt: skip


def inputs(model: nn.Module, case: Case, channels: int) -> tuple[Tensor, Tensor]:
    """Return x (B, L, C) on the level of the model's own data where it tells it, and ragged lengths (B,)."""
    draw = torch.Generator().manual_seed(case.batch * 10_007 + case.length + 1_000_003 * case.turn)
    mean, scale = _stored_level(model, channels)
    wave = torch.sin(torch.arange(case.length)[None, :, None] * 0.7)
    z = torch.randn(case.batch, case.length, channels, generator=draw) + wave
    lengths = torch.randint(1, case.length + 1, (case.batch,), generator=draw)
    lengths[0] = case.length
    return (mean + scale * case.gain * z + case.level).to(torch.float32), lengths


def _stored_level(model: nn.Module, channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the training data, (C,) each; 0 and 1 where nothing in the model tells them.

    Committees and ensembles hold them in their parts, the ridge on lags for every channel but the target, which each
    window scales itself. Boosted trees hold only thresholds.
    """
    buffers = dict(model.named_buffers())
    for mean, scale, own in LEVELS:
        for name, values in buffers.items():
            beside = buffers.get(name.removesuffix(mean) + scale)
            if f".{name}".endswith(f".{mean}") and beside is not None and values.numel() == channels - own > 0:
                return torch.cat([torch.zeros(own), values]), torch.cat([torch.ones(own), beside])
    for part in model.modules():
        if isinstance(part, GradientBoosting):
            return _level_of_trees(part.forest, channels)
    return torch.zeros(1), torch.ones(1)


def _level_of_trees(forest: Forest, channels: int) -> tuple[Tensor, Tensor]:
    """Return the median of the thresholds that split values of a channel, and how large those around it are, (C,) each.

    A threshold lies between two values of the data. A channel that no tree splits has 0 and 1: no answer depends on it.
    """
    splits = forest.left != forest.right
    kind, channel = forest.feature[splits] // channels, forest.feature[splits] % channels
    thresholds, is_size = forest.threshold[splits], torch.isin(kind, torch.tensor(SIZES))
    mean, scale = torch.zeros(channels), torch.ones(channels)
    for c in range(channels):
        values, sizes = (thresholds[(channel == c) & (is_size == which)] for which in (False, True))
        if len(values):
            mean[c] = values.median()
        around = torch.cat([values - mean[c], sizes]).abs()
        if around.any():
            scale[c] = around.mean()
    return mean, scale


@torch.no_grad()
def verify(model: nn.Module, card: ModelCard, run: Runner, chosen: Sequence[Case]) -> tuple[Check, ...]:
    """Return the comparisons of `run` with `model`.

    Raises:
        ExportError: They differ; the message names the first shape and its error.
    """
    reference, names = Answering(model, card.task), OUTPUTS[card.task]
    fed = [inputs(model, case, len(card.channels)) for case in chosen]
    expected = [_expected(reference, names, pair) for pair in fed]
    ends = {name: [end for e in expected for end in (e[name].min(), e[name].max())] for name in names}
    shared = {name: float(np.ptp(values)) for name, values in ends.items()}
    compare = partial(_compared, reference, run, card.task, shared)
    stepped = any(isinstance(part, Forest) for part in model.modules())
    checks = []
    for case, pair, wanted in zip(chosen, fed, expected, strict=True):
        try:
            checks.append(compare(case, pair, wanted))
        except OffError:
            if not stepped:
                raise
            again = [case._replace(turn=turn) for turn in range(1, AGAIN + 1)]
            fresh = [inputs(model, one, len(card.channels)) for one in again]
            found = [compare(*one, _expected(reference, names, one[1])) for one in zip(again, fresh, strict=True)]
            worst = max(found, key=lambda check: check.relative_error)
            checks.append(worst.model_copy(update={"drawn_again": True}))
    return tuple(checks)


def _expected(reference: Answering, names: tuple[str, ...], pair: tuple[Tensor, Tensor]) -> Answers:
    """Return what the model answers to x and lengths."""
    return dict(zip(names, (answer.numpy() for answer in reference(*pair)), strict=True))


def _compared(
    reference: Answering,
    run: Runner,
    task: Task,
    shared: dict[str, float],
    case: Case,
    pair: tuple[Tensor, Tensor],
    wanted: Answers,
) -> Check:
    """Return the comparison at one shape.

    Raises:
        ExportError: The file cannot run there, or answers in another shape.
        OffError: It answers otherwise.
    """
    where = f"batch {case.batch}, length {case.length}"
    try:
        got = run(*pair)
    except Exception as error:
        raise _differs(f"it cannot run at {where}: {str(error).strip().splitlines()[0][:300]}") from error
    absolute, relative = 0.0, 0.0
    for output, name in enumerate(OUTPUTS[task]):
        ref, answer = wanted[name], got[name]
        if answer.shape != ref.shape:
            raise _differs(f"at {where} {name} has shape {answer.shape} instead of {ref.shape}")
        span = float(np.ptp(ref)) if task == "forecast" else shared[name]
        unit = max(span + LEVEL_SHARE * float(np.abs(ref).max()), 1e-6)
        off = np.abs(answer.astype(np.float64) - ref)
        if not off.max() <= TOLERANCE * unit:
            off = np.maximum(off - _own_steps(reference, pair, output), 0.0)
        error_here = float(off.max())
        absolute, relative = max(absolute, error_here), max(relative, error_here / unit)
        if not error_here <= TOLERANCE * unit:  # also where it is NaN
            raise _differs(
                f"at {where} {name} is off by {error_here:.3g}, relative {error_here / unit:.1e}; "
                f"at most {TOLERANCE:.0e} is allowed",
                OffError,
            )
    return Check(batch=case.batch, length=case.length, max_abs_error=absolute, relative_error=relative, passed=True)


def _own_steps(reference: Answering, pair: tuple[Tensor, Tensor], output: int) -> np.ndarray:
    """Return how far each number of an output moves when the inputs do by rounding, at most.

    Every second time a channel of a row moves as a whole: its mean then moves by what the rounding of a long sum does.
    """
    x, lengths = pair
    draw = torch.Generator().manual_seed(0)
    still = reference(x, lengths)[output]
    most = torch.zeros_like(still)
    for turn in range(DRAWS):
        steps = 1 if turn % 2 else x.shape[1]
        moved = x * (1 + ROUNDING * (2 * torch.rand(len(x), steps, x.shape[2], generator=draw) - 1))
        most = torch.maximum(most, (reference(moved, lengths)[output] - still).abs())
    return np.asarray(most.double().numpy())


def _differs(what: str, kind: type[ExportError] = ExportError) -> ExportError:
    return kind(
        f"the exported file does not answer as the model does: {what}. Nothing was written.",
        "export with --format safetensors, or recommend again with another of --families.",
    )
