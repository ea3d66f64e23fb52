"""Numeric series to tokens: normalisation, features and patches, all inside the graph."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Series, Tokens

TINY = 1e-5


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
    normalise: Literal["none", "channel"] = "channel"
    """channel: by mean and deviation of the training data, stored in the model."""


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
        self.kernel = max(config.kernel, config.patch)
        self.embed = nn.Conv1d(2 * config.channels_in, width, self.kernel, stride=config.patch)
        self.stem = nn.ModuleList(ConvBlock(width, (3, 9, 19), config.causal) for _ in range(config.stem))

    def fit(self, mean: Tensor, scale: Tensor) -> None:
        """Set the normalisation from the training part's mean and deviation, each (C,)."""
        self.mean.copy_(mean)
        self.scale.copy_(scale.clamp_min(TINY))

    def forward(self, x: Series, lengths: Lengths) -> tuple[Tokens, Lengths]:
        """Return tokens (B, ceil(L / patch), D) and how many of them are valid in each row."""
        mask = valid_steps(x, lengths)[..., None]
        if self.config.normalise == "channel":
            x = (x - self.mean) / self.scale
        x = torch.where(mask, x, torch.zeros_like(x))
        previous = F.pad(x, (0, 0, 1, 0))[:, :-1]
        difference = (x - previous) * mask
        difference = torch.cat([torch.zeros_like(difference[:, :1]), difference[:, 1:]], dim=1)
        z = torch.cat([x, difference], dim=-1).transpose(1, 2)
        patch, extra = self.config.patch, self.kernel - self.config.patch
        left = extra if self.config.causal else extra // 2
        z = self.embed(F.pad(z, (left, extra - left + patch - 1))).transpose(1, 2)
        counts = (lengths + patch - 1) // patch
        token_mask = valid_steps(z, counts)[..., None].to(z.dtype)
        for block in self.stem:
            z = block(z, token_mask)
        return z * token_mask, counts

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one series of `length` steps."""
        tokens = -(-length // self.config.patch)
        stem = sum(p.numel() for p in self.stem.parameters())
        return 2 * tokens * (self.embed.weight.numel() + stem)
