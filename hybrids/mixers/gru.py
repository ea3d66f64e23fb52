"""Gated recurrent unit: two gates decide what each hidden number keeps and how it is rewritten.

    r_t, z_t = sigmoid(W x_t + U h_{t-1} + b)
    n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + c_n))
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Sequential in time: O(L D^2), and O(D^2) per step. It can count and track states, which linear recurrences cannot
(Grazzi et al. 2024, arXiv:2411.12537). Two directions are two padded passes with a length-aware flip between them:
packed sequences leave the fast kernels.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import nn

from hybrids.errors import ConfigError
from hybrids.mixer import Mixer, MixerConfig, State
from hybrids.scan import flip_valid, last_valid
from hybrids.shapes import Lengths, Token, Tokens

GATES = 3


class GRU(Mixer):
    """Mix tokens with a GRU of hidden width D.

    Args:
        width: D, channels in and out.
        bidirectional: Share D between a forward and a backward pass. Then it is not causal and keeps no state.

    Raises:
        ConfigError: two directions need a width of at least 2.

    Example:
        >>> mixer = GRU(width=4)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, bidirectional: bool = False) -> None:
        super().__init__()
        if bidirectional and width < 2:
            raise ConfigError(f"two directions cannot share width {width}. Use a width of at least 2.")
        self.width, self.causal = width, not bidirectional
        self.hidden = width - width // 2 if bidirectional else width
        self.rnn = _recurrence(width, self.hidden)
        self.reverse = _recurrence(width, width // 2) if bidirectional else None

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state it cannot use."""
        self.check_width(x)
        if self.reverse is not None:
            if state:
                raise ConfigError("a bidirectional GRU takes no state. Pass the whole sequence at once.")
            back, _ = self.reverse(flip_valid(x, lengths))
            return torch.cat([self.rnn(x)[0], flip_valid(back, lengths)], -1), ()
        (start,) = self.initial_state(x.shape[0]) if state is None else state
        y, last = self.rnn(x, start[None])
        return y, (last[0] if lengths is None else last_valid(y, start, lengths),)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; raise `ConfigError` if bidirectional."""
        if not self.causal:
            raise ConfigError(
                "a bidirectional GRU needs the whole sequence and cannot step. Set bidirectional=False to stream."
            )
        self.check_width(x_t)
        (h,) = state
        w_ih, w_hh, b_ih, b_hh = self.rnn.all_weights[0]
        r, z, n = F.linear(x_t, w_ih, b_ih).chunk(GATES, -1)
        u_r, u_z, u_n = F.linear(h, w_hh, b_hh).chunk(GATES, -1)
        r, z = torch.sigmoid(r + u_r), torch.sigmoid(z + u_z)
        n = torch.tanh(n + r * u_n)
        h = n + z * (h - n)
        return h, (h,)

    def initial_state(self, batch: int) -> State:
        """Return h_0 = 0 (B, D); nothing if bidirectional."""
        return (self.rnn.all_weights[0][0].new_zeros(batch, self.hidden),) if self.causal else ()

    def state_bytes(self, length: int) -> int:
        """Return the bytes of D numbers, whatever the length; 0 if bidirectional."""
        return self.hidden * self.rnn.all_weights[0][0].element_size() if self.causal else 0

    def flops(self, length: int) -> int:
        """Return the operations of the input and the recurrent products of every direction."""
        sizes = [self.hidden] if self.causal else [self.hidden, self.width - self.hidden]
        return sum(2 * length * GATES * h * (self.width + h) for h in sizes)


def _recurrence(width: int, hidden: int) -> nn.GRU:
    """Return a one-layer GRU: orthogonal recurrent weights, Xavier input weights, zero biases."""
    rnn = nn.GRU(width, hidden, batch_first=True)
    w_ih, w_hh, b_ih, b_hh = rnn.all_weights[0]
    for gate in range(GATES):
        rows = slice(gate * hidden, (gate + 1) * hidden)
        nn.init.xavier_uniform_(w_ih.data[rows])
        nn.init.orthogonal_(w_hh.data[rows])
    nn.init.zeros_(b_ih)
    nn.init.zeros_(b_hh)
    return rnn


class GRUConfig(MixerConfig):
    """Settings of `GRU`."""

    source: ClassVar[str] = "Cho et al. 2014, arXiv:1406.1078"
    kind: Literal["gru"] = "gru"
    bidirectional: bool = False
    """Read the sequence from both ends; such a mixer cannot stream."""

    def build(self, width: int) -> GRU:
        """Return a GRU with D hidden numbers over all directions."""
        return GRU(width, self.bidirectional)
