"""The hand-written passes through time against the loop of single steps and against `nn.RNN` and `nn.GRU`."""

import pytest
import torch
from torch import nn

from hybrids.recurrence import (
    BLOCK_STEPS,
    FEW_STEPS,
    chrono_bias,
    gated_recurrence,
    gated_step,
    init_gates,
    run,
    tanh_recurrence,
    tanh_step,
)

WIDTH = 5
KINDS = {"tanh": (tanh_recurrence, tanh_step, nn.RNN), "gated": (gated_recurrence, gated_step, nn.GRU)}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def native(kind) -> nn.RNNBase:
    torch.manual_seed(0)
    return kind[2](WIDTH, WIDTH, batch_first=True).double()


def sample(length: int, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(length)
    x = torch.randn(batch, length, WIDTH, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(batch, WIDTH, dtype=torch.float64, requires_grad=True)


def gradients(y: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    weight = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((y * weight).sum() + y[:, -1].square().sum(), inputs)


@pytest.mark.parametrize("batch", [1, 3, 40])
@pytest.mark.parametrize("length", [1, 2, 17, BLOCK_STEPS, 2 * BLOCK_STEPS + 3])
def test_the_fast_pass_equals_the_loop_of_steps(kind, length, batch):
    fast, step, _ = kind
    (x, h), weights = sample(length, batch), native(kind).all_weights[0]
    start, steps = h, []
    for x_t in x.unbind(1):
        h = step(x_t, h, weights)
        steps.append(h)
    slow, quick = torch.stack(steps, 1), fast(x, start, weights)
    torch.testing.assert_close(quick, slow, rtol=0, atol=1e-12)
    inputs = (x, start, *weights)
    torch.testing.assert_close(gradients(quick, *inputs), gradients(slow, *inputs), rtol=0, atol=1e-9)


def test_both_ways_of_a_run_agree_so_the_choice_shows_only_in_time(kind):
    (x, start), net = sample(FEW_STEPS + 3), native(kind)
    valid, inputs = torch.tensor([FEW_STEPS + 3, 1, 0]), (x, start, *net.parameters())
    y, last = run(net, kind[0], x, start, valid)
    with torch.no_grad():
        without, end = run(net, kind[0], x, start, valid)
    plain, _ = net(x, start[None])
    torch.testing.assert_close((y, last), (without, end), rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients(y, *inputs), gradients(plain, *inputs), rtol=0, atol=1e-9)
    torch.testing.assert_close(last, torch.stack([y[0, -1], y[1, 0], start[2]]), rtol=0, atol=0)


def test_a_block_of_more_rows_than_fit_is_one_step(kind):
    x, start = sample(9, batch=1100)
    torch.testing.assert_close(
        kind[0](x, start, native(kind).all_weights[0]), native(kind)(x, start[None])[0], rtol=0, atol=1e-12
    )


def test_a_second_derivative_is_refused_not_wrong(kind):
    x, start = sample(9)
    y = kind[0](x, start, native(kind).all_weights[0])
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_a_gradient_from_above_is_not_changed_in_place(kind):
    x, start = sample(9)
    y = kind[0](x, start, native(kind).all_weights[0])
    above = torch.ones_like(y)
    y.backward(above)
    assert (above == 1).all()


def test_sums_over_time_stay_in_single_precision_under_autocast(kind):
    net = native(kind).float()
    x, start = (t.detach().float() for t in sample(FEW_STEPS))
    exact, _ = run(net, kind[0], x, start, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, last = run(net, kind[0], x, start, None)
    assert last.dtype == torch.float32
    torch.testing.assert_close(y, exact)


@pytest.mark.parametrize("weights", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inputs", [torch.float64, torch.float32, torch.bfloat16])
def test_every_way_runs_in_the_precision_of_the_weights_and_at_least_in_single(kind, inputs, weights):
    by_hand, step, _ = kind
    net, (x, h) = native(kind).to(weights), sample(FEW_STEPS + 21)
    x, state = x.detach().to(inputs), torch.promote_types(weights, torch.float32)
    exact, end = run(native(kind).to(weights).double(), by_hand, x.double(), h, None)
    close = {"rtol": 0, "atol": 1e-12 if state == torch.float64 else 2e-6, "check_dtype": False}
    for learning in (True, False):
        with torch.set_grad_enabled(learning):
            y, last = run(net, by_hand, x, h, None)
        assert (y.dtype, last.dtype) == (inputs, state)
        torch.testing.assert_close(last, end, **close)
        torch.testing.assert_close(
            y, exact.to(inputs), rtol=0.01 if inputs == torch.bfloat16 else 0, atol=2e-6, check_dtype=False
        )
    for x_t in x.unbind(1):
        h = step(x_t, h, net.all_weights[0])
    assert h.dtype == state
    torch.testing.assert_close(h, end, **close)


def test_a_pass_by_hand_over_no_rows_is_empty(kind):
    x, start = sample(FEW_STEPS, batch=0)
    assert kind[0](x, start, native(kind).all_weights[0]).shape == (0, FEW_STEPS, WIDTH)


def test_every_gate_starts_as_a_rotation():
    _, u, b, c = init_gates(nn.GRU(WIDTH, WIDTH))
    for gate in u.split(WIDTH):
        torch.testing.assert_close(gate @ gate.T, torch.eye(WIDTH))
    assert not b.any() and not c.any()


def test_chrono_biases_spread_time_scales_evenly_up_to_the_longest():
    torch.manual_seed(0)
    kept = torch.sigmoid(chrono_bias(torch.empty(20_000, dtype=torch.float64), longest_memory=101))
    scale = 1 / (1 - kept)
    assert scale.min() >= 2 and scale.max() <= 101
    spread = torch.histc(scale, bins=9, min=2, max=101) / len(scale)
    torch.testing.assert_close(spread, torch.full_like(spread, 1 / 9), rtol=0, atol=0.01)
