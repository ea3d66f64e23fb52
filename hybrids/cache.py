"""Keys and values of the past: what is kept of them, and how a window of them is looked at.

Two caches, both float32 at least and never changed in place:

    grown    (B, T, H, d)   every past step, each row left-aligned; a count a row says how many slots are filled
    slid     (B, R, H, d)   the last R steps, right-aligned, zeros before the start; the same size at every step

`window_attention` looks at the last `window` steps in blocks of b queries: a block sees the b + window - 1 keys that
any of its queries sees, under one (b, b + window - 1) mask for all blocks. That is O(L (b + window)) work and no (L, L)
mask. `window_attention_reference` is the same under a full mask.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from hybrids.shapes import Heads, Lengths, Tokens

Filled = Int[Tensor, " B"]
Mask = Bool[Tensor, "b q k"]
"""Which key each query sees; b is B, or 1 where all rows agree."""
LEAST_BLOCK = 32
BLOCKS_A_WINDOW = 4
"""Blocks of a quarter of the window, at least 32 queries, are within 8 % of the fastest on CPU (windows 8 to 256)."""


def attend(query: Heads, key: Heads, value: Heads, mask: Mask | None = None, causal: bool = False) -> Tokens:
    """Return softmax(q k^T / sqrt(d)) v of every head, heads joined.

    Fewer heads of keys than of queries are shared by equal runs of them (Ainslie et al. 2023, arXiv:2305.13245).

    Args:
        query: Queries.
        key: Keys.
        value: Values.
        mask: Which keys are seen; None is all.
        causal: See the keys up to one's own index; without a mask, and with as many keys as queries.
    """
    shared = query.shape[2] // key.shape[2]
    if shared > 1 and (torch.compiler.is_exporting() or _fused_only_for_full_heads(query, mask)):
        key, value = (t.repeat_interleave(shared, 2) for t in (key, value))
    y = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2).to(query.dtype),
        value.transpose(1, 2).to(query.dtype),
        attn_mask=None if mask is None else mask[:, None],
        is_causal=causal,
        enable_gqa=key.shape[2] < query.shape[2],
    )
    return y.transpose(1, 2).flatten(2)


def _fused_only_for_full_heads(query: Heads, mask: Mask | None) -> bool:
    """Return whether sharing heads of keys would leave only the slow form that makes all scores, as it does on CUDA.

    There the flash kernel shares heads but takes 16 bits and no mask; the memory-efficient kernel takes float32 and
    masks but shares none. Repeating the keys costs far less than the scores.
    """
    return query.is_cuda and (mask is not None or query.dtype not in (torch.float16, torch.bfloat16))


def block_of(window: int) -> int:
    """Return how many queries `window_attention` looks at together."""
    return max(LEAST_BLOCK, window // BLOCKS_A_WINDOW)


def window_attention(
    query: Heads, key: Heads, value: Heads, filled: Filled | None = None, *, window: int, lag: int = 0
) -> Tokens:
    """Let query t see the `window` steps from t - lag - window + 1 to t - lag, as far as they exist; heads joined.

    A query that sees nothing gets 0. Short sequences, and every length under `torch.export`, go through the reference.

    Args:
        query: Queries of this chunk.
        key: Keys of this chunk; with `filled`, behind the R = window - 1 + lag slots of the slid cache.
        value: Values, as the keys.
        filled: How many slots of the cache hold steps; None: there is no cache, the sequence starts here.
        window: Most steps seen.
        lag: 0 to see oneself, 1 to see the past only.
    """
    length, reach = query.shape[1], window - 1 + lag
    if filled is None and lag == 0 and length <= window and not torch.compiler.is_exporting():
        return attend(query, key, value, causal=True)
    block = block_of(window)
    if torch.compiler.is_exporting() or length < reach + block:
        return window_attention_reference(query, key, value, filled, window=window, lag=lag)
    first = reach + (length - reach) % block  # after this many queries only steps of this chunk are seen
    lead = key.shape[1] - length
    ahead = lead + first
    begin = window_attention_reference(
        query[:, :first], key[:, :ahead], value[:, :ahead], filled, window=window, lag=lag
    )

    def spans(t: Heads) -> Heads:
        seen = t[:, ahead - reach : lead + length - lag].unfold(1, block + window - 1, block)
        return seen.movedim(-1, 2).flatten(0, 1)

    i, j = _steps(block, query), _steps(block + window - 1, query)
    mask = (j >= i[:, None]) & (j < i[:, None] + window)
    blocks = query[:, first:].reshape(-1, block, *query.shape[2:])
    rest = attend(blocks, spans(key), spans(value), mask[None])
    return torch.cat([begin, rest.reshape(query.shape[0], length - first, -1)], 1)


def window_attention_reference(
    query: Heads, key: Heads, value: Heads, filled: Filled | None = None, *, window: int, lag: int = 0
) -> Tokens:
    """Compute the same as `window_attention` under one mask over all pairs; the truth the tests compare with."""
    slot, lead = _steps(key.shape[1], key), key.shape[1] - query.shape[1]
    age = (lead + _steps(query.shape[1], query))[:, None] - slot
    mask = ((age >= lag) & (age < lag + window))[None]
    if filled is not None:
        mask = mask & (slot >= lead - filled[:, None])[:, None]
    if lag == 0:
        return attend(query, key, value, mask)
    some = mask.any(-1, keepdim=True)  # a softmax over nothing is not a number in every runtime
    return attend(query, key, value, mask | ~some) * some


def past_attention(query: Heads, key: Heads, value: Heads, filled: Filled, even: bool) -> Tokens:
    """Let every query see the filled slots of a grown cache and the steps of this chunk up to its own; heads joined.

    Args:
        query: Queries of this chunk.
        key: Slots of the cache, then the keys of this chunk.
        value: Values, as the keys.
        filled: How many slots each row has filled.
        even: Whether every row has filled every slot.
    """
    length, slots = query.shape[1], key.shape[1] - query.shape[1]
    if slots == 0:
        return attend(query, key, value, causal=True)
    if even and length == 1:
        return attend(query, key, value)
    slot = _steps(key.shape[1], key)
    mask = (slot <= slots + _steps(length, query)[:, None])[None]
    if not even:
        mask = mask & ((slot < filled[:, None]) | (slot >= slots))[:, None]
    return attend(query, key, value, mask)


def joined(cache: Heads, new: Heads) -> Heads:
    """Return the slots of a cache and the new steps behind them, in the precision of the cache and in one piece."""
    new = new.to(cache.dtype)
    if cache.shape[1]:
        return torch.cat([cache, new], 1)
    return new.clone(memory_format=torch.contiguous_format)  # a view would keep the queries beside it in memory


def every_slot_filled(cache: Heads, filled: Filled) -> bool:
    """Return whether no row has an empty slot; False where that must not be looked up, as under `torch.compile`."""
    slots = cache.shape[1]
    return slots == 0 or (not torch.compiler.is_compiling() and bool((filled == slots).all()))


def grow(both: Heads, filled: Filled, even: bool, length: int, lengths: Lengths | None) -> Heads:
    """Return the grown cache after a chunk.

    Args:
        both: What `joined` returned.
        filled: How many slots of the cache before each row had filled.
        even: Whether every row had filled every slot.
        length: Steps of the chunk.
        lengths: Valid steps of each row of the chunk; None is all.
    """
    if even and lengths is None:
        return both
    slots, total = both.shape[1] - length, filled + (length if lengths is None else lengths)
    size = slots + length if torch.compiler.is_compiling() else int(total.max())
    slot = _steps(size, both)[None]
    source = torch.where(slot < filled[:, None], slot, slot - filled[:, None] + slots)
    real = slot < total[:, None]
    return _rows(both, source.where(real, 0)) * real[..., None, None]


def slide(cache: Heads, new: Heads, lengths: Lengths | None) -> Heads:
    """Return the slid cache, as long as before, after the valid steps of `new`."""
    new, size = new.to(cache.dtype), cache.shape[1]
    if size == 0:
        return cache
    if lengths is None:
        recent = new[:, -size:]
        return torch.cat([cache[:, recent.shape[1] :], recent], 1)
    return _rows(torch.cat([cache, new], 1), lengths[:, None] + _steps(size, cache))


def _rows(cache: Heads, slots: Int[Tensor, "B T"]) -> Heads:
    """Return the given slots of each row."""
    return cache.gather(1, slots[..., None, None].expand(-1, -1, *cache.shape[2:]))


def _steps(count: int, like: Tensor) -> Int[Tensor, " count"]:
    return torch.arange(count, device=like.device)
