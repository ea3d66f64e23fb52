"""Baselines without features: the class shares, the mean, the last value, the last season, the mean change."""

from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import Baseline, BaselineConfig, Training, fill, take
from advisor.baselines.forecaster import Forecaster, seasonal_naive
from hybrids.shapes import Lengths, Series
from profiles.task import Task


class Majority(Baseline):
    """The logarithm of the training shares of the classes (one row added to each), whatever the input."""

    tasks: ClassVar[tuple[Task, ...]] = ("classify",)
    log_share: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.register_buffer("log_share", torch.zeros(config.classes))

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Count the classes."""
        model = cls(data.config)
        counts = np.bincount(data.y, minlength=data.config.classes) + 1.0
        fill(model.log_share, np.log(counts / counts.sum()))
        return model

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the same logits (B, K) for every row."""
        return self.log_share + torch.zeros_like(lengths, dtype=torch.float32)[:, None]


class Mean(Baseline):
    """The mean target of the training rows, whatever the input."""

    tasks: ClassVar[tuple[Task, ...]] = ("regress",)
    mean: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.register_buffer("mean", torch.zeros(()))

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Average the targets."""
        model = cls(data.config)
        fill(model.mean, np.asarray(data.y, np.float64).mean(keepdims=False))
        return model

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the same number for every row, (B,)."""
        return self.mean + torch.zeros_like(lengths, dtype=torch.float32)


class SeasonalNaive(Forecaster):
    """Each future step is what it was one season before; a row shorter than a season repeats its last value."""

    transforms = False

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Learn the spread from at most 20,000 windows; the median has nothing to learn."""
        data = data.capped(20_000)
        model = cls(data.config)
        x, lengths = data.tensors()
        model.learn_spread(x, lengths, torch.from_numpy(data.y).float())
        return model

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        return seasonal_naive(x, lengths, self.config.horizon, self.season)


class LastValue(SeasonalNaive):
    """Every future step is the last value: a seasonal naive forecast with a season of one step."""

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.season = 1


class Drift(LastValue):
    """The last value moves on by the mean change of a step in the window."""

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        end = lengths[:, None]
        first = (end - self.config.length).clamp_min(0)
        ends = take(x[..., :1], torch.cat([first, end - 1], 1))[..., 0]
        change = (ends[:, 1:] - ends[:, :1]) / (end - 1 - first).clamp_min(1)
        return ends[:, 1:] + change * torch.arange(1, self.config.horizon + 1, device=x.device)
