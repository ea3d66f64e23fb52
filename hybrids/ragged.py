"""A recurrence over rows of different length, for kernels that return the state of the last step only."""

from collections.abc import Callable

import torch

from hybrids.mixer import State
from hybrids.shapes import Lengths, Tokens


def run_to_each_end(
    run: Callable[[Tokens, State], tuple[Tokens, State]], x: Tokens, state: State, lengths: Lengths
) -> tuple[Tokens, State]:
    """Run from one length that occurs to the next and keep the state of the rows that end there.

    Args:
        run: From a chunk and the state before it to outputs (B, L, H) and the state after it; called once a length.
        x: Inputs, right-padded.
        state: Tensors (B, H).
        lengths: Valid steps of each row.

    Returns:
        Outputs (B, L, H), 0 past the longest row, and the state at each row's own end.
    """
    ended, begin, pieces = state, 0, []
    for end in sorted(set(lengths.tolist())):
        if end > begin:
            y, state = run(x[:, begin:end], state)
            pieces.append(y)
        here = (lengths == end)[:, None]
        ended = tuple(torch.where(here, new, old.to(new.dtype)) for new, old in zip(state, ended, strict=True))
        begin = end
    rest = (pieces or state)[0].new_zeros(x.shape[0], x.shape[1] - begin, state[0].shape[1])
    return torch.cat([*pieces, rest], 1), ended
