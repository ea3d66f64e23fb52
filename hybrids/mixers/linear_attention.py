"""Gated linear attention: a matrix memory per head that fades by a learned factor and is written by key and value.

    S_t = a_t S_{t-1} + k_t v_t^T            a_t = sigmoid(w . x_t + b)^(1/16), one number per head
    y_t = W_o (RMSNorm(S_t^T q_t) * silu(W_g x_t))

Queries, keys and values pass a short causal convolution; queries and keys have norm 1. Linear in L, constant state.
The memory adds associations and cannot erase one of them: pair it with attention where exact recall matters.
Decays stay in logarithms and states in float32.
"""

import math
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from hybrids.convolution import causal_conv, fresh_taps
from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.scan import CHUNK, accumulator, decayed_attention, decayed_step, head_width, unit_norm
from hybrids.shapes import Lengths, Token, Tokens

GATE_SHARPNESS = 16.0
SHORTEST_MEMORY, LONGEST_MEMORY = 8.0, 512.0


class LinearAttention(Mixer):
    """Mix tokens with gated linear attention.

    At the start the heads forget over 8 to 512 steps, evenly in logarithms.

    Args:
        width: D, channels in and out.
        heads: H; must divide D. Each head remembers (D / H)^2 numbers.
        kernel: Taps of the short convolution.

    Example:
        >>> mixer = LinearAttention(width=8, heads=2, kernel=4)
        >>> y, state = mixer(torch.zeros(2, 10, 8))
        >>> y_t, state = mixer.step(torch.zeros(2, 8), state)
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("decay.bias",)

    def __init__(self, width: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.width, self.heads, self.head_dim, self.kernel = width, heads, width // heads, kernel
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.taps = nn.Parameter(fresh_taps(3 * width, kernel))
        self.decay = nn.Linear(width, heads)
        self.norm = nn.Parameter(torch.ones(self.head_dim))
        self.gate = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        memory = torch.logspace(math.log10(SHORTEST_MEMORY), math.log10(LONGEST_MEMORY), heads)
        self.decay.bias.data = -torch.log(torch.expm1(GATE_SHARPNESS / memory))

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk in linear time; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        memory, tail = self.initial_state(x.shape[0]) if state is None else state
        q, k, v, log_decay, tail = self._project(x, tail, lengths)
        y, memory = decayed_attention(q, k, v, log_decay, memory)
        return self._read(y, x), (memory, tail)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        memory, tail = state
        *signals, tail = self._project(x_t[:, None], tail, None)
        q, k, v, log_decay = (t[:, 0] for t in signals)
        y, memory = decayed_step(q, k, v, log_decay, memory)
        return self._read(y, x_t), (memory, tail)

    def _project(
        self, x: Tokens, tail: Tokens, lengths: Lengths | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tokens]:
        """Return q, k, v (B, L, H, d), the log decay (B, L, H) and the next tail; padding changes no memory."""
        mixed, tail = causal_conv(self.qkv(x), self.taps, tail, lengths)
        q, k, v = F.silu(mixed).reshape(*x.shape[:2], 3, self.heads, self.head_dim).unbind(2)
        q, k = unit_norm(q), unit_norm(k)
        logits = self.decay(x)
        log_decay = F.logsigmoid(logits.to(accumulator(logits.dtype))) / GATE_SHARPNESS
        if lengths is not None:
            padding = ~valid_steps(x, lengths)[..., None]
            k, v = (t.masked_fill(padding[..., None], 0) for t in (k, v))
            log_decay = log_decay.masked_fill(padding, 0)
        return q, k, v, log_decay, tail

    def _read(self, y: Tensor, x: Tensor) -> Tensor:
        """Normalise each head, gate by the input and project."""
        y = F.rms_norm(y, (self.head_dim,), eps=1e-5).to(x.dtype) * self.norm
        projected: Tensor = self.out(y.flatten(-2) * F.silu(self.gate(x)))
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
        d, span = self.width, min(CHUNK, length)
        projections = 5 * d * d + d * self.heads + 3 * d * self.kernel
        return 2 * length * (projections + 2 * span * d + 2 * d * self.head_dim)


class LinearAttentionConfig(MixerConfig):
    """Settings of `LinearAttention`."""

    source: ClassVar[str] = "Yang et al. 2023, arXiv:2312.06635; Sun et al. 2023, arXiv:2307.08621"
    kind: Literal["linear_attention"] = "linear_attention"
    head_dim: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 16
    """Wanted channels per head, and the size of its memory; the nearest divisor of the width is taken."""
    kernel: Annotated[int, Field(ge=2, le=8)] = 4
    """Taps of the short convolution before queries, keys and values."""

    def build(self, width: int) -> LinearAttention:
        """Return gated linear attention with D / head_dim heads."""
        return LinearAttention(width, width // head_width(width, self.head_dim), self.kernel)
