"""What the convolutional baselines share: two views of each row on an exact grid, shifts, dilations, the ridge on top.

The grid: values are rounded to multiples of 2^-11 of their unit and kept within 64 units. Sums with the small whole
weights of the kernels then need at most 24 bits, so float32 convolutions are exact in any order of summation, and
comparisons and largest kernels come out the same in every runtime.
"""

from abc import abstractmethod
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from advisor.baselines.base import BaselineConfig, Training, channel_stats, fill
from advisor.baselines.ridge import RidgeBaseline
from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Series

TAPS = 9
LIMIT = 64.0
BITS = 11
OFFSET = 3.0
UNEQUAL = 2.0
MOST_ROWS = 2000
WORK = 4e9  # kernel outputs compared in one fit: about 4 seconds on one core


class Block(nn.Module):
    """Random features of the two views; `draw` fixes what depends on the training rows.

    Attributes:
        width: F, the number of features.
        sparse: Whether they are counts that are often 0.
    """

    width: int
    sparse: bool

    @abstractmethod
    def draw(self, views: tuple[Tensor, Tensor], lengths: Tensor, random: np.random.Generator) -> None:
        """Draw kernels, channels and biases from the views (B, C, L) of some training rows."""

    @abstractmethod
    def forward(self, views: tuple[Tensor, Tensor], lengths: Tensor) -> Tensor:
        """Return the features (B, F); views are 0 from each row's length on."""


class ConvolutionBaseline(RidgeBaseline):
    """Ridge on blocks of random convolutional features of the values and of their first differences.

    Outside a row the kernels see zeros. A channel keeps its own zero unless its mean lies more than 3 deviations away
    (then it is moved to that distance), since where a row begins and ends often tells; its scale is its deviation, but
    up to a factor of 2 of what channels differ by remains. Where training rows differ in length, `tail` steps after
    the end count too, and features are in units of the longest row, so that the length tells as well.
    """

    difference_scale: Tensor
    sparse: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.tail = config.sizes["tail"]
        blocks = self.build_blocks(config)
        self.blocks = nn.ModuleList(blocks)
        marks = [torch.full((block.width,), block.sparse) for block in blocks]
        self.register_buffer("sparse", torch.cat(marks), persistent=False)
        self.register_buffer("difference_scale", torch.ones(config.channels_in))

    @classmethod
    @abstractmethod
    def build_blocks(cls, config: BaselineConfig) -> list[Block]:
        """Return empty blocks for the length, channels and sizes of `config`."""

    def views(self, x: Series, lengths: Lengths) -> tuple[Tensor, Tensor]:
        """Return values and scaled first differences on the grid, (B, C, L + tail) each, zero outside the rows."""
        valid = valid_steps(x, lengths)[..., None]
        values = on_grid(torch.where(valid, x, 0.0), BITS)
        before = torch.cat([values[:, :1], values[:, :-1]], 1)
        differences = on_grid(torch.where(valid, values - before, 0.0) / self.difference_scale, BITS)
        ends = (0, self.tail)
        return nn.functional.pad(values.transpose(1, 2), ends), nn.functional.pad(differences.transpose(1, 2), ends)

    def features(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the features of all blocks, (B, F).

        Means over a row's steps where all training rows are equally long, else sums in units of the longest row.
        """
        views, counted = self.views(x, lengths), lengths + self.tail
        features = torch.cat([block(views, counted) for block in self.blocks], 1)
        if self.tail:
            share = counted.to(features.dtype) / (self.config.length + self.tail)
            features = torch.where(self.sparse, features * share.sqrt()[:, None], features * share[:, None])
        return features

    def scaled(self, features: Tensor) -> Tensor:
        """Return standardised features; a count of 0 says nothing, as in Hydra."""
        return torch.where(self.sparse & (features == 0), 0.0, super().scaled(features))

    def scales(self, features: Tensor) -> Tensor:
        """Return the unit of each feature; counts that are mostly 0 are held small (share of zeros to the power 4)."""
        empty = (features == 0).float().mean(0) ** 4
        return super().scales(features) + torch.where(self.sparse, empty, 0.0)

    @classmethod
    def empty(cls, config: BaselineConfig, sizes: dict[str, int]) -> Self:
        """Return the unfitted baseline with these sizes."""
        config = config.model_copy(update={"sizes": sizes | {"features": 0}})
        features = sum(block.width for block in cls.build_blocks(config))
        return cls(config.model_copy(update={"sizes": sizes | {"features": features}}))

    @classmethod
    def fit_blocks(cls, data: Training, sizes: dict[str, int], per_row: float) -> Self:
        """Return the baseline fitted on at most 2000 rows, fewer where `per_row` kernel outputs would take too long."""
        data = data.capped(int(np.clip(WORK / per_row, 200, MOST_ROWS)))
        unequal = int(data.lengths.min()) < data.config.length
        model = cls.empty(data.config, sizes | {"tail": max(4, data.config.length // 8) if unequal else 0})
        mean, std = channel_stats(data)
        fill(model.channel_mean, mean.sign() * (mean.abs() - OFFSET * std).clamp_min(0))
        kept = (std / std.log().mean().exp()).clamp(1 / UNEQUAL, UNEQUAL)
        fill(model.channel_scale, std / kept)
        random = np.random.default_rng(data.seed)
        rows = torch.from_numpy(np.sort(random.choice(len(data), min(len(data), 64), replace=False)))
        x, lengths = (part[rows] for part in data.tensors())
        x = model.standardise(x)
        moved = model.views(x, lengths)[1]
        scale = moved.square().sum((0, 2)).div(lengths.sum()).sqrt()
        fill(model.difference_scale, torch.where(scale > 1e-6, scale, 1.0))
        views = model.views(x, lengths)
        for block in cast(list[Block], list(model.blocks)):
            block.draw(views, lengths + model.tail, random)
        model.fit_head(data)
        return model


def on_grid(values: Tensor, bits: int) -> Tensor:
    """Return values within +-64 rounded to multiples of 2^-bits."""
    unit = float(2**bits)
    return (values * unit).round().clamp(-LIMIT * unit, LIMIT * unit) / unit


def dilations(length: int, most: int) -> tuple[tuple[int, int], ...]:
    """Return pairs of a dilation and how often it occurs among `most` exponential steps from 1 to the whole series."""
    largest = np.log2(max(1.0, (length - 1) / (TAPS - 1)))
    values, counts = np.unique(2 ** np.linspace(0, largest, most) // 1, return_counts=True)
    return tuple((int(value), int(count)) for value, count in zip(values, counts, strict=True))


def some_channels(random: np.random.Generator, channels: int, most: int) -> np.ndarray:
    """Return channel numbers drawn without replacement: 1 to `most` of them, few more often than many."""
    count = int(2 ** random.uniform(0, np.log2(min(channels, most) + 1)))
    return random.choice(channels, count, replace=False)
