"""The private names of PyTorch that a correct export needs, each used only where it exists.

Without them PyTorch 2.13 freezes the length of a recurrent model to the example's, in silence: the second export of a
GRU or LSTM in a process reads a stale dispatch cache, and the output shape is specialised unless the recurrence is
decomposed to a `while_loop` during the whole export (pytorch issue 191855, pull request 193192).
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from advisor.export.parity import ExportError

T = TypeVar("T")
RECURRENT = ("gru", "lstm")
_OTHER = "export with --format safetensors, or recommend again with another of --families."


def clear_dispatch_caches() -> None:
    """Forget how recurrent layers were dispatched by an earlier export."""
    for name in RECURRENT:
        overload = getattr(getattr(torch.ops.aten, name), "input", None)
        cache = getattr(overload, "_dispatch_cache", None)
        if cache is not None:
            cache.clear()


@contextmanager
def exporting() -> Iterator[None]:
    """Keep recurrences symbolic in time, and quiet the exporter: what it warns of is gated here by measurement."""
    clear_dispatch_caches()
    try:
        patches: ModuleType | None = import_module("torch.export._patches")
    except ImportError:
        patches = None
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with ExitStack() as stack, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        for name in RECURRENT:
            register = getattr(patches, f"register_{name}_while_loop_decomposition", None)
            if register is not None:
                stack.enter_context(register())
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            clear_dispatch_caches()


def capture(module: nn.Module, example: tuple[Tensor, Tensor], dynamic_length: bool) -> ExportedProgram:
    """Return the graph of `module(x, lengths)` with a dynamic batch and, if asked, a dynamic length.

    Call it inside `exporting`. `Dim.AUTO` lets the capture decide; `require_free` then checks what it decided.
    """
    x_axes = {0: Dim.AUTO, 1: Dim.AUTO} if dynamic_length else {0: Dim.AUTO}
    return torch.export.export(module, example, dynamic_shapes=(x_axes, {0: Dim.AUTO}), strict=False)


def input_shapes(program: ExportedProgram) -> dict[str, tuple[int | torch.SymInt, ...]]:
    """Return the shape of each input of the user, by name."""
    wanted = set(program.graph_signature.user_inputs)
    return {node.name: tuple(node.meta["val"].shape) for node in program.graph.nodes if node.name in wanted}


def require_free(program: ExportedProgram, dynamic_length: bool) -> None:
    """Raise `ExportError` unless every asked axis is free: a recurrence that was unrolled is a constant or bounded."""
    shapes = input_shapes(program)
    asked = [("x", 0, "batch"), ("lengths", 0, "batch")] + ([("x", 1, "length")] if dynamic_length else [])
    for name, axis, words in asked:
        size = shapes[name][axis]
        bounds = _bounds(program, size)
        if bounds is None:
            raise ExportError(f"the {words} of {name} is fixed to {size} in the captured graph.", _OTHER)
        if bounds[1] is not None:
            raise ExportError(f"the {words} of {name} is only valid up to {bounds[1]} in the captured graph.", _OTHER)


def shortest(program: ExportedProgram) -> int:
    """Return the lower bound of the length that the graph asks for; 2 is what a free axis shows."""
    size = input_shapes(program)["x"][1]
    bounds = _bounds(program, size)
    return int(size) if bounds is None else bounds[0]


def _bounds(program: ExportedProgram, size: int | torch.SymInt) -> tuple[int, int | None] | None:
    """Return the range of a free size, its end None where it has none; None where the size is not free.

    A frozen size can still be a `SymInt`: one whose expression is a number, which has no range.
    """
    if not isinstance(size, torch.SymInt) or size.node.expr not in program.range_constraints:
        return None
    found = program.range_constraints[size.node.expr]
    upper = int(found.upper) if getattr(found.upper, "is_Integer", False) else None
    return int(found.lower), upper


def widest(attempt: Callable[[bool], T]) -> tuple[T, bool, tuple[str, ...]]:
    """Return `attempt(True)` (dynamic length) and True, or else `attempt(False)` and False, with notes on why.

    Raises:
        ExportError: Neither can be done.
    """
    try:
        return attempt(True), True, ()
    except Exception as error:
        note = f"A dynamic length was refused: {_reason(error)}"
    try:
        return attempt(False), False, (note,)
    except Exception as error:
        raise ExportError(f"the model cannot be exported: {_reason(error)} Nothing was written.", _OTHER) from error


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}"
