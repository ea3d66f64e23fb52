"""Channel mixing: the gated feed-forward part of a block (SwiGLU, Shazeer 2020, arXiv:2002.05202)."""

import torch.nn.functional as F
from torch import nn

from hybrids.shapes import Tokens


class FeedForward(nn.Module):
    """Mix channels of each token alone: W_o(silu(W_g x) * W_v x)."""

    def __init__(self, width: int, expansion: float, dropout: float) -> None:
        super().__init__()
        inner = max(4, int(width * expansion * 2 / 3))
        self.expand = nn.Linear(width, 2 * inner)
        self.contract = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tokens) -> Tokens:
        """Mix the channels of every token."""
        gate, value = self.expand(x).chunk(2, dim=-1)
        mixed: Tokens = self.contract(self.dropout(F.silu(gate) * value))
        return mixed

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one sequence of `length` tokens."""
        return 2 * length * (self.expand.weight.numel() + self.contract.weight.numel())
