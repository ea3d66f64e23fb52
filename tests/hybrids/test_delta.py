"""The chunked delta rule equals one step at a time; it corrects, reflects, and stays exact where keys repeat."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybrids.delta import _carry_by_loop, _carry_by_scan, _solve, _solve_by_products, delta_rule, delta_rule_reference
from hybrids.scan import accumulator, unit_norm

HEADS, SIZE, DEPTH = 2, 4, 3
seeds = st.integers(0, 2**16)


def rule_inputs(length: int, seed: int, most: float = 1.0, fading: float = 1.0) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=g, dtype=torch.float64)

    inputs = [
        normal(length, HEADS, SIZE),
        unit_norm(normal(length, HEADS, SIZE)),
        normal(length, HEADS, DEPTH),
        -fading * normal(length, HEADS).abs(),
        most * normal(length, HEADS).sigmoid(),
        normal(HEADS, SIZE, DEPTH),
    ]
    return [t.requires_grad_() for t in inputs]


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@given(length=st.integers(1, 37), chunk=st.sampled_from([1, 5, 8, 32]), most=st.sampled_from([1.0, 2.0]), seed=seeds)
def test_fast_equals_slow_in_values_last_state_and_gradients(length, chunk, most, seed):
    inputs = rule_inputs(length, seed, most)
    fast, slow = delta_rule(*inputs, chunk=chunk), delta_rule_reference(*inputs)
    close(fast, slow)
    weights = [torch.randn_like(t) for t in slow]
    grads = [
        torch.autograd.grad(sum((o * w).sum() for o, w in zip(out, weights, strict=True)), inputs)
        for out in (fast, slow)
    ]
    close(*grads)


def test_a_key_written_twice_holds_the_second_value_only():
    key = unit_norm(torch.ones(1, 2, 1, 4, dtype=torch.float64))
    value, still, full = torch.tensor([[[[5.0]], [[7.0]]]]).double(), key.new_zeros(1, 2, 1), key.new_ones(1, 2, 1)
    y, _ = delta_rule(key, key, value, still, full, key.new_zeros(1, 1, 4, 1))
    assert y.flatten().tolist() == pytest.approx([5, 7])


def test_strength_two_reflects_the_memory():
    key = unit_norm(torch.ones(1, 3, 1, 4, dtype=torch.float64))
    still, start = key.new_zeros(1, 3, 1), key[0, 0, :, None].mT[None]
    y, _ = delta_rule(key, key, key.new_zeros(1, 3, 1, 1), still, still + 2, start)
    assert y.flatten().tolist() == pytest.approx([-1, 1, -1])


def test_a_step_with_strength_zero_and_no_decay_keeps_the_memory():
    q, k, v, g, b, start = (t.detach() for t in rule_inputs(9, seed=1))
    g[:, 5:], b[:, 5:] = 0, 0
    _, padded = delta_rule(q, k, v, g, b, start, chunk=4)
    _, short = delta_rule(q[:, :5], k[:, :5], v[:, :5], g[:, :5], b[:, :5], start, chunk=4)
    close(padded, short)


@pytest.mark.parametrize("solve", [_solve, _solve_by_products])
@pytest.mark.parametrize("span", [1, 2, 3, 7, 32])
@pytest.mark.parametrize("wide", [2, 40])
def test_both_solvers_undo_a_unit_lower_triangle(solve, span, wide):
    g = torch.Generator().manual_seed(span)
    lower = torch.randn(3, span, span, generator=g, dtype=torch.float64).tril(-1) / span
    right = torch.randn(3, span, wide, generator=g, dtype=torch.float64)
    close((torch.eye(span) + lower) @ solve(lower, right), right)


@pytest.mark.parametrize("solve", [_solve, _solve_by_products])
@pytest.mark.parametrize("strength", [0.5, 1.0, 1.99])
def test_both_solvers_are_exact_in_float32_where_every_key_is_the_same(solve, strength):
    lower, right = torch.full((32, 32), strength).tril(-1), torch.eye(32)
    exact = torch.linalg.inv(torch.eye(32).double() + lower.double())
    torch.testing.assert_close(solve(lower, right).double(), exact, rtol=0, atol=1e-5)


def test_the_carry_of_the_export_form_is_that_of_the_loop():
    g = torch.Generator().manual_seed(0)
    memory, turn, written = (torch.randn(2, *s, generator=g) for s in [(3, 4, 5), (6, 3, 4, 4), (6, 3, 4, 5)])
    torch.testing.assert_close(_carry_by_scan(memory, turn / 3, written), _carry_by_loop(memory, turn / 3, written))


@pytest.mark.parametrize("most", [1.0, 2.0])
@pytest.mark.parametrize("fading", [0.01, 20.0])
def test_float32_stays_exact_over_500_steps(most, fading):
    inputs = [t.detach() for t in rule_inputs(500, seed=3, most=most, fading=fading)]
    exact = delta_rule_reference(*inputs)
    single = delta_rule(*(t.float() for t in inputs))
    for fast, slow in zip(single, exact, strict=True):
        assert (fast.double() - slow).abs().max() < 1e-5 * slow.abs().max()


def test_sums_are_kept_in_float32_even_under_autocast():
    inputs = [t.detach().bfloat16() for t in rule_inputs(9, seed=1)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, last = delta_rule(*inputs)
    assert y.dtype == last.dtype == accumulator(torch.bfloat16) == torch.float32
    torch.testing.assert_close(y, delta_rule_reference(*(t.float() for t in inputs))[0], rtol=1e-4, atol=1e-4)
