"""Channel mixing: the feed-forward part of a block, on each token alone.

    swiglu    W_o (silu(W_g x) * W_v x)         Shazeer 2020, arXiv:2002.05202
    gelu      W_o gelu(W_i x), exact (erf)      Vaswani et al. 2017, arXiv:1706.03762, with the GELU of
                                                Hendrycks & Gimpel 2016, arXiv:1606.08415

All products have biases. The gated form has two thirds of the inner width, so that both hold as many weights.
"""

from typing import Literal

import torch.nn.functional as F
from torch import nn

from hybrids.shapes import Tokens

FeedForwardKind = Literal["swiglu", "gelu"]


class FeedForward(nn.Module):
    """Mix the channels of each token.

    Args:
        width: D, channels in and out.
        expansion: Inner width over D before the two thirds; gelu has round(D * expansion) inner channels.
        dropout: Share of inner channels set to 0 in training.
        kind: Which of the two formulas.
    """

    def __init__(self, width: int, expansion: float, dropout: float, kind: FeedForwardKind = "swiglu") -> None:
        super().__init__()
        self.gated = kind == "swiglu"
        inner = max(4, int(width * expansion * 2 / 3)) if self.gated else max(1, round(width * expansion))
        self.expand = nn.Linear(width, 2 * inner if self.gated else inner)
        self.contract = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tokens) -> Tokens:
        """Mix the channels of every token."""
        inner = self.expand(x)
        if self.gated:
            gate, value = inner.chunk(2, dim=-1)
            inner = F.silu(gate) * value
        else:
            inner = F.gelu(inner)
        mixed: Tokens = self.contract(self.dropout(inner))
        return mixed

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one sequence of `length` tokens."""
        return 2 * length * (self.expand.weight.numel() + self.contract.weight.numel())
