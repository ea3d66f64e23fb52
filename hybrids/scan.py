"""What runs along time with a carried state: the decayed linear recurrence, and what recurrences share.

The recurrence of gated linear attention and state space duality, per head, with a scalar decay a_t = exp(log_decay_t):

    S_t = a_t S_{t-1} + k_t v_t^T          y_t = S_t^T q_t

`decayed_attention` computes it in chunks (Dao & Gu 2024, arXiv:2405.21060): a masked attention inside every chunk, all
chunks at once, and a loop that carries S only. `decayed_attention_reference` is the same, one step at a time.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_map

from hybrids import backends
from hybrids.errors import ConfigError
from hybrids.shapes import Lengths, Token, Tokens

CHUNK = 32
TINY = 1e-12  # the square of the shortest vector that unit_norm makes 1 long
SLOWEST_DT, FASTEST_DT = 1e-3, 1e-1

Keys = Float[Tensor, "B L G N"]
Values = Float[Tensor, "B L H P"]
HeadSteps = Float[Tensor, "B L H"]
Memory = Float[Tensor, "B H N P"]


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Return the precision for states, decays and angles: `dtype`, but never less than float32."""
    return torch.promote_types(dtype, torch.float32)


def exact(x: Tensor) -> Tensor:
    """Return `x` in float64, or as it is on a device that has none (MPS)."""
    return x if x.device.type == "mps" else x.double()


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
    loop over chunks becomes one matrix product, so nothing depends on the length.

    Args:
        query: What S is read with; the H heads share G groups of queries and keys (G divides H).
        key: Where values are written.
        value: What is written.
        log_decay: Logarithm of the share of S that is kept, at most 0.
        start: S before the first step.
        chunk: Steps per chunk. Any is exact; it costs chunk**2 numbers per head and chunk.
    """
    done = backends.run("decayed_attention", query, key, value, (log_decay,), start)
    if done is not None:
        return done
    dtype = accumulator(value.dtype)
    with full_precision(value.device):
        return _chunked(*(t.to(dtype) for t in (query, key, value, log_decay, start)), chunk=chunk)


def cut(length: int, chunk: int) -> tuple[int, int]:
    """Return how many chunks, of how many steps, hold `length` steps.

    Under `torch.export` there are two chunks or more and always some padding: a length that just fits, or fits in one
    chunk, would otherwise be a case of its own, and the exported program would refuse it.
    """
    if torch.compiler.is_exporting():
        return length // chunk + 2, chunk
    span = max(1, min(chunk, length))
    return max(1, -(-length // span)), span


def pad_end(x: Tensor, steps: int) -> Tensor:
    """Append `steps` zeros along axis 1."""
    if torch.compiler.is_exporting() or steps:
        return F.pad(x, (0, 0) * (x.ndim - 2) + (0, steps))
    return x


def delayed(x: Float[Tensor, "B L *rest"], steps: int, first: float = 0.0) -> Float[Tensor, "B L *rest"]:
    """Return `x` delayed by `steps` along axis 1, the number `first` before it."""
    return F.pad(x, (*(0, 0) * (x.ndim - 2), steps, 0), value=first).narrow(1, 0, x.shape[1])


def decay_between(since_start: Float[Tensor, "*rest L"], dtype: torch.dtype) -> Float[Tensor, "*rest L L"]:
    """Return exp(c_i - c_j) for i >= j, else 0, given the sums c of log decays up to each step.

    Two sums may be large and their difference small. So c comes in float64, where the device has it, and is taken
    apart into float32 and what that leaves over: as exact as float64, without float64 squares.
    """
    length = since_start.shape[-1]
    later = torch.full((length, length), -math.inf, dtype=dtype, device=since_start.device).triu(1)
    whole = since_start.to(dtype)
    between = whole[..., :, None] + (-whole)[..., None, :]
    if dtype != since_start.dtype:
        rest = (since_start - whole).detach().to(dtype)
        between = between.add_(rest[..., :, None]).sub_(rest[..., None, :])
    return between.add_(later).exp_()  # -inf before exp: no overflow, and no nan gradient


def _chunked(
    query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, start: Tensor, *, chunk: int
) -> tuple[Tensor, Tensor]:
    """Compute `decayed_attention`; inside, axes are batch, chunk, group, head in group, step, feature."""
    batch, length, heads, depth = value.shape
    groups, size = key.shape[2:]
    shared = heads // groups
    count, span = cut(length, chunk)
    query, key, value, log_decay = (pad_end(t, count * span - length) for t in (query, key, value, log_decay))
    q, k = (t.reshape(batch, count, span, groups, size).transpose(2, 3) for t in (query, key))
    v = value.reshape(batch, count, span, groups, shared, depth).permute(0, 1, 3, 4, 2, 5)
    log_decay = exact(log_decay).reshape(batch, count, span, groups, shared).permute(0, 1, 3, 4, 2)
    decayed = log_decay.cumsum(-1)
    y = ((q @ k.mT)[:, :, :, None] * decay_between(decayed, value.dtype)) @ v

    to_end = (decayed[..., -1:] - decayed).to(value.dtype).exp()
    written = k.mT @ (v * to_end[..., None]).transpose(3, 4).reshape(batch, count, groups, span, shared * depth)
    memory = start.reshape(batch, groups, shared, size, depth).transpose(2, 3)
    memory = memory.reshape(batch, groups, size, shared * depth)
    carry = _carry_by_product if torch.compiler.is_exporting() else _carry_by_loop
    entering, memory = carry(memory, written, decayed[..., -1])
    read = (q @ entering).reshape(batch, count, groups, span, shared, depth).transpose(3, 4)
    y = torch.addcmul(y, read, decayed.to(value.dtype).exp()[..., None])
    y = y.permute(0, 1, 4, 2, 3, 5).reshape(batch, count * span, heads, depth)[:, :length]
    last = memory.reshape(batch, groups, size, shared, depth).transpose(2, 3).reshape(batch, heads, size, depth)
    return y, last


def _carry_by_loop(memory: Tensor, written: Tensor, decayed: Tensor) -> tuple[Tensor, Tensor]:
    """Return S before each chunk and S at the end, given what each chunk writes and its sum of log decays."""
    depth = memory.shape[-1] // decayed.shape[-1]
    kept = decayed.to(memory.dtype).exp().repeat_interleave(depth, -1)[..., None, :]
    entering = []
    for write, keep in zip(written.unbind(1), kept.unbind(1), strict=True):
        entering.append(memory)
        memory = torch.addcmul(write, keep, memory)
    return torch.stack(entering, 1), memory


def _carry_by_product(memory: Tensor, written: Tensor, decayed: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the same as `_carry_by_loop` in one product, quadratic in the number of chunks."""
    batch, groups, size, wide = memory.shape
    shared = decayed.shape[-1]
    writes = torch.cat([memory[:, None], written], 1).reshape(batch, -1, groups, size, shared, wide // shared)
    between = decay_between(F.pad(decayed, (0, 0, 0, 0, 1, 0)).cumsum(1).movedim(1, -1), memory.dtype)
    entering = between @ writes.permute(0, 2, 4, 1, 3, 5).flatten(4)
    entering = entering.reshape(batch, groups, shared, -1, size, wide // shared).permute(0, 3, 1, 4, 2, 5).flatten(4)
    return entering[:, :-1], entering[:, -1]


def loop_in_graph(
    join: Callable[[Tensor, Any], tuple[Tensor, Tensor]], start: Tensor, steps: Any
) -> tuple[Tensor, Tensor]:
    """Return the last state and every output of a loop along axis 1, in an exported graph whose length stays free.

    No gradient passes back.

    Args:
        join: From a state and one step to the next state and the output.
        start: The state before the first step.
        steps: A tensor, or tensors in a tuple, with time along axis 1.
    """
    from torch._higher_order_ops.scan import scan  # has no public name in torch 2.13, and no other form fits ONNX

    loop: Callable[..., tuple[Tensor, Tensor]] = scan
    return loop(join, start.detach(), tree_map(Tensor.detach, steps), dim=1)


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


def unit_norm(x: Tensor) -> Tensor:
    """Scale the last axis to norm 1, in float32 at least; zeros stay zeros."""
    x = x.to(accumulator(x.dtype))
    return x * x.square().sum(-1, keepdim=True).clamp(min=TINY).rsqrt()  # onnxscript drops + 1e-12 as if it were 0


def log_step_sizes(count: int) -> Float[Tensor, " count"]:
    """Return logarithms of random step sizes dt, log-uniform in 0.001 to 0.1 (Gu & Dao 2023, arXiv:2312.00752)."""
    return torch.empty(count).uniform_(math.log(SLOWEST_DT), math.log(FASTEST_DT))


def step_size_bias(count: int) -> Float[Tensor, " count"]:
    """Return random biases b for which softplus(b) is such a step size."""
    return torch.log(torch.expm1(log_step_sizes(count).exp()))


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
