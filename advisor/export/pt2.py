"""PyTorch's own portable graph (`torch.export`), read by `torch.export.load(path).module()(x, lengths)`.

What ONNX keeps in its metadata stands in the extra file `meta.json`.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from advisor.artifact import ModelCard
from advisor.export import compat
from advisor.export.onnx import fixed_length_note, metadata
from advisor.export.parity import OUTPUTS, Answering, Answers, Written, example_length
from hybrids.shapes import Lengths, Series

FREE = 2
"""The lower bound that a free axis shows: the capture treats 0 and 1 as special, and runs at 1 all the same."""


class Padded(nn.Module):
    """Adds steps on the right, which change no answer: a guard on the shortest length then always holds."""

    def __init__(self, inner: nn.Module, steps: int) -> None:
        super().__init__()
        self.inner, self.steps = inner, steps

    def forward(self, x: Series, lengths: Lengths) -> tuple[Tensor, ...]:
        """Return the answers of the inner module."""
        answers: tuple[Tensor, ...] = self.inner(F.pad(x, (0, 0, 0, self.steps)), lengths)
        return answers


def write(model: nn.Module, card: ModelCard, path: Path) -> Written:
    """Write the program to `path`; the caller compares it with the model.

    Raises:
        ExportError: Not even a program of fixed length can be written.
    """
    program, dynamic_length, notes = compat.widest(lambda dynamic: _program(model, card, dynamic))
    if not dynamic_length:
        notes += (fixed_length_note(card),)
    names = OUTPUTS[card.task]
    meta = {**metadata(card), "outputs": json.dumps(names)}
    with compat.exporting():
        torch.export.save(program, path, extra_files={"meta.json": json.dumps(meta)})
        loaded = torch.export.load(path).module()

    def run(x: Tensor, lengths: Tensor) -> Answers:
        with torch.no_grad():
            return dict(zip(names, (t.numpy() for t in loaded(x, lengths)), strict=True))

    return Written(run, dynamic_length, notes)


def _program(model: nn.Module, card: ModelCard, dynamic_length: bool) -> ExportedProgram:
    """Return the captured program; raise whatever stands in the way."""
    module = Answering(model, card.task).eval()
    length = example_length(model) if dynamic_length else card.train_length_max
    example = (torch.randn(2, length, len(card.channels)), torch.tensor([length, max(1, length // 2)]))
    with compat.exporting():
        program = compat.capture(module, example, dynamic_length)
        compat.require_free(program, dynamic_length)
        shortest = compat.shortest(program)
        if dynamic_length and shortest > FREE:
            program = compat.capture(Padded(module, shortest - 1).eval(), example, dynamic_length)
            compat.require_free(program, dynamic_length)
    return program
