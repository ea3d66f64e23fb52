"""Every point of the space is a model that works, and small budgets find small models."""

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from advisor.search.gatekeeper import Gatekeeper
from advisor.search.knobs import Knobs, smaller
from advisor.search.mixer_space import settings
from advisor.search.problem import Plan
from advisor.search.recipes import build, start
from advisor.search.space import distributions, knobs_of, point_of
from advisor.search.studies import Seen, Studies
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


@pytest.mark.parametrize("family", ["gru", "ssm", "rnn_transformer"])
@pytest.mark.parametrize("task", PLANS)
def test_every_point_of_the_space_is_inside_the_bounds_and_builds(task, family):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked = [study.ask(distributions(family, PLANS[task])).params for _ in range(12)]
    knobs = [knobs_of(point, family, PLANS[task]) for point in asked]
    assert all(build(family, one, PLANS[task]).build().config.width % 8 == 0 for one in knobs)
    assert {one.variant for one in knobs} == set(FAMILIES[family].variants)


@pytest.mark.parametrize("family", ["gru", "ssm"])
def test_a_family_that_is_told_where_it_starts_is_found_there_again(family):
    plan = PLANS["forecast"]
    first = start(family, plan)
    assert knobs_of(point_of(first, family, plan), family, plan).model_copy(update={"mixer": {}}) == first
    assert build(family, knobs_of(point_of(first, family, plan), family, plan), plan) == build(family, first, plan)


def test_the_settings_of_a_mixer_are_searched_where_its_variant_has_it_and_the_pattern_leaves_it_free():
    assert set(settings("ssm", "selective")) == {"ssm.expansion", "ssm.states"}
    assert set(settings("ssm", "diagonal")) == {"s4d.states"}
    assert "conv.dilation" not in settings("conv", "dilated")
    knobs = knobs_of({"variant": "diagonal", "ssm.states": 8, "s4d.states": 8}, "ssm", PLANS["forecast"])
    assert knobs.mixer == {"s4d.states": 8}
    assert {one.states for one in build("ssm", knobs, PLANS["forecast"]).layers} == {8}


def test_the_same_standing_gives_the_same_question_and_infeasible_points_are_avoided():
    plan = PLANS["classify"]
    seen = [Seen(start("gru", plan), (0.5, 0.6), "complete"), Seen(Knobs(width=100), (), "infeasible", 0.4)]
    asked = [Studies(plan, True, 3).ask("gru", seen) for _ in range(2)]
    assert asked[0] == asked[1]
    assert asked[0] != Studies(plan, True, 3).ask("gru", seen[:1])


def test_the_journal_holds_the_studies_as_they_ended(tmp_path):
    plan, journal = PLANS["classify"], tmp_path / "study.journal"
    seen = [Seen(start("gru", plan), (0.5, 0.6), "complete"), Seen(Knobs(width=32), (0.4,), "pruned")]
    for _ in range(2):  # written anew each time
        Studies(plan, True, 0).write(journal, {"gru": seen})
    study = optuna.load_study(study_name="gru", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED"]
    assert study.best_value == 0.6


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


def test_the_gate_shrinks_until_the_model_fits(tmp_path):
    tried = Gatekeeper(tmp_path, PLANS["classify"], Budget(max_model_mib=0.05), "cpu").admit_or_shrink("gru")
    assert len(tried) > 1
    assert all(one.misses for one in tried[:-1])
    assert not tried[-1].misses
    assert tried[-1].cost.size_mib <= 0.05


def test_shrinking_ends_at_the_floor():
    knobs, steps = Knobs(), 0
    while (knobs := smaller(knobs)) is not None:
        steps += 1
        assert steps < 20
