"""Depthwise convolution that looks back only, and the tail of inputs it carries from chunk to chunk.

    y_t = sum_i w_i * u_{t - (K - 1 - i) r}          K taps w_i per channel, r steps between two; * is per channel

Few taps are shifted multiply-adds, many are `conv1d`; both cost O(L D K). The tail is the last (K - 1) r inputs.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hybrids.shapes import Lengths, Tokens

SHIFTED_TAPS = 8
"""Up to this many taps, shifted multiply-adds are faster than a depthwise convolution on CPU."""

Taps = Float[Tensor, "D K"]


def fresh_taps(channels: int, kernel: int) -> Taps:
    """Return random taps of the spread that `nn.Conv1d` gives a depthwise convolution."""
    return torch.empty(channels, kernel).uniform_(-1, 1) / math.sqrt(kernel)


def causal_conv(
    x: Tokens, taps: Taps, tail: Tokens, lengths: Lengths | None = None, dilation: int = 1
) -> tuple[Tokens, Tokens]:
    """Convolve every channel with its own taps, looking back only; return outputs and the next tail.

    Args:
        x: Inputs of this chunk.
        taps: Weights; the last one meets the present step.
        tail: The (K - 1) * dilation inputs before `x`; zeros at the start.
        lengths: Valid steps of each row; the next tail holds the last valid inputs.
        dilation: Steps between two taps.
    """
    dtype = torch.promote_types(x.dtype, taps.dtype)
    seen = torch.cat([tail.to(dtype), x.to(dtype)], 1)
    return convolve(seen, taps.to(dtype), dilation), next_tail(seen, tail, lengths)


def convolve(seen: Tokens, taps: Taps, dilation: int = 1) -> Tokens:
    """Return the (L - (K - 1) * dilation) outputs for which every tap meets one of the L inputs `seen`."""
    if taps.shape[1] <= SHIFTED_TAPS:
        y: Tensor = _ShiftedTaps.apply(seen, taps, dilation)  # type: ignore[no-untyped-call]
        return y
    return F.conv1d(seen.mT, taps[:, None], dilation=dilation, groups=taps.shape[0]).mT


def next_tail(seen: Tokens, tail: Tokens, lengths: Lengths | None) -> Tokens:
    """Return the last valid inputs of `seen`, the old tail and a chunk: as many as `tail` has, in its precision.

    A copy: a view would keep the whole chunk in memory for as long as the state lives.
    """
    reach = tail.shape[1]
    if lengths is None:
        return seen[:, seen.shape[1] - reach :].to(tail.dtype, copy=True)
    rows = lengths[:, None] + torch.arange(reach, device=seen.device)
    return seen.gather(1, rows[..., None].expand(-1, -1, seen.shape[2])).to(tail.dtype)


class _ShiftedTaps(torch.autograd.Function):
    """`shifted_sum` whose backward pass is another one, instead of a padded gradient for each tap."""

    generate_vmap_rule = True

    @staticmethod
    def forward(seen: Tensor, taps: Tensor, dilation: int) -> Tensor:
        return shifted_sum(seen, taps, dilation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        seen, taps, ctx.dilation = inputs
        ctx.save_for_backward(seen, taps)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        seen, taps = ctx.saved_tensors
        reach = seen.shape[1] - dy.shape[1]
        d_seen = shifted_sum(F.pad(dy, (0, 0, reach, reach)), taps.flip(1), ctx.dilation)
        return d_seen, torch.stack([(dy * met).sum((0, 1)) for met in shifted(seen, taps, ctx.dilation)], 1), None


def shifted(seen: Tokens, taps: Taps, dilation: int) -> list[Tokens]:
    """Return what each tap meets: views of `seen`, `dilation` steps apart."""
    length = seen.shape[1] - (taps.shape[1] - 1) * dilation
    return [seen[:, i * dilation : i * dilation + length] for i in range(taps.shape[1])]


def shifted_sum(seen: Tokens, taps: Taps, dilation: int) -> Tokens:
    """Return the sum of what each tap meets, times the tap."""
    first, *others = shifted(seen, taps, dilation)
    y = first * taps[:, 0]
    for i, met in enumerate(others, start=1):
        y = torch.addcmul(y, met, taps[:, i])
    return y
