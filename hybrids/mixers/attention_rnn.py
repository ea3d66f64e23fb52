"""Attention-augmented recurrence: an LSTM that also reads a context, attended to anew at every step.

    c_t = sum_j softmax_j(q_t . k_j / sqrt(d)) v_j        j over the last w steps strictly before t; c_0 = 0
    h_t, cell_t = LSTM([x_t; c_t], h_{t-1}, cell_{t-1})   y_t = h_t
    q_t = W_q x_t, with `feedback` W_q x_t + U_q h_{t-1}; rotary positions on q and k

The gates get exact copies of the recent past instead of what survived in the cell; beyond w steps only the cell
remembers. It streams with a state of 2 w D + 2 D numbers, whatever the length. O(L (w D + D^2)) work.

Without feedback the contexts depend on the inputs alone: one attention over all steps, then one pass of the fused LSTM.
With feedback the query reads h_{t-1} too, as in Cheng et al. 2016 (arXiv:1601.06733), and every step waits for the one
before: a plain loop. On one CPU core training then took 4, 6 and 15 times as long at 64, 256 and 1024 steps.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hybrids.cache import attend, joined, slide, window_attention
from hybrids.errors import ConfigError
from hybrids.mixer import Mixer, MixerConfig, State, Tune
from hybrids.positions import Positions, rotate, turn, turns
from hybrids.ragged import run_lstm
from hybrids.recurrence import init_gates, lstm_step
from hybrids.scan import accumulator, head_width, last_valid
from hybrids.shapes import Heads, Lengths, Token, Tokens

GATES = 4


class AttentionRNN(Mixer):
    """Mix tokens with an LSTM of hidden width D that attends to the last inputs.

    As in `LSTM`, a model that does not use the state sets `needs_state = False`; without feedback the h and cell
    returned for ragged rows are then those after all L steps, padding included, and so they are under `torch.export`.

    Args:
        width: D, channels in and out.
        heads: H; must divide D and leave an even number of channels to each head.
        window: w, most past steps a context is made of.
        feedback: Let the query read h_{t-1} too. Inherently sequential.

    Raises:
        ConfigError: `heads` does not fit the width.

    Example:
        >>> mixer = AttentionRNN(width=8, heads=2, window=16)
        >>> y, state = mixer(torch.zeros(2, 10, 8))
        >>> y_t, state = mixer.step(torch.zeros(2, 8), state)
    """

    def __init__(self, width: int, heads: int, window: int, feedback: bool = False) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ConfigError(
                f"{heads} heads do not split width {width} into even parts. Use a multiple of {2 * heads} as width."
            )
        self.width, self.heads, self.window, self.exports_any_length = width, heads, window, False
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.recall = nn.Linear(width, width, bias=False) if feedback else None
        self.rnn = nn.LSTM(2 * width, width, batch_first=True)
        _, _, bias, _ = init_gates(self.rnn)
        nn.init.ones_(bias.chunk(GATES)[1])  # forget bias 1; the second bias stays 0, for their sum counts

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        old_k, old_v, count, h, cell = self.initial_state(x.shape[0]) if state is None else state
        positions = (count[:1] if state is None else count)[:, None] + torch.arange(x.shape[1], device=x.device)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        k = rotate(k, positions)
        if self.recall is not None:
            all_k, all_v = joined(old_k, k), joined(old_v, v)
            y, last = self._loop(self.recall, x, (q, all_k, all_v), positions, (h, cell), lengths)
        else:
            context = self._contexts(rotate(q, positions), k, v, state)
            inputs = torch.cat([x, context.to(x.dtype)], -1)
            y, last = run_lstm(self.rnn, inputs, (h, cell), lengths if self.needs_state else None)
        after = count + (x.shape[1] if lengths is None else lengths)
        return y.to(x.dtype), (slide(old_k, k, lengths), slide(old_v, v, lengths), after, *last)

    def _contexts(self, q: Heads, k: Heads, v: Heads, state: State | None) -> Tokens:
        """Return the c_t that follow from the inputs alone."""
        if state is None:
            return window_attention(q, k, v, window=self.window, lag=1)
        old_k, old_v, count, _, _ = state
        filled = count.clamp(max=self.window)
        return window_attention(q, joined(old_k, k), joined(old_v, v), filled, window=self.window, lag=1)

    def _loop(
        self,
        recall: nn.Module,
        x: Tokens,
        qkv: tuple[Heads, Heads, Heads],
        positions: Positions,
        start: State,
        lengths: Lengths | None,
    ) -> tuple[Tokens, State]:
        """Take one step after the other; keys and values are those of the cache and the chunk, queries not turned."""
        (q, k, v), (h, cell) = qkv, start
        own, partner = turns(positions, q.shape[-1], accumulator(q.dtype))
        slot = torch.arange(self.window, device=x.device)
        seen = slot >= self.window - positions[..., None]
        some = seen.any(-1, keepdim=True)
        seen = seen | ~some
        hidden, cells = [h], [cell]
        for t in range(x.shape[1]):
            now, near = slice(t, t + 1), slice(t, t + self.window)
            query = q[:, now] + recall(hidden[-1].to(x.dtype)).unflatten(-1, (1, self.heads, -1))
            context = attend(turn(query, own[:, now], partner[:, now]), k[:, near], v[:, near], seen[:, now])
            h, cell = self._cell(x[:, t], context[:, 0] * some[:, t], hidden[-1], cells[-1])
            hidden.append(h)
            cells.append(cell)
        y = torch.stack(hidden[1:], 1)
        if lengths is None:
            return y, (h, cell)
        return y, tuple(last_valid(torch.stack(steps[1:], 1), steps[0], lengths) for steps in (hidden, cells))

    def _cell(self, x_t: Token, context: Token, h: Token, cell: Token) -> tuple[Token, Token]:
        """Return h_t and the cell after one step of the LSTM."""
        h, cell = lstm_step(torch.cat([x_t, context.to(x_t.dtype)], -1), (h, cell), self.rnn.all_weights[0])
        return h, cell

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        old_k, old_v, count, h, cell = state
        q, k, v = self.qkv(x_t).unflatten(-1, (3, 1, self.heads, -1)).unbind(1)
        if self.recall is not None:
            q = q + self.recall(h.to(x_t.dtype)).unflatten(-1, (1, self.heads, -1))
        q, k = rotate(q, count[:, None]), rotate(k, count[:, None])
        context = self._contexts(q, k, v, state)
        h, cell = self._cell(x_t, context[:, 0], h, cell)
        return h.to(x_t.dtype), (slide(old_k, k, None), slide(old_v, v, None), count + 1, h, cell)

    def initial_state(self, batch: int) -> State:
        """Return w slots of keys and of values (B, w, H, d), the count of steps (B,), h_0 and the cell (B, D): zeros.

        The slots are filled from the right.
        """
        weight = self.rnn.all_weights[0][0]
        floats, device = accumulator(weight.dtype), weight.device
        slots = torch.zeros(batch, self.window, self.heads, self.width // self.heads, dtype=floats, device=device)
        h = torch.zeros(batch, self.width, dtype=floats, device=device)
        return slots, slots.clone(), torch.zeros(batch, dtype=torch.int64, device=device), h, h.clone()

    def state_bytes(self, length: int) -> int:
        """Return the bytes of 2 w D + 2 D numbers and of one count, whatever the length."""
        return 2 * (self.window + 1) * self.width * accumulator(self.rnn.all_weights[0][0].dtype).itemsize + 8

    def flops(self, length: int) -> int:
        """Return the operations of the projections, of the pairs that are seen, and of the LSTM."""
        grown = min(length, self.window)
        pairs = grown * (grown - 1) // 2 + (length - grown) * self.window
        projections = self.qkv.out_features + (0 if self.recall is None else self.width)
        return 2 * length * self.width * (projections + GATES * 3 * self.width) + 4 * pairs * self.width


class AttentionRNNConfig(MixerConfig):
    """Settings of `AttentionRNN`."""

    source: ClassVar[str] = "Hochreiter & Schmidhuber 1997; Cheng et al. 2016, arXiv:1601.06733; document D4, 3.1"
    kind: Literal["attention_rnn"] = "attention_rnn"
    head_dim: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 16
    """Wanted channels per head; the nearest even divisor of the width is taken."""
    window: Annotated[int, Field(ge=4, le=256), Tune(log=True)] = 32
    """w, most past steps a context is made of."""
    feedback: bool = False
    """Let the query read the last hidden state too: one step at a time, many times slower to train."""

    def build(self, width: int) -> AttentionRNN:
        """Return an LSTM with about D / head_dim heads of attention; raise `ConfigError` if the width is odd."""
        heads = width // head_width(width, self.head_dim, multiple=2)
        return AttentionRNN(width, heads, self.window, self.feedback)
