"""Initialising a hybrid: what fits is taken exactly, the rest is untouched, and the account is complete."""

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import nn

from hybrids import bert
from hybrids.backbone import Backbone
from hybrids.block import BlockStyle
from hybrids.errors import ConfigError
from hybrids.frontends.series import SeriesConfig
from hybrids.frontends.tokens import TokensConfig, TokensFrontend
from hybrids.heads.pooled import RegressConfig
from hybrids.layout import parse
from hybrids.mixers.attention import AttentionConfig
from hybrids.mixers.gru import GRUConfig
from hybrids.model import ModelConfig, SequenceModel, save
from hybrids.pretrained import Taken, initialise

WIDTH = 12
ENCODER = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 2 * WIDTH,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}


def model(layout: str, seed: int, width: int = WIDTH) -> SequenceModel:
    torch.manual_seed(seed)
    made = ModelConfig(
        family="any",
        channels_in=2,
        width=width,
        layers=parse(layout),
        frontend=SeriesConfig(channels_in=2),
        head=RegressConfig(),
    ).build()
    for p in made.parameters():
        nn.init.normal_(p, std=0.3)
    return made


def trained(layout: str, seed: int) -> SequenceModel:
    made = model(layout, seed)
    made.frontend.fit(torch.tensor([5.0, 6.0]), torch.tensor([2.0, 3.0]))
    optimiser, x = torch.optim.SGD(made.parameters(), lr=0.01), torch.randn(4, 9, 2)
    made(x, torch.full((4,), 9)).square().mean().backward()
    optimiser.step()
    return made.eval()


def copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in module.state_dict().items()}


def complete(taken: Taken, target: nn.Module) -> None:
    told = [m.target for m in taken.moved] + [item.name for item in taken.left if item.side == "model"]
    assert sorted(told) == sorted(target.state_dict())


@pytest.mark.parametrize("where", ["folder", "run", "memory"])
def test_a_hybrid_takes_exactly_the_attention_layers_of_a_trained_transformer(tmp_path, where):
    source, target = trained("3*attention", 0), model("attention + gru + attention", 1)
    before, there = copied(target), source.state_dict()
    if where == "memory":
        taken = initialise(target, source)
    else:
        save(source, tmp_path if where == "folder" else tmp_path / "model")
        taken = initialise(target, tmp_path)
    expected = {name: name for name in there if name.startswith("backbone.blocks.0.")}
    expected |= {n: n.replace("blocks.1", "blocks.2") for n in there if n.startswith("backbone.blocks.1.")}
    expected |= {name: name for name in there if name.startswith(("backbone.norm.", "frontend.embed."))}
    assert {m.source: m.target for m in taken.moved} == expected
    after, reverse = target.state_dict(), {t: s for s, t in expected.items()}
    for name, tensor in after.items():
        assert torch.equal(tensor, there[reverse[name]] if name in reverse else before[name]), name
    complete(taken, target)
    assert taken.notes == ()


def test_the_account_says_why_each_thing_was_left(tmp_path):
    save(trained("3*attention", 0), tmp_path)
    taken = initialise(model("attention + gru + attention", 1), tmp_path)
    why = {(item.side, item.name): item.why for item in taken.left}
    assert why["source", "backbone.blocks.2.norm.weight"] == "its layer has no partner in the model"
    assert why["model", "backbone.blocks.1.mixer.rnn.weight_ih_l0"] == "the source has nothing of this name"
    assert why["model", "frontend.mean"] == "a statistic of the source's data"
    assert why["model", "head.out.weight"] == "head was not asked for"
    lines = str(taken).splitlines()
    assert lines[0].startswith(f"took {len(taken.moved)} tensors from {tmp_path}: ")
    assert len(lines) == 1 + len(taken.moved) + len(taken.left)
    assert (
        f"left in the source backbone.blocks.2.norm.weight: {why['source', 'backbone.blocks.2.norm.weight']}" in lines
    )
    assert TypeAdapter(Taken).validate_json(taken.model_dump_json()) == taken


def test_a_head_is_taken_when_asked_for():
    source, target = trained("attention", 0), model("attention", 1)
    initialise(target, source, parts=("head",))
    assert torch.equal(target.head.out.weight, source.head.out.weight)
    assert not torch.equal(target.frontend.embed.weight, source.frontend.embed.weight)
    assert not torch.equal(target.backbone.norm.weight, source.backbone.norm.weight)


def test_layers_can_be_mapped_by_hand_even_between_kinds():
    source, target = trained("2*attention", 0), model("linear_attention + attention", 1)
    before = copied(target)
    taken = initialise(target, source, layers={1: 0})
    there, here = (m.backbone.stack() for m in (source, target))
    assert torch.equal(here[0].mixer.qkv.weight, there[1].mixer.qkv.weight)
    assert torch.equal(here[0].feedforward.expand.weight, there[1].feedforward.expand.weight)
    assert torch.equal(
        target.state_dict()["backbone.blocks.1.mixer.qkv.weight"], before["backbone.blocks.1.mixer.qkv.weight"]
    )
    assert any("kind attention there, linear_attention here" in note for note in taken.notes)
    with pytest.raises(ConfigError, match="the source has no layer 2; it has 2"):
        initialise(target, source, layers={2: 0})
    with pytest.raises(ConfigError, match="the model has no layer -1"):
        initialise(target, source, layers={0: -1})
    with pytest.raises(ConfigError, match="fills a layer of the model twice"):
        initialise(target, source, layers={0: 1, 1: 1})


def test_settings_that_differ_are_noted():
    source = Backbone([AttentionConfig(head_dim=4, positions="none")], WIDTH, 2.0, 0.0)
    taken = initialise(Backbone([AttentionConfig(head_dim=6)], WIDTH, 2.0, 0.0), source)
    assert taken.notes == (
        "layer 0 of the source became layer 0: head_dim 4 there, 6 here; positions none there, rotary here",
    )


def test_embeddings_are_taken_and_another_front_end_is_noted():
    torch.manual_seed(0)
    encoder = bert.Bert(bert.BertConfig.model_validate(ENCODER))
    target = nn.Module()
    target.backbone = Backbone([AttentionConfig()], WIDTH, 2.0, 0.0)
    target.frontend = TokensFrontend(TokensConfig(vocabulary=30, positions="learned", max_positions=16), WIDTH)
    taken = initialise(target, encoder)
    assert torch.equal(target.frontend.table.weight, encoder.frontend.table.weight)
    assert torch.equal(target.frontend.learned.table, encoder.frontend.learned.table)
    assert taken.notes[-1].startswith("frontend: BertFrontend(") and "there, TokensFrontend(" in taken.notes[-1]
    complete(taken, target)


def test_parts_that_mean_something_else_are_left_even_if_their_shape_fits():
    layer, expansion = AttentionConfig(), 3.0
    source = Backbone([layer], WIDTH, 4.0, 0.0, BlockStyle(norm="post", feedforward="gelu"))
    target = Backbone([layer], WIDTH, expansion, 0.0)
    assert source.stack()[0].feedforward.expand.weight.shape == target.stack()[0].feedforward.expand.weight.shape
    taken = initialise(target, source)
    assert {m.target for m in taken.moved} == {"blocks.0.mixer.qkv.weight", "blocks.0.mixer.out.weight"}
    why = {item.name: item.why for item in taken.left}
    assert why["blocks.0.norm.weight"] == "post-norm in the source, pre-norm in the model"
    assert why["blocks.0.feedforward.expand.weight"] == "gelu in the source, swiglu in the model"
    assert why["blocks.0.feedforward.contract.weight"] == "shape (12, 48) in the source, (12, 24) in the model"
    complete(taken, target)


def test_a_source_of_another_width_is_refused_with_both_widths():
    with pytest.raises(ConfigError, match=r"width 12 there, 8 here.*Build the model with the width"):
        initialise(model("attention", 1, width=8), model("attention", 0))


@pytest.mark.parametrize(
    ("text", "says"), [("{", "is not JSON"), ('{"kind": "majority"}', "holds no sequence model of ours: kind")]
)
def test_settings_that_are_not_a_networks_are_refused_with_the_first_fault(text, says, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=says):
        initialise(model("attention", 0), tmp_path)


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        initialise(model("attention", 0), tmp_path)


def test_a_hybrid_of_the_same_style_takes_the_layers_of_a_hugging_face_encoder(tmp_path):
    torch.manual_seed(0)
    encoder = bert.Bert(bert.BertConfig.model_validate(ENCODER))
    theirs: dict[str, torch.Tensor] = {"pooler.dense.weight": torch.zeros(WIDTH, WIDTH)}
    for name, sources in bert.table(2).items():
        theirs |= dict(zip(sources, encoder.state_dict()[name].chunk(len(sources)), strict=True))
    save_file({n: t.clone().contiguous() for n, t in theirs.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(encoder.config.model_dump_json())
    target = nn.Module()
    target.backbone = Backbone(
        (encoder.backbone.layers[0], GRUConfig(), encoder.backbone.layers[1]), WIDTH, 2.0, 0.1, encoder.backbone.style
    )
    taken = initialise(target, tmp_path)
    there, here = encoder.backbone.stack(), target.backbone.stack()
    for mine, its in [(here[0], there[0]), (here[2], there[1])]:
        for name, tensor in its.state_dict().items():
            assert torch.equal(mine.state_dict()[name], tensor), name
    assert len(taken.moved) == len(there[0].state_dict()) * 2
    assert ("pooler.dense.weight", "not a part of an encoder's layers") in {
        (item.name, item.why) for item in taken.left
    }
    complete(taken, target)
