"""Gated delta rule: a matrix memory per head that corrects what it holds for a key instead of adding to it.

    S_t = a_t (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T          a_t = exp(-A softplus(w . x_t + c)), b_t = sigmoid(.)
    y_t = W_o (RMSNorm(S_t^T q_t) * silu(W_g x_t))

Queries, keys and values pass a short causal convolution; queries and keys have norm 1. A key written twice holds the
second value only, so recall is better than with a sum; each head still keeps at most d associations. With
`negative_eigenvalues`, b_t is in (0, 2) and a step can turn a direction of S round, which makes parity learnable
(Grazzi et al. 2024, arXiv:2411.12537). Linear in L and of constant state, about twice the work of linear attention.
Decays stay in logarithms, states in float32; `A_log` and `dt_bias` must not be decayed by the optimiser.
"""

from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from hybrids.convolution import causal_conv, fresh_taps
from hybrids.delta import delta_rule, delta_step
from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.scan import CHUNK, accumulator, head_width, step_size_bias, unit_norm
from hybrids.shapes import Lengths, Token, Tokens

SMALLEST_A, LARGEST_A = 1e-3, 16.0


class GatedDelta(Mixer):
    """Mix tokens with the gated delta rule.

    Args:
        width: D, channels in and out.
        heads: H; must divide D. Each head remembers (D / H)^2 numbers.
        kernel: Taps of the short convolution.
        negative_eigenvalues: Correct up to twice the error, so that a step can reflect.

    Example:
        >>> mixer = GatedDelta(width=8, heads=2, kernel=4)
        >>> y, state = mixer(torch.zeros(2, 10, 8))
        >>> y_t, state = mixer.step(torch.zeros(2, 8), state)
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("A_log", "dt_bias")

    def __init__(self, width: int, heads: int, kernel: int, negative_eigenvalues: bool = False) -> None:
        super().__init__()
        self.width, self.heads, self.head_dim, self.kernel = width, heads, width // heads, kernel
        self.most = 2.0 if negative_eigenvalues else 1.0
        self.project = nn.Linear(width, 4 * width + 2 * heads, bias=False)
        self.taps = nn.Parameter(fresh_taps(3 * width, kernel))
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(SMALLEST_A, LARGEST_A).log())
        self.dt_bias = nn.Parameter(step_size_bias(heads))
        self.norm = nn.Parameter(torch.ones(self.head_dim))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk in linear time; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        memory, tail = self.initial_state(x.shape[0]) if state is None else state
        gate, q, k, v, log_decay, strength, tail = self._drive(x, tail, lengths)
        y, memory = delta_rule(q, k, v, log_decay, strength, memory)
        return self._read(y, gate), (memory, tail)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        memory, tail = state
        *signals, tail = self._drive(x_t[:, None], tail, None)
        gate, q, k, v, log_decay, strength = (t[:, 0] for t in signals)
        y, memory = delta_step(q, k, v, log_decay, strength, memory)
        return self._read(y, gate), (memory, tail)

    def _drive(self, x: Tokens, tail: Tokens, lengths: Lengths | None) -> tuple[Tensor, ...]:
        """Return gate, q, k, v, log decay, strength and the next tail; padding has log decay and strength 0."""
        sizes = [3 * self.width, self.width, self.heads, self.heads]
        mixed, gate, dt, logits = torch.split(self.project(x), sizes, -1)
        mixed, tail = causal_conv(mixed, self.taps, tail, lengths)
        q, k, v = F.silu(mixed).reshape(*x.shape[:2], 3, self.heads, self.head_dim).unbind(2)
        dtype = accumulator(dt.dtype)
        log_decay = -self.A_log.to(dtype).exp() * F.softplus(dt.to(dtype) + self.dt_bias.to(dtype))
        strength = self.most * torch.sigmoid(logits.to(dtype))
        if lengths is not None:
            padding = ~valid_steps(x, lengths)[..., None]
            k, v = (t.masked_fill(padding[..., None], 0) for t in (k, v))
            log_decay, strength = (t.masked_fill(padding, 0) for t in (log_decay, strength))
        return gate, unit_norm(q), unit_norm(k), v, log_decay, strength, tail

    def _read(self, y: Tensor, gate: Tensor) -> Tensor:
        """Normalise each head, gate and project."""
        y = F.rms_norm(y, (self.head_dim,), eps=1e-5).to(gate.dtype) * self.norm
        projected: Tensor = self.out(y.flatten(-2) * F.silu(gate))
        return projected

    def initial_state(self, batch: int) -> State:
        """Return an empty memory (B, H, d, d) and a tail of zeros (B, kernel - 1, 3 D), float32 at least."""
        zeros = partial(self.taps.new_zeros, dtype=accumulator(self.taps.dtype))
        memory = zeros(batch, self.heads, self.head_dim, self.head_dim)
        return memory, zeros(batch, self.kernel - 1, 3 * self.width)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of memory and tail, whatever the length."""
        return sum(t.element_size() * t.numel() for t in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the projections, the convolution and the chunks."""
        d, head, span = self.width, self.head_dim, min(CHUNK, length)
        projections = d * (5 * d + 2 * self.heads) + 3 * d * self.kernel
        inside = 2 * span * d + span * d + span * d  # both products of keys, the solve (half of 2), the sum of values
        return 2 * length * (projections + inside + 4 * d * head)


class GatedDeltaConfig(MixerConfig):
    """Settings of `GatedDelta`."""

    source: ClassVar[str] = "Yang et al. 2024, arXiv:2412.06464; Grazzi et al. 2024, arXiv:2411.12537"
    kind: Literal["gated_delta"] = "gated_delta"
    head_dim: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 16
    """Wanted channels per head, and the size of its memory; the nearest divisor of the width is taken."""
    kernel: Annotated[int, Field(ge=2, le=8)] = 4
    """Taps of the short convolution before queries, keys and values."""
    negative_eigenvalues: bool = False
    """Let a step reflect the memory, which state tracking (parity) needs."""

    def build(self, width: int) -> GatedDelta:
        """Return the gated delta rule with D / head_dim heads."""
        heads = width // head_width(width, self.head_dim)
        return GatedDelta(width, heads, self.kernel, self.negative_eigenvalues)
