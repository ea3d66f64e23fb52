"""Numeric series to tokens: normalisation, features and patches, all inside the graph.

    u = (x - m) / s              by channel, over the training part
    v = 3 asinh(u / 3)           linear around the mean, logarithmic far from it
    w = (u - mean u) / dev u     by series and channel: the shape without level and size

A token is a convolution over values and first differences, or the mean of the tokens of a `ConvStem` over a patch.
"""

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from hybrids.frontends.stem import ConvStem, StemConfig
from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Series, Tokens

TINY = 1e-5
LINEAR = 3.0
"""Deviations from the mean up to which a value is kept nearly as it is."""
FLAT = 1e-4
"""Added to the variance of a series in units of the training part's: a flat series stays flat."""
MOST_VIEWS = 16
"""Channels that a `ConvStem` reads; more are mixed down to these first."""


class SeriesConfig(BaseModel):
    """Settings of `SeriesFrontend`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    channels_in: Annotated[int, Field(ge=1)]
    patch: Annotated[int, Field(ge=1)] = 1
    """Steps between two tokens."""
    kernel: Annotated[int, Field(ge=1)] = 1
    """Steps that one token sees; at least `patch`."""
    stem: Annotated[int, Field(ge=0, le=4)] = 0
    """Residual convolution blocks between embedding and backbone."""
    causal: bool = False
    """Pad on the left only, so that a token never sees steps after its own patch."""
    normalise: Literal["none", "channel", "both"] = "channel"
    """channel: by mean and deviation of the training data, stored in the model. both: beside it each series by its own,
    and what is far from the mean is drawn in; the series is seen as a whole, so not causal."""
    convolution: StemConfig | None = None
    """A convolutional stem in place of `kernel` and `stem`; `patch` is a multiple of its stride."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse a patch that is no whole number of strides, and a look ahead that is not allowed."""
        if self.convolution and self.patch % self.convolution.stride:
            raise ValueError(f"patch {self.patch} is no multiple of the stem's stride {self.convolution.stride}")
        if self.causal and self.normalise == "both":
            raise ValueError("normalise 'both' reads the whole series; a causal front end needs 'channel' or 'none'")
        return self


class ConvBlock(nn.Module):
    """Depthwise convolutions of several widths, then a pointwise one, on a residual path (Inception-like)."""

    def __init__(self, width: int, kernels: tuple[int, ...], causal: bool) -> None:
        super().__init__()
        self.causal, self.kernels = causal, kernels
        self.norm = nn.LayerNorm(width)
        self.depthwise = nn.ModuleList(nn.Conv1d(width, width, k, groups=width) for k in kernels)
        self.pointwise = nn.Linear(width * len(kernels), width)

    def forward(self, x: Tokens, mask: Tensor | None) -> Tokens:
        """Mix neighbours; `mask` (B, L, 1) zeroes the padding before every convolution."""
        z = self.norm(x)
        z = (z if mask is None else z * mask).transpose(1, 2)
        parts = []
        for conv, k in zip(self.depthwise, self.kernels, strict=True):
            left = k - 1 if self.causal else (k - 1) // 2
            parts.append(conv(F.pad(z, (left, k - 1 - left))))
        mixed: Tokens = self.pointwise(F.gelu(torch.cat(parts, dim=1)).transpose(1, 2))
        return x + mixed


class SeriesFrontend(nn.Module):
    """Embed a numeric series: scale, add first differences, and convolve into patches."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: SeriesConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.channels_in))
        self.register_buffer("scale", torch.ones(config.channels_in))
        views = (3 if config.normalise == "both" else 2) * config.channels_in
        self.stem: nn.ModuleList | ConvStem
        if config.convolution is not None:
            self.mix = nn.Linear(views, MOST_VIEWS, bias=False) if views > MOST_VIEWS else None
            self.stem = ConvStem(config.convolution, min(views, MOST_VIEWS), width, config.causal)
            return
        self.kernel = max(config.kernel, config.patch)
        self.embed = nn.Conv1d(views, width, self.kernel, stride=config.patch)
        self.stem = nn.ModuleList(ConvBlock(width, (3, 9, 19), config.causal) for _ in range(config.stem))

    def fit(self, mean: Tensor, scale: Tensor) -> None:
        """Set the normalisation from the training part's mean and deviation, each (C,)."""
        self.mean.copy_(mean)
        self.scale.copy_(scale.clamp_min(TINY))

    def forward(self, x: Series, lengths: Lengths) -> tuple[Tokens, Lengths]:
        """Return tokens (B, ceil(L / patch), D) and how many of them are valid in each row."""
        mask = valid_steps(x, lengths)[..., None]
        z = self._views(x, mask, lengths)
        if isinstance(self.stem, ConvStem):
            tokens, counts = self.stem(z if self.mix is None else self.mix(z), lengths)
            return _mean_of_each(tokens, counts, self.config.patch // self.stem.config.stride)
        patch, extra = self.config.patch, self.kernel - self.config.patch
        left = extra if self.config.causal else extra // 2
        tokens = self.embed(F.pad(z.transpose(1, 2), (left, extra - left + patch - 1))).transpose(1, 2)
        counts = (lengths + patch - 1) // patch
        token_mask = valid_steps(tokens, counts)[..., None].to(tokens.dtype)
        for block in self.stem:
            tokens = block(tokens, token_mask)
        return tokens * token_mask, counts

    def _views(self, x: Series, mask: Tensor, lengths: Lengths) -> Tensor:
        """Return the scaled values, by series too if so set, and their first differences, (B, L, 2 C or 3 C)."""
        if self.config.normalise != "none":
            x = (x - self.mean) / self.scale
        x = torch.where(mask, x, torch.zeros_like(x))
        views = [x]
        if self.config.normalise == "both":
            count = lengths[:, None, None].clamp_min(1).to(x.dtype)
            centred = torch.where(mask, x - x.sum(1, keepdim=True) / count, torch.zeros_like(x))
            variance = centred.square().sum(1, keepdim=True) / count
            x = LINEAR * torch.asinh(x / LINEAR)
            views = [x, centred * torch.rsqrt(variance + FLAT)]
        previous = F.pad(x, (0, 0, 1, 0))[:, :-1]
        difference = (x - previous) * mask
        views.append(torch.cat([torch.zeros_like(difference[:, :1]), difference[:, 1:]], dim=1))
        return torch.cat(views, dim=-1)

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one series of `length` steps."""
        if isinstance(self.stem, ConvStem):
            mixed = self.mix.weight.numel() if self.mix is not None else 0
            return 2 * length * mixed + self.stem.flops(length)
        tokens = -(-length // self.config.patch)
        stem = sum(p.numel() for p in self.stem.parameters())
        return 2 * tokens * (self.embed.weight.numel() + stem)


def _mean_of_each(x: Tokens, counts: Lengths, size: int) -> tuple[Tokens, Lengths]:
    """Return the mean of every `size` tokens, over the valid ones, and how many means are valid; `x` is 0 elsewhere."""
    if size == 1:
        return x, counts
    windows = (x.shape[1] + size - 1) // size
    sums = F.pad(x, (0, 0, 0, windows * size - x.shape[1])).reshape(-1, windows, size, x.shape[2]).sum(2)
    held = (counts[:, None] - torch.arange(windows, device=x.device) * size).clamp(1, size)
    return sums / held[..., None].to(x.dtype), (counts + size - 1) // size
