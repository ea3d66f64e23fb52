"""A committee is saved, loaded and exported as one model, and so is a network with a convolutional stem."""

import json

import onnxruntime as ort
import pytest
import torch

from advisor.artifact import load_model, save_model
from advisor.export import export
from hybrids.committee import Committee
from tests.advisor.test_export import card
from tests.hybrids.test_committee import members, rows


@pytest.mark.parametrize("task", ["classify", "regress", "forecast"])
@torch.no_grad()
def test_a_saved_committee_comes_back_with_the_same_answers(task, tmp_path):
    committee, x, lengths = Committee.of(members(task)), *rows(task)
    save_model(committee, tmp_path, card(task))
    assert json.loads((tmp_path / "config.json").read_text())["kind"] == "committee"
    assert torch.equal(load_model(tmp_path)[0](x, lengths), committee(x, lengths))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_it_is_exported_as_one_file_of_any_batch_and_length(form, tmp_path):
    committee, x, lengths = Committee.of(members("classify", 2)), *rows("classify")
    save_model(committee, tmp_path / "model", card("classify"))
    report = export(tmp_path, form, tmp_path / f"m.{form}")
    assert report.dynamic_batch and report.dynamic_length and all(check.passed for check in report.parity)
    if form == "onnx":
        session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
        found = session.run(None, {"x": x.numpy(), "lengths": lengths.numpy()})[0]
        with torch.no_grad():
            expected = committee(x, lengths)
        torch.testing.assert_close(torch.from_numpy(found).softmax(-1), expected.exp(), rtol=1e-3, atol=1e-4)
