"""A saved model comes back the same; an exported file answers as the model does, or is not written."""

import json
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from advisor import baselines
from advisor.artifact import ModelCard, load_model, save_model
from advisor.errors import InputError
from advisor.export import ExportError, compat, export, onnx
from advisor.runs import Run
from hybrids.families import FAMILIES, layers
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.forecast import ForecastConfig, scale_of
from hybrids.heads.pooled import ClassifyConfig, RegressConfig
from hybrids.model import ModelConfig
from profiles.budget import Budget

TASKS = ("classify", "regress", "forecast")
STACKS = [name for name, row in FAMILIES.items() if row.variants]
EXPORTED = [(name, variant, "classify") for name in STACKS for variant in FAMILIES[name].variants] + [
    (name, "", task) for name in ("gru", "transformer", "ssm", "conv") for task in ("regress", "forecast")
]
HEADS = {
    "classify": ClassifyConfig(classes=3),
    "regress": RegressConfig(),
    "forecast": ForecastConfig(horizon=4, look_back=24, season=6),
}


def network(family, task, seed=0, depth=2, variant=""):
    """Return a tiny network with random weights in its head too."""
    torch.manual_seed(seed)
    frontend = SeriesConfig(channels_in=2, patch=2, kernel=4, normalise="none" if task == "forecast" else "channel")
    model = ModelConfig(
        family=family, channels_in=1 if task == "forecast" else 2, width=8,
        layers=layers(family, depth, causal=False, variant=variant),
        frontend=frontend, head=HEADS[task],
    ).build()  # fmt: skip
    if task != "forecast":
        model.frontend.fit(torch.tensor([5.0, -3.0]), torch.tensor([2.0, 0.1]))
    with torch.no_grad():
        for weight in model.head.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model.eval()


def baseline(kind, task):
    """Return a baseline fitted on noise."""
    draw = np.random.default_rng(0)
    x = draw.normal(5, 3, (60, 60, 1 if task == "forecast" else 2)).astype(np.float32)
    y = {"classify": np.arange(60) % 3, "regress": x.mean((1, 2)), "forecast": draw.normal(5, 3, (60, 4))}[task]
    return baselines.fit(
        kind, task, x, draw.integers(40, 61, 60), y, classes=3 * (task == "classify"), season=6,
        horizon=4 * (task == "forecast"),
    )  # fmt: skip


def card(task, family="gru", **changes):
    forecast = task == "forecast"
    facts = {
        "task": task, "family": family, "baseline": False, "classes": ("a", "b", "c") if task == "classify" else (),
        "channels": ("y",) if forecast else ("u", "v"), "horizon": 4 if forecast else None, "season": 6,
        "quantiles": (0.1, 0.5, 0.9) if forecast else (), "train_length_max": 60, "train_length_min": 40,
        "data_sha256": "0" * 64, "metric": "accuracy", "quality": 0.9, "quality_low": 0.8, "quality_high": 0.95,
        "versions": {"torch": torch.__version__}, "created": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return ModelCard(**{**facts, **changes})


def run_of(folder, model, task, **changes):
    """Save `model` as the model of a run."""
    save_model(model, folder / "model", card(task, **changes))
    return folder


def rows(task, lengths, seed=1):
    lengths = torch.tensor(lengths)
    shape = (len(lengths), int(lengths.max()), 1 if task == "forecast" else 2)
    return 5 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)), lengths


def session(path):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", STACKS)
def test_a_saved_network_comes_back_with_the_same_answers(family, task, tmp_path):
    model = network(family, task)
    save_model(model, tmp_path, card(task, family))
    loaded, said = load_model(tmp_path)
    x, lengths = rows(task, [50, 7, 1])
    with torch.no_grad():
        torch.testing.assert_close(model(x, lengths), loaded(x, lengths), rtol=1e-5, atol=1e-5)
    assert said == card(task, family)
    assert not loaded.training


@pytest.mark.parametrize(("kind", "task"), [(k, t) for t in TASKS for k in baselines.names(t)])
def test_a_saved_baseline_comes_back_with_the_same_answers(kind, task, tmp_path):
    model = baseline(kind, task)
    save_model(model, tmp_path, card(task, kind, baseline=True))
    x, lengths = rows(task, [50, 7, 1])
    with torch.no_grad():
        torch.testing.assert_close(model(x, lengths), load_model(tmp_path)[0](x, lengths), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["theta", "linear_lags", "exponential_smoothing", "lag_boosting"])
def test_a_saved_baseline_that_works_on_square_roots_does_so_when_it_comes_back(kind, tmp_path):
    draw = np.random.default_rng(0)
    x, y = draw.gamma(2, 3, (60, 60, 1)).astype(np.float32), draw.gamma(2, 3, (60, 4))
    model = baselines.fit(kind, "forecast", x, np.full(60, 60), y, season=6, horizon=4, square_root=True)
    save_model(model, tmp_path, card("forecast", kind, baseline=True))
    loaded, _ = load_model(tmp_path)
    assert loaded.config.square_root
    with torch.no_grad():
        found, wanted = (one(torch.from_numpy(x), torch.full((60,), 60)) for one in (loaded, model))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_loading_leaves_the_random_state_alone(tmp_path):
    save_model(network("gru", "classify"), tmp_path, card("classify"))
    before = torch.get_rng_state()
    load_model(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_a_folder_without_a_model_is_refused_by_name_of_the_missing_files(tmp_path):
    with pytest.raises(InputError, match=r"config\.json, weights\.safetensors, card\.json"):
        load_model(tmp_path)


def test_a_config_and_weights_of_two_saves_are_refused(tmp_path):
    for family in ("gru", "lstm"):
        save_model(network(family, "classify"), tmp_path / family, card("classify", family))
    (tmp_path / "gru" / "config.json").write_bytes((tmp_path / "lstm" / "config.json").read_bytes())
    with pytest.raises(InputError, match="not of one save"):
        load_model(tmp_path / "gru")


def test_damaged_weights_are_the_users_error_and_not_a_crash(tmp_path):
    save_model(network("gru", "classify"), tmp_path, card("classify"))
    file = tmp_path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a readable model"):
        load_model(tmp_path)


def test_the_card_in_words_names_classes_channels_and_quality(tmp_path):
    save_model(network("gru", "classify"), tmp_path, card("classify", classes=("a|b", "c", "d")))
    words = (tmp_path / "card.md").read_text()
    assert "a\\|b, c, d" in words and "u, v" in words and "accuracy 0.9" in words


def test_the_card_and_the_file_say_what_a_caller_has_to_prepare():
    sine, cosine = "hour of day, sine", "hour of day, cosine"
    said = card(
        "forecast", channels=("y", "sale", sine, cosine, "sale, ahead"), calendar=(sine, cosine), ahead=("sale",)
    )  # fmt: skip
    facts = onnx.metadata(said)
    assert json.loads(facts["ahead"]) == ["sale"] and json.loads(facts["calendar"]) == [sine, cosine]
    words, table = json.loads(facts["preparation"]), said.markdown()
    assert list(words) == ["missing values", "known ahead", "calendar"]
    assert all(f"| {name} | {text} |" in table for name, text in words.items())
    assert "linear in time, the nearest value at the edges" in words["missing values"]
    assert list(json.loads(onnx.metadata(card("classify"))["preparation"])) == ["missing values"]


def test_a_constant_window_is_centred_exactly():
    mean, scale = scale_of(torch.full((1, 100, 1), 1234.567))
    assert mean.item() == pytest.approx(1234.567) and scale.item() == pytest.approx(1e-5 * 1235.567)
    assert torch.equal(torch.full((1, 100, 1), 1234.567) - mean, torch.zeros(1, 100, 1))


@pytest.mark.slow
def test_two_grus_exported_in_one_process_both_run_at_another_length(tmp_path):
    models = {"classify": network("gru", "classify", 1, depth=1), "regress": network("gru", "regress", 2, depth=1)}
    for task, model in models.items():
        report = export(run_of(tmp_path / task, model, task), "onnx", tmp_path / f"{task}.onnx")
        assert report.dynamic_length and report.notes == ()
    for task, model in models.items():
        file = session(tmp_path / f"{task}.onnx")
        x, lengths = rows(task, [200, 3, 150, 77])
        answer = file.run(None, {"x": x.numpy(), "lengths": lengths.numpy()})[0]
        np.testing.assert_allclose(answer, model(x, lengths).detach().numpy(), rtol=1e-4, atol=1e-4)
    assert [i.shape for i in file.get_inputs()] == [["batch", "length", 2], ["batch"]]
    facts = session(tmp_path / "classify.onnx").get_modelmeta().custom_metadata_map
    assert facts["task"] == "classify" and json.loads(facts["classes"]) == ["a", "b", "c"]


def test_an_exported_classifier_also_gives_probabilities(tmp_path):
    run = run_of(tmp_path / "run", baseline("linear", "classify"), "classify", family="linear", baseline=True)
    report = export(run, "onnx", tmp_path / "m.onnx")
    x, lengths = rows("classify", [30, 9])
    logits, shares = session(tmp_path / "m.onnx").run(None, {"x": x.numpy(), "lengths": lengths.numpy()})
    np.testing.assert_allclose(shares, torch.tensor(logits).softmax(-1).numpy(), rtol=1e-5)
    assert report.outputs == {"logits": ("batch", 3), "probabilities": ("batch", 3)}
    assert report.size_bytes == (tmp_path / "m.onnx").stat().st_size and report.opset >= 20
    assert "parity: 7 shapes" in report.words()


@pytest.mark.parametrize(
    ("limit_ms", "device", "error", "warned"),
    [(1e-6, "cpu", None, True), (1e6, "cpu", None, False), (1e-6, "cuda", None, False), (1e-6, "cpu", 0.1, False)],
)
@pytest.mark.parametrize(("kind", "task"), [("linear", "classify"), ("theta", "forecast")])
def test_a_file_that_is_slower_than_the_runs_limit_says_so(
    kind, task, limit_ms, device, error, warned, tmp_path, monkeypatch
):
    run = run_of(tmp_path / "run", baseline(kind, task), task, family=kind, baseline=True)
    Run(run).write("budget", Budget(max_latency_ms=limit_ms, batch_size=4))
    assert not export(run, "onnx", tmp_path / "m.onnx").notes  # a run that was stopped before its end
    Run(run).write("recommendation", {})
    made = SimpleNamespace(latency_error=error, request=SimpleNamespace(device=device))
    monkeypatch.setattr(Run, "recommendation", lambda run: made)
    notes = export(run, "onnx", tmp_path / "m.onnx").notes
    assert any(note.startswith("above the limit of the run") for note in notes) == warned


def test_a_graph_that_answers_wrongly_is_refused_and_nothing_is_written(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", baseline("linear_lags", "forecast"), "forecast", baseline=True)
    right = onnx._graph
    wrong = baseline("seasonal_naive", "forecast")
    monkeypatch.setattr(onnx, "_graph", lambda model, *rest: right(wrong, *rest))
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(ExportError, match=r"batch \d+, length \d+ quantiles is off by") as caught:
        export(run, "onnx", room / "m.onnx")
    assert caught.value.exit_code == 2 and list(room.iterdir()) == []


def test_a_refused_export_leaves_the_older_file_as_it_was(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", baseline("mean", "regress"), "regress", baseline=True)
    out = tmp_path / "m.onnx"
    out.write_text("older")
    monkeypatch.setattr(onnx._Session, "__call__", lambda self, x, lengths: {"value": np.full(len(x), np.nan)})
    with pytest.raises(ExportError, match="off by nan"):
        export(run, "onnx", out)
    assert out.read_text() == "older"


class Doubling(nn.Module):
    """A scan over doubling spans: what is unrolled for the example's length is wrong only for longer ones."""

    def forward(self, x, lengths):
        """Return running sums."""
        span = 1
        while span < x.shape[1]:
            x = torch.cat([x[:, :span], x[:, span:] + x[:, :-span]], 1)
            span *= 2
        return x[:, -1] + lengths[:, None]


class Unrolled(nn.Module):
    """A recurrence written as a loop over the example's steps: what the gate has to refuse."""

    def forward(self, x, lengths):
        """Return a running mean."""
        h = x[:, 0]
        for t in range(x.shape[1]):
            h = 0.5 * h + x[:, t]
        return h + lengths[:, None]


@pytest.mark.parametrize(
    ("model", "said"), [(Unrolled(), "fixed to 20"), (Doubling(), "only valid up to 32")], ids=["loop", "doubling"]
)
def test_a_recurrence_that_was_unrolled_is_refused_before_it_is_written(model, said):
    example = (torch.randn(2, 20, 1), torch.tensor([20, 4]))
    with compat.exporting():
        program = compat.capture(model, example, dynamic_length=True)
        with pytest.raises(ExportError, match=f"length of x is {said}"):
            compat.require_free(program, dynamic_length=True)
        compat.require_free(compat.capture(model, example, dynamic_length=False), dynamic_length=False)


def test_where_a_dynamic_length_is_refused_the_file_has_the_training_length_and_says_so(tmp_path, monkeypatch):
    free = compat.require_free

    def refuse(program, dynamic_length):
        if dynamic_length:
            raise ExportError("the length of x is fixed to 70.", "")
        free(program, dynamic_length)

    monkeypatch.setattr(compat, "require_free", refuse)
    run = run_of(tmp_path / "run", baseline("linear", "regress"), "regress", family="linear", baseline=True)
    report = export(run, "pt2", tmp_path / "m.pt2")
    assert not report.dynamic_length and report.inputs["x"] == ("batch", 60, 2)
    assert "the length of x is fixed to 70" in report.notes[0] and "fixed to 60 steps" in report.notes[1]


@pytest.mark.slow
def test_a_pt2_file_runs_from_one_step_on_and_carries_its_facts(tmp_path):
    model = network("conv", "classify", depth=1)
    export(run_of(tmp_path / "run", model, "classify", family="conv"), "pt2", tmp_path / "m.pt2")
    extra = {"meta.json": ""}
    program = torch.export.load(tmp_path / "m.pt2", extra_files=extra).module()
    for lengths in ([1], [2], [40, 1, 300]):
        x, sizes = rows("classify", lengths)
        torch.testing.assert_close(program(x, sizes)[0], model(x, sizes), rtol=1e-4, atol=1e-5)
    assert json.loads(extra["meta.json"])["task"] == "classify"


def test_a_safetensors_export_is_the_model_folder_and_loads_again(tmp_path):
    model = network("lstm", "forecast")
    run = run_of(tmp_path / "run", model, "forecast")
    for _ in range(2):  # the second replaces the first
        report = export(run, "safetensors", tmp_path / "out")
    x, lengths = rows("forecast", [50, 3])
    assert torch.equal(load_model(tmp_path / "out")[0](x, lengths), model(x, lengths))
    assert {check.max_abs_error for check in report.parity} == {0.0}


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    run = run_of(tmp_path / "run", baseline("mean", "regress"), "regress", baseline=True)
    with pytest.raises(InputError, match="is a folder, but onnx writes a file"):
        export(run, "onnx", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "variant", "task"), EXPORTED)
def test_every_family_exports_to_onnx_and_pt2_with_any_batch_and_length(family, variant, task, tmp_path):
    run = run_of(tmp_path / "run", network(family, task, depth=1, variant=variant), task, family=family)
    for form in ("onnx", "pt2"):
        report = export(run, form, tmp_path / f"m.{form}")
        assert report.dynamic_batch and report.dynamic_length and all(check.passed for check in report.parity)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "task"), [(k, t) for t in TASKS for k in baselines.names(t)])
def test_every_baseline_exports_to_onnx_and_pt2_with_any_batch_and_length(kind, task, tmp_path):
    run = run_of(tmp_path / "run", baseline(kind, task), task, family=kind, baseline=True)
    for form in ("onnx", "pt2"):
        assert export(run, form, tmp_path / f"m.{form}").dynamic_length
