"""Progressive hybridisation on a small task: sum of a series over its last steps, by a Transformer of two layers."""

import copy
import math

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from hybrids.backbone import Backbone, the_backbone
from hybrids.errors import ConfigError
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.pooled import RegressConfig
from hybrids.hybridise import AlignConfig, HybridPath, progressive
from hybrids.layout import parse
from hybrids.mixers.attention import AttentionConfig
from hybrids.mixers.gru import GRUConfig
from hybrids.mixers.linear_attention import LinearAttentionConfig
from hybrids.model import ModelConfig, SequenceModel, load, save

WIDTH, LENGTH = 8, 12
QUICK = AlignConfig(steps=20)


def data(seed: int, rows: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, LENGTH, 1, generator=generator)
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (rows,), generator=generator)
    y = torch.stack([row[: int(n), 0].sum() / n.sqrt() for row, n in zip(x, lengths, strict=True)])
    return x, lengths, y


def fit(model: SequenceModel, steps: int, seed: int = 3) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    x, lengths, y = data(seed)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        (model(x, lengths) - y).square().mean().backward()
        optimiser.step()


@torch.no_grad()
def error(model: SequenceModel) -> float:
    assert not model.training
    x, lengths, y = data(seed=4)
    return float((model(x, lengths) - y).square().mean().sqrt())


def flops(model: SequenceModel) -> float:
    return float(model.flops(LENGTH))


@pytest.fixture(scope="module")
def transformer() -> SequenceModel:
    torch.manual_seed(0)
    config = ModelConfig(
        family="transformer",
        channels_in=1,
        width=WIDTH,
        layers=parse("2*attention"),
        dropout=0.0,
        frontend=SeriesConfig(channels_in=1),
        head=RegressConfig(),
    )
    model = config.build()
    fit(model, 150)
    return model.eval()


def settings(**changes):
    x, lengths, _ = data(seed=3)
    given = {
        "replacement": GRUConfig(),
        "batches": [(x[:32], lengths[:32]), (x[32:], lengths[32:])],
        "train": lambda model: fit(model, 10),
        "evaluate": error,
        "cost": lambda model: float(the_backbone(model).kinds.count("attention")),
        "tolerance": 0.25,
        "higher_is_better": False,
        "align": QUICK,
    }
    return given | changes


def same(a: nn.Module, b: nn.Module) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_what_pays_is_kept_and_a_layer_that_spoils_the_model_is_restored_bit_for_bit(transformer):
    before, seen = copy.deepcopy(transformer), []

    def train(model):
        if model.backbone.kinds == ("gru", "gru"):  # the second replacement: contrived to go wrong
            nn.init.normal_(model.head.out.weight, std=100)
            nn.init.normal_(model.frontend.embed.weight)
        else:
            fit(model, 10)
            seen.append(copy.deepcopy(model))

    hybrid, path = progressive(transformer, **settings(train=train))
    assert [(s.layer, s.kept) for s in path.steps] == [(0, True), (1, False)]
    assert (path.start, path.end) == ("2*attention", "gru + attention")
    assert same(transformer, before) and transformer.config == before.config
    assert len(seen) == 1 and same(hybrid, seen[0])
    assert error(hybrid) == path.quality_end == path.steps[0].quality_after == path.steps[1].quality_before
    assert path.quality_end <= path.quality_start + path.tolerance < path.steps[1].quality_after
    assert "not within" in path.steps[1].why and "cost 1, less than 2" in path.steps[0].why


def test_if_every_replacement_is_refused_the_model_comes_back_bit_for_bit(transformer):
    hybrid, path = progressive(transformer, **settings(cost=lambda model: 1.0))
    assert not any(s.kept for s in path.steps) and len(path.steps) == 2
    assert hybrid is not transformer and same(hybrid, transformer) and hybrid.config == transformer.config
    assert all("cost 1, not less than 1" in s.why for s in path.steps)
    assert (path.end, path.quality_end) == (path.start, path.quality_start)


def test_a_quality_that_is_no_number_is_refused(transformer):
    qualities = iter([1.0, math.nan, math.nan])
    _, path = progressive(transformer, **settings(evaluate=lambda _: next(qualities), tolerance=math.inf))
    assert not any(s.kept for s in path.steps)
    assert "NaN" in path.model_dump_json()


def test_the_tolerance_is_counted_from_the_first_model_so_that_losses_do_not_add_up(transformer):
    qualities = iter([1.0, 0.92, 0.84])
    given = settings(evaluate=lambda _: next(qualities), tolerance=0.1, higher_is_better=True)
    _, path = progressive(transformer, **given)
    assert [s.kept for s in path.steps] == [True, False]


def test_the_hybrid_survives_save_and_load(transformer, tmp_path):
    hybrid, path = progressive(transformer, **settings(tolerance=math.inf, order=[1]))
    assert hybrid.config.layers == (AttentionConfig(), GRUConfig())
    assert hybrid.config.family == path.end == "attention + gru"
    save(hybrid, tmp_path)
    again, (x, lengths, _) = load(tmp_path), data(seed=5)
    assert torch.equal(again(x, lengths), hybrid(x, lengths))


def test_the_same_seed_gives_the_same_hybrid_and_leaves_the_global_generator_alone(transformer):
    torch.manual_seed(11)
    one, first = progressive(transformer, **settings(seed=5))
    drawn = torch.rand(3)
    torch.manual_seed(11)
    assert torch.equal(torch.rand(3), drawn)
    torch.manual_seed(12)
    two, second = progressive(transformer, **settings(seed=5))
    assert same(one, two) and first == second
    assert progressive(transformer, **settings(seed=6))[1].steps != first.steps


def test_alignment_brings_the_new_mixer_close_to_the_old_one(transformer):
    _, path = progressive(transformer, **settings(order=[0], align=AlignConfig(steps=60)))
    (step,) = path.steps
    assert step.misfit_before > 1 and step.misfit_after < 0.75
    _, path = progressive(transformer, **settings(order=[0], align=AlignConfig(steps=0)))
    assert path.steps[0].misfit_after == path.steps[0].misfit_before == step.misfit_before


def test_a_mixer_of_the_same_settings_inherits_everything_and_fits_at_once(transformer):
    given = settings(replacement=AttentionConfig(), order=[1], align=AlignConfig(steps=0), train=lambda _: None)
    _, path = progressive(transformer, **given)
    (step,) = path.steps
    assert step.misfit_before == 0 and step.quality_after == step.quality_before == path.quality_start


def test_linear_attention_starts_from_the_projections_of_attention(transformer):
    given = settings(replacement=LinearAttentionConfig(), cost=lambda _: 1.0, train=lambda _: None)
    _, path = progressive(transformer, **given)
    assert path.steps[0].inherited == ("qkv.weight", "out.weight")


def test_any_model_with_a_backbone_will_do():
    torch.manual_seed(0)
    stack = Backbone([AttentionConfig(causal=True)] * 2, WIDTH, 0, 0.0)
    given = settings(
        batches=[(torch.randn(2, 5, WIDTH),)],
        train=lambda _: None,
        evaluate=lambda model: float(model(torch.ones(1, 3, WIDTH))[0].isfinite().all()),
        higher_is_better=True,
        order=[1],
    )
    hybrid, path = progressive(stack, **given)
    assert hybrid.kinds == ("attention", "gru") and path.steps[0].kept
    with pytest.raises(ConfigError, match="sees the future, but the model is causal"):
        progressive(stack, **(given | {"replacement": AttentionConfig()}))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"order": [2]}, "order names layer 2; the model has 2"), ({"batches": []}, "batches is empty")],
)
def test_impossible_requests_are_refused(transformer, change, said):
    with pytest.raises(ConfigError, match=said):
        progressive(transformer, **settings(**change))


def test_a_path_is_data_and_says_itself_line_by_line(transformer):
    _, path = progressive(transformer, **settings(order=[1], cost=flops))
    assert TypeAdapter(HybridPath).validate_json(path.model_dump_json()) == path
    lines = str(path).splitlines()
    assert lines[0].startswith(f"2*attention became {path.end}: quality ")
    assert lines[1].startswith(f"layer 1, attention -> gru: {'kept' if path.steps[0].kept else 'refused'}; quality ")
