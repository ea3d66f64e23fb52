"""Random convolutions and ridge, after MiniRocket (Dempster et al. 2021, arXiv 2012.08791) and MultiRocket.

Own code from the papers: 84 fixed kernels of 9 weights (three 2, six -1), up to 32 dilations spread exponentially up
to the series' length, biases from the training data, and the share of positive values (PPV) as the feature: 9996 of
them. MultiRocket (Tan et al. 2022, arXiv 2102.00457) sees the first differences too and adds the mean of the positive
values, their mean place, and a measure of how long they last: here the mean stretch in place of the longest one, which
needs a running maximum that ONNX has not.
"""

from itertools import combinations
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d

from advisor.baselines.base import BaselineConfig, Training
from advisor.baselines.convolutions import TAPS, WORK, Block, ConvolutionBaseline, dilations, some_channels
from advisor.baselines.hydra import HydraBlock

TRIPLES = tuple(combinations(range(TAPS), 3))
KERNELS = len(TRIPLES)
MIXES = 12
"""Random channel subsets at each dilation, of 7 kernels each."""
DILATIONS = 32
PER_KERNEL, LEAST_PER_KERNEL, PER_KERNEL_POOLED = 119, 36, 24
GOLDEN = (5**0.5 + 1) / 2
OUTSIDE = -1e9  # an output that does not count: below every bias


class RocketBlock(Block):
    """The 84 kernels on one view at all dilations; `per_kernel` biases each, shared out over the dilations.

    Args:
        length: Longest training row.
        channels: C.
        per_kernel: Biases of each kernel.
        view: 0: values, 1: differences.
        pooled: Whether to add the three other poolings of MultiRocket.
    """

    mixes: Tensor
    biases: Tensor
    kernels: Tensor
    sparse = False

    def __init__(self, length: int, channels: int, per_kernel: int, view: int, pooled: bool) -> None:
        super().__init__()
        self.view, self.pooled = view, pooled
        self.layers = shared_out(dilations(length, min(per_kernel, DILATIONS)), per_kernel)
        self.groups = 1 if channels == 1 else MIXES
        self.width = KERNELS * per_kernel * (4 if pooled else 1)
        weights = torch.full((KERNELS, TAPS), -1.0)
        weights.scatter_(1, torch.tensor(TRIPLES), 2.0)
        if self.groups > 1:  # neighbours share their first taps: spread them over the channel subsets
            weights = weights.reshape(KERNELS // MIXES, MIXES, TAPS).transpose(0, 1).reshape(KERNELS, TAPS)
        self.register_buffer("kernels", weights[:, None].contiguous(), persistent=False)
        self.register_buffer("mixes", torch.ones(len(self.layers), self.groups, channels))
        self.register_buffer("biases", torch.zeros(KERNELS, per_kernel))

    def convolve(self, view: Tensor, layer: int) -> Tensor:
        """Return the outputs of all kernels at one dilation, (B, 84, L)."""
        dilation = self.layers[layer][0]
        mixed = view if self.mixes.shape[2] == 1 else self.mixes[layer] @ view
        return conv1d(mixed, self.kernels, padding=dilation * (TAPS // 2), dilation=dilation, groups=self.groups)

    def counted(self, lengths: Tensor, steps: int, layer: int) -> Tensor:
        """Return which outputs count, (B, 84, L) of booleans.

        Every other kernel counts only where it lies wholly inside the row; a row too short for that counts all.
        """
        reach = self.layers[layer][0] * (TAPS // 2)
        step, end = torch.arange(steps, device=lengths.device)[None], lengths[:, None]
        whole = step < end
        inside = ((step >= reach) & (step < end - reach)) | (whole & (end <= 2 * reach))
        padded = (torch.arange(KERNELS, device=lengths.device) + layer) % 2 == 0
        return whole[:, None] & (padded[None, :, None] | inside[:, None])

    def pool(self, out: Tensor, counted: Tensor, lengths: Tensor, biases: Tensor) -> list[Tensor]:
        """Return each pooling of outputs (B, 84, L) above biases (84, P), (B, 84 P) each."""
        total = counted.sum(2).to(out.dtype)[..., None]
        out = torch.where(counted, out, OUTSIDE)[:, :, None]
        above = (out > biases[..., None]).to(out.dtype)
        count = above.sum(3)
        if not self.pooled:
            return [(count / total).flatten(1)]
        some = count.clamp_min(1)
        mean = (out - biases[..., None]).clamp_min(0).sum(3) / some
        span = (lengths - 1).clamp_min(1).to(out.dtype)[:, None, None]
        place = (above @ torch.arange(out.shape[3], device=out.device, dtype=out.dtype)) / some / span
        place = torch.where(count > 0, place, -0.1)
        stretches = count - (above[..., 1:] * above[..., :-1]).sum(3)
        stretch = count / stretches.clamp_min(1) / total
        return [pooling.flatten(1) for pooling in (count / total, mean, place, stretch)]

    def forward(self, views: tuple[Tensor, Tensor], lengths: Tensor) -> Tensor:
        """Return the poolings of all dilations, (B, F)."""
        view, parts, at = views[self.view], [], 0
        for layer, (_, biases) in enumerate(self.layers):
            out = self.convolve(view, layer)
            counted = self.counted(lengths, view.shape[2], layer)
            parts += self.pool(out, counted, lengths, self.biases[:, at : at + biases])
            at += biases
        return torch.cat(parts, 1)

    def draw(self, views: tuple[Tensor, Tensor], lengths: Tensor, random: np.random.Generator) -> None:
        """Draw channel subsets, then biases: quantiles of what a random training row gives each kernel."""
        view, at = views[self.view], 0
        channels = view.shape[1]
        for layer, (_, biases) in enumerate(self.layers):
            if channels > 1:
                self.mixes[layer] = 0.0
                for mix in self.mixes[layer]:
                    mix[torch.from_numpy(some_channels(random, channels, TAPS))] = 1.0
            rows = random.integers(len(view), size=KERNELS)
            out = self.convolve(view, layer).numpy()
            counted = self.counted(lengths, view.shape[2], layer).numpy()
            for kernel, row in enumerate(rows):
                shares = (GOLDEN * (KERNELS * at + kernel * biases + 1 + np.arange(biases))) % 1
                quantiles = np.quantile(out[row, kernel][counted[row, kernel]], shares)
                self.biases[kernel, at : at + biases] = torch.from_numpy(quantiles)
            at += biases


class RandomConvolutions(ConvolutionBaseline):
    """The PPV of 84 kernels on the values, about 10,000 features, and ridge."""

    @classmethod
    def build_blocks(cls, config: BaselineConfig) -> list[Block]:
        """Return the one block."""
        return [RocketBlock(config.length, config.channels_in, config.sizes["per_kernel"], 0, False)]

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Draw and fit; many long rows get fewer biases (from 119 down to 36 a kernel), then fewer rows are used."""
        data.check_classes()
        outputs = KERNELS * data.config.length
        per_kernel = int(np.clip(WORK / (outputs * len(data)), LEAST_PER_KERNEL, PER_KERNEL))
        return cls.fit_blocks(data, {"per_kernel": per_kernel}, outputs * per_kernel)


class PooledConvolutions(ConvolutionBaseline):
    """MultiRocket's poolings of both views beside Hydra's counts: about 22,000 features, and ridge."""

    @classmethod
    def build_blocks(cls, config: BaselineConfig) -> list[Block]:
        """Return a block for each view and Hydra's."""
        shape = config.length, config.channels_in
        rockets = [RocketBlock(*shape, config.sizes["per_kernel"], view, True) for view in (0, 1)]
        return [*rockets, HydraBlock(*shape)]

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Draw and fit; where all would take too long, fewer rows are used."""
        data.check_classes()
        per_row = KERNELS * PER_KERNEL_POOLED * 2 * 3 * data.config.length
        return cls.fit_blocks(data, {"per_kernel": PER_KERNEL_POOLED}, per_row)


def shared_out(spread: tuple[tuple[int, int], ...], total: int) -> tuple[tuple[int, int], ...]:
    """Return the same dilations with `total` biases shared out in proportion to how often each occurs."""
    steps = sum(count for _, count in spread)
    counts = [count * total // steps for _, count in spread]
    for extra in range(total - sum(counts)):
        counts[extra % len(counts)] += 1
    return tuple((dilation, count) for (dilation, _), count in zip(spread, counts, strict=True) if count)
