"""What runs along time with a carried state: the decayed linear recurrence, the causal convolution, ragged rows.

The recurrence of gated linear attention and state space duality, per head, with a scalar decay a_t = exp(log_decay_t):

    S_t = a_t S_{t-1} + k_t v_t^T          y_t = S_t^T q_t

`decayed_attention` computes it in chunks (Dao & Gu 2024, arXiv:2405.21060): a masked attention inside every chunk, all
chunks at once, and a loop that carries S only. `decayed_attention_reference` is the same, one step at a time.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hybrids.errors import ConfigError
from hybrids.shapes import Lengths, Token, Tokens

CHUNK = 64
SHIFTED_TAPS = 8
"""Up to this many taps, shifted multiply-adds are faster than a depthwise convolution on CPU."""

Keys = Float[Tensor, "B L G N"]
Values = Float[Tensor, "B L H P"]
HeadSteps = Float[Tensor, "B L H"]
Memory = Float[Tensor, "B H N P"]


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Return the precision for states, decays and angles: `dtype`, but never less than float32."""
    return torch.promote_types(dtype, torch.float32)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast, so that sums over time are not rounded to 8 bits."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def decayed_attention(
    query: Keys, key: Keys, value: Values, log_decay: HeadSteps, start: Memory, *, chunk: int = CHUNK
) -> tuple[Values, Memory]:
    """Return every y_t and the last S.

    A step with key 0 and log_decay 0 leaves S as it is; that is how padding is passed over. Under `torch.export` the
    whole sequence is one chunk, so no loop depends on the length.

    Args:
        query: What S is read with; the H heads share G groups of queries and keys (G divides H).
        key: Where values are written.
        value: What is written.
        log_decay: Logarithm of the share of S that is kept, at most 0.
        start: S before the first step.
        chunk: Steps per chunk. Longer is exact too, but needs chunk**2 numbers per head and chunk.
    """
    dtype = accumulator(value.dtype)
    with full_precision(value.device):
        return _chunked(*(t.to(dtype) for t in (query, key, value, log_decay, start)), chunk=chunk)


def _chunked(
    query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, start: Tensor, *, chunk: int
) -> tuple[Tensor, Tensor]:
    """Compute `decayed_attention`; inside, axes are batch, chunk, group, head in group, step, feature."""
    batch, length, heads, depth = value.shape
    groups, size = key.shape[2:]
    shared = heads // groups
    if torch.compiler.is_exporting():
        count, span = 1, length
    else:
        span = max(1, min(chunk, length))
        count = -(-length // span)
        if pad := count * span - length:
            query, key, value = (F.pad(t, (0, 0, 0, 0, 0, pad)) for t in (query, key, value))
            log_decay = F.pad(log_decay, (0, 0, 0, pad))
    q, k = (t.reshape(batch, count, span, groups, size).transpose(2, 3) for t in (query, key))
    v = value.reshape(batch, count, span, groups, shared, depth).permute(0, 1, 3, 4, 2, 5)
    decayed = log_decay.reshape(batch, count, span, groups, shared).permute(0, 1, 3, 4, 2).cumsum(-1)

    since = (
        (decayed[..., :, None] - decayed[..., None, :]).tril().exp().tril()
    )  # tril before exp: no inf, no nan gradient
    y = ((q @ k.mT)[:, :, :, None] * since) @ v

    to_end = (v * (decayed[..., -1:] - decayed).exp()[..., None]).transpose(3, 4)
    written = k.mT @ to_end.reshape(batch, count, groups, span, shared * depth)
    kept = decayed[..., -1].exp().repeat_interleave(depth, -1)[..., None, :]
    memory = (
        start.reshape(batch, groups, shared, size, depth).transpose(2, 3).reshape(batch, groups, size, shared * depth)
    )
    entering = []
    for i in range(count):
        entering.append(memory)
        memory = torch.addcmul(written[:, i], kept[:, i], memory)
    read = (q @ torch.stack(entering, 1)).reshape(batch, count, groups, span, shared, depth).transpose(3, 4)
    y = y + read * decayed.exp()[..., None]
    y = y.permute(0, 1, 4, 2, 3, 5).reshape(batch, count * span, heads, depth)[:, :length]
    last = memory.reshape(batch, groups, size, shared, depth).transpose(2, 3).reshape(batch, heads, size, depth)
    return y, last


def decayed_step(
    query: Float[Tensor, "B G N"],
    key: Float[Tensor, "B G N"],
    value: Float[Tensor, "B H P"],
    log_decay: Float[Tensor, "B H"],
    start: Memory,
) -> tuple[Float[Tensor, "B H P"], Memory]:
    """Return y_t and S_t of one step of the recurrence; arguments as in `decayed_attention`."""
    dtype = accumulator(value.dtype)
    shared = value.shape[1] // key.shape[1]
    with full_precision(value.device):
        q, k, v, g, memory = (t.to(dtype) for t in (query, key, value, log_decay, start))
        q, k = (t.repeat_interleave(shared, 1) for t in (q, k))
        memory = memory * g.exp()[..., None, None] + k[..., None] * v[..., None, :]
        return (q[..., None, :] @ memory)[..., 0, :], memory


def decayed_attention_reference(
    query: Keys, key: Keys, value: Values, log_decay: HeadSteps, start: Memory
) -> tuple[Values, Memory]:
    """Compute the same as `decayed_attention`, one step at a time; the truth the tests compare with."""
    steps, memory = [], start
    for t in range(value.shape[1]):
        y, memory = decayed_step(query[:, t], key[:, t], value[:, t], log_decay[:, t], memory)
        steps.append(y)
    return torch.stack(steps, dim=1), memory


def causal_conv(
    x: Tokens, taps: Float[Tensor, "D K"], tail: Tokens, lengths: Lengths | None = None, dilation: int = 1
) -> tuple[Tokens, Tokens]:
    """Convolve every channel with its own taps, looking back only; return outputs and the next tail.

    Args:
        x: Inputs of this chunk.
        taps: Weights; the last one meets the present step.
        tail: The (K - 1) * dilation inputs before `x`; zeros at the start.
        lengths: Valid steps of each row; the next tail holds the last valid inputs.
        dilation: Steps between two taps.
    """
    length, reach = x.shape[1], tail.shape[1]
    seen = torch.cat([tail.to(x.dtype), x], 1)
    if taps.shape[1] <= SHIFTED_TAPS:
        y = seen[:, reach:] * taps[:, -1]
        for i in range(taps.shape[1] - 1):
            y = y + seen[:, i * dilation : i * dilation + length] * taps[:, i]
    else:
        y = F.conv1d(seen.mT, taps[:, None], dilation=dilation, groups=taps.shape[0]).mT
    if lengths is None:
        return y, seen[:, length:]
    rows = lengths[:, None] + torch.arange(reach, device=x.device)
    return y, seen.gather(1, rows[..., None].expand(-1, -1, x.shape[2]))


def flip_valid(x: Tokens, lengths: Lengths | None) -> Tokens:
    """Reverse each row within its own length and leave the padding in place; twice is the identity."""
    if lengths is None:
        return x.flip(1)
    t = torch.arange(x.shape[1], device=x.device)[None]
    source = torch.where(t < lengths[:, None], lengths[:, None] - 1 - t, t)
    return x.gather(1, source[..., None].expand_as(x))


def last_valid(y: Tokens, start: Token, lengths: Lengths) -> Token:
    """Return each row of `y` at its last valid step, or `start` where the row has none."""
    at = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, y.shape[2])
    return torch.where(lengths[:, None] > 0, y.gather(1, at)[:, 0], start.to(y.dtype))


def head_width(width: int, wanted: int, multiple: int = 1) -> int:
    """Return the divisor of `width` that is a multiple of `multiple` and nearest to `wanted` in ratio.

    Raises:
        ConfigError: `width` has no such divisor.
    """
    fits = [d for d in range(multiple, width + 1, multiple) if width % d == 0]
    if not fits:
        raise ConfigError(
            f"width {width} cannot be split into heads of a multiple of {multiple} channels. Use width {width + 1}."
        )
    return min(fits, key=lambda d: (max(d / wanted, wanted / d), d))
