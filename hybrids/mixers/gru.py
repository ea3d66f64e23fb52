"""Gated recurrent unit: two gates decide what each hidden number keeps and how it is rewritten.

    r_t, z_t = sigmoid(W x_t + b + U h_{t-1} + c)
    n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + c_n))
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Sequential in time: O(L D^2), and O(D^2) per step. It can count and track states, which linear recurrences cannot
(Grazzi et al. 2024, arXiv:2411.12537). Faster than `nn.GRU` when training on CPU: `hybrids.recurrence`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from hybrids.mixer import Mixer, MixerConfig, State
from hybrids.recurrence import chrono_bias, gated_recurrence, gated_step, init_gates, run
from hybrids.scan import accumulator
from hybrids.shapes import Lengths, Token, Tokens

GATES = 3


class GRU(Mixer):
    """Mix tokens with a GRU of hidden width D.

    Args:
        width: D, channels in and out.
        longest_memory: Steps over which the slowest hidden number forgets at the start; the biases of z are drawn so
            that time scales lie evenly in [2, longest_memory]. None: they are 0, and all forget within 2 steps.

    Example:
        >>> mixer = GRU(width=4)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, longest_memory: int | None = None) -> None:
        super().__init__()
        self.width, self.exports_any_length = width, False
        self.rnn = nn.GRU(width, width, batch_first=True)
        _, _, bias, _ = init_gates(self.rnn)
        if longest_memory is not None:
            keep = bias[width : 2 * width]
            keep.copy_(chrono_bias(keep, longest_memory))

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        (start,) = self.initial_state(x.shape[0]) if state is None else state
        y, last = run(self.rnn, gated_recurrence, x, start, lengths)
        return y, (last,)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        h = gated_step(x_t, state[0], self.rnn.all_weights[0])
        return h.to(x_t.dtype), (h,)

    def initial_state(self, batch: int) -> State:
        """Return h_0 = 0 (B, D)."""
        weight = self.rnn.all_weights[0][0]
        return (weight.new_zeros(batch, self.width, dtype=accumulator(weight.dtype)),)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of D numbers, whatever the length."""
        return sum(s.nbytes for s in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the input and the recurrent products."""
        return 4 * length * GATES * self.width**2


class GRUConfig(MixerConfig):
    """Settings of `GRU`."""

    source: ClassVar[str] = "Cho et al. 2014, arXiv:1406.1078"
    kind: Literal["gru"] = "gru"
    init: Literal["zero", "chrono"] = "zero"
    """The biases of the gates at the start: 0, or drawn to keep for up to `longest_memory` steps (arXiv:1804.11188)."""
    longest_memory: Annotated[int, Field(ge=3, le=65536)] = 1000
    """Steps that the longest-lived hidden number should remember; used by init="chrono" only."""

    def build(self, width: int) -> GRU:
        """Return a GRU with D hidden numbers."""
        return GRU(width, self.longest_memory if self.init == "chrono" else None)
