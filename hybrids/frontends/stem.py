"""A convolutional stem: short residual convolutions behind one layer of long ones, normalised over the batch.

    y_0 = relu(N(W_k * z))                    kernels of several lengths share out the channels; `stride` steps a token
    y_i = y_{i-1} + relu(N(V_i * y_{i-1}))    full convolutions, dilation 2^(i-1)
    N(x) = g (x - m) / sqrt(v + e) + b        m, v over all valid tokens of the batch; when not training, their averages

O(L / s) in the stride s. Batch normalisation lets few steps of training go far on small sets (Ioffe and Szegedy 2015,
arXiv:1502.03167); long first kernels and residual paths as in Ismail Fawaz et al. 2020, arXiv:1909.04939.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Series, Tokens

Size = Annotated[int, Field(ge=1)]
EPS = 1e-5


class StemConfig(BaseModel):
    """Settings of a `ConvStem`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kernels: Annotated[tuple[Size, ...], Field(min_length=1)] = (39, 19, 9)
    """Lengths of the first convolutions, in steps of the series."""
    stride: Size = 1
    """Steps between two tokens of the stem."""
    blocks: Annotated[int, Field(ge=0, le=6)] = 3
    """Residual convolutions behind the first layer."""
    kernel: Size = 5
    """Length of the residual convolutions, in tokens."""


class BatchNorm(nn.Module):
    """Normalise every channel by its mean and variance over the valid tokens of the batch, channels first."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return x (B, D, L) normalised, zero where `mask` (B, 1, L) says padding; None: every token is valid."""
        if not self.training:
            gain = self.weight * torch.rsqrt(self.variance + EPS)
            y = x * gain[:, None] + (self.bias - self.mean * gain)[:, None]
            return y if mask is None else y.masked_fill(~mask, 0)
        if mask is None:
            return self._by_batch(x)
        valid = mask.squeeze(1)
        rows = self._by_batch(x.mT[valid])
        return rows.new_zeros(x.mT.shape).index_put((valid,), rows).mT

    def _by_batch(self, x: Tensor) -> Tensor:
        """Normalise by the batch's own statistics and move the averages; a single token by the averages."""
        own = x.numel() > x.shape[1]
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, training=own, eps=EPS)


class StridedConv(nn.Module):
    """A convolution without bias whose windows are centred on the `stride` steps they answer for; (B, C, L) in and out.

    Causal ones end with those steps. Where the stride is the longer of the two, the padding in front is negative: the
    steps before the first window are cut off. While training, a long kernel over few channels is one matrix product of
    unfolded windows: a third of the time of `conv1d` and its gradients on a CPU.
    """

    def __init__(self, channels: int, width: int, kernel: int, causal: bool, *, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        before = (kernel - 1) * dilation + 1 - stride
        left = before if causal else before // 2
        self.padding = (left, before - left + stride - 1)
        self.weight = nn.Parameter(torch.empty(width, channels, kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, ceil(L / stride))."""
        left, right = self.padding
        if left < 0:
            return F.conv1d(F.pad(x, (0, right))[..., -left:], self.weight, stride=self.stride, dilation=self.dilation)
        if self.training and self.dilation == 1 and self.kernel > x.shape[1]:
            windows = F.pad(x, self.padding).unfold(2, self.kernel, self.stride).transpose(1, 2).flatten(2)
            return F.linear(windows, self.weight.flatten(1)).mT
        if left == right:
            return F.conv1d(x, self.weight, stride=self.stride, padding=left, dilation=self.dilation)
        return F.conv1d(F.pad(x, self.padding), self.weight, stride=self.stride, dilation=self.dilation)


class ConvStem(nn.Module):
    """Convolve a series of few channels into tokens of width D; padding changes nothing."""

    def __init__(self, config: StemConfig, channels: int, width: int, causal: bool) -> None:
        super().__init__()
        self.config = config
        kernels = config.kernels[:width]
        shares = [width // len(kernels) + (i < width % len(kernels)) for i in range(len(kernels))]
        self.first = nn.ModuleList(
            StridedConv(channels, share, kernel, causal, stride=config.stride)
            for share, kernel in zip(shares, kernels, strict=True)
        )
        self.blocks = nn.ModuleList(
            StridedConv(width, width, config.kernel, causal, dilation=2**i) for i in range(config.blocks)
        )
        self.norms = nn.ModuleList(BatchNorm(width) for _ in range(config.blocks + 1))

    def forward(self, z: Series, lengths: Lengths) -> tuple[Tokens, Lengths]:
        """Return tokens (B, ceil(L / stride), D), zero in the padding, and their counts; `z` is zero in its padding."""
        x = torch.cat([conv(z.mT) for conv in self.first], 1)
        counts = (lengths + self.config.stride - 1) // self.config.stride
        full = self.training and bool((lengths == z.shape[1]).all())
        mask = None if full else valid_steps(x.mT, counts)[:, None]
        first, *others = self.norms
        x = F.relu(first(x, mask))
        for conv, norm in zip(self.blocks, others, strict=True):
            x = x + F.relu(norm(conv(x), mask))
        return x.mT, counts

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one series of `length` steps."""
        weights = sum(p.numel() for p in [*self.first.parameters(), *self.blocks.parameters()])
        return 2 * -(-length // self.config.stride) * weights
