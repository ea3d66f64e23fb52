"""What the baselines that forecast share: the middle forecast's contract, its spread, and pieces of the window."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import QUANTILES, Baseline, BaselineConfig, fill, take
from hybrids.shapes import Lengths, Series
from hybrids.square_root import signed_root, signed_square
from profiles.task import Task


class Forecaster(Baseline):
    """A middle forecast of channel 0, and quantiles around it from the training residuals.

    The outer quantiles are the middle plus the training residuals' quantiles of each future step, in units of
    `seasonal_scale` of the row. With `config.square_root` all of it, the fit too, is of the target's square root.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("forecast",)
    transforms: ClassVar[bool] = True
    """Whether the kind is fitted to the square root where the target allows it."""
    spread: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.season = config.season
        self.register_buffer("spread", torch.zeros(config.horizon, len(QUANTILES)))

    @abstractmethod
    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H), in the unit of `x`."""

    def scale(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the unit of the spread, (B,)."""
        return seasonal_scale(x, lengths, self.config.length, self.season)

    def learn_spread(self, x: Series, lengths: Lengths, future: Tensor) -> None:
        """Set the spread from rows and their futures (N, H), best ones it was not fitted to."""
        fill(self.spread, residual_quantiles(future - batched(self.median, x, lengths), self.scale(x, lengths)))

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the quantiles (B, H, 3)."""
        if self.config.square_root:
            x = torch.cat([signed_root(x[..., :1]), x[..., 1:]], dim=-1)
        quantiles = self.median(x, lengths)[..., None] + self.spread * self.scale(x, lengths)[:, None, None]
        return signed_square(quantiles) if self.config.square_root else quantiles


def recent(x: Series, lengths: Lengths, count: int) -> tuple[Tensor, Tensor]:
    """Return the last `count` target values (B, count), the first one repeated before the start, and which are real."""
    steps = lengths[:, None] - count + torch.arange(count, device=x.device)[None]
    return take(x[..., :1], steps)[..., 0], steps >= 0


def known_ahead(channels: Tensor, steps: Tensor, season: int) -> Tensor:
    """Return what channels (B, L, A) hold at steps (B, P), and how that differs from a season before, (B, P, 2 A).

    Steps before the first give 0, and so do differences from there.
    """
    later, before = take(channels, steps), take(channels, steps - season)
    change = torch.where((steps >= season)[..., None], later - before, 0.0)
    return torch.cat([torch.where((steps >= 0)[..., None], later, 0.0), change], -1)


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean (B,) of values (B, P) where `valid`."""
    return torch.where(valid, values, 0.0).sum(1) / valid.sum(1).clamp_min(1)


def level_and_unit(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (B, 1) where `valid`; the deviation is 0 where it is rounding alone."""
    mean = masked_mean(values, valid)[:, None]
    unit = masked_mean((values - mean).square(), valid).sqrt()[:, None]
    return mean, torch.where(unit > 1e-6 * mean.abs(), unit, 0.0)


def seasonal_naive(x: Series, lengths: Lengths, horizon: int, season: int) -> Tensor:
    """Return the values one season before each of the next `horizon` steps, (B, H).

    A row shorter than a season repeats its last value.
    """
    ahead = torch.arange(horizon, device=x.device)[None] % season
    end = lengths[:, None]
    return take(x[..., :1], torch.where(end >= season, end - season + ahead, end - 1))[..., 0]


def seasonal_scale(x: Series, lengths: Lengths, count: int, season: int) -> Tensor:
    """Return how much each row changes from one season to the next, (B,), in the unit of `x`.

    The root mean square of the seasonal differences over the last `count` steps, plus one hundredth of the standard
    deviation there, so that a periodic row is not taken for certain. A row not longer than a season is measured with
    a lag of one step.
    """
    values, valid = recent(x, lengths, count)
    end, place = lengths[:, None], torch.arange(count, device=x.device)[None]
    steps = end - count + place
    lag = torch.where(end > season, torch.full_like(end, season), torch.ones_like(end))
    paired = (steps >= lag) & (place >= lag)
    change = torch.where(paired, values - take(x[..., :1], steps - lag)[..., 0], 0.0)
    rms = (change.square().sum(1) / paired.sum(1).clamp_min(1)).sqrt()
    mean = masked_mean(values, valid)
    return rms + 0.01 * masked_mean((values - mean[:, None]).square(), valid).sqrt()


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


def batched(forecast: Callable[[Tensor, Tensor], Tensor], x: Series, lengths: Lengths, rows: int = 512) -> Tensor:
    """Return `forecast` of all rows, computed `rows` at a time."""
    return torch.cat([forecast(x[i : i + rows], lengths[i : i + rows]) for i in range(0, len(x), rows)])
