"""Selective state space model (Mamba-2): a linear system whose step size, input and output depend on the token.

    S_t = exp(dt_t A) S_{t-1} + dt_t B_t u_t^T          A < 0, one number per head
    y_t = W_o RMSNorm((S_t^T C_t + D u_t) * silu(z_t))

u, B and C pass a short causal convolution. A step size dt = 0 leaves the state as it is, which is how padding is passed
over. Linear in L and of constant state; decays are positive, so it cannot track parity. Decays stay in logarithms,
states in float32; `A_log`, `D` and `dt_bias` must not be decayed by the optimiser (`no_weight_decay`).
"""

from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from hybrids.convolution import causal_conv, fresh_taps
from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.scan import CHUNK, accumulator, decayed_attention, decayed_step, head_width, step_size_bias
from hybrids.shapes import Lengths, Token, Tokens


class SSM(Mixer):
    """Mix tokens with a selective state space model.

    Args:
        width: D, channels in and out.
        inner: E, channels inside.
        heads: H; must divide E.
        states: N, state numbers per inner channel.
        kernel: Taps of the short convolution.

    Example:
        >>> mixer = SSM(width=8, inner=16, heads=2, states=4, kernel=4)
        >>> y, state = mixer(torch.zeros(2, 10, 8))
        >>> y_t, state = mixer.step(torch.zeros(2, 8), state)
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("A_log", "D", "dt_bias")

    def __init__(self, width: int, inner: int, heads: int, states: int, kernel: int) -> None:
        super().__init__()
        self.width, self.inner, self.heads, self.states, self.kernel = width, inner, heads, states, kernel
        self.head_dim = inner // heads
        self.mixed = inner + 2 * states
        self.project = nn.Linear(width, inner + self.mixed + heads, bias=False)
        self.taps = nn.Parameter(fresh_taps(self.mixed, kernel))
        self.taps_bias = nn.Parameter(torch.zeros(self.mixed))
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(heads))
        self.dt_bias = nn.Parameter(step_size_bias(heads))
        self.norm = nn.Parameter(torch.ones(inner))
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk in linear time; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        memory, tail = self.initial_state(x.shape[0]) if state is None else state
        z, u, c, b, v, log_decay, tail = self._drive(x, tail, lengths)
        y, memory = decayed_attention(c, b, v, log_decay, memory)
        return self._read(y, u, z), (memory, tail)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        memory, tail = state
        *signals, tail = self._drive(x_t[:, None], tail, None)
        z, u, c, b, v, log_decay = (t[:, 0] for t in signals)
        y, memory = decayed_step(c, b, v, log_decay, memory)
        return self._read(y, u, z), (memory, tail)

    def _drive(self, x: Tokens, tail: Tokens, lengths: Lengths | None) -> tuple[Tensor, ...]:
        """Return gate z, input u, C, B, dt * u, log decay dt * A and the next tail; on padding B and dt are 0."""
        z, mixed, dt = torch.split(self.project(x), [self.inner, self.mixed, self.heads], -1)
        mixed, tail = causal_conv(mixed, self.taps, tail, lengths)
        u, b, c = torch.split(F.silu(mixed + self.taps_bias), [self.inner, self.states, self.states], -1)
        u = u.reshape(*x.shape[:2], self.heads, self.head_dim)
        dtype = accumulator(dt.dtype)
        dt = F.softplus(dt.to(dtype) + self.dt_bias.to(dtype))
        v, b = u * dt[..., None], b[:, :, None]
        if lengths is not None:
            padding = ~valid_steps(x, lengths)[..., None]
            dt = dt.masked_fill(padding, 0)
            v, b = (t.masked_fill(padding[..., None], 0) for t in (v, b))
        return z, u, c[:, :, None], b, v, -self.A_log.to(dtype).exp() * dt, tail

    def _read(self, y: Tensor, u: Tensor, z: Tensor) -> Tensor:
        """Add the direct path, gate, normalise and project."""
        gated = (y + self.D[:, None] * u).flatten(-2) * F.silu(z)
        normed = F.rms_norm(gated, (self.inner,), eps=1e-5).to(z.dtype) * self.norm
        projected: Tensor = self.out(normed)
        return projected

    def initial_state(self, batch: int) -> State:
        """Return an empty memory (B, H, N, E / H) and a tail of zeros (B, kernel - 1, E + 2 N), float32 at least."""
        zeros = partial(self.taps.new_zeros, dtype=accumulator(self.taps.dtype))
        return zeros(batch, self.heads, self.states, self.head_dim), zeros(batch, self.kernel - 1, self.mixed)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of memory and tail, whatever the length."""
        return sum(t.element_size() * t.numel() for t in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the projections, the convolution and the chunks."""
        e, n, span = self.inner, self.states, min(CHUNK, length)
        projections = self.width * (2 * e + self.mixed + self.heads) + self.mixed * self.kernel
        return 2 * length * (projections + span * (n + e) + 2 * n * e)


class SSMConfig(MixerConfig):
    """Settings of `SSM`."""

    source: ClassVar[str] = "Dao & Gu 2024, arXiv:2405.21060"
    kind: Literal["ssm"] = "ssm"
    expansion: Annotated[int, Field(ge=1, le=2), Tune()] = 1
    """E / D, inner channels per channel."""
    states: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 16
    """N, state numbers per inner channel."""
    head_dim: Annotated[int, Field(ge=4, le=64)] = 16
    """Wanted inner channels per head, each with one decay; the nearest divisor of E is taken."""
    kernel: Annotated[int, Field(ge=2, le=8)] = 4
    """Taps of the short convolution."""

    def build(self, width: int) -> SSM:
        """Return a state space model with E = expansion * D."""
        inner = self.expansion * width
        return SSM(width, inner, inner // head_width(inner, self.head_dim), self.states, self.kernel)
