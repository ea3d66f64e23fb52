"""A long short-term memory over rows of different length: its kernel returns the cell of the last step only."""

import torch
from torch import nn

from hybrids.mixer import State
from hybrids.recurrence import run_native
from hybrids.shapes import Lengths, Tokens


def run_lstm(rnn: nn.LSTM, x: Tokens, start: State, lengths: Lengths | None) -> tuple[Tokens, State]:
    """Return every h_t, and h and the cell at each row's own end.

    With `lengths` the pass is cut at every length that occurs, one call a length, and each row's state is taken where
    it ends. Under `torch.export` it is not: the state is then the one after all L steps.

    Args:
        rnn: One layer, batch first.
        x: Inputs (B, L, C), right-padded.
        start: h_0 and the cell, (B, D).
        lengths: Valid steps of each row. None: every step is valid, or nobody needs the state.

    Returns:
        Outputs (B, L, D) in the precision of `x`, 0 past the longest row, and the state in that of the weights,
        float32 at least.
    """
    if lengths is None or torch.compiler.is_exporting():
        y, last = run_native(rnn, x, start)
    else:
        y, last = _run_to_each_end(rnn, x, start, lengths)
    return y.to(x.dtype), last


def _run_to_each_end(rnn: nn.LSTM, x: Tokens, state: State, lengths: Lengths) -> tuple[Tokens, State]:
    """Run from one length that occurs to the next and keep the state of the rows that end there."""
    ended, begin, pieces = state, 0, []
    for end in sorted(set(lengths.tolist())):
        if end > begin:
            y, state = run_native(rnn, x[:, begin:end], state)
            pieces.append(y)
        here = (lengths == end)[:, None]
        ended = tuple(torch.where(here, new, old.to(new.dtype)) for new, old in zip(state, ended, strict=True))
        begin = end
    if not pieces:
        y, _ = run_native(rnn, x[:, :1], state)  # no row has a valid step: the outputs still need a graph
        pieces, begin = [y], 1
    rest = y.new_zeros(x.shape[0], x.shape[1] - begin, rnn.hidden_size)
    return torch.cat([*pieces, rest], 1), ended
