"""Ridge regression on fixed features, and on the lags of a series."""

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import (
    QUANTILES,
    Baseline,
    BaselineConfig,
    Training,
    channel_stats,
    fill,
    resample,
    take,
)
from advisor.baselines.simple import masked_mean, residual_quantiles, seasonal_naive, seasonal_scale
from hybrids.shapes import Lengths, Series
from profiles.task import Task

ALPHAS = np.logspace(-3, 3, 10)
BATCH = 128


class RidgeBaseline(Baseline):
    """Standardised features, then ridge; alpha by leave-one-out error (scikit-learn's `RidgeCV`).

    Classes are fitted as -1 / +1 columns, as `RidgeClassifierCV` does. The logits are these decision values times
    the one temperature that gives the smallest log loss on the leave-one-out predictions.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("classify", "regress")
    feature_mean: Tensor
    feature_scale: Tensor
    weight: Tensor
    bias: Tensor
    channel_mean: Tensor
    channel_scale: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        inputs, outputs = config.sizes["features"], max(config.classes, 1)
        self.register_buffer("channel_mean", torch.zeros(config.channels_in))
        self.register_buffer("channel_scale", torch.ones(config.channels_in))
        self.register_buffer("feature_mean", torch.zeros(inputs))
        self.register_buffer("feature_scale", torch.ones(inputs))
        self.register_buffer("weight", torch.zeros(inputs, outputs))
        self.register_buffer("bias", torch.zeros(outputs))

    @abstractmethod
    def features(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the features (B, F) of rows that are already standardised by channel."""

    def measured(self, data: Training) -> np.ndarray:
        """Return the raw features of all rows, (N, F) float64."""
        parts = [self.features(self.standardise(x), lengths) for x, lengths in data.batches(BATCH)]
        return torch.cat(parts).double().numpy()

    def standardise(self, x: Series) -> Tensor:
        """Return x with training mean 0 and deviation 1 in each channel."""
        return (x - self.channel_mean) / self.channel_scale

    def fit_head(self, data: Training) -> None:
        """Fit the ridge on the features of `data`."""
        from sklearn.linear_model import RidgeCV

        classify = data.config.task == "classify"
        features = self.measured(data)
        mean, std = features.mean(0), features.std(0)
        fill(self.feature_mean, mean)
        fill(self.feature_scale, np.where(std > 1e-5, std, 1.0))
        features = (features - self.feature_mean.double().numpy()) / self.feature_scale.double().numpy()
        if classify:
            target = 2.0 * np.eye(data.config.classes)[data.y] - 1.0
        else:
            target = np.asarray(data.y, np.float64)[:, None]
        centre, unit = (0.0, 1.0) if classify else (target.mean(), max(float(target.std()), 1e-12))
        ridge = RidgeCV(ALPHAS, scoring="neg_mean_squared_error", store_cv_results=True)
        ridge.fit(features, (target - centre) / unit)
        if classify:
            left_out = ridge.cv_results_[..., int(np.argmin(np.abs(ALPHAS - ridge.alpha_)))]
            unit = temperature(left_out, data.y)
        outputs = target.shape[1]
        fill(self.weight, unit * ridge.coef_.reshape(outputs, -1).T)
        fill(self.bias, unit * np.reshape(ridge.intercept_, outputs) + centre)

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return logits (B, K) or numbers (B,)."""
        features = (self.features(self.standardise(x), lengths) - self.feature_mean) / self.feature_scale
        out = features @ self.weight + self.bias
        return out if self.config.task == "classify" else out[:, 0]


class Linear(RidgeBaseline):
    """Ridge on the values of each row, stretched to a fixed number of points."""

    def features(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the points of all channels, (B, points C)."""
        return resample(x, lengths, self.config.sizes["points"]).flatten(1)

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Fit on at most 5000 rows and about 2048 features."""
        data.check_classes()
        data = data.capped(5000)
        channels = data.config.channels_in
        points = max(2, min(data.config.length, 128, 2048 // channels))
        sizes = {"points": points, "features": points * channels}
        model = cls(data.config.model_copy(update={"sizes": sizes}))
        for buffer, value in zip((model.channel_mean, model.channel_scale), channel_stats(data), strict=True):
            fill(buffer, value)
        model.fit_head(data)
        return model


class LinearLags(Baseline):
    """Ridge from the last values to what the seasonal naive forecast misses, both in units of the window.

    Each window is centred and scaled by its own mean and standard deviation, so that level and size do not matter
    (the idea of NLinear, Zeng et al. 2022, arXiv 2205.13504). Rows shorter than the window are filled on the left
    with their first value.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("forecast",)
    weight: Tensor
    bias: Tensor
    spread: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.register_buffer("weight", torch.zeros(config.sizes["lags"], config.horizon))
        self.register_buffer("bias", torch.zeros(config.horizon))
        self.register_buffer("spread", torch.zeros(config.horizon, len(QUANTILES)))

    def lags(self, x: Series, lengths: Lengths) -> tuple[Tensor, Tensor]:
        """Return the scaled last values (B, lags) and each window's unit (B,)."""
        count = self.config.sizes["lags"]
        steps = lengths[:, None] - count + torch.arange(count, device=x.device)[None]
        values, valid = take(x, steps)[..., 0], steps >= 0
        mean = masked_mean(values, valid)[:, None]
        unit = masked_mean((values - mean).square(), valid).sqrt()
        unit = torch.where(unit > 1e-6 * mean[:, 0].abs(), unit, 0.0)  # rounding alone is no movement
        return (values - mean) / torch.where(unit > 0, unit, 1.0)[:, None], unit

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        lags, unit = self.lags(x, lengths)
        naive = seasonal_naive(x, lengths, self.config.horizon, self.config.season)
        return naive + (lags @ self.weight + self.bias) * unit[:, None]

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the quantiles (B, H, 3)."""
        scale = seasonal_scale(x, lengths, self.config.length, self.config.season)
        return self.median(x, lengths)[..., None] + self.spread * scale[:, None, None]

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Choose alpha and the spread on the last fifth of the windows, then fit on all of them.

        At most 20,000 windows and 336 lags. Windows that never change have no unit and teach nothing.
        """
        data = data.capped(20_000)
        model = cls(data.config.model_copy(update={"sizes": {"lags": min(data.config.length, 336)}}))
        x, lengths = data.tensors()
        future = torch.from_numpy(data.y).float()
        lags, unit = model.lags(x, lengths)
        missed = future - seasonal_naive(x, lengths, data.config.horizon, data.config.season)
        moving = (unit > 0).numpy()
        if moving.sum() < 5:
            note = f"linear_lags had {moving.sum()} windows that change, fewer than 5: it is the seasonal naive."
            model.config = model.config.model_copy(update={"notes": (*model.config.notes, note)})
            scale = seasonal_scale(x, lengths, data.config.length, data.config.season)
            fill(model.spread, residual_quantiles(missed, scale))
            return model
        inputs = lags.double().numpy()[moving]
        target = (missed / torch.where(unit > 0, unit, 1.0)[:, None]).double().numpy()[moving]
        early = len(inputs) - max(1, len(inputs) // 5)
        fits = [ridge(inputs[:early], target[:early], alpha) for alpha in np.logspace(-1, 5, 7)]
        errors = [np.mean((inputs[early:] @ weight + bias - target[early:]) ** 2) for weight, bias, _ in fits]
        weight, bias, alpha = fits[int(np.argmin(errors))]
        fill(model.weight, weight)
        fill(model.bias, bias)
        late = np.flatnonzero(moving)[early:]
        scale = seasonal_scale(x[late], lengths[late], data.config.length, data.config.season)
        fill(model.spread, residual_quantiles(future[late] - model.median(x[late], lengths[late]), scale))
        weight, bias, _ = ridge(inputs, target, alpha)
        fill(model.weight, weight)
        fill(model.bias, bias)
        return model


def ridge(inputs: np.ndarray, target: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return weight (F, H), bias (H,) and the alpha they were fitted with."""
    from sklearn.linear_model import Ridge

    fitted = Ridge(alpha=alpha, solver="cholesky").fit(inputs, target)
    return fitted.coef_.reshape(target.shape[1], -1).T, np.reshape(fitted.intercept_, target.shape[1]), alpha


def temperature(decisions: np.ndarray, labels: np.ndarray) -> float:
    """Return the factor in 0.1 to 30 that gives softmax(factor x decisions) (N, K) the smallest log loss."""
    factors = np.geomspace(0.1, 30, 50)
    values, classes = torch.from_numpy(decisions), torch.from_numpy(labels)
    losses = [float(torch.nn.functional.cross_entropy(values * factor, classes)) for factor in factors]
    return float(factors[int(np.argmin(losses))])
