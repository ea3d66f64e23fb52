"""The fast scan equals the slow one in values, last state and gradients; padding steps and cuts change nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybrids import scan
from hybrids.errors import ConfigError
from hybrids.scan import (
    FASTEST_DT,
    SLOWEST_DT,
    _carry_by_loop,
    _carry_by_product,
    accumulator,
    decayed_attention,
    decayed_attention_reference,
    flip_valid,
    head_width,
    last_valid,
    step_size_bias,
    unit_norm,
)

HEADS, SIZE, DEPTH = 4, 3, 2
seeds = st.integers(0, 2**16)


def scan_inputs(length: int, groups: int, seed: int, strength: float = 1.0) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=g, dtype=torch.float64)

    inputs = [
        normal(length, groups, SIZE),
        normal(length, groups, SIZE),
        normal(length, HEADS, DEPTH),
        -strength * normal(length, HEADS).abs(),
        normal(HEADS, SIZE, DEPTH),
    ]
    return [t.requires_grad_() for t in inputs]


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@given(length=st.integers(1, 37), groups=st.sampled_from([1, 2, 4]), chunk=st.sampled_from([1, 8, 64]), seed=seeds)
def test_fast_equals_slow_in_values_last_state_and_gradients(length, groups, chunk, seed):
    inputs = scan_inputs(length, groups, seed)
    fast, slow = decayed_attention(*inputs, chunk=chunk), decayed_attention_reference(*inputs)
    close(fast, slow)
    weights = [torch.randn_like(t) for t in slow]
    grads = [
        torch.autograd.grad(sum((o * w).sum() for o, w in zip(out, weights, strict=True)), inputs)
        for out in (fast, slow)
    ]
    close(*grads)


def test_without_decay_the_memory_is_the_plain_sum_of_key_value_products():
    q, k, v, _, start = scan_inputs(11, 4, seed=3)
    _, last = decayed_attention(
        q, k, v, torch.zeros(2, 11, HEADS, dtype=torch.float64), torch.zeros_like(start), chunk=4
    )
    close(last, torch.einsum("blhn,blhp->bhnp", k, v))


def test_total_forgetting_gives_finite_values_and_gradients():
    inputs = scan_inputs(70, 1, seed=0, strength=1e4)
    y, _ = decayed_attention(*inputs, chunk=32)
    assert y.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), inputs))


@pytest.mark.parametrize("carry", [_carry_by_loop, _carry_by_product])
def test_float32_stays_exact_over_2000_steps_where_strong_and_weak_decays_meet(carry, monkeypatch):
    inputs = [t.detach() for t in scan_inputs(2000, 2, seed=0, strength=1e-3)]
    inputs[3][:, ::7] *= 1e6  # total forgetting, then hardly any
    inputs[3][:, 1000:] *= 1e-2
    monkeypatch.setattr(scan, "_carry_by_loop", carry)
    for fast, slow in zip(
        decayed_attention(*(t.float() for t in inputs)), decayed_attention_reference(*inputs), strict=True
    ):
        assert (fast.double() - slow).abs().max() < 1e-5 * slow.abs().max()


def test_where_float64_is_missing_the_sums_of_decays_stay_float32(monkeypatch):
    monkeypatch.setattr(scan, "exact", lambda x: x)
    inputs = [t.detach().float() for t in scan_inputs(70, 2, seed=0)]
    torch.testing.assert_close(decayed_attention(*inputs), decayed_attention_reference(*inputs), rtol=1e-4, atol=1e-4)


def test_one_exported_graph_serves_every_length():
    class Form(torch.nn.Module):
        def forward(self, *inputs):
            return decayed_attention(*inputs)

    free = torch.export.Dim.DYNAMIC
    example = tuple(t.detach() for t in scan_inputs(70, 2, seed=0))
    shapes = ((*({0: free, 1: free} for _ in range(4)), {0: free}),)
    exported = torch.export.export(Form(), example, dynamic_shapes=shapes, strict=False).module()
    for length in (1, 32, 64, 333):
        inputs = [t.detach() for t in scan_inputs(length, 2, seed=1, strength=20.0)]
        close(exported(*inputs), decayed_attention_reference(*inputs))


def test_a_step_with_key_zero_and_no_decay_keeps_the_memory():
    q, k, v, g, start = (t.detach() for t in scan_inputs(9, 2, seed=1))
    k[:, 5:], g[:, 5:] = 0, 0
    _, padded = decayed_attention(q, k, v, g, start, chunk=4)
    _, short = decayed_attention(q[:, :5], k[:, :5], v[:, :5], g[:, :5], start, chunk=4)
    close(padded, short)


def test_sums_are_kept_in_float32_even_under_autocast():
    inputs = [t.detach().bfloat16() for t in scan_inputs(9, 1, seed=1)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, last = decayed_attention(*inputs)
    assert y.dtype == last.dtype == accumulator(torch.bfloat16) == torch.float32
    torch.testing.assert_close(y, decayed_attention_reference(*(t.float() for t in inputs))[0], rtol=1e-4, atol=1e-4)


def test_flipping_twice_is_the_identity_and_padding_stays():
    x, lengths = torch.arange(10.0).reshape(2, 5, 1), torch.tensor([3, 5])
    assert flip_valid(x, lengths)[0, :, 0].tolist() == [2, 1, 0, 3, 4]
    assert flip_valid(flip_valid(x, lengths), lengths).equal(x)
    assert flip_valid(x, torch.tensor([5, 5])).equal(flip_valid(x, None))


def test_the_last_valid_value_of_an_empty_row_is_its_start():
    y, start = torch.arange(6.0).reshape(2, 3, 1), torch.tensor([[-1.0], [-2.0]])
    assert last_valid(y, start, torch.tensor([2, 0])).flatten().tolist() == [1, -2]


def test_unit_norm_keeps_zeros_and_their_gradient_finite():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    assert unit_norm(x).flatten().tolist() == pytest.approx([0.6, 0.8, 0, 0])
    assert torch.autograd.grad(unit_norm(x).sum(), x)[0].isfinite().all()
    assert unit_norm(x.bfloat16()).dtype == torch.float32


def test_step_sizes_lie_in_their_range_and_a_bias_gives_them_back():
    dt = torch.nn.functional.softplus(step_size_bias(200).double())
    assert SLOWEST_DT * 0.999 < dt.min() < 0.003 and 0.03 < dt.max() < FASTEST_DT * 1.001


@pytest.mark.parametrize(
    ("width", "multiple", "expected"), [(64, 2, 16), (22, 2, 22), (40, 2, 20), (7, 1, 7), (2, 2, 2)]
)
def test_heads_take_the_nearest_divisor(width, multiple, expected):
    assert head_width(width, 16, multiple) == expected


def test_a_width_that_cannot_be_split_is_named_with_its_cure():
    with pytest.raises(ConfigError, match=r"width 7 .*Use width 8"):
        head_width(7, 16, multiple=2)
