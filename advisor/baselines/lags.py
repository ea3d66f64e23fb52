"""Ridge regression from the lags of a series, its covariates and its calendar to its future, over all series at once.

Each window is centred and scaled by its own mean and standard deviation, so that level and size do not matter (the idea
of NLinear, Zeng et al. 2022, arXiv 2205.13504). What is fitted is what a naive forecast misses, by rounds of reweighted
least squares (Holland and Welsch 1977) that bring the squared error towards the absolute one: a row weighs the inverse
of its mean absolute residual. What is known ahead is a feature for each step to forecast. Fit O(N F^2 + F^3), with F
features.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import BaselineConfig, Training, channel_stats, fill, take
from advisor.baselines.forecaster import Forecaster, known_ahead, level_and_unit, recent, seasonal_naive
from hybrids.shapes import Lengths, Series

MOST_WINDOWS = 20_000
WORK = 1.5e9  # windows x features squared, twelve times: 4 seconds on one core
MOST_LAGS = 336
MOST_AHEAD = 256  # features of what is known ahead; of more steps every second, third, ... is one
OTHER_LAGS, LEAST_OTHER_LAGS, MOST_OTHER_LAGS = 48, 4, 16  # features of all other channels; of each one
MOST_SQUARED = 12  # other channels whose products are features too
SHRINKAGES = np.logspace(-5, 1, 13)  # of features with variance near 1, a row
ROUNDS = 3
CLEARLY = 0.02  # the last value instead of the last season, and products, have to be better by this share
LIMIT = 5.0  # deviations: a covariate beyond what training saw does not carry the forecast away


class LinearLags(Forecaster):
    """Ridge on the last values and the last steps of the other channels, beside a naive forecast.

    The other channels (covariates, calendar) come standardised by their training mean and deviation, with the products
    of their last values where these help. Rows shorter than the window are filled on the left with their first value.
    """

    weight: Tensor
    bias: Tensor
    other_mean: Tensor
    other_scale: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        others, features = config.channels_in - 1, config.sizes["lags"] + other_features(config)
        self.register_buffer("other_mean", torch.zeros(others))
        self.register_buffer("other_scale", torch.ones(others))
        self.register_buffer("weight", torch.zeros(features, config.horizon))
        self.register_buffer("bias", torch.zeros(config.horizon))

    def features(self, x: Series, lengths: Lengths) -> tuple[Tensor, Tensor]:
        """Return the features (B, F), lags first and products last, and each window's unit (B, 1)."""
        values, valid = recent(x, lengths, self.config.sizes["lags"])
        mean, unit = level_and_unit(values, valid)
        parts = [(values - mean) / torch.where(unit > 0, unit, 1.0)]
        if self.config.channels_in > 1:
            steps = lengths[:, None] - 1 - torch.arange(self.config.sizes["other_lags"], device=x.device)[None]
            count = beside(self.config)
            others = take(x[..., 1 : 1 + count], steps) - self.other_mean[:count]
            others = (others / self.other_scale[:count]).clamp(-LIMIT, LIMIT)
            parts.append(others.flatten(1))
            if self.config.ahead:
                known = torch.arange(0, self.config.horizon, known_stride(self.config), device=x.device)
                at = lengths[:, None] - 1 - known[None]
                ahead = (x[..., 1 + count :] - self.other_mean[count:]) / self.other_scale[count:]
                parts.append(known_ahead(ahead.clamp(-LIMIT, LIMIT), at, self.season).flatten(1))
            if self.config.sizes["products"]:
                now = others[:, 0]
                parts += [now[:, i:] * now[:, i : i + 1] for i in range(now.shape[1])]
        return torch.cat(parts, 1), unit

    def naive(self, x: Series, lengths: Lengths) -> Tensor:
        """Return what the ridge is added to, (B, H): the last season or the last value."""
        return seasonal_naive(x, lengths, self.config.horizon, self.config.sizes["naive"])

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        features, unit = self.features(x, lengths)
        return self.naive(x, lengths) + (features @ self.weight + self.bias) * unit

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Choose shrinkage, products and naive forecast on the last fifth of the windows, then fit on all of them.

        At most 20,000 windows and 336 lags. Windows that never change have no unit and teach nothing. Where nothing
        chosen is better than the naive forecast there, the weights stay 0.
        """
        others = beside(data.config)
        sizes = {
            "lags": min(data.config.length, MOST_LAGS),
            "other_lags": int(np.clip(OTHER_LAGS // max(others, 1), LEAST_OTHER_LAGS, MOST_OTHER_LAGS)),
            "products": int(0 < others <= MOST_SQUARED),
            "naive": data.config.season,
        }
        model = cls(data.config.model_copy(update={"sizes": sizes}))
        data = data.capped(min(MOST_WINDOWS, max(500, int(WORK / len(model.weight) ** 2))))
        config = model.config = model.config.model_copy(update={"notes": data.config.notes})
        if data.config.channels_in > 1:
            for buffer, values in zip((model.other_mean, model.other_scale), channel_stats(data), strict=True):
                fill(buffer, values[1:])
        x, lengths = data.tensors()
        future = torch.from_numpy(data.y).float()
        inputs, unit = model.features(x, lengths)
        scale = model.scale(x, lengths)[:, None]
        moving = ((unit > 0) & (scale > 0))[:, 0].numpy()
        if moving.sum() < 5:
            note = f"{config.kind} had {moving.sum()} windows that change, fewer than 5: it is the seasonal naive."
            model.config = model.config.model_copy(update={"notes": (*config.notes, note)})
            model.learn_spread(x, lengths, future)
            return model
        cost = (unit / scale).double().numpy()[moving, 0]
        cost = np.minimum(cost, np.quantile(cost, 0.95))
        features = inputs.double().numpy()[moving]
        plain = features.shape[1] - other_products(model.config)
        found = []
        for season in sorted({config.season, 1}, reverse=True):
            missed = (future - seasonal_naive(x, lengths, config.horizon, season)) / unit
            target = missed.double().numpy()[moving]
            for products in range(1 + sizes["products"]):
                part = features if products else features[:, :plain]
                found.append((choose(part, target, cost), part, target, {"products": products, "naive": season}))
        best, part, target, decided = found[0]
        for other in found[1:]:
            if other[0].error < (1 - CLEARLY) * best.error:
                best, part, target, decided = other
        fitted = cls(model.config.model_copy(update={"sizes": sizes | decided}))
        fill(fitted.other_mean, model.other_mean)
        fill(fitted.other_scale, model.other_scale)
        late = np.flatnonzero(moving)[split(len(part))[1] :]
        if best.shrinkage is not None:
            fitted.use(ridge(part[: best.early], target[: best.early], best.rows[: best.early], best.shrinkage))
        fitted.learn_spread(x[late], lengths[late], future[late])
        if best.shrinkage is not None:
            fitted.use(ridge(part, target, best.rows, best.shrinkage))
        return fitted

    def use(self, fit: tuple[np.ndarray, np.ndarray]) -> None:
        """Set weight (F, H) and bias (H,)."""
        fill(self.weight, fit[0])
        fill(self.bias, fit[1])


@dataclass(frozen=True)
class Choice:
    """What did best on the late windows.

    Attributes:
        error: Mean absolute error there, each row times its cost.
        early: Windows it was fitted on.
        rows: Weight of each row (N,).
        shrinkage: Added to the features' variance; None: the naive forecast alone was best.
    """

    error: float
    early: int
    rows: np.ndarray
    shrinkage: float | None


def choose(features: np.ndarray, target: np.ndarray, cost: np.ndarray) -> Choice:
    """Return the best of the rounds and shrinkages, judged on the last fifth of the windows.

    Args:
        features: (N, F), in the order of time.
        target: (N, H).
        cost: What one unit of error costs in each row, (N,).
    """
    early, late = split(len(features))
    rows = np.ones(len(features))
    best = Choice(float(np.mean(np.abs(target[late:]) * cost[late:, None])), early, rows, None)
    for _ in range(ROUNDS):
        errors, fits = [], []
        for weight, bias in ridges(features[:early], target[:early], rows[:early], SHRINKAGES):
            fits.append((weight, bias))
            errors.append(float(np.mean(np.abs(features[late:] @ weight + bias - target[late:]) * cost[late:, None])))
        first = int(np.argmin(errors))
        if errors[first] < best.error:
            best = Choice(errors[first], early, rows, float(SHRINKAGES[first]))
        weight, bias = fits[first]
        missed = np.abs(features @ weight + bias - target).mean(1)
        rows = 1 / np.maximum(missed, max(0.1 * float(np.median(missed)), 1e-9))
    return best


def split(windows: int) -> tuple[int, int]:
    """Return where the early windows end and the late ones begin: a fifth, and a gap of a twentieth before it."""
    late = windows - max(1, windows // 5)
    return max(1, late - windows // 20), late


def ridge(
    features: np.ndarray, target: np.ndarray, rows: np.ndarray, shrinkage: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (F, H) and bias (H,) of one weighted ridge regression; see `ridges`."""
    return next(ridges(features, target, rows, np.array([shrinkage])))


def ridges(
    features: np.ndarray, target: np.ndarray, rows: np.ndarray, shrinkages: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield weight (F, H) and bias (H,) for each shrinkage r: (X'VX + r I)^-1 X'VY, centred, V the rows' shares."""
    share = (rows / rows.sum())[:, None]
    centre, level = (features * share).sum(0), (target * share).sum(0)
    inputs = features - centre
    values, vectors = np.linalg.eigh(inputs.T @ (inputs * share))
    inner = vectors.T @ (inputs.T @ ((target - level) * share))
    for shrinkage in shrinkages:
        weight = vectors @ (inner / (np.maximum(values, 0.0) + shrinkage)[:, None])
        yield weight, level - centre @ weight


def beside(config: BaselineConfig) -> int:
    """Return how many channels there are beside the target and what is known ahead."""
    return config.channels_in - 1 - config.ahead


def known_stride(config: BaselineConfig) -> int:
    """Return how many of the steps to forecast there are for each one of which what is known ahead is read."""
    return max(1, -(-2 * config.horizon * config.ahead // MOST_AHEAD))


def other_products(config: BaselineConfig) -> int:
    """Return how many products of other channels are features."""
    return config.sizes["products"] * beside(config) * (beside(config) + 1) // 2


def other_features(config: BaselineConfig) -> int:
    """Return how many features the other channels give."""
    known = 2 * config.ahead * len(range(0, config.horizon, known_stride(config)))
    return config.sizes["other_lags"] * beside(config) + known + other_products(config)
