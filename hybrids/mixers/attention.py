"""Softmax attention with rotary positions: every step looks at every other (or earlier) one.

    y_t = sum_j softmax_j(q_t . k_j / sqrt(d)) v_j          q, k turned by an angle that grows with the position

Exact recall at any distance, for O(L^2 D) work; streaming keeps the keys and values of the past, or of the last
`window` steps. Angles are float32 at least. Rows of different length keep their caches left-aligned, so one count a
row says which slots are filled and at which positions.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from hybrids.errors import ConfigError
from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.scan import accumulator, head_width
from hybrids.shapes import Lengths, Token, Tokens

Heads = Float[Tensor, "B L H d"]
ROTARY_BASE = 10_000.0


class Attention(Mixer):
    """Mix tokens with multi-head self-attention.

    Args:
        width: D, channels in and out.
        heads: H; must divide D and leave an even number of channels to each head.
        causal: Look at the present and the past only; keeps a cache and can stream.
        window: Most steps a query sees, itself included; None is no limit. Causal only.

    Raises:
        ConfigError: `heads` does not fit the width, or a window without `causal`.

    Example:
        >>> mixer = Attention(width=8, heads=2, causal=True)
        >>> y, state = mixer(torch.zeros(2, 10, 8))
        >>> y_t, state = mixer.step(torch.zeros(2, 8), state)
    """

    def __init__(self, width: int, heads: int, causal: bool = False, window: int | None = None) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ConfigError(
                f"{heads} heads do not split width {width} into even parts. Use a multiple of {2 * heads} as width."
            )
        if window is not None and not causal:
            raise ConfigError(f"window {window} needs causal attention. Set causal=True or window=None.")
        self.width, self.heads, self.causal, self.window = width, heads, causal, window
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state it cannot use."""
        self.check_width(x)
        if self.causal:
            return self._attend_past(x, state, lengths)
        if state:
            raise ConfigError("attention over the whole sequence takes no state. Set causal=True to work in chunks.")
        q, k, v = self._project(x, torch.arange(x.shape[1], device=x.device)[None])
        mask = None if lengths is None else valid_steps(x, lengths)[:, None, None]
        return self._attend(q, k, v, mask), ()

    def _attend_past(self, x: Tokens, state: State | None, lengths: Lengths | None) -> tuple[Tokens, State]:
        """Attend to the cache and to the chunk; right padding lies in the future of every valid step."""
        fresh = state is None
        old_k, old_v, count = self.initial_state(x.shape[0]) if state is None else state
        slots, length = old_k.shape[1], x.shape[1]
        at = torch.arange(length, device=x.device)
        q, k, v = self._project(x, at[None] if fresh else count[:, None] + at)
        filled = self._capped(count)
        if fresh and self.window is None:
            y = self._attend(q, k, v, None, causal=True)
        elif fresh:
            y = self._attend(q, k, v, self._visible(at[:, None] - at)[None, None])
        else:
            slot = torch.arange(slots, device=x.device)[None]
            age = torch.cat([filled[:, None] - slot, -at.expand(x.shape[0], -1)], 1)  # of each key, seen from step 0
            real = torch.cat([slot < filled[:, None], torch.ones_like(at, dtype=torch.bool).expand(x.shape[0], -1)], 1)
            mask = self._visible(at[:, None] + age[:, None]) & real[:, None]
            k, v = torch.cat([old_k.to(k.dtype), k], 1), torch.cat([old_v.to(v.dtype), v], 1)
            y = self._attend(q, k, v, mask[:, None])
        if fresh and lengths is None:
            kept = length if self.window is None else min(length, self.window - 1)
            return y, (k[:, length - kept :], v[:, length - kept :], count + length)
        new = torch.full_like(count, length) if lengths is None else lengths.to(count.dtype)
        source, real = self._compaction(filled, new, slots, length, ragged=lengths is not None)
        k, v = (_pick(t, source, real) for t in (k, v))
        return y, (k, v, count + new)

    def _capped(self, count: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """Return how many of `count` past steps the cache holds."""
        return count if self.window is None else count.clamp(max=self.window - 1)

    def _visible(self, age: Tensor) -> Tensor:
        """Return where a key of this age (steps before the query; negative is later) is seen."""
        return age >= 0 if self.window is None else (age >= 0) & (age < self.window)

    def _compaction(
        self, filled: Tensor, new: Tensor, slots: int, length: int, ragged: bool
    ) -> tuple[Int[Tensor, "B T"], Tensor]:
        """Return where each slot of the next cache comes from in [old slots, new steps], and which slots are filled."""
        total = filled + new
        kept = self._capped(total)
        if ragged and not torch.compiler.is_exporting():
            size = int(kept.max())
        else:
            size = slots + length if self.window is None else min(slots + length, self.window - 1)
        slot = torch.arange(size, device=filled.device)[None]
        entry = (total - kept)[:, None] + slot
        source = torch.where(entry < filled[:, None], entry, entry - filled[:, None] + slots)
        real = slot < kept[:, None]
        return source.where(real, 0), real

    def _project(self, x: Tokens, positions: Int[Tensor, "b L"]) -> tuple[Heads, Heads, Heads]:
        """Return queries and keys, turned by their positions, and values."""
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).unbind(2)
        return rotate(q, positions), rotate(k, positions), v

    def _attend(self, q: Heads, k: Heads, v: Heads, mask: Tensor | None, causal: bool = False) -> Tokens:
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, is_causal=causal
        )
        projected: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return projected

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; raise `ConfigError` if not causal."""
        if not self.causal:
            raise ConfigError("attention over the whole sequence cannot step. Set causal=True to stream.")
        y, state = self.forward(x_t[:, None], state)
        return y[:, 0], state

    def initial_state(self, batch: int) -> State:
        """Return an empty key cache and value cache (B, 0, H, d) and the count 0 (B,); nothing if not causal."""
        if not self.causal:
            return ()
        empty = self.out.weight.new_zeros(batch, 0, self.heads, self.width // self.heads)
        return empty, empty.clone(), torch.zeros(batch, dtype=torch.int64, device=empty.device)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of 2 D numbers a kept step and of one count; 0 if not causal."""
        kept = length if self.window is None else min(length, self.window - 1)
        return 2 * kept * self.width * self.out.weight.element_size() + 8 if self.causal else 0

    def flops(self, length: int) -> int:
        """Return the operations of the projections and of the scores and sums over all pairs of steps."""
        return 2 * length * 4 * self.width**2 + 4 * length**2 * self.width


def rotate(x: Heads, positions: Int[Tensor, "b L"]) -> Heads:
    """Turn each pair of channels (i, i + d/2) by position * base^(-2i/d) (Su et al. 2021, arXiv:2104.09864)."""
    half, dtype = x.shape[-1] // 2, accumulator(x.dtype)
    speed = ROTARY_BASE ** (-torch.arange(half, device=x.device, dtype=dtype) / half)
    angle = (positions[..., None].to(dtype) * speed)[:, :, None]
    a, b = x.to(dtype).chunk(2, -1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)


def _pick(cache: Heads, source: Int[Tensor, "B T"], real: Tensor) -> Heads:
    """Gather slots along time; slots that are not real become 0."""
    taken = cache.gather(1, source[..., None, None].expand(-1, -1, *cache.shape[2:]))
    return taken * real[..., None, None]


class AttentionConfig(MixerConfig):
    """Settings of `Attention`."""

    source: ClassVar[str] = "Vaswani et al. 2017, arXiv:1706.03762; Su et al. 2021, arXiv:2104.09864"
    kind: Literal["attention"] = "attention"
    head_dim: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 16
    """Wanted channels per head; the nearest even divisor of the width is taken."""
    causal: bool = False
    """Look back only; needed to stream and to forecast step by step."""
    window: Annotated[int | None, Field(ge=2)] = None
    """Most steps a query sees, itself included; causal only."""

    def build(self, width: int) -> Attention:
        """Return attention with D / head_dim heads; raise `ConfigError` if the width is odd."""
        return Attention(width, width // head_width(width, self.head_dim, multiple=2), self.causal, self.window)
