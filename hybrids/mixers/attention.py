"""Softmax attention: every step looks at every other (or earlier) one.

    y_t = W_o sum_j softmax_j(q_t . k_j / sqrt(d)) v_j          per head; j over all steps, the past, or a window of it

Exact recall at any distance, for O(L^2 D) work; a window makes that O(L w D). Streaming keeps the keys and values of
the past, or of the last w - 1 steps. Memory is linear in L where a fused kernel runs, quadratic where none does: a
length that cannot fit is refused (MEM1). No dropout on the probabilities: it would turn the fused kernels off.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hybrids.cache import Mask, attend, every_slot_filled, grow, joined, past_attention, slide, window_attention
from hybrids.errors import ConfigError, ShapeError
from hybrids.memory import check_attention_fits
from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.positions import LearnedPositions, rotate, sinusoidal
from hybrids.scan import accumulator, head_width
from hybrids.shapes import Heads, Lengths, Token, Tokens

PositionKind = Literal["rotary", "sinusoidal", "learned", "none"]


class Attention(Mixer):
    """Mix tokens with multi-head self-attention.

    The rows of `qkv.weight` are all queries, then all keys, then all values; a head is a run of d rows.

    Args:
        width: D, channels in and out.
        heads: H; must divide D and, with rotary positions, leave an even number of channels to each head.
        causal: Look at the present and the past only; keeps a cache and can stream.
        window: Most steps a query sees, itself included; None is no limit. Causal only.
        kv_heads: Heads of keys and values, shared by runs of H / kv_heads query heads; None is H.
        positions: Rotary turns queries and keys; sinusoidal and learned ones are added to x before the projections.
        max_positions: Most steps with learned positions.
        bias: Whether the projections add a bias.
        max_length: Most steps attended to at once, those of a growing cache included; None is as many as memory allows.

    Raises:
        ConfigError: `heads` does not fit the width or `kv_heads` not `heads`, or a window without `causal`.

    Example:
        >>> mixer = Attention(width=8, heads=2, causal=True)
        >>> y, state = mixer(torch.zeros(2, 10, 8))
        >>> y_t, state = mixer.step(torch.zeros(2, 8), state)
    """

    def __init__(
        self,
        width: int,
        heads: int,
        causal: bool = False,
        window: int | None = None,
        *,
        kv_heads: int | None = None,
        positions: PositionKind = "rotary",
        max_positions: int = 512,
        bias: bool = False,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        even = 2 if positions == "rotary" else 1
        if width % (even * heads):
            raise ConfigError(
                f"{heads} heads do not split width {width} into {'even' if even == 2 else 'equal'} parts. "
                f"Use a multiple of {even * heads} as width."
            )
        kv_heads = heads if kv_heads is None else kv_heads
        if heads % kv_heads:
            raise ConfigError(f"{kv_heads} heads of keys cannot be shared by {heads} heads. Use a divisor of {heads}.")
        if window is not None and not causal:
            raise ConfigError(f"window {window} needs causal attention. Set causal=True or window=None.")
        self.width, self.heads, self.kv_heads, self.head_width = width, heads, kv_heads, width // heads
        self.causal, self.window, self.positions, self.max_length = causal, window, positions, max_length
        self.learned = LearnedPositions(width, max_positions) if positions == "learned" else None
        self.qkv = nn.Linear(width, width + 2 * kv_heads * self.head_width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk.

        Raises:
            ShapeError: the last axis of `x` is not D, or there are more steps than `max_length`, than learned
                positions, or than memory allows.
            ConfigError: a state for attention that is not causal.
        """
        self.check_width(x)
        if state and not self.causal:
            raise ConfigError("attention over the whole sequence takes no state. Set causal=True to work in chunks.")
        q, k, v = self._project(x, state, lengths)
        if self.causal:
            y, state = self._look_back(q, k, v, state, lengths)
            return self.out(y), state
        self._check_length(q, slots=0, mask_rows=0)
        return self.out(attend(q, k, v, _valid_keys(x, lengths))), ()

    def _project(self, x: Tokens, state: State | None, lengths: Lengths | None) -> tuple[Heads, Heads, Heads]:
        """Return queries, keys and values of the steps after `state`, placed at their positions."""
        start = state[-1] if state else torch.zeros(1, dtype=torch.int64, device=x.device)
        positions = start[:, None] + torch.arange(x.shape[1], device=x.device)
        if self.positions == "sinusoidal":
            x = x + sinusoidal(positions, self.width, x.dtype)
        elif self.learned is not None:
            x = x + self.learned(positions, start + (x.shape[1] if lengths is None else lengths)).to(x.dtype)
        projected = self.qkv(x).unflatten(-1, (-1, self.head_width))
        placed, v = projected.split([self.heads + self.kv_heads, self.kv_heads], 2)
        if self.positions == "rotary":
            placed = rotate(placed, positions)
        q, k = placed.split([self.heads, self.kv_heads], 2)
        return q, k, v

    def _look_back(
        self, q: Heads, k: Heads, v: Heads, state: State | None, lengths: Lengths | None
    ) -> tuple[Tokens, State]:
        """Attend to the past and return the next state; right padding lies in the future of every valid step."""
        old_k, old_v, count = self.initial_state(q.shape[0]) if state is None else state
        length, slots = q.shape[1], old_k.shape[1]
        after = count + (length if lengths is None else lengths)
        kept = lengths if self.needs_state else None
        if self.window is not None:
            fresh_masks = int(length > self.window)
            self._check_length(q, slots if state else 0, mask_rows=q.shape[0] if state else fresh_masks)
            caches = slide(old_k, k, kept), slide(old_v, v, kept)
            if state is None:
                return window_attention(q, k, v, window=self.window), (*caches, after)
            k, v = joined(old_k, k), joined(old_v, v)
            return window_attention(q, k, v, count.clamp(max=slots), window=self.window), (*caches, after)
        even = every_slot_filled(old_k, count)
        self._check_length(q, slots, mask_rows=min(slots, 1) if even else q.shape[0])
        k, v = joined(old_k, k), joined(old_v, v)
        caches = grow(k, count, even, length, kept), grow(v, count, even, length, kept)
        return past_attention(q, k, v, count, even), (*caches, after)

    def _check_length(self, q: Heads, slots: int, mask_rows: int) -> None:
        """Raise `ShapeError` if the steps, behind `slots` of a cache, are above the cap or do not fit into memory."""
        if torch.compiler.is_compiling():
            return
        length, keys = q.shape[1], slots + q.shape[1]
        counted = keys if self.window is None else length
        if self.max_length is not None and counted > self.max_length:
            raise ShapeError(
                f"attention is capped at {self.max_length} steps (MEM1), got {counted}. "
                f"Shorten the sequence, raise max_length, or set window=... to stream."
            )
        work = (q.shape[0], self.heads, self.width, length, keys, mask_rows, q.dtype, q.device)
        check_attention_fits(*work, window=self.window)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; raise `ConfigError` if not causal."""
        if not self.causal:
            raise ConfigError("attention over the whole sequence cannot step. Set causal=True to stream.")
        y, state = self.forward(x_t[:, None], state)
        return y[:, 0], state

    def initial_state(self, batch: int) -> State:
        """Return the key and value caches (B, T, H_kv, d) and the count of steps (B,); nothing if not causal.

        T is 0 and grows with the steps, or is w - 1 for a window of w: zeros, filled from the right.
        """
        if not self.causal:
            return ()
        weight, slots = self.out.weight, 0 if self.window is None else self.window - 1
        shape = (batch, slots, self.kv_heads, self.head_width)
        cache = torch.zeros(shape, dtype=accumulator(weight.dtype), device=weight.device)
        return cache, cache.clone(), torch.zeros(batch, dtype=torch.int64, device=weight.device)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of keys and values of `length` steps, or of w - 1, and of one count; 0 if not causal."""
        if not self.causal:
            return 0
        slots = length if self.window is None else self.window - 1
        return 2 * slots * self.kv_heads * self.head_width * accumulator(self.out.weight.dtype).itemsize + 8

    def flops(self, length: int) -> int:
        """Return the operations of the projections and of the scores and sums over the pairs that are seen."""
        seen = length if self.window is None else min(length, self.window)
        pairs = length * seen - seen * (seen - 1) // 2 if self.causal else length**2
        return 2 * length * self.width * (self.qkv.out_features + self.width) + 4 * pairs * self.width


def _valid_keys(x: Tokens, lengths: Lengths | None) -> Mask | None:
    """Return the mask (B, 1, L) of valid keys; None where all are."""
    if lengths is None or (not torch.compiler.is_compiling() and bool((lengths == x.shape[1]).all())):
        return None
    return valid_steps(x, lengths)[:, None]


class AttentionConfig(MixerConfig):
    """Settings of `Attention`."""

    source: ClassVar[str] = "Vaswani et al. 2017, arXiv:1706.03762; Su et al. 2021, arXiv:2104.09864"
    kind: Literal["attention"] = "attention"
    head_dim: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 16
    """Wanted channels per head; the nearest divisor of the width is taken, an even one for rotary positions."""
    causal: bool = False
    """Look back only; needed to stream and to forecast step by step."""
    window: Annotated[int | None, Field(ge=2)] = None
    """Most steps a query sees, itself included; causal only."""
    group: Annotated[int, Field(ge=1, le=16)] = 1
    """Wanted query heads per head of keys and values; the nearest divisor of the number of heads is taken."""
    positions: PositionKind = "rotary"
    """Rotary suits every length; learned ends at `max_positions`; none is for tokens that carry their place."""
    max_positions: Annotated[int, Field(ge=1)] = 512
    """Most steps with learned positions."""
    bias: bool = False
    """Whether the projections add a bias, as those of BERT do."""
    max_length: Annotated[int | None, Field(ge=1)] = None
    """Most steps attended to at once, those of a growing cache included; None is as many as memory allows."""

    def build(self, width: int) -> Attention:
        """Return attention with about D / head_dim heads; raise `ConfigError` if rotary and the width is odd."""
        heads = width // head_width(width, self.head_dim, multiple=2 if self.positions == "rotary" else 1)
        return Attention(
            width,
            heads,
            self.causal,
            self.window,
            kv_heads=heads // head_width(heads, self.group),
            positions=self.positions,
            max_positions=self.max_positions,
            bias=self.bias,
            max_length=self.max_length,
        )
