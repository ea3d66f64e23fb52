"""ONNX: one float32 graph with scaling inside, run by ONNX Runtime with nothing else installed.

Inputs `x` (batch, length, channels) raw values, right-padded, and `lengths` (batch). Task, classes, channels, horizon
and quantiles stand in the file's metadata. The graph neither fills missing values nor computes the calendar or what is
known ahead: the caller does, and the metadata's `preparation` says how.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from advisor.artifact import ModelCard
from advisor.export import compat
from advisor.export.parity import OUTPUTS, Answering, Answers, ExportError, Written, example_length

OPSET = 20


def write(model: nn.Module, card: ModelCard, path: Path) -> Written:
    """Write the graph to `path`; the caller compares it with the model.

    Raises:
        ExportError: Not even a graph of fixed length can be written.
    """
    proto, dynamic_length, notes = compat.widest(lambda dynamic: _graph(model, card, dynamic))
    if not dynamic_length:
        notes += (fixed_length_note(card),)
    for key, value in metadata(card).items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(path))
    return Written(runner(path, OUTPUTS[card.task]), dynamic_length, notes, proto.opset_import[0].version)


def fixed_length_note(card: ModelCard) -> str:
    """Return what the caller of a graph of fixed length has to do."""
    cut = "keep the last steps of longer ones" if card.task == "forecast" else "longer ones cannot be answered"
    return f"The length is fixed to {card.train_length_max} steps: pad shorter series on the right; {cut}."


def metadata(card: ModelCard) -> dict[str, str]:
    """Return what a program needs to use the file; each value is text or JSON."""
    facts: Mapping[str, object] = {
        "task": card.task, "family": card.family, "classes": card.classes, "channels": card.channels,
        "calendar": card.calendar, "ahead": card.ahead, "preparation": card.preparation(),
        "horizon": card.horizon, "season": card.season, "freq": card.freq, "quantiles": card.quantiles,
        "train_length_max": card.train_length_max, "data_sha256": card.data_sha256, "versions": card.versions,
    }  # fmt: skip
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}


def runner(path: Path, names: tuple[str, ...]) -> "_Session":
    """Return a function that runs the file on one thread."""
    return _Session(path, names)


class _Session:
    """A callable ONNX Runtime session."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        self.names = names

    def __call__(self, x: Tensor, lengths: Tensor) -> Answers:
        """Return the outputs by name."""
        given = {"x": np.ascontiguousarray(x.numpy()), "lengths": lengths.numpy()}
        asked = {one.name for one in self.session.get_inputs()}
        found = self.session.run(list(self.names), {name: value for name, value in given.items() if name in asked})
        return dict(zip(self.names, found, strict=True))


def _graph(model: nn.Module, card: ModelCard, dynamic_length: bool) -> onnx.ModelProto:
    """Return the checked graph; raise whatever stands in the way."""
    module = Answering(model, card.task).eval()
    length = example_length(model) if dynamic_length else card.train_length_max
    example = (torch.randn(2, length, len(card.channels)), torch.tensor([length, max(1, length // 2)]))
    with compat.exporting():
        program = compat.capture(module, example, dynamic_length)
        compat.require_free(program, dynamic_length)
        exported = torch.onnx.export(
            program, dynamo=True, input_names=["x", "lengths"], output_names=list(OUTPUTS[card.task]),
            opset_version=OPSET, external_data=False, verbose=False,
        )  # fmt: skip
    if exported is None:
        raise ExportError("torch.onnx.export returned no graph.", "use --format pt2 or safetensors.")
    proto: onnx.ModelProto = exported.model_proto
    del proto.graph.value_info[:]
    _name_axes(proto, dynamic_length)
    return proto


def _name_axes(proto: onnx.ModelProto, dynamic_length: bool) -> None:
    """Rename the free axes to batch and length; raise `ExportError` where one was frozen on the way."""
    free: dict[str, dict[int, str]] = {"lengths": {0: "batch"}, "x": {0: "batch"}}
    if dynamic_length:
        free["x"][1] = "length"
    for value in [*proto.graph.input, *proto.graph.output]:
        dims = value.type.tensor_type.shape.dim
        for axis, name in free.get(value.name, {0: "batch"}).items():
            if not dims[axis].dim_param:
                raise ExportError(
                    f"axis {axis} ({name}) of {value.name} was frozen to {dims[axis].dim_value} in the graph.",
                    "use --format pt2 or safetensors.",
                )
            dims[axis].dim_param = name
