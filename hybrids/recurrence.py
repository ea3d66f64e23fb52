"""Tanh and gated recurrences with a hand-written backward pass through time, for training on CPU.

    tanh    h_t = tanh(W x_t + b + U h_{t-1} + c)
    gated   r_t, z_t = sigmoid(W x_t + b + U h_{t-1} + c)      n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + c_n))
            h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Only the product with U is sequential: the loop forward is that product and one to four elementwise calls a step, all in
place. Backward, the derivatives of the elementwise parts are taken for a block of steps at once, the loop is one
product and one to three elementwise calls a step, and the weight gradients are one product a block. Autograd, which
`nn.RNN` and `nn.GRU` use on CPU, makes and walks a graph of some ten to twenty nodes a step instead. `tanh_step` and
`gated_step`, called in a loop, are the slow references. There is no second derivative: asking for one raises.

Whichever way, a recurrence runs in the precision of its weights, but never in less than float32 and never under
autocast: rounding the state to 8 bits at every step adds up. Inputs are cast to that precision.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hybrids.mixer import State
from hybrids.scan import accumulator, full_precision, last_valid, loop_in_graph
from hybrids.shapes import Lengths, Token, Tokens

FEW_STEPS = 8
"""Training on CPU, the hand-written pass is taken from this length on.

Time of a forward and a backward pass over that of `nn.GRU` (`nn.RNN`), float32, torch 2.13, one thread of an AMD EPYC
9004, least of 5, always 8192 tokens, batches from 128 down to 1:

    steps       64           256          1024         4096         8192
    width 64    0.85 (0.88)  0.61 (0.65)  0.46 (0.43)  0.32 (0.33)  0.26 (0.29)
    width 128   0.96 (0.94)  0.78 (0.89)  0.54 (0.58)  0.35 (0.39)  0.32 (0.35)

Widths 64, 128 and 256 with 8 or 16 steps and batches of 32 to 512: 0.72 to 1.03. At 1 and 2 steps: 1.1 to 1.6, hence
the limit. Without gradients the native kernel is as fast and keeps less.
"""
BLOCK_STEPS, BLOCK_ROWS = 64, 1024
"""Steps, and steps times batch, of a block: its numbers stay in the cache from the loop to the products after it."""

Steps = Float[Tensor, "L B D"]
Weights = Sequence[Tensor]
"""W (G D, C), U (G D, D), b (G D), c (G D), as in `nn.RNN` (G = 1), `nn.GRU` (3: r, z, n) and `nn.LSTM` (4)."""
Recurrence = Callable[[Tokens, Token, Weights], Tokens]
KERNELS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "RNN_TANH": torch.rnn_tanh,
    "GRU": torch.gru,
    "LSTM": torch.lstm,
}
"""What `nn.RNNBase` calls, by its mode; unlike it they take weights that are not its own."""


def run(
    native: nn.RNNBase, by_hand: Recurrence, x: Tokens, start: Token, lengths: Lengths | None
) -> tuple[Tokens, Token]:
    """Return every h_t and each row's last one, by whichever of two equal ways is faster.

    Args:
        native: `nn.RNN` or `nn.GRU`, which holds the weights; cuDNN on an accelerator.
        by_hand: The same recurrence with its own backward pass.
        x: Tokens.
        start: h_0.
        lengths: Valid steps of each row.

    Returns:
        Every h_t in the precision of `x`, and the last ones in that of the weights, float32 at least.
    """
    weights = native.all_weights[0]
    training = x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()
    if native.mode == "RNN_TANH" and torch.compiler.is_exporting():
        h = _tanh_in_graph(x, start, weights)
    elif training and x.shape[1] >= FEW_STEPS:
        h = by_hand(x, start, weights)
    else:
        h, _ = run_native(native, x, (start,))
    last = h[:, -1].clone() if lengths is None else last_valid(h, start, lengths)  # a view would keep every h_t alive
    return h.to(x.dtype), last


def run_native(native: nn.RNNBase, x: Tokens, start: State) -> tuple[Tokens, State]:
    """Return every output and the state after the last step, by PyTorch's kernel, in float32 at least."""
    weights = native.all_weights[0]
    dtype = accumulator(weights[0].dtype)
    x, start = x.to(dtype), tuple(s[None].to(dtype) for s in start)
    h = start if native.mode == "LSTM" else start[0]
    with full_precision(x.device):
        if weights[0].dtype == dtype:
            y, end = native(x, h)
            last = end if native.mode == "LSTM" else (end,)
        else:
            kernel, settings = KERNELS[native.mode], (True, 1, 0.0, native.training, False, True)
            y, *last = kernel(x, h, [weight.to(dtype) for weight in weights], *settings)
    return y, tuple(s[0] for s in last)


def init_gates(native: nn.RNNBase) -> Weights:
    """Make every gate's U orthogonal, its W Xavier, the biases 0, in place; return all four as plain tensors."""
    weights = [weight.data for weight in native.all_weights[0]]
    w, u, b, c = weights
    gates = len(b) // native.hidden_size
    for w_gate, u_gate in zip(w.chunk(gates), u.chunk(gates), strict=True):
        nn.init.xavier_uniform_(w_gate)
        nn.init.orthogonal_(u_gate)
    nn.init.zeros_(b)
    nn.init.zeros_(c)
    return weights


def chrono_bias(bias: Float[Tensor, " D"], longest_memory: int) -> Float[Tensor, " D"]:
    """Return biases log u, u uniform in [1, T - 1], for gates that keep.

    A gate sigmoid(log u) alone keeps for 1 + u steps: time scales lie evenly in [2, T] (Tallec & Ollivier 2018,
    arXiv:1804.11188).

    Args:
        bias: The biases that will be replaced; gives number, precision and device.
        longest_memory: T, steps.
    """
    return torch.empty_like(bias).uniform_(1, longest_memory - 1).log_()


def _tanh_in_graph(x: Tokens, start: Token, weights: Weights) -> Tokens:
    """Return every h_t of the tanh recurrence; exporters unroll `nn.RNN`, which fixes the length."""
    dtype = accumulator(weights[0].dtype)
    x, start, w, u, b, c = (t.to(dtype).detach() for t in (x, start, *weights))

    def join(h: Token, drive: Token) -> tuple[Token, Token]:
        h = torch.tanh(drive + F.linear(h, u))
        return h, h.clone()

    return loop_in_graph(join, start, F.linear(x, w, b + c))[1]


def tanh_step(x_t: Token, h: Token, weights: Weights) -> Token:
    """Return h_t of the tanh recurrence, at least in float32."""
    dtype = accumulator(weights[0].dtype)
    with full_precision(x_t.device):
        x_t, h, w, u, b, c = (t.to(dtype) for t in (x_t, h, *weights))
        return torch.tanh(F.linear(x_t, w, b) + F.linear(h, u, c))


def gated_step(x_t: Token, h: Token, weights: Weights) -> Token:
    """Return h_t of the gated recurrence, at least in float32."""
    dtype = accumulator(weights[0].dtype)
    with full_precision(x_t.device):
        x_t, h, w, u, b, c = (t.to(dtype) for t in (x_t, h, *weights))
        x_r, x_z, x_n = F.linear(x_t, w, b).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, u, c).chunk(3, -1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return n + torch.sigmoid(x_z + h_z) * (h - n)


def lstm_step(x_t: Token, state: State, weights: Weights) -> State:
    """Return h_t and the cell of a long short-term memory, at least in float32."""
    dtype = accumulator(weights[0].dtype)
    with full_precision(x_t.device):
        x_t, h, cell, *weights = (t.to(dtype) for t in (x_t, *state, *weights))
        return torch.lstm_cell(x_t, (h, cell), *weights)


def tanh_recurrence(x: Tokens, start: Token, weights: Weights) -> Tokens:
    """Return every h_t of the tanh recurrence from h_0 = `start`, at least in float32."""
    return _through_time(_Tanh, x, start, weights)


def gated_recurrence(x: Tokens, start: Token, weights: Weights) -> Tokens:
    """Return every h_t of the gated recurrence from h_0 = `start`, at least in float32."""
    return _through_time(_Gated, x, start, weights)


def _through_time(kind: type["_Tanh | _Gated"], x: Tokens, start: Token, weights: Weights) -> Tokens:
    dtype = accumulator(weights[0].dtype)
    with full_precision(x.device):
        steps = x.to(dtype).transpose(0, 1).contiguous()
        h: Steps = kind.apply(steps, start.to(dtype), *(weight.to(dtype) for weight in weights))  # type: ignore[no-untyped-call]
    return h.transpose(0, 1)


class _Tanh(torch.autograd.Function):
    """All steps of the tanh recurrence, time first."""

    @staticmethod
    def forward(ctx: Any, x: Steps, start: Token, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Steps:
        length, batch, width = x.shape[0], *start.shape
        h = x.new_empty(length + 1, batch, width)
        h[0] = start
        bias, turned = b + c, u.T.contiguous()
        for x_s, before_s, now_s in _blocks(batch, x, h[:-1], h[1:]):
            torch.addmm(bias, x_s.flatten(0, 1), w.T, out=now_s.view(-1, width))
            for before, now in zip(before_s.unbind(), now_s.unbind(), strict=True):
                now.addmm_(before, turned).tanh_()
        ctx.save_for_backward(x, h, w, u)
        return h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Steps) -> tuple[Tensor, ...]:
        x, h, w, u = ctx.saved_tensors
        dx, dw, du, db = torch.empty_like(x), torch.zeros_like(w), torch.zeros_like(u), torch.zeros_like(u[0])
        dh = torch.zeros_like(h[0])
        for x_s, before_s, now_s, dy_s, dx_s in reversed(_blocks(h.shape[1], x, h[:-1], h[1:], dy, dx)):
            d = 1 - now_s.square()
            for dy_t, d_t in zip(reversed(dy_s.unbind()), reversed(d.unbind()), strict=True):
                dh = torch.mm(d_t.mul_(dh.add_(dy_t)), u)
            d = d.flatten(0, 1)
            torch.mm(d, w, out=dx_s.view(-1, w.shape[1]))
            dw.addmm_(d.T, x_s.flatten(0, 1))
            du.addmm_(d.T, before_s.flatten(0, 1))
            db.add_(d.sum(0))
        return dx, dh, dw, du, db, db


class _Gated(torch.autograd.Function):
    """All steps of the gated recurrence, time first.

    Inside, the parts of a step lie as [m, r, z, n] with m = U_n h + c_n: the recurrent gradient is then the slice
    [m, r, z], the input gradient the slice [r, z, n], and neither is copied.
    """

    @staticmethod
    def forward(ctx: Any, x: Steps, start: Token, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Steps:
        length, batch, width = x.shape[0], *start.shape
        h = x.new_empty(length + 1, batch, width)
        h[0] = start
        gates, n = x.new_empty(length, batch, 3 * width), x.new_empty(length, batch, width)
        w_rz, w_n = w[: 2 * width].T, w[2 * width :].T
        bias, b_n, c_n = b[: 2 * width] + c[: 2 * width], b[2 * width :], c[2 * width :]
        turned = _new_value_first(u).T.contiguous()
        for x_s, before_s, now_s, gates_s, n_s in _blocks(batch, x, h[:-1], h[1:], gates, n):
            rz_s = gates_s[..., width:]
            gates_s[..., :width] = c_n
            torch.addmm(bias, x_s.flatten(0, 1), w_rz, out=gates_s.view(-1, 3 * width)[:, width:])
            torch.addmm(b_n, x_s.flatten(0, 1), w_n, out=n_s.view(-1, width))
            parts = (before_s, now_s, gates_s, rz_s, *gates_s.chunk(3, -1), n_s)
            for before, now, all_t, rz_t, m_t, r_t, z_t, n_t in zip(*(p.unbind() for p in parts), strict=True):
                all_t.addmm_(before, turned)
                rz_t.sigmoid_()
                n_t.addcmul_(r_t, m_t).tanh_()
                torch.lerp(n_t, before, z_t, out=now)
        ctx.save_for_backward(x, h, gates, n, w, u)
        return h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Steps) -> tuple[Tensor, ...]:
        x, h, gates, n, w, u = ctx.saved_tensors
        batch, width = h.shape[1:]
        first = _new_value_first(u)
        dx, dw, du, dbias = torch.empty_like(x), torch.zeros_like(w), torch.zeros_like(u), x.new_zeros(4 * width)
        dh = torch.zeros_like(h[0])
        for x_s, before_s, gates_s, n_s, dy_s, dx_s in reversed(_blocks(batch, x, h[:-1], gates, n, dy, dx)):
            m, r, z = gates_s.chunk(3, -1)
            d = x.new_empty(len(x_s), batch, 4, width)  # first d h_t / d part, after the loop d loss / d part
            d_m, d_r, d_z, d_n = d.unbind(2)
            torch.mul(1 - z, 1 - n_s * n_s, out=d_n)
            torch.mul(d_n, r, out=d_m)
            torch.mul(d_m, m * (1 - r), out=d_r)
            torch.mul(before_s - n_s, z * (1 - z), out=d_z)
            flat = d.view(len(x_s), batch, 4 * width)
            parts = (dy_s, d, flat[..., : 3 * width], z)
            for dy_t, d_t, back_t, z_t in zip(*(reversed(p.unbind()) for p in parts), strict=True):
                dh = dh + dy_t
                d_t.mul_(dh.unsqueeze(1))
                dh = dh.mul_(z_t).addmm_(back_t, first)
            flat = flat.flatten(0, 1)
            torch.mm(flat[:, width:], w, out=dx_s.view(-1, w.shape[1]))
            dw.addmm_(flat[:, width:].T, x_s.flatten(0, 1))
            du.addmm_(flat[:, : 3 * width].T, before_s.flatten(0, 1))
            dbias.add_(flat.sum(0))
        return dx, dh, dw, du.roll(-width, 0), dbias[width:], dbias[: 3 * width].roll(-width, 0)


def _blocks(batch: int, *parts: Steps) -> list[tuple[Steps, ...]]:
    """Return all parts cut into blocks of steps that stay in the cache between the loop and the products around it."""
    size = max(1, min(BLOCK_STEPS, BLOCK_ROWS // max(1, batch)))
    return list(zip(*(torch.split(part, size) for part in parts), strict=True))


def _new_value_first(u: Tensor) -> Tensor:
    """Return the rows of the gates r, z, n in the order n, r, z."""
    return u.roll(u.shape[0] // 3, 0)
