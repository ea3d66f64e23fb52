"""An ensemble of unlike models answers with their mean, and is saved, measured and exported as one model."""

import json

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from advisor import baselines
from advisor.artifact import load_model, save_model
from advisor.ensemble import Ensemble
from advisor.export import export
from hybrids.committee import Committee
from profiles.cost import count_flops
from tests.advisor.test_export import card
from tests.hybrids.test_committee import members, rows

BASELINE = {"classify": "linear", "regress": "linear", "forecast": "linear_lags"}


def fitted(task):
    """Return a baseline fitted on noise of the shape that `rows` gives."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 30, 1 if task == "forecast" else 2)).astype(np.float32)
    y = {"classify": np.arange(40) % 3, "regress": rng.normal(size=40), "forecast": rng.normal(size=(40, 4))}[task]
    kind = BASELINE[task]
    return baselines.fit(kind, task, x, np.full(40, 30), y, classes=3 if task == "classify" else 0, season=6,
                         horizon=4 if task == "forecast" else 0)  # fmt: skip


def ensemble(task):
    network, *others = members(task)
    return Ensemble.of(task, [network, Committee.of(others), fitted(task)])


@pytest.mark.parametrize("task", BASELINE)
@torch.no_grad()
def test_the_answer_is_the_mean_of_the_answers_of_the_parts(task):
    whole, (x, lengths) = ensemble(task), rows(task)
    each = torch.stack([part(x, lengths) for part in whole.parts])
    expected = each.softmax(-1).mean(0) if task == "classify" else each.mean(0)
    found = whole(x, lengths).exp() if task == "classify" else whole(x, lengths)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("task", BASELINE)
@torch.no_grad()
def test_a_saved_ensemble_comes_back_with_the_same_answers(task, tmp_path):
    whole, (x, lengths) = ensemble(task), rows(task)
    save_model(whole, tmp_path, card(task))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["kind"] == "ensemble" and len(config["parts"]) == 3
    assert torch.equal(load_model(tmp_path)[0](x, lengths), whole(x, lengths))


def test_its_operations_are_those_of_its_parts():
    whole, (x, lengths) = ensemble("forecast"), rows("forecast")
    parts = [count_flops(part, x[:1], lengths[:1]) for part in whole.parts]
    assert min(parts) > 0
    assert count_flops(whole, x[:1], lengths[:1]) == sum(parts)


class Placed(nn.Module):
    """Refuses inputs that are elsewhere."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.zeros(1, device="meta"))

    def forward(self, x, lengths):
        """Return nothing of interest."""
        assert x.device == lengths.device == self.weight.device
        return x


def test_operations_are_counted_on_the_device_of_the_parts():
    whole = ensemble("regress")
    whole.parts = nn.ModuleList([Placed(), Placed()])
    assert whole.flops(5) == 0


@pytest.mark.slow
@pytest.mark.parametrize("task", BASELINE)
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_it_is_exported_as_one_file_that_answers_as_it_does(task, form, tmp_path):
    whole, (x, lengths) = ensemble(task), rows(task)
    save_model(whole, tmp_path / "model", card(task))
    report = export(tmp_path, form, tmp_path / f"m.{form}")
    assert report.dynamic_batch and report.dynamic_length and all(check.passed for check in report.parity)
    if form == "onnx":
        session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
        found = session.run(None, {"x": x.numpy(), "lengths": lengths.numpy()})[0]
        assert np.isfinite(found).all() and len(found) == len(x)
