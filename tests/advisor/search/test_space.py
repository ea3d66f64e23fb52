"""Every point of the space is a model that works, and small budgets find small models."""

import optuna
import pytest
import torch

from advisor.search.gate import admit_or_shrink
from advisor.search.knobs import Knobs, smaller, start
from advisor.search.problem import Plan
from advisor.search.recipes import build
from advisor.search.space import searched, suggest
from hybrids.families import FAMILIES
from profiles.budget import Budget

PLANS = {
    "classify": Plan(task="classify", channels=2, classes=3, folds=3, length=30, test_words=""),
    "regress": Plan(task="regress", channels=1, folds=3, length=30, test_words=""),
    "forecast": Plan(task="forecast", channels=1, horizon=6, season=4, folds=3, length=60, test_words=""),
}
STACKS = [(name, variant) for name, row in FAMILIES.items() for variant in row.variants]
SHAPES = {"classify": (2, 3), "regress": (2,), "forecast": (2, 6, 3)}


@pytest.mark.parametrize(("family", "variant"), STACKS)
@pytest.mark.parametrize("task", PLANS)
def test_every_family_answers_every_task(family, variant, task):
    model = build(family, Knobs(width=16, variant=variant), PLANS[task]).build().eval()
    x = torch.randn(2, 30, model.channels_in)
    assert model(x, torch.tensor([30, 17])).shape == SHAPES[task]


@pytest.mark.parametrize(("family", "variant"), STACKS)
def test_garbage_in_the_padding_changes_nothing(family, variant):
    model = build(family, Knobs(width=16, variant=variant), PLANS["classify"]).build().eval()
    x, lengths = torch.randn(2, 30, 2), torch.tensor([30, 17])
    clean, dirty = x.clone(), x.clone()
    clean[1, 17:], dirty[1, 17:] = 0, 1e3
    torch.testing.assert_close(model(clean, lengths), model(dirty, lengths), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["gru", "ssm"])
@pytest.mark.parametrize("task", PLANS)
def test_every_suggestion_is_inside_the_bounds_and_builds(task, family):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    knobs = [suggest(study.ask(), family, PLANS[task]) for _ in range(20)]
    assert all(build(family, one, PLANS[task]).width % 8 == 0 for one in knobs)
    assert {one.variant for one in knobs} == set(FAMILIES[family].variants)


def test_a_search_starts_where_the_family_does():
    study = optuna.create_study()
    for family in ("gru", "ssm"):
        study.enqueue_trial({k: getattr(start(family), k) for k in searched(family, PLANS["forecast"])})
        assert suggest(study.ask(), family, PLANS["forecast"]) == start(family)


def test_an_untrained_forecaster_is_the_seasonal_naive():
    model = build("gru", Knobs(width=16), PLANS["forecast"]).build().eval()
    x = torch.arange(4.0).repeat(10)[None, :, None]
    torch.testing.assert_close(
        model(x, torch.tensor([40]))[0, :, 1], torch.tensor([0.0, 1, 2, 3, 0, 1]), rtol=0, atol=1e-4
    )


def test_quantiles_are_in_order():
    model = build("conv", Knobs(width=16), PLANS["forecast"]).build().eval()
    with torch.no_grad():
        for p in model.head.parameters():
            p.normal_()
    answer = model(torch.randn(5, 40, 1), torch.full((5,), 40))
    assert (answer.diff(dim=-1) >= 0).all()


def test_the_gate_shrinks_until_the_model_fits():
    tried = admit_or_shrink("gru", PLANS["classify"], Budget(max_model_mib=0.05), "cpu")
    assert len(tried) > 1
    assert all(one.misses for one in tried[:-1])
    assert not tried[-1].misses
    assert tried[-1].cost.size_mib <= 0.05


def test_shrinking_ends_at_the_floor():
    knobs, steps = Knobs(), 0
    while (knobs := smaller(knobs)) is not None:
        steps += 1
        assert steps < 20
