"""Plain recurrent network: the whole state is rewritten at every step.

    h_t = tanh(W x_t + b + U h_{t-1} + c)

Sequential in time: O(L D^2), and O(D^2) per step; the fewest operations of the recurrent layers. It can count modulo
and track states (Merrill et al. 2024, arXiv:2404.08819), but its gradient shrinks or grows by a factor a step: beyond
some tens of steps a gated unit remembers better. Faster than `nn.RNN` when training on CPU: `hybrids.recurrence`.
"""

from typing import ClassVar, Literal

from torch import nn

from hybrids.mixer import Mixer, MixerConfig, State
from hybrids.recurrence import init_gates, run, tanh_recurrence, tanh_step
from hybrids.scan import accumulator
from hybrids.shapes import Lengths, Token, Tokens

Init = Literal["orthogonal", "identity"]


class RNN(Mixer):
    """Mix tokens with a tanh network of hidden width D.

    Args:
        width: D, channels in and out.
        init: U at the start. Both keep the length of a small h; "identity" keeps its direction too (Le et al. 2015,
            arXiv:1504.00941).

    Example:
        >>> mixer = RNN(width=4)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, init: Init = "orthogonal") -> None:
        super().__init__()
        self.width = width
        self.rnn = nn.RNN(width, width, batch_first=True)
        _, recurrent, *_ = init_gates(self.rnn)
        if init == "identity":
            nn.init.eye_(recurrent)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        (start,) = self.initial_state(x.shape[0]) if state is None else state
        y, last = run(self.rnn, tanh_recurrence, x, start, lengths)
        return y, (last,)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        h = tanh_step(x_t, state[0], self.rnn.all_weights[0])
        return h.to(x_t.dtype), (h,)

    def initial_state(self, batch: int) -> State:
        """Return h_0 = 0 (B, D)."""
        weight = self.rnn.all_weights[0][0]
        return (weight.new_zeros(batch, self.width, dtype=accumulator(weight.dtype)),)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of D numbers, whatever the length."""
        return sum(s.nbytes for s in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the input and the recurrent product."""
        return 4 * length * self.width**2


class RNNConfig(MixerConfig):
    """Settings of `RNN`."""

    source: ClassVar[str] = "Elman 1990, doi:10.1207/s15516709cog1402_1"
    kind: Literal["rnn"] = "rnn"
    init: Init = "orthogonal"
    """The recurrent weights at the start: a random rotation, or the identity, which copies the state."""

    def build(self, width: int) -> RNN:
        """Return a tanh network with D hidden numbers."""
        return RNN(width, self.init)
