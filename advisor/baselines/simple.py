"""Baselines without features: the class shares, the mean, the last value, the last season."""

from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import QUANTILES, Baseline, BaselineConfig, Training, fill, take
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


class SeasonalNaive(Baseline):
    """Each future step is what it was one season before; a row shorter than a season repeats its last value.

    The outer quantiles are the median plus the training residuals' quantiles of each future step, in units of
    `seasonal_scale` of the row.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("forecast",)
    spread: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.season = config.season
        self.register_buffer("spread", torch.zeros(config.horizon, len(QUANTILES)))

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Learn the spread from at most 20,000 windows; the median has nothing to learn."""
        data = data.capped(20_000)
        model = cls(data.config)
        x, lengths = data.tensors()
        scale = seasonal_scale(x, lengths, data.config.length, model.season)
        residual = torch.from_numpy(data.y).float() - model.median(x, lengths)
        fill(model.spread, residual_quantiles(residual, scale))
        return model

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        return seasonal_naive(x, lengths, self.config.horizon, self.season)

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the quantiles (B, H, 3)."""
        scale = seasonal_scale(x, lengths, self.config.length, self.season)
        return self.median(x, lengths)[..., None] + self.spread * scale[:, None, None]


class LastValue(SeasonalNaive):
    """Every future step is the last value: a seasonal naive forecast with a season of one step."""

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.season = 1


def seasonal_naive(x: Series, lengths: Lengths, horizon: int, season: int) -> Tensor:
    """Return the values one season before each of the next `horizon` steps, (B, H)."""
    ahead = torch.arange(horizon, device=x.device)[None] % season
    end = lengths[:, None]
    return take(x, torch.where(end >= season, end - season + ahead, end - 1))[..., 0]


def seasonal_scale(x: Series, lengths: Lengths, recent: int, season: int) -> Tensor:
    """Return how much each row changes from one season to the next, (B,), in raw units.

    The root mean square of the seasonal differences over the last `recent` steps, plus one hundredth of the
    standard deviation there, so that a periodic row is not taken for certain. A row not longer than a season is
    measured with a lag of one step.
    """
    end = lengths[:, None]
    steps = end - recent + torch.arange(recent, device=x.device)[None]
    values, valid = take(x, steps)[..., 0], steps >= 0
    lag = torch.where(end > season, torch.full_like(end, season), torch.ones_like(end))
    paired = (steps >= lag) & (torch.arange(recent, device=x.device)[None] >= lag)
    change = torch.where(paired, values - take(x, steps - lag)[..., 0], 0.0)
    rms = (change.square().sum(1) / paired.sum(1).clamp_min(1)).sqrt()
    mean = masked_mean(values, valid)
    std = masked_mean((values - mean[:, None]).square(), valid).sqrt()
    return rms + 0.01 * std


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean (B,) of values (B, P) where `valid`."""
    return torch.where(valid, values, 0.0).sum(1) / valid.sum(1).clamp_min(1)


def residual_quantiles(residual: Tensor, scale: Tensor) -> Tensor:
    """Return the residuals' quantiles (H, 3) in units of each row's scale, zero in the middle.

    Rows that never change have no unit and are left out, unless all are such.

    Args:
        residual: Future minus median forecast (N, H).
        scale: `seasonal_scale` of the rows (N,).
    """
    moving = scale > 0
    if not bool(moving.any()):
        return torch.zeros(residual.shape[1], len(QUANTILES))
    scaled = (residual[moving] / scale[moving, None]).double().numpy()
    low, _, high = np.quantile(scaled, QUANTILES, axis=0)
    return torch.from_numpy(np.stack([np.minimum(low, 0), np.zeros_like(low), np.maximum(high, 0)], 1)).float()
