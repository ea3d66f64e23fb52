"""A decoder: a stack that continues a sequence while it reads a memory, such as the output of an encoder.

    x <- x + mixer(LN x)          any causal mixer: attention makes a Transformer, an LSTM or GRU a recurrent decoder
    x <- x + cross(LN x, memory)
    x <- x + feedforward(LN x)

With a recurrent mixer this is attention after the recurrence (Luong et al. 2015, arXiv:1508.04025): the query is h_t,
so no h_t waits for a read, and a whole target is one recurrent call and one attention. With causal attention it is the
decoder of Vaswani et al. 2017 (arXiv:1706.03762), pre-norm. O(T S D) for T targets and S memory tokens, and the cost of
the mixers. The memory's keys and values are computed once, in `start`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hybrids.block import Block
from hybrids.cross_attention import CrossAttention, Heads, Visible
from hybrids.errors import ConfigError
from hybrids.feedforward import FeedForward
from hybrids.mixer import MixerConfig, State
from hybrids.scan import accumulator, head_width
from hybrids.shapes import Lengths, Token, Tokens

MEMORY_TENSORS = 2  # keys and values; in a flat state they stand before the state of each layer's mixer


class DecoderBlock(nn.Module):
    """One layer of the stack: causal mixer, cross-attention, feed-forward, each on a residual path."""

    def __init__(
        self, layer: MixerConfig, width: int, memory_width: int, head_dim: int, expansion: float, dropout: float
    ) -> None:
        super().__init__()
        self.past = Block(layer.build(width), 0, dropout)
        if not self.past.mixer.causal:
            raise ConfigError(f"a decoder cannot use {layer!r}, which sees the future. Set it to be causal.")
        self.cross_norm = nn.LayerNorm(width)
        self.cross = CrossAttention(width, memory_width, width // head_width(width, head_dim))
        self.feedforward_norm = nn.LayerNorm(width) if expansion else None
        self.feedforward = FeedForward(width, expansion, dropout) if expansion else None
        self.dropout = nn.Dropout(dropout)

    def read(self, x: Tokens, keys: Heads, values: Heads, visible: Visible) -> Tokens:
        """Pass tokens that know their past through cross-attention and feed-forward."""
        x = x + self.dropout(self.cross(self.cross_norm(x), keys, values, visible))
        if self.feedforward is None or self.feedforward_norm is None:
            return x
        mixed: Tokens = self.dropout(self.feedforward(self.feedforward_norm(x)))
        return x + mixed


class Decoder(nn.Module):
    """Layers bottom to top and a last norm; the state is one flat tuple, batch first, for `index_select` on its rows.

    The state: lengths of the memory (B,), then for each layer keys and values of the memory (B, H, S, d) and the state
    of its mixer. It has a fixed size where every mixer's state has; causal attention appends to its cache.

    Args:
        layers: One causal mixer a layer, bottom first.
        width: D, channels of the targets.
        memory_width: M, channels of the memory.
        head_dim: Wanted channels per head of cross-attention.
        expansion: Inner width of the feed-forward parts over D; 0 leaves them out.
        dropout: Share of each branch that is dropped in training.

    Raises:
        ConfigError: there is no layer, or a mixer is not causal.

    Example:
        >>> from hybrids.layout import parse
        >>> decoder = Decoder(parse("2*lstm"), width=8, memory_width=6)
        >>> state = decoder.start(torch.zeros(2, 10, 6), torch.tensor([10, 7]))
        >>> y, state = decoder(torch.zeros(2, 5, 8), state)
        >>> y_t, state = decoder.step(torch.zeros(2, 8), state)
    """

    def __init__(
        self,
        layers: Sequence[MixerConfig],
        width: int,
        memory_width: int,
        head_dim: int = 16,
        expansion: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not layers:
            raise ConfigError("a decoder of 0 layers cannot read its memory. Give it at least one causal mixer.")
        self.kinds = tuple(layer.kind for layer in layers)
        self.blocks = nn.ModuleList(
            DecoderBlock(layer, width, memory_width, head_dim, expansion, dropout) for layer in layers
        )
        self.norm = nn.LayerNorm(width)
        self.sizes = [MEMORY_TENSORS + len(block.past.mixer.initial_state(1)) for block in self._blocks()]

    def _blocks(self) -> list[DecoderBlock]:
        return [block for block in self.blocks if isinstance(block, DecoderBlock)]

    def start(self, memory: Tokens, memory_lengths: Lengths) -> State:
        """Return the state before the first target; the rest of each row of `memory` is padding that nobody sees."""
        state: list[Tensor] = [memory_lengths]
        for block in self._blocks():
            state += [*block.cross.project(memory), *block.past.mixer.initial_state(memory.shape[0])]
        return tuple(state)

    def forward(self, x: Tokens, state: State, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Decode a chunk of given targets (B, T, D), continuing from `state`.

        Args:
            x: Embedded targets; output t has seen those up to t.
            state: What `start`, `forward` or `step` returned.
            lengths: Valid targets of each row; the rest is right padding and changes no valid output and no state.
        """
        after: list[Tensor] = [state[0]]
        visible = _visible(state)
        for block, (keys, values, *past) in zip(self._blocks(), self._layered(state), strict=True):
            x, new = block.past(x, tuple(past), lengths)
            x = block.read(x, keys, values, visible)
            after += [keys, values, *new]
        return self.norm(x), tuple(after)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Decode one target (B, D); calling it T times equals one `forward`."""
        after: list[Tensor] = [state[0]]
        visible = _visible(state)
        for block, (keys, values, *past) in zip(self._blocks(), self._layered(state), strict=True):
            x_t, new = block.past.step(x_t, tuple(past))
            x_t = block.read(x_t[:, None], keys, values, visible)[:, 0]
            after += [keys, values, *new]
        return self.norm(x_t), tuple(after)

    def _layered(self, state: State) -> list[tuple[Tensor, ...]]:
        """Return the flat state cut into layers: keys, values, and the mixer's own."""
        cuts, at = [], 1
        for size in self.sizes:
            cuts.append(state[at : at + size])
            at += size
        return cuts

    def state_bytes(self, length: int, memory_length: int) -> int:
        """Return the bytes that one sequence keeps after `length` targets over a memory of `memory_length` tokens."""
        total = 8
        for block in self._blocks():
            number = accumulator(block.cross.key.weight.dtype).itemsize
            total += 2 * memory_length * block.cross.width * number + block.past.mixer.state_bytes(length)
        return total

    def flops(self, length: int, memory_length: int) -> int:
        """Return the floating-point operations for one sequence of `length` targets."""
        total = 0
        for block in self._blocks():
            total += block.past.flops(length) + block.cross.flops(length, memory_length)
            total += block.feedforward.flops(length) if block.feedforward else 0
        return total


def _visible(state: State) -> Visible:
    """Return (B, 1, S), True on the memory's tokens before each row's length."""
    lengths, keys = state[:2]
    return (torch.arange(keys.shape[2], device=keys.device) < lengths[:, None])[:, None]
