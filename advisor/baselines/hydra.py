"""Hydra: competing convolutional kernels and ridge (Dempster et al. 2022, arXiv 2203.13652), own code from the paper.

Random kernels stand in groups of 8. At every step the kernel with the largest output of its group scores that output,
the one with the smallest scores 1. The features are the square roots of the scores' means over the row, at dilations
1, 2, 4 .. up to the series' length, for the values and the first differences. Equal outputs all score.
"""

from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d

from advisor.baselines.base import BaselineConfig, Training
from advisor.baselines.convolutions import BITS, TAPS, Block, ConvolutionBaseline, on_grid

GROUPS, COMPETING = 32, 8
MOST_CHANNELS = 8
WEIGHT_BITS = 7  # with values of 64 units at 11 bits, sums need 24 bits: exact in float32


class HydraBlock(Block):
    """32 groups of 8 kernels for each view and dilation; with channels, each group sums a random draw of them."""

    weights: Tensor
    mixes: Tensor
    sparse = True

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        self.dilations = tuple(2**power for power in range(int(np.log2(max(1.0, (length - 1) / (TAPS - 1)))) + 1))
        layers = 2 * len(self.dilations)
        self.width = layers * GROUPS * COMPETING * 2
        self.drawn = int(np.clip(channels // 2, 2, MOST_CHANNELS)) if channels > 1 else 1
        self.bits = BITS - int(np.ceil(np.log2(self.drawn)))
        self.register_buffer("weights", torch.zeros(layers, GROUPS * COMPETING, 1, TAPS))
        self.register_buffer("mixes", torch.ones(layers, GROUPS if channels > 1 else 1, channels))

    def forward(self, views: tuple[Tensor, Tensor], lengths: Tensor) -> Tensor:
        """Return the square roots of the mean scores, (B, F)."""
        whole = torch.arange(views[0].shape[2], device=lengths.device)[None] < lengths[:, None]
        mask = whole.to(views[0].dtype)[..., None]
        parts = []
        for layer in range(len(self.weights)):
            view = on_grid(views[layer % 2], self.bits)
            groups = self.mixes.shape[1]
            mixed = view if groups == 1 else self.mixes[layer] @ view
            reach = self.dilations[layer // 2] * (TAPS // 2)
            out = conv1d(mixed, self.weights[layer], padding=reach, dilation=self.dilations[layer // 2], groups=groups)
            out = out.reshape(-1, GROUPS, COMPETING, view.shape[2])
            largest, smallest = out.amax(2, keepdim=True), out.amin(2, keepdim=True)
            best = torch.where(out == largest, out, 0.0).flatten(1, 2) @ mask
            worst = (out == smallest).to(out.dtype).flatten(1, 2) @ mask
            parts += [best[..., 0], worst[..., 0]]
        means = torch.cat(parts, 1) / lengths[:, None].to(mask.dtype)
        return means.clamp_min(0).sqrt()

    def draw(self, views: tuple[Tensor, Tensor], lengths: Tensor, random: np.random.Generator) -> None:
        """Draw normal kernels of mean 0 and absolute sum 1, rounded to 7 bits, and channels with replacement."""
        weights = random.normal(size=self.weights.shape)
        weights -= weights.mean(-1, keepdims=True)
        weights /= np.abs(weights).sum(-1, keepdims=True)
        whole = np.trunc(weights * 2**WEIGHT_BITS)
        self.weights.copy_(torch.from_numpy(whole / 2**WEIGHT_BITS))
        layers, groups, channels = self.mixes.shape
        if channels > 1:
            picked = random.integers(channels, size=(layers, groups, self.drawn))
            counts = (picked[..., None] == np.arange(channels)).sum(2)
            self.mixes.copy_(torch.from_numpy(counts))


class Hydra(ConvolutionBaseline):
    """Hydra's counts and ridge."""

    @classmethod
    def build_blocks(cls, config: BaselineConfig) -> list[Block]:
        """Return the one block."""
        return [HydraBlock(config.length, config.channels_in)]

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Draw and fit; where all would take too long, fewer rows are used."""
        data.check_classes()
        block = HydraBlock(data.config.length, data.config.channels_in)
        return cls.fit_blocks(data, {}, 2.0 * block.width * data.config.length)
