"""Random convolutions and ridge, after MiniRocket (Dempster et al. 2021, arXiv 2012.08791) and MultiRocket.

Own code from the papers: 84 fixed kernels of 9 weights (three 2, six -1), dilations spread exponentially up to the
series' length, biases from the training data, and the share of positive values (PPV) as the feature; the first
differences are seen beside the values, as in MultiRocket (Tan et al. 2022, arXiv 2102.00457). About 2000 features.
"""

from itertools import combinations
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d

from advisor.baselines.base import BaselineConfig, Training, channel_stats, fill
from advisor.baselines.linear import RidgeBaseline
from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Series

TAPS = 9
TRIPLES = tuple(combinations(range(TAPS), 3))
KERNELS = len(TRIPLES)
FEATURES_PER_KERNEL = 24
GOLDEN = (5**0.5 + 1) / 2
WORK = 1e10  # multiply-adds of all training convolutions: a few seconds on one core


class RandomConvolutions(RidgeBaseline):
    """PPV features and ridge. Each kernel and dilation sums over a random subset of the channels.

    Values and first differences are two views with their own channel subsets and biases. Steps after a row's end are
    zeros, the channel's mean, as a kernel that runs over the edge sees them; only valid steps are counted.
    """

    channels: Tensor
    biases: Tensor
    difference_scale: Tensor
    kernels: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.dilations = dilations(config.length)
        layers = 2 * len(self.dilations)
        weights = torch.full((KERNELS, 1, TAPS), -1.0)
        weights.scatter_(2, torch.tensor(TRIPLES)[:, None], 2.0)
        self.register_buffer("kernels", weights, persistent=False)
        self.register_buffer("channels", torch.zeros(layers, KERNELS, config.channels_in))
        self.register_buffer("biases", torch.zeros(layers, KERNELS, config.sizes["biases"]))
        self.register_buffer("difference_scale", torch.ones(config.channels_in))

    def views(self, x: Series, lengths: Lengths) -> tuple[Tensor, Tensor]:
        """Return the values and the scaled first differences, (B, C, L) each, zero outside the valid steps."""
        valid = valid_steps(x, lengths)[..., None]
        values = torch.where(valid, x, 0.0)
        before = torch.cat([values[:, :1], values[:, :-1]], 1)
        differences = torch.where(valid, values - before, 0.0) / self.difference_scale
        return values.transpose(1, 2), differences.transpose(1, 2)

    def convolve(self, view: Tensor, layer: int) -> Tensor:
        """Return the outputs of all kernels at one dilation, (B, 84, L)."""
        dilation = self.dilations[layer // 2]
        weight = self.kernels * self.channels[layer][..., None]
        return conv1d(view, weight, padding=dilation * (TAPS // 2), dilation=dilation)

    def counted(self, lengths: Lengths, steps: int, layer: int) -> Tensor:
        """Return which outputs count, (B, 84, L) of booleans.

        Every other kernel counts only where it lies wholly inside the row; a row too short for that counts all.
        """
        reach = self.dilations[layer // 2] * (TAPS // 2)
        step, end = torch.arange(steps, device=lengths.device)[None], lengths[:, None]
        whole = step < end
        inside = ((step >= reach) & (step < end - reach)) | (whole & (end <= 2 * reach))
        padded = (torch.arange(KERNELS, device=lengths.device) + layer // 2) % 2 == 0
        return whole[:, None] & (padded[None, :, None] | inside[:, None])

    def features(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the PPV features, (B, F)."""
        views, parts = self.views(x, lengths), []
        for layer in range(2 * len(self.dilations)):
            out = self.convolve(views[layer % 2], layer)
            counted = self.counted(lengths, x.shape[1], layer)
            total = counted.sum(2)
            for bias in self.biases[layer].unbind(1):
                positive = (out > bias[:, None]) & counted
                parts.append(positive.sum(2) / total)
        return torch.cat(parts, 1)

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Draw channel subsets and biases, then fit the ridge; fewer rows where all would take too long."""
        data.check_classes()
        config = data.config
        layers = 2 * len(dilations(config.length))
        per_row = layers * KERNELS * TAPS * config.length * (config.channels_in + 4)
        data = data.capped(int(np.clip(WORK / per_row, 100, 4000)))
        biases = max(1, round(FEATURES_PER_KERNEL / layers))
        sizes = {"biases": biases, "features": layers * KERNELS * biases}
        model = cls(data.config.model_copy(update={"sizes": sizes}))
        for buffer, value in zip((model.channel_mean, model.channel_scale), channel_stats(data), strict=True):
            fill(buffer, value)
        model.draw(data)
        model.fit_head(data)
        return model

    def draw(self, data: Training) -> None:
        """Draw channels and biases: quantiles of what a random training row gives."""
        random = np.random.default_rng(data.seed)
        layers, _, channels = self.channels.shape
        for layer in range(layers):
            for kernel in range(KERNELS):
                most = min(channels, TAPS)
                count = int(2 ** random.uniform(0, np.log2(most + 1)))
                self.channels[layer, kernel, torch.from_numpy(random.choice(channels, count, replace=False))] = 1.0
        rows = random.choice(len(data), min(len(data), 64), replace=False)
        x, lengths = (part[torch.from_numpy(rows)] for part in data.tensors())
        x = self.standardise(x)
        moved = self.views(x, lengths)[1]
        scale = moved.square().sum((0, 2)).div(lengths.sum()).sqrt()
        fill(self.difference_scale, torch.where(scale > 1e-6, scale, 1.0))
        views = self.views(x, lengths)
        share = 0
        for layer in range(layers):
            out = self.convolve(views[layer % 2], layer).numpy()
            counted = self.counted(lengths, x.shape[1], layer).numpy()
            for kernel in range(KERNELS):
                row = random.integers(len(rows))
                shares = [(GOLDEN * (share + i + 1)) % 1 for i in range(self.biases.shape[2])]
                share += self.biases.shape[2]
                quantiles = np.quantile(out[row, kernel][counted[row, kernel]], shares)
                self.biases[layer, kernel] = torch.from_numpy(quantiles)


def dilations(length: int) -> tuple[int, ...]:
    """Return up to 8 dilations, exponentially from 1 to where a kernel spans the whole series."""
    most = np.log2(max(1.0, (length - 1) / (TAPS - 1)))
    return tuple(int(d) for d in np.unique(2 ** np.linspace(0, most, 8) // 1))
