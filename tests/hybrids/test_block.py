"""Blocks and their stack against the formulas and against PyTorch's own Transformer layer."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import nn

from hybrids import mixers
from hybrids.backbone import Backbone, the_backbone
from hybrids.block import Block, BlockStyle
from hybrids.errors import ConfigError
from hybrids.feedforward import FeedForward
from hybrids.mixers.attention import AttentionConfig
from hybrids.mixers.gru import GRUConfig

WIDTH = 8
POST = BlockStyle(norm="post", feedforward="gelu", eps=1e-12)


def tokens(length: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def block(style: BlockStyle, expansion: float = 2.0, dropout: float = 0.0) -> Block:
    torch.manual_seed(0)
    made = Block(GRUConfig().build(WIDTH), expansion, dropout, style).double()
    for part in made.modules():
        if isinstance(part, nn.LayerNorm):  # a norm that scales and shifts, so that a wrong order shows
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias, -1, 1)
    return made


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["swiglu", "gelu"])
def test_pre_norm_is_x_plus_part_of_norm_of_x(kind):
    b, x = block(BlockStyle(feedforward=kind)), tokens()
    middle = x + b.mixer(b.norm(x))[0]
    close(b(x)[0], middle + b.feedforward(b.feedforward_norm(middle)))


@pytest.mark.parametrize("kind", ["swiglu", "gelu"])
def test_post_norm_is_norm_of_x_plus_part_of_x(kind):
    b, x = block(BlockStyle(norm="post", feedforward=kind)), tokens()
    middle = b.norm(x + b.mixer(x)[0])
    close(b(x)[0], b.feedforward_norm(middle + b.feedforward(middle)))


def test_without_expansion_there_is_no_feed_forward_part():
    b, x = block(POST, expansion=0), tokens()
    close(b(x)[0], b.norm(x + b.mixer(x)[0]))


@pytest.mark.parametrize("style", [BlockStyle(), POST])
def test_steps_of_a_stack_equal_one_forward(style):
    stack, x = Backbone([GRUConfig()] * 2, WIDTH, 2.0, 0.0, style).double(), tokens()
    states, steps = stack.initial_state(3), []
    for t in range(x.shape[1]):
        y, states = stack.step(x[:, t], states)
        steps.append(y)
    close((torch.stack(steps, 1), states), stack(x))


def test_gelu_is_exact_and_has_width_times_expansion_channels():
    part, x = FeedForward(WIDTH, 3.0, 0.0, "gelu").double(), tokens()
    assert part.expand.weight.shape == (3 * WIDTH, WIDTH)
    inner = F.linear(x, part.expand.weight, part.expand.bias)
    inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
    close(part(x), F.linear(inner, part.contract.weight, part.contract.bias))
    assert part.flops(5) == 2 * 5 * 2 * 3 * WIDTH * WIDTH


@pytest.mark.parametrize(("width", "inner"), [(312, 1200), (384, 1536), (768, 3072)])
def test_the_inner_width_of_gelu_survives_the_division(width, inner):
    assert FeedForward(width, inner / width, 0.0, "gelu").contract.in_features == inner


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("inner", [2, 4])
def test_a_stack_of_attention_equals_the_transformer_encoder_of_torch(first, inner):
    torch.manual_seed(1)
    style = BlockStyle(norm="pre" if first else "post", feedforward="gelu", eps=1e-6)
    layer = AttentionConfig(head_dim=4, bias=True, positions="none")
    ours = Backbone([layer] * 2, WIDTH, inner, 0.1, style).double().eval()
    theirs = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(WIDTH, 2, inner * WIDTH, 0.1, "gelu", 1e-6, True, first, dtype=torch.float64),
        num_layers=2,
        norm=nn.LayerNorm(WIDTH, 1e-6, dtype=torch.float64) if first else None,
        enable_nested_tensor=False,
    ).eval()
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.5)
    for mine, other in zip(ours.stack(), theirs.layers, strict=True):
        pairs = {
            mine.mixer.qkv.weight: other.self_attn.in_proj_weight,
            mine.mixer.qkv.bias: other.self_attn.in_proj_bias,
            mine.mixer.out.weight: other.self_attn.out_proj.weight,
            mine.mixer.out.bias: other.self_attn.out_proj.bias,
        }
        for p, q in pairs.items():
            p.data.copy_(q)
        for part, there in [
            (mine.norm, other.norm1),
            (mine.feedforward_norm, other.norm2),
            (mine.feedforward.expand, other.linear1),
            (mine.feedforward.contract, other.linear2),
        ]:
            part.load_state_dict(there.state_dict())
    if first:
        ours.norm.load_state_dict(theirs.norm.state_dict())
    x, lengths = tokens(), torch.tensor([7, 3, 1])
    valid = torch.arange(7)[None] < lengths[:, None]
    close(ours(x, None, lengths)[0][valid], theirs(x, src_key_padding_mask=~valid)[valid])


def test_a_post_norm_stack_has_no_last_norm_and_a_pre_norm_stack_has_one():
    assert not list(Backbone([GRUConfig()], WIDTH, 2.0, 0.0, POST).norm.parameters())
    assert isinstance(Backbone([GRUConfig()], WIDTH, 2.0, 0.0).norm, nn.LayerNorm)


def test_eps_reaches_every_norm():
    stack = Backbone([GRUConfig()], WIDTH, 2.0, 0.0, BlockStyle(eps=1e-7))
    assert {part.eps for part in stack.modules() if isinstance(part, nn.LayerNorm)} == {1e-7}


def test_dropout_falls_on_both_parts_in_training_only():
    b, x = block(POST, dropout=0.5), tokens()
    b.eval()
    still = b(x)[0]
    close(b(x)[0], still)
    b.train()
    assert (b(x)[0] != still).any()


def test_a_style_is_data():
    assert TypeAdapter(BlockStyle).validate_json(POST.model_dump_json()) == POST
    assert BlockStyle() == BlockStyle(norm="pre", feedforward="swiglu", eps=1e-5)
    with pytest.raises(ValidationError):
        BlockStyle(norm="middle")


def test_replacing_a_mixer_keeps_precision_mode_and_the_other_blocks():
    stack = Backbone([GRUConfig(), AttentionConfig()], WIDTH, 2.0, 0.0).double().eval()
    stack.stack()[0].mixer.needs_state = False
    before = {n: t.clone() for n, t in stack.state_dict().items()}
    old = stack.replace(0, AttentionConfig())
    assert isinstance(old, type(GRUConfig().build(WIDTH)))
    assert stack.layers == (AttentionConfig(), AttentionConfig()) and stack.kinds == ("attention", "attention")
    new = stack.stack()[0].mixer
    assert not new.training and not new.needs_state and next(new.parameters()).dtype == torch.float64
    for name, t in stack.state_dict().items():
        assert name.startswith("blocks.0.mixer.") or torch.equal(t, before[name])


def test_the_one_backbone_of_a_model_is_found_and_two_are_refused():
    stack = Backbone([GRUConfig()], WIDTH, 0, 0.0)
    assert the_backbone(nn.ModuleDict({"a": stack})) is stack
    nested = Backbone([mixers.config("pooled")()], WIDTH, 0, 0.0)  # the stack inside a mixer does not count
    assert the_backbone(nn.ModuleDict({"a": nested})) is nested
    for model, count in [(nn.Linear(2, 2), 0), (nn.ModuleList([stack, Backbone([GRUConfig()], WIDTH, 0, 0.0)]), 2)]:
        with pytest.raises(ConfigError, match=f"holds {count} backbones, not 1. Pass the part"):
            the_backbone(model)
