"""Where families start on a forecast: models that read every channel, cheap where they can be, and exportable."""

from pathlib import Path

import numpy as np
import pytest
import torch

from advisor.artifact import ModelCard
from advisor.export import onnx
from advisor.look_back import look_back_steps, seasons_of
from advisor.search.problem import Plan
from advisor.search.recipes import forecast
from advisor.search.space import point_of
from advisor.training.config import TrainConfig
from advisor.training.losses import loss_of
from hybrids.families import FAMILIES
from hybrids.heads.forecast import pinball
from hybrids.square_root import signed_root

PLAN = Plan(
    task="forecast", channels=4, covariates=("u",), calendar=("hour_sin", "hour_cos"), horizon=6, season=4, folds=3,
    length=60, test_words="",
)  # fmt: skip
LONG = PLAN.model_copy(update={"length": 5000})
STACKS = [(name, variant) for name, row in FAMILIES.items() for variant in row.variants]


def built(family, plan=PLAN, variant="", **changes):
    torch.manual_seed(0)
    knobs = forecast.start(family, plan).model_copy(update={"variant": variant, **changes})
    return forecast.build(family, knobs, plan, causal=False).build().eval()


@pytest.mark.parametrize(("family", "variant"), STACKS)
def test_every_family_starts_as_the_seasonal_naive_and_reads_every_channel(family, variant):
    network = built(family, variant=variant, width=16)
    x, lengths = torch.randn(2, 30, 4), torch.tensor([30, 27])
    naive = torch.stack([x[i, n - 4 : n, 0].repeat(2)[:6] for i, n in enumerate(lengths)])
    torch.testing.assert_close(network(x, lengths)[..., 1], naive, rtol=1e-4, atol=1e-4)
    torch.nn.init.normal_(network.head.out.weight)
    (seen,) = torch.autograd.grad(network(x.requires_grad_(), lengths).square().sum(), x)
    assert seen.abs().sum((0, 1)).all()


def test_few_windows_start_smaller_and_with_dropout():
    few, many = forecast.start("mlp", PLAN), forecast.start("mlp", LONG)
    assert few.width < many.width and few.dropout > many.dropout == 0


def test_the_mlp_reads_its_window_as_one_token_whatever_the_patch_factor():
    for factor in (0.5, 2.0):
        assert built("mlp", patch_factor=factor).frontend.tokens == 1
    assert built("gru", LONG, patch_factor=2.0).frontend.tokens < built("gru", LONG).frontend.tokens


def test_what_a_family_starts_from_is_inside_the_bounds_of_the_knobs():
    for family in {name for name, _ in STACKS}:
        for plan in (PLAN, LONG):
            start = forecast.start(family, plan)
            moved = {name: value for name, value in point_of(start, family, plan).items() if hasattr(start, name)}
            assert moved == {name: getattr(start, name) for name in moved}


def test_the_loss_is_the_pinball_of_the_target_in_units_of_its_own_window():
    network, config = built("gru"), TrainConfig()
    x, y = 5 + 3 * torch.randn(8, 24, 4), 5 + 3 * torch.randn(8, 6)
    lengths = torch.full((8,), 24)
    mean, scale = x[..., 0].mean(1), x[..., 0].std(1, unbiased=False)
    with torch.no_grad():
        quantiles = (network(x, lengths) - mean[:, None, None]) / scale[:, None, None]
        wanted = pinball(quantiles, (y - mean[:, None]) / scale[:, None])
        for factor in (1, 10):
            x[..., 0], y = factor * x[..., 0], factor * y
            found = loss_of("forecast", network, (x, lengths, y), config)
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_where_no_target_is_negative_the_loss_is_that_of_its_square_root():
    network = built("gru", PLAN.model_copy(update={"nonnegative": True}))
    x, y, lengths = 9 * torch.rand(8, 24, 4), 9 * torch.rand(8, 6), torch.full((8,), 24)
    root = x[..., 0].sqrt()
    mean, scale = root.mean(1), root.std(1, unbiased=False)
    with torch.no_grad():
        quantiles = (signed_root(network(x, lengths)) - mean[:, None, None]) / scale[:, None, None]
        wanted = pinball(quantiles, (y.sqrt() - mean[:, None]) / scale[:, None])
        found = loss_of("forecast", network, (x, lengths, y), TrainConfig())
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_no_more_is_read_than_there_is():
    assert look_back_steps(48, 24, 700) == 192
    assert look_back_steps(48, 24, 100) == 100
    assert look_back_steps(1, 1, 3) == 4


def test_a_season_of_a_day_reads_the_same_hour_a_week_ago_where_the_history_is_long():
    assert seasons_of(48) == (48, 336) and seasons_of(12) == (12,) and seasons_of(1) == ()
    assert look_back_steps(12, 48, 5000) == 384 and look_back_steps(12, 48, 500) == 192
    assert look_back_steps(12, 48, 5000, 2.0) == 768
    assert look_back_steps(12, 12, 5000) == 48


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "nonnegative"), [("mlp", False), ("mlp", True), ("gru", True), ("transformer", False)]
)
def test_the_exported_file_answers_as_the_model_does(family, nonnegative, tmp_path: Path):
    network = built(family, LONG.model_copy(update={"nonnegative": nonnegative}), width=16)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    card = ModelCard(
        task="forecast", family=family, baseline=False, channels=("y", "u", *LONG.calendar), calendar=LONG.calendar,
        horizon=6, season=4, quantiles=(0.1, 0.5, 0.9), train_length_max=60, train_length_min=40, data_sha256="0" * 64,
        metric="mase", quality=1.0, quality_low=0.9, quality_high=1.1, versions={}, created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    written = onnx.write(network, card, tmp_path / "model.onnx")
    x, lengths = 50 + 3 * torch.randn(3, 60, 4), torch.tensor([60, 33, 5])
    with torch.no_grad():
        wanted = network(x, lengths).numpy()
    np.testing.assert_allclose(written.run(x, lengths)["quantiles"], wanted, rtol=1e-4, atol=1e-3)


def test_many_short_series_are_not_few_windows():
    panel = PLAN.model_copy(update={"series": 400})
    assert forecast.start("mlp", panel) == forecast.start("mlp", LONG)


@pytest.mark.parametrize(("length", "series", "share"), [(60, 1, 0.1), (17_000, 7, 0.1), (900, 400, 0.0)])
def test_the_past_is_changed_in_training_where_there_is_little_of_it(length, series, share):
    plan = PLAN.model_copy(update={"length": length, "series": series})
    settings = forecast.training("mlp", forecast.start("mlp", plan), plan, 10, None, 100)
    assert settings.replaced == share
