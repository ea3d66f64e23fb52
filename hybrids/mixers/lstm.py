"""Long short-term memory: a gated cell that adds instead of rewriting, so gradients reach far back.

    i_t, f_t, o_t = sigmoid(W x_t + U h_{t-1} + b)        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
    c_t = f_t * c_{t-1} + i_t * g_t                       h_t = o_t * tanh(c_t)

Sequential in time, but on CPU the one recurrent layer with a fused kernel both ways, hence the fastest. Two directions
are two padded passes with a length-aware flip between them: packed sequences leave the fast kernels.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import nn

from hybrids.errors import ConfigError
from hybrids.mixer import Mixer, MixerConfig, State
from hybrids.scan import flip_valid
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
        bidirectional: Share D between a forward and a backward pass. Then it is not causal and keeps no state.

    Raises:
        ConfigError: two directions need a width of at least 2.

    Example:
        >>> mixer = LSTM(width=4)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, bidirectional: bool = False) -> None:
        super().__init__()
        if bidirectional and width < 2:
            raise ConfigError(f"two directions cannot share width {width}. Use a width of at least 2.")
        self.width, self.causal, self.needs_state = width, not bidirectional, True
        self.hidden = width - width // 2 if bidirectional else width
        self.rnn = _recurrence(width, self.hidden)
        self.reverse = _recurrence(width, width // 2) if bidirectional else None

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state it cannot use."""
        self.check_width(x)
        if self.reverse is not None:
            if state:
                raise ConfigError("a bidirectional LSTM takes no state. Pass the whole sequence at once.")
            back, _ = self.reverse(flip_valid(x, lengths))
            return torch.cat([self.rnn(x)[0], flip_valid(back, lengths)], -1), ()
        state = self.initial_state(x.shape[0]) if state is None else state
        if lengths is None or not self.needs_state or torch.compiler.is_exporting():
            return self._run(x, state)
        return self._run_ragged(x, state, lengths)

    def _run(self, x: Tokens, state: State) -> tuple[Tokens, State]:
        """Run every row to the end of `x`."""
        h, c = state
        y, (h, c) = self.rnn(x, (h[None], c[None]))
        return y, (h[0], c[0])

    def _run_ragged(self, x: Tokens, state: State, lengths: Lengths) -> tuple[Tokens, State]:
        """Run from one length that occurs to the next and keep the state of the rows that end there."""
        ended, begin, pieces = state, 0, []
        for end in sorted(set(lengths.tolist())):
            if end > begin:
                y, state = self._run(x[:, begin:end], state)
                pieces.append(y)
            here = (lengths == end)[:, None]
            ended = tuple(torch.where(here, new, old.to(new.dtype)) for new, old in zip(state, ended, strict=True))
            begin = end
        padding = x.new_zeros(x.shape[0], x.shape[1] - begin, self.width)
        return torch.cat([*pieces, padding], 1), ended

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; raise `ConfigError` if bidirectional."""
        if not self.causal:
            raise ConfigError(
                "a bidirectional LSTM needs the whole sequence and cannot step. Set bidirectional=False to stream."
            )
        self.check_width(x_t)
        h, c = state
        w_ih, w_hh, b_ih, b_hh = self.rnn.all_weights[0]
        gates = F.linear(x_t, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
        i, f, g, o = gates.chunk(GATES, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

    def initial_state(self, batch: int) -> State:
        """Return h_0 = c_0 = 0, each (B, D); nothing if bidirectional."""
        if not self.causal:
            return ()
        zeros = self.rnn.all_weights[0][0].new_zeros(batch, self.hidden)
        return zeros, zeros.clone()

    def state_bytes(self, length: int) -> int:
        """Return the bytes of 2 D numbers, whatever the length; 0 if bidirectional."""
        return 2 * self.hidden * self.rnn.all_weights[0][0].element_size() if self.causal else 0

    def flops(self, length: int) -> int:
        """Return the operations of the input and the recurrent products of every direction."""
        sizes = [self.hidden] if self.causal else [self.hidden, self.width - self.hidden]
        return sum(2 * length * GATES * h * (self.width + h) for h in sizes)


def _recurrence(width: int, hidden: int) -> nn.LSTM:
    """Return a one-layer LSTM: orthogonal recurrent weights, Xavier input weights, forget bias 1, other biases 0."""
    rnn = nn.LSTM(width, hidden, batch_first=True)
    w_ih, w_hh, b_ih, b_hh = rnn.all_weights[0]
    for gate in range(GATES):
        rows = slice(gate * hidden, (gate + 1) * hidden)
        nn.init.xavier_uniform_(w_ih.data[rows])
        nn.init.orthogonal_(w_hh.data[rows])
    nn.init.zeros_(b_ih)
    nn.init.zeros_(b_hh)
    nn.init.ones_(b_ih.data[hidden : 2 * hidden])  # one of the two biases only: their sum counts
    return rnn


class LSTMConfig(MixerConfig):
    """Settings of `LSTM`."""

    source: ClassVar[str] = "Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735"
    kind: Literal["lstm"] = "lstm"
    bidirectional: bool = False
    """Read the sequence from both ends; such a mixer cannot stream."""

    def build(self, width: int) -> LSTM:
        """Return an LSTM with D hidden numbers over all directions."""
        return LSTM(width, self.bidirectional)
