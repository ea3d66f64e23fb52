"""Where a family starts on whole series: few tokens however long they are, causal where asked, and it learns."""

import numpy as np
import pytest
import torch

from advisor.data.rows import Rows
from advisor.search.problem import Plan
from advisor.search.recipes import rows as recipe
from advisor.search.windows import fit_units
from advisor.training.loop import train
from advisor.training.rows import row_batches
from hybrids.families import FAMILIES

STACKS = [name for name, row in FAMILIES.items() if row.variants]


def plan(length=300, task="classify", channels=1):
    return Plan(
        task=task, channels=channels, classes=2 if task == "classify" else 0, folds=2, length=length, test_words=""
    )


def built(family="gru", length=300, causal=False, **changes):
    start = recipe.start(family, plan(length)).model_copy(update=changes)
    return recipe.build(family, start, plan(length), causal)


@pytest.mark.parametrize("family", STACKS)
def test_every_family_starts_inside_its_space_with_a_pattern_of_its_own(family):
    start = recipe.start(family, plan())
    assert start.variant in FAMILIES[family].variants
    assert built(family).width == start.width


@pytest.mark.parametrize("length", [6000, 20_000])
def test_a_network_reads_very_long_series_and_shorter_ones_than_in_training(length):
    model = built(length=length).build().eval()
    for steps in (length, length - 1, length // 2 + 1, 30):
        assert model(torch.zeros(2, steps, 1), torch.full((2,), steps)).shape == (2, 2)


@pytest.mark.parametrize("length", [2, 7, 64, 65, 129, 300, 1460, 6000, 20_000])
def test_a_series_of_any_length_becomes_few_tokens(length):
    frontend = built(length=length).frontend
    assert -(-length // frontend.convolution.stride) <= recipe.STEM_TOKENS
    assert min(frontend.convolution.kernels) >= frontend.convolution.stride  # no step is left out
    assert min(length, recipe.TOKENS) // 2 <= -(-length // frontend.patch) <= recipe.TOKENS
    assert max(frontend.convolution.kernels) <= max(3, length // 2)


def test_the_patch_factor_moves_both_resolutions():
    fine, coarse = (built(length=1000, patch_factor=factor).frontend for factor in (0.5, 2.0))
    assert coarse.patch == 4 * fine.patch
    assert coarse.convolution.stride == 4 * fine.convolution.stride


def test_a_streaming_model_looks_back_only():
    frontend = built(causal=True).frontend
    assert frontend.causal
    assert frontend.normalise == "channel"


@pytest.mark.parametrize("units", [10, 999, 1000, 4000, 10**6])
def test_batches_grow_with_the_data(units):
    start = recipe.start("gru", plan())
    config = recipe.training("gru", start, plan(), units, None, 10)
    assert config.batch == recipe.batch_of(units) in (16, 32, 64)
    assert recipe.training("gru", start, plan(task="regress"), units, None, 10).label_smoothing == 0


@pytest.mark.parametrize("causal", [False, True])
def test_forty_steps_tell_two_frequencies_of_unequal_length_apart(causal):
    draw = np.random.default_rng(0)
    y, lengths = np.arange(40) % 2, draw.integers(30, 61, 40)
    time = np.arange(60)[None] + draw.uniform(0, 50, (40, 1))
    x = (np.sin(time * (0.3 + 0.3 * y[:, None])) + 0.2 * draw.normal(size=(40, 60)))[..., None].astype(np.float32)
    x[np.arange(60)[None] >= lengths[:, None]] = 0
    data, one = Rows(x, lengths, y, np.ones(40), np.arange(40)), plan(60)
    start = recipe.start("conv", one).model_copy(update={"width": 16})
    torch.manual_seed(0)
    model = recipe.build("conv", start, one, causal).build()
    fit_units(model, data.take(np.arange(20)))
    config = recipe.training("conv", start, one, 20, None, 40)
    batches = row_batches(data.take(np.arange(20)), config, "cpu")
    train("classify", model, batches, config, seed=0, judge=None, higher_is_better=True)
    answers = model(torch.from_numpy(x[20:]), torch.from_numpy(lengths[20:])).argmax(1).numpy()
    assert (answers == y[20:]).mean() >= 0.9
