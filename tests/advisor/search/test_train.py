"""The loop learns, keeps its best, keeps the clock and reports what goes wrong."""

import itertools
import time

import numpy as np
import pytest
import torch

from advisor.data.rows import Rows
from advisor.training.config import TrainConfig
from advisor.training.loop import train
from advisor.training.rows import row_batches
from advisor.training.windows import window_batches
from hybrids.families import layers
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.pooled import ClassifyConfig
from hybrids.model import ModelConfig


def tiny_model(family="conv"):
    torch.manual_seed(0)
    return ModelConfig(
        family=family,
        channels_in=1,
        width=8,
        layers=layers(family, 1, False),
        frontend=SeriesConfig(channels_in=1),
        head=ClassifyConfig(classes=2),
    ).build()


def rows(n=32):
    y = np.arange(n) % 2
    x = np.sin(np.arange(12)[None] * (1 + y[:, None]))[..., None].astype(np.float32)
    return Rows(x, np.full(n, 12), y, np.ones(n), np.arange(n))


def run(model, config, **more):
    settings = {"seed": 0, "judge": None, "higher_is_better": True, **more}
    return train("classify", model, row_batches(rows(), config, "cpu"), config, **settings)


def test_it_learns_two_frequencies_apart():
    model, data = tiny_model(), rows()
    run(model, TrainConfig(max_steps=60, learning_rate=1e-2))
    hits = model(torch.from_numpy(data.x), torch.from_numpy(data.lengths)).argmax(1).numpy() == data.y
    assert hits.all()


@pytest.mark.parametrize(("family", "differs"), [("moe_rnn", True), ("conv", False)])
def test_routed_experts_are_trained_with_the_price_of_uneven_routing(family, differs, monkeypatch):
    priced, free = tiny_model(family), tiny_model(family)
    run(priced, TrainConfig(max_steps=3))
    monkeypatch.setattr("advisor.training.loop.BALANCE", 0.0)
    monkeypatch.setattr("advisor.training.loop.ROUTER_Z", 0.0)
    run(free, TrainConfig(max_steps=3))
    pairs = zip(priced.parameters(), free.parameters(), strict=True)
    assert differs == (not all(torch.equal(a, b) for a, b in pairs))


def test_the_same_seed_gives_the_same_weights():
    first, second = tiny_model(), tiny_model()
    for model in (first, second):
        run(model, TrainConfig(max_steps=10))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_best_weights_are_kept_not_the_last():
    model, seen = tiny_model(), []

    def judge():
        seen.append([p.detach().clone() for p in model.parameters()])
        return 1.0 if len(seen) == 2 else 0.0

    done = run(model, TrainConfig(max_steps=24, looks=6), judge=judge)
    assert done.best == 1.0
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), seen[1], strict=True))


def test_it_stops_early_when_nothing_gets_better():
    done = run(tiny_model(), TrainConfig(max_steps=1000, looks=100, patience=3), judge=lambda: 0.5)
    assert done.steps < 100


def test_a_forecaster_that_is_best_at_once_is_looked_at_early_and_ends_soon():
    scores = iter([0.9, *[0.5] * 100])
    config = TrainConfig(max_steps=2000, early_looks=True)
    done = run(tiny_model(), config, judge=lambda: next(scores))
    assert done.curve[0].step < 20 and len(done.curve) > 4
    assert done.settled and done.best == 0.9 and 0.2 <= done.steps / 2000 < 0.3


def test_a_longer_training_that_goes_on_is_looked_at_all_along(tmp_path):
    ended, scores = TrainConfig(max_steps=24, looks=4), itertools.count()
    run(tiny_model(), ended, judge=lambda: next(scores), keep=tmp_path / "p.safetensors")
    longer = TrainConfig(max_steps=48, looks=4)
    done = run(tiny_model(), longer, judge=lambda: next(scores), goes_on=tmp_path / "p.safetensors")
    assert [point.step for point in done.curve] == [6, 12, 18, 24, 36, 48]


def test_the_clock_ends_the_training():
    began = time.monotonic()
    done = run(tiny_model(), TrainConfig(max_steps=10**6, seconds=0.5))
    assert time.monotonic() - began < 2
    assert done.steps > 1
    began = time.monotonic()
    run(tiny_model(), TrainConfig(max_steps=10**6), deadline=began + 0.3)
    assert time.monotonic() - began < 2


def test_time_to_score_is_kept_free_before_the_deadline():
    began = time.monotonic()

    def judge():
        time.sleep(0.05)
        return time.monotonic()

    config = TrainConfig(max_steps=10**6, seconds=2.0, looks=40, patience=10**6)
    run(tiny_model(), config, judge=judge, deadline=began + 1.5, reserve=10.0)
    assert 0.5 < time.monotonic() - began < 1.2


def test_a_loss_that_is_not_a_number_is_a_failure_with_a_reason():
    model = tiny_model()
    with torch.no_grad():
        model.head.out.weight.fill_(float("nan"))
    assert "nan" in run(model, TrainConfig(max_steps=5)).failed


def test_a_score_that_is_not_a_number_is_a_failure_with_a_reason():
    done = run(tiny_model(), TrainConfig(max_steps=5), judge=lambda: float("nan"))
    assert "no numbers" in done.failed and done.best is None


def test_windows_are_cut_from_one_series_each():
    series = tuple(np.full((20, 1), i, np.float32) for i in range(5))
    draw = window_batches(series, 6, 3, 1, TrainConfig(batch=64), "cpu")
    x, lengths, y = draw(torch.Generator().manual_seed(0))
    assert x.shape == (64, 6, 1)
    assert y.shape == (64, 3)
    assert (lengths == 6).all()
    assert (x[:, :, 0] == y[:, :1]).all()


def test_a_short_series_repeats_its_first_value():
    draw = window_batches((np.array([[5.0], [7.0]], np.float32),), 3, 1, 1, TrainConfig(batch=2), "cpu")
    x, _, y = draw(torch.Generator())
    assert x[0, :, 0].tolist() == [5, 5, 5]
    assert y[0].tolist() == pytest.approx([7])
