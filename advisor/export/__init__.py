"""A run's model as a file for elsewhere; nothing is written that does not answer as the model does.

onnx          one graph for ONNX Runtime
pt2           one graph for PyTorch
safetensors   the model folder itself, for this package
"""

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advisor.artifact import CARD, CONFIG, WEIGHTS, WORDS, ModelCard, load_model
from advisor.errors import InputError
from advisor.export.parity import (
    LONGEST,
    OUTPUTS,
    Answering,
    Answers,
    Axes,
    Case,
    Check,
    ExportError,
    ExportReport,
    Format,
    Runner,
    Written,
    cases,
    example_length,
    inputs,
    verify,
)
from advisor.runs import Run, readable
from profiles.budget import Budget

__all__ = ["Check", "ExportError", "ExportReport", "Format", "export"]

_TIMING_S = 0.5


def export(run: Path, format: Format, out: Path) -> ExportReport:
    """Write the model of a run to `out` and return what was written.

    The file is made beside `out`, compared with the model (see `parity`), and only then moved into place.

    Args:
        run: A run folder with a finished model.
        format: What to write.
        out: A file; a folder for safetensors. Replaced if it exists.

    Raises:
        InputError: The run has no model, or `out` cannot be replaced.
        ExportError: The file could not be made, or does not answer as the model does.
    """
    run, out = Path(run), Path(out)
    folder = format == "safetensors"
    if out.exists() and out.is_dir() != folder:
        what = "a folder" if out.is_dir() else "a file"
        raise InputError(f"{out} is {what}, but {format} writes {'a folder' if folder else 'a file'}.", "name another.")
    model, card = load_model(run / "model")
    model.requires_grad_(False)  # an export that tracks gradients decomposes recurrences differently
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as room:
        made = Path(room) / f"model.{format}"
        written = _write(model, card, run / "model", made, format)
        chosen = cases(card, example_length(model), written.dynamic_length)
        checks = verify(model, card, written.run, chosen)
        length = card.train_length_max if not written.dynamic_length else min(card.train_length_max, LONGEST)
        latency = float(np.median(_times_ms(written.run, *inputs(model, Case(1, length), len(card.channels)))))
        late = _over_limit(run, written, model, card)
        files = sorted(made.iterdir()) if folder else [made]
        size = sum(file.stat().st_size for file in files)
        digest = hashlib.sha256((made / WEIGHTS if folder else made).read_bytes()).hexdigest()
        if folder and out.exists():
            for file in files:
                os.replace(file, out / file.name)
        else:
            os.replace(made, out)
    ins, outs = _axes(card, written.dynamic_length)
    notes = (*written.notes, *late)
    return ExportReport(
        path=str(out), format=format, sha256=digest, size_bytes=size, opset=written.opset, inputs=ins, outputs=outs,
        dynamic_batch=True, dynamic_length=written.dynamic_length, parity=checks, latency_ms=latency,
        notes=notes,
    )  # fmt: skip


def _write(model: nn.Module, card: ModelCard, source: Path, made: Path, format: Format) -> Written:
    if format == "onnx":
        from advisor.export import onnx

        return onnx.write(model, card, made)
    if format == "pt2":
        from advisor.export import pt2

        return pt2.write(model, card, made)
    if format != "safetensors":
        raise InputError(f"no export format is named {format!r}.", "choose onnx, pt2 or safetensors.")
    made.mkdir()
    for name in (WEIGHTS, CARD, WORDS, CONFIG):
        if (source / name).exists():
            shutil.copyfile(source / name, made / name)
    return Written(_eager(load_model(made)[0].requires_grad_(False), card), True, ())


def _eager(model: nn.Module, card: ModelCard) -> Runner:
    answering, names = Answering(model, card.task), OUTPUTS[card.task]

    def run(x: Tensor, lengths: Tensor) -> Answers:
        with torch.no_grad():
            return dict(zip(names, (t.numpy() for t in answering(x, lengths)), strict=True))

    return run


def _axes(card: ModelCard, dynamic_length: bool) -> tuple[Axes, Axes]:
    """Return the axes of the inputs and of the outputs, by name."""
    ins: Axes = {
        "x": ("batch", "length" if dynamic_length else card.train_length_max, len(card.channels)),
        "lengths": ("batch",),
    }
    tail: dict[str, tuple[int | str, ...]] = {
        "classify": (len(card.classes),), "regress": (), "forecast": (card.horizon or 0, len(card.quantiles)),
    }  # fmt: skip
    return ins, dict.fromkeys(OUTPUTS[card.task], ("batch", *tail[card.task]))


def _over_limit(run: Path, written: Written, model: nn.Module, card: ModelCard) -> tuple[str, ...]:
    """Return a note where the file is slower than the run's limit on a latency, if that is one of this processor.

    Args:
        run: Whose limits hold.
        written: Answers with the file.
        model: What the file was made of.
        card: Its facts.
    """
    if not all((run / name).exists() for name in ("budget.json", "recommendation.json")):
        return ()
    with readable(run / "budget.json"):
        budget = Budget.model_validate(Run(run).read("budget"))
    made = Run(run).recommendation()
    limit_ms = budget.max_latency_ms
    if limit_ms is None or made.latency_error is not None or made.request.device != "cpu":
        return ()
    length = _steps_read(model) if card.task == "forecast" and written.dynamic_length else card.train_length_max
    x, _ = inputs(model, Case(budget.batch_size, length), len(card.channels))
    full = torch.full((budget.batch_size,), length)
    rounds = [np.percentile(_times_ms(written.run, x, full, 20), int(budget.latency_stat[1:])) for _ in range(2)]
    if min(rounds) <= limit_ms:
        return ()
    what = f"{min(rounds):.3g} ms {budget.latency_stat} at batch {budget.batch_size}"
    return (f"above the limit of the run: this file takes {what}, {limit_ms:.3g} ms are allowed; try another format.",)


def _steps_read(model: nn.Module) -> int:
    """Return the steps of the past that a forecaster reads; of an ensemble the most of a part."""
    config: Any = model.config
    alone = [getattr(part, "member", part) for part in getattr(config, "parts", (config,))]
    return max(int(one.head.look_back if hasattr(one, "head") else one.length) for one in alone)


def _times_ms(run: Runner, x: Tensor, lengths: Tensor, least: int = 3) -> list[float]:
    """Return the time of each answer, after a warm-up, within half a second or `least` answers."""
    before = torch.get_num_threads()
    taken: list[float] = []
    torch.set_num_threads(1)
    try:
        run(x, lengths)
        began = time.perf_counter()
        while len(taken) < least or (len(taken) < 50 and time.perf_counter() - began < _TIMING_S):
            start = time.perf_counter()
            run(x, lengths)
            taken.append(1e3 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(before)
    return taken
