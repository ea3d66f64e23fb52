"""Long short-term memory: a gated cell that adds instead of rewriting, so gradients reach far back.

    i_t, f_t, o_t = sigmoid(W x_t + U h_{t-1} + b)        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
    c_t = f_t * c_{t-1} + i_t * g_t                       h_t = o_t * tanh(c_t)

Sequential in time: O(L D^2), and O(D^2) per step. On CPU it is the one recurrent layer with a fused kernel both ways
(oneDNN), hence the fastest nonlinear one. That kernel takes no packed sequences: ragged rows are run padded.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from hybrids.mixer import Mixer, MixerConfig, State
from hybrids.ragged import run_lstm
from hybrids.recurrence import chrono_bias, init_gates, lstm_step
from hybrids.scan import accumulator
from hybrids.shapes import Lengths, Token, Tokens

GATES = 4


class LSTM(Mixer):
    """Mix tokens with an LSTM of hidden width D.

    `nn.LSTM` returns the cell of the last step only. For ragged rows the pass is therefore cut at every length that
    occurs, one call a length, and each row's state is taken where it ends. A model that does not use the state sets
    `needs_state = False`: one call, and the state returned for ragged rows is the one after all L steps, padding
    included. Under `torch.export` it is skipped too.

    Args:
        width: D, channels in and out.
        longest_memory: Steps over which the slowest cell forgets at the start; the biases of f are drawn so that time
            scales lie evenly in [2, longest_memory], and those of i are their negatives. None: the biases of f are 1
            (Jozefowicz et al. 2015), and cells forget within 4 steps.

    Example:
        >>> mixer = LSTM(width=4)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, longest_memory: int | None = None) -> None:
        super().__init__()
        self.width, self.exports_any_length = width, False
        self.rnn = nn.LSTM(width, width, batch_first=True)
        _, _, bias, _ = init_gates(self.rnn)  # the second bias stays 0: only their sum counts
        write, keep, *_ = bias.chunk(GATES)
        if longest_memory is None:
            nn.init.ones_(keep)
        else:
            keep.copy_(chrono_bias(keep, longest_memory))
            write.copy_(-keep)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        state = self.initial_state(x.shape[0]) if state is None else state
        return run_lstm(self.rnn, x, state, lengths if self.needs_state else None)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        h, cell = lstm_step(x_t, state, self.rnn.all_weights[0])
        return h.to(x_t.dtype), (h, cell)

    def initial_state(self, batch: int) -> State:
        """Return h_0 = c_0 = 0, each (B, D)."""
        weight = self.rnn.all_weights[0][0]
        h = weight.new_zeros(batch, self.width, dtype=accumulator(weight.dtype))
        return h, h.clone()

    def state_bytes(self, length: int) -> int:
        """Return the bytes of 2 D numbers, whatever the length."""
        return sum(s.nbytes for s in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the input and the recurrent products."""
        return 4 * length * GATES * self.width**2


class LSTMConfig(MixerConfig):
    """Settings of `LSTM`."""

    source: ClassVar[str] = "Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735"
    kind: Literal["lstm"] = "lstm"
    init: Literal["forget_one", "chrono"] = "forget_one"
    """The forget biases at the start: 1, or drawn to keep for up to `longest_memory` steps (arXiv:1804.11188)."""
    longest_memory: Annotated[int, Field(ge=3, le=65536)] = 1000
    """Steps that the longest-lived cell should remember; used by init="chrono" only."""

    def build(self, width: int) -> LSTM:
        """Return an LSTM with D hidden numbers."""
        return LSTM(width, self.longest_memory if self.init == "chrono" else None)
