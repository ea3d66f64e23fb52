"""Freezing: only what is named learns, the rest computes as in evaluation, and it can all be undone."""

import copy

import pytest
import torch
from torch import nn

from hybrids import encoder_decoder, mixers
from hybrids.errors import ConfigError
from hybrids.freezing import RECURRENT, freeze_all_but, recurrent_part
from hybrids.frontends.series import SeriesConfig
from hybrids.frontends.tokens import TokensConfig
from hybrids.heads.pooled import RegressConfig
from hybrids.layout import parse
from hybrids.model import ModelConfig, SequenceModel

WIDTH = 8


def hybrid(layout: str = "attention + gru + attention", dropout: float = 0.0) -> SequenceModel:
    torch.manual_seed(0)
    made = ModelConfig(
        family="any",
        channels_in=2,
        width=WIDTH,
        layers=parse(layout),
        dropout=dropout,
        frontend=SeriesConfig(channels_in=2),
        head=RegressConfig(),
    ).build()
    nn.init.normal_(made.head.out.weight)  # a new head answers 0 and passes no gradient
    return made


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 9, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([9, 7, 2, 5])


def changed_by_training(model: SequenceModel) -> set[str]:
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        model.train()
        optimiser.zero_grad()
        (model(*batch()) - 1).square().mean().backward()
        optimiser.step()
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


def names(model: nn.Module, *parts: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if name.startswith(parts)}


RNN, HEAD = "backbone.blocks.1.mixer.", "head."
NORMS = (*(f"backbone.blocks.{i}.{n}." for i in range(3) for n in ("norm", "feedforward_norm")), "backbone.norm.")


@pytest.mark.parametrize(
    ("settings", "parts"),
    [({}, (RNN, HEAD)), ({"also": ()}, (RNN,)), ({"norms": True}, (RNN, HEAD, *NORMS))],
)
def test_only_the_unfrozen_weights_change_and_after_unfreezing_all_do(settings, parts):
    model = hybrid()
    frozen = freeze_all_but(model, ("gru", "lstm"), **settings)
    assert set(frozen.trainable) == names(model, *parts)
    assert changed_by_training(model) == names(model, *parts)
    frozen.unfreeze()
    assert changed_by_training(model) == names(model, "")


def test_a_gradient_left_from_before_moves_no_frozen_weight():
    model = hybrid()
    (model(*batch()) - 1).square().mean().backward()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    frozen = freeze_all_but(model, ("gru", "lstm"))
    (model(*batch()) - 1).square().mean().backward()
    torch.optim.AdamW(model.parameters(), lr=1e-2).step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == set(frozen.trainable)


def test_parts_that_rested_before_rest_after():
    model = hybrid().train()
    model.backbone.norm.eval()
    with freeze_all_but(model, ("gru", "lstm")):
        model(*batch())
    assert not model.backbone.norm.training and model.head.training and model.backbone.stack()[0].mixer.training


def test_the_recurrent_part_of_a_decoder_is_found():
    symbols = TokensConfig(vocabulary=7)
    writer = encoder_decoder.family("transformer_rnn", symbols, symbols, width=8, depth=1).build()
    assert recurrent_part(writer) == names(writer, "decoder.blocks.0.past.mixer.")


def test_frozen_dropout_is_off_in_training_and_on_again_after():
    model = hybrid("attention + attention", dropout=0.5)
    with freeze_all_but(model, ("attention",), also=()):
        model.requires_grad_(False)
        still = model.eval()(*batch())
        assert torch.equal(model.train()(*batch()), still)
    model.train()
    assert not torch.equal(model(*batch()), model(*batch()))


def test_dropout_of_a_trained_block_stays_on_and_that_of_frozen_blocks_goes_off():
    model = hybrid(dropout=0.5)
    with freeze_all_but(model):
        model.train()
        model(*batch())
        modes = {name: part.training for name, part in model.named_modules() if isinstance(part, nn.Dropout)}
    on = {name for name, mode in modes.items() if mode}
    assert on == {"backbone.blocks.1.dropout", "head.dropout"}
    assert all(part.training for part in model.modules())


def test_leaving_the_block_restores_what_was_frozen_before():
    model = hybrid()
    model.frontend.requires_grad_(False)
    with freeze_all_but(model):
        assert not model.backbone.norm.weight.requires_grad
    assert {n for n, p in model.named_parameters() if p.requires_grad} == names(model, "backbone.", HEAD)


def test_a_copy_of_a_frozen_model_is_frozen_by_itself():
    model = hybrid(dropout=0.5)
    with freeze_all_but(model):
        twin = copy.deepcopy(model)
    twin.train()
    twin(*batch())
    assert not twin.backbone.blocks[0].dropout.training
    assert model.backbone.blocks[0].dropout.training


def test_the_recurrent_part_is_every_mixer_of_the_kinds():
    assert recurrent_part(hybrid("gru + lstm + attention")) == names(
        hybrid("gru + lstm + attention"), "backbone.blocks.0.mixer.", "backbone.blocks.1.mixer."
    )
    assert recurrent_part(hybrid().backbone) == {name.removeprefix("backbone.") for name in names(hybrid(), RNN)}


def test_every_recurrent_kind_is_the_name_of_a_mixer():
    assert set(RECURRENT) <= set(mixers.names())


def test_kinds_that_the_model_lacks_are_refused_with_those_it_has():
    with pytest.raises(ConfigError, match=r"no layer of kind lstm to train; the model has attention, gru\. Name one"):
        freeze_all_but(hybrid(), ("lstm",))
    with pytest.raises(ConfigError, match="the model has no backbone"):
        freeze_all_but(nn.Linear(2, 2))


@pytest.mark.gpu
def test_gradients_pass_a_frozen_rnn_on_an_accelerator():
    if not torch.cuda.is_available():
        pytest.skip("needs an accelerator")
    model = hybrid("attention + gru + lstm").cuda()
    x, lengths = (t.cuda() for t in batch())
    with freeze_all_but(model, ("attention",), also=()):
        model.train()
        model(x, lengths).square().mean().backward()
        assert all(p.grad is not None for n, p in model.named_parameters() if n.startswith("backbone.blocks.0.mixer."))
