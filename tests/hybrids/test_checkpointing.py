"""A checkpointed backbone gives the values, states and gradients of the plain one, and keeps less for the backward."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd.graph import saved_tensors_hooks

from hybrids import ModelConfig, parse
from hybrids.backbone import Backbone
from hybrids.checkpointing import checkpointed, checkpointing
from hybrids.errors import ConfigError
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.pooled import ClassifyConfig

WIDTH, BATCH = 6, 3
CAUSAL = {"attention": {"causal": True}, "conv": {"causal": True, "kernel": 5}}
LAYOUTS = ["gru + lstm", "ssm + linear_attention", "conv + attention"]
WAYS = [(None, True), (4, True), (4, False), (1, False), (50, False)]


def backbone_of(layout: str, dropout: float = 0.0, settings: dict | None = None) -> Backbone:
    torch.manual_seed(0)
    return Backbone(parse(layout, CAUSAL if settings is None else settings), WIDTH, 2.0, dropout).double()


def tokens(length: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, length, WIDTH, dtype=torch.float64, generator=generator)


def everything(run, backbone: Backbone, x: torch.Tensor, states=None, lengths=None) -> list[torch.Tensor]:
    """Return valid outputs, states and the gradients to input, incoming states and weights of one pass."""
    x = x.clone().requires_grad_()
    leaves: list[torch.Tensor] = []
    if states is not None:
        states = tuple(tuple(s.detach().requires_grad_(s.is_floating_point()) for s in state) for state in states)
        leaves = [s for state in states for s in state if s.requires_grad]
    y, after = run(x, states, lengths)
    valid = torch.full((BATCH,), x.shape[1]) if lengths is None else lengths
    y = y * (torch.arange(x.shape[1])[None] < valid[:, None])[..., None]
    ends = [s for state in after for s in state if s.is_floating_point()]
    wanted = [x, *leaves, *backbone.parameters()]
    gradients = torch.autograd.grad(y.square().sum() + sum(s.sin().sum() for s in ends), wanted)
    return [y, *(s for state in after for s in state), *gradients]


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("segment", "depth"), WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_states_and_gradients_are_those_of_the_plain_pass(layout, segment, depth):
    backbone, x = backbone_of(layout), tokens(13, seed=1)
    recomputed = everything(lambda *a: checkpointed(backbone, *a, segment=segment, depth=depth), backbone, x)
    close(recomputed, everything(backbone, backbone, x))


@pytest.mark.parametrize(("segment", "depth"), WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_ragged_rows_that_go_on_from_a_state_are_those_of_the_plain_pass(layout, segment, depth):
    backbone, x, lengths = backbone_of(layout), tokens(11, seed=2), torch.tensor([11, 0, 5])
    _, states = backbone(tokens(3, seed=3), lengths=torch.tensor([1, 3, 2]))
    recomputed = everything(
        lambda *a: checkpointed(backbone, *a, segment=segment, depth=depth), backbone, x, states, lengths
    )
    close(recomputed, everything(backbone, backbone, x, states, lengths))


@given(length=st.integers(1, 19), segment=st.integers(1, 20))
def test_any_segment_fits_any_length(length, segment):
    backbone, x = backbone_of("gru"), tokens(length, seed=length)
    recomputed = everything(lambda *a: checkpointed(backbone, *a, segment=segment), backbone, x)
    close(recomputed, everything(backbone, backbone, x))


@pytest.mark.parametrize(("segment", "depth"), [(None, True), (13, True), (13, False)])
def test_dropout_draws_the_same_masks_again_in_the_backward_pass(segment, depth):
    backbone, x = backbone_of("lstm + gru", dropout=0.5), tokens(13, seed=4)
    torch.manual_seed(5)
    plain = everything(backbone, backbone, x)
    torch.manual_seed(5)
    close(everything(lambda *a: checkpointed(backbone, *a, segment=segment, depth=depth), backbone, x), plain)


def test_dropout_over_time_segments_is_the_cut_pass_of_the_same_seed():
    backbone, x = backbone_of("lstm + gru", dropout=0.5), tokens(9, seed=4)

    def cut(x, states, lengths):
        left, states = backbone(x[:, :5], states)
        right, states = backbone(x[:, 5:], states)
        return torch.cat([left, right], 1), states

    torch.manual_seed(6)
    plain = everything(cut, backbone, x)
    torch.manual_seed(6)
    close(everything(lambda *a: checkpointed(backbone, *a, segment=5, depth=False), backbone, x), plain)


def test_a_backbone_that_sees_the_future_is_checkpointed_over_depth_only():
    backbone, x = backbone_of("attention + conv", settings={}), tokens(9, seed=1)
    recomputed = everything(lambda *a: checkpointed(backbone, *a), backbone, x)
    close(recomputed, everything(backbone, backbone, x))
    with pytest.raises(ConfigError, match=r"sees the future cannot be cut into segments of 4 steps\. Set segment=None"):
        checkpointed(backbone, x, segment=4)


@pytest.mark.parametrize(("segment", "depth", "message"), [(0, True, "of 0 steps"), (None, False, "Set depth")])
def test_settings_that_recompute_nothing_are_refused(segment, depth, message):
    with pytest.raises(ConfigError, match=message):
        checkpointed(backbone_of("gru"), tokens(3, 0), segment=segment, depth=depth)


def kept_bytes(run, x: torch.Tensor) -> int:
    """Return the bytes of all distinct storages that the backward pass of one call holds."""
    held: dict[int, int] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        held[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with saved_tensors_hooks(pack, lambda t: t):
        run(x)
    return sum(held.values())


@pytest.mark.parametrize("layout", ["lstm", "gru", "3*ssm"])
def test_much_less_is_kept_for_the_backward_pass(layout):
    backbone, x = backbone_of(layout), tokens(256, seed=0).requires_grad_()
    plain = kept_bytes(backbone, x)
    assert kept_bytes(lambda x: checkpointed(backbone, x, segment=16, depth=False), x) < plain / 3


def test_the_losses_of_a_router_reach_its_weights_through_a_checkpoint():
    backbone, x = backbone_of("moe_rnn + gru"), tokens(9, seed=1)
    router = backbone.stack()[0].mixer.router

    def gradients(y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(y.square().sum() + sum(router.losses), list(backbone.parameters()))

    plain = gradients(backbone(x)[0])
    close(gradients(checkpointed(backbone, x)[0]), plain)


def test_nothing_is_recomputed_where_no_gradient_is_wanted():
    backbone, x = backbone_of("gru"), tokens(5, seed=0)
    with torch.no_grad():
        y, states = checkpointed(backbone, x, segment=2)
    close((y, states), backbone(x))
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("layout", "options"), [("2*lstm", {"segment": 5, "depth": False}), ("gru + pooled", {}), ("moe_rnn", {})]
)
def test_a_whole_model_trains_the_same_inside_the_context_and_is_itself_again_afterwards(layout, options):
    torch.manual_seed(0)
    plain = ModelConfig(
        family="any",
        channels_in=2,
        width=WIDTH,
        layers=parse(layout, {"pooled": {"dropout": 0}}),
        dropout=0,
        frontend=SeriesConfig(channels_in=2),
        head=ClassifyConfig(classes=3),
    ).build()
    model = copy.deepcopy(plain)
    x, lengths, names = torch.randn(BATCH, 17, 2), torch.tensor([17, 4, 9]), list(plain.state_dict())
    plain(x, lengths).square().sum().backward()
    with checkpointing(model, **options):
        loss = model(x, lengths).square().sum()
        assert list(model.state_dict()) == names
    loss.backward()  # the backward pass may come after the context
    torch.testing.assert_close([p.grad for p in model.parameters()], [p.grad for p in plain.parameters()])
    assert "forward" not in vars(model.backbone)
    with pytest.raises(ConfigError, match="Linear has no backbone"), checkpointing(torch.nn.Linear(1, 1)):
        pass
