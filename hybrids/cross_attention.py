"""Cross-attention: every token of one sequence looks at every token of another, the memory.

    y_t = W_o sum_s softmax_s(W_q x_t . W_k m_s / sqrt(d)) W_v m_s          per head, s over the visible tokens

Keys and values depend on the memory alone: `project` makes them once, `forward` reads them at every decoding step.
O(T S D) work and no (T, S) matrix kept; a reader that sees nothing gets exactly 0. It does not know the order of the
memory's tokens: their content, or `clock`, must say where they are (Vaswani et al. 2017, arXiv:1706.03762).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybrids.errors import ConfigError, ShapeError
from hybrids.scan import accumulator
from hybrids.shapes import Tokens

Heads = Float[Tensor, "B H S d"]
Visible = Bool[Tensor, "B t S"]
"""Which memory tokens each token sees; t is 1 where all see the same."""


class CrossAttention(nn.Module):
    """Read a memory of width M from tokens of width D.

    Args:
        width: D, channels of the readers and of what they get.
        memory_width: M, channels of the memory.
        heads: H; must divide D.

    Raises:
        ConfigError: `heads` does not divide the width.

    Example:
        >>> attention = CrossAttention(width=8, memory_width=6, heads=2)
        >>> keys, values = attention.project(torch.zeros(2, 10, 6))
        >>> y = attention(torch.zeros(2, 3, 8), keys, values)
    """

    def __init__(self, width: int, memory_width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"{heads} heads do not divide width {width}. Use a multiple of {heads} as width.")
        self.width, self.memory_width, self.heads = width, memory_width, heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(memory_width, width, bias=False)
        self.value = nn.Linear(memory_width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def project(self, memory: Tokens, clock: Tokens | None = None) -> tuple[Heads, Heads]:
        """Return keys and values of the memory (B, S, M), float32 at least.

        Args:
            memory: What is read.
            clock: Features (B, S, M) of the time of each token; added to what the keys are made of, not the values.

        Raises:
            ShapeError: the last axis of `memory` is not M.
        """
        if memory.shape[-1] != self.memory_width:
            raise ShapeError(
                f"the memory must have width {self.memory_width}, got {tuple(memory.shape)}. "
                f"Set memory_width={memory.shape[-1]}."
            )
        keys = self._split(self.key(memory if clock is None else memory + clock))
        values = self._split(self.value(memory))
        dtype = accumulator(self.key.weight.dtype)
        return keys.to(dtype), values.to(dtype)

    def forward(self, x: Tokens, keys: Heads, values: Heads, visible: Visible | None = None) -> Tokens:
        """Return what tokens x (B, T, D) read from the memory; exactly 0 where they see none of it.

        Raises:
            ShapeError: the last axis of `x` is not D.
        """
        if x.shape[-1] != self.width:
            raise ShapeError(
                f"CrossAttention reads with width {self.width}, got {tuple(x.shape)}. "
                f"Project the tokens to width {self.width} first."
            )
        q = self._split(self.query(x))
        keys, values = keys.to(q.dtype), values.to(q.dtype)
        if visible is None:
            return self._join(F.scaled_dot_product_attention(q, keys, values))
        any_visible = visible.any(-1, keepdim=True)
        mask = (visible | ~any_visible)[:, None]  # no kernel meets a row without a key: some return nan there
        y = self._join(F.scaled_dot_product_attention(q, keys, values, attn_mask=mask))
        return torch.where(any_visible, y, torch.zeros_like(y))

    def _split(self, x: Tokens) -> Heads:
        return x.reshape(*x.shape[:2], self.heads, self.width // self.heads).transpose(1, 2)

    def _join(self, y: Heads) -> Tokens:
        joined: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return joined

    def flops(self, length: int, memory_length: int) -> int:
        """Return the operations for `length` readers of `memory_length` tokens, projecting the memory included."""
        reading = 2 * length * 2 * self.width**2 + 4 * length * memory_length * self.width
        return reading + 2 * memory_length * 2 * self.memory_width * self.width


def cross_attention_reference(attention: CrossAttention, x: Tokens, memory: Tokens, visible: Visible) -> Tokens:
    """Compute the same as projecting and reading, one token at a time over its visible memory only."""
    rows = []
    for row, seen, m in zip(x, visible.expand(-1, x.shape[1], -1), memory, strict=True):
        reads = []
        for x_t, at in zip(row, seen, strict=True):
            q = attention.query(x_t).unflatten(-1, (attention.heads, -1))
            k, v = (part(m[at]).unflatten(-1, q.shape) for part in (attention.key, attention.value))
            weights = torch.einsum("hd,shd->sh", q, k).div(q.shape[-1] ** 0.5).softmax(0)
            reads.append(attention.out(torch.einsum("sh,shd->hd", weights, v).flatten()))
        rows.append(torch.stack(reads))
    return torch.stack(rows)
