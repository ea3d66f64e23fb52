"""Ridge regression on fixed features, its strength chosen by exact leave-one-out errors.

With centred features X (N, F) and targets Y, let K = X X' = Q diag(l) Q'. The left-out error of row i is
c_i / G_ii with c = Q (l + a)^-1 Q' Y and G = Q (l + a)^-1 Q' without the constant direction (Rifkin and Lippert 2007,
MIT-CSAIL-TR-2007-025). Cost: N^2 F + N^3 where F >= N (10,000 features cost no more than their inner products), else
N F^2 + F^3 by the eigenvectors of X'X.
"""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import Baseline, BaselineConfig, Training, fill
from hybrids.shapes import Lengths, Series
from profiles.task import Task

ALPHAS = np.logspace(-3, 3, 10)
BATCH = 16
CHUNK = 2048


class Fitted(NamedTuple):
    """A ridge: weight (F, O), bias (O,), its alpha, and the predictions (N, O) of each row by a fit without it."""

    weight: np.ndarray
    bias: np.ndarray
    alpha: float
    left_out: np.ndarray


class RidgeBaseline(Baseline):
    """Standardised features, then ridge; alpha by leave-one-out error, as scikit-learn's `RidgeCV` does.

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

    def standardise(self, x: Series) -> Tensor:
        """Return x less the offset of each channel, in units of its scale."""
        return (x - self.channel_mean) / self.channel_scale

    def scaled(self, features: Tensor) -> Tensor:
        """Return features (B, F) with training mean 0 and deviation 1."""
        return (features - self.feature_mean) / self.feature_scale

    def scales(self, features: Tensor) -> Tensor:
        """Return the unit of each feature, (F,); 1 for one that never changes."""
        std = features.double().std(0, correction=0)
        return torch.where(std > 1e-5, std, 1.0).float()

    def fit_head(self, data: Training) -> None:
        """Fit the ridge on the features of `data`."""
        classify = data.config.task == "classify"
        features = torch.cat([self.features(self.standardise(x), lengths) for x, lengths in data.batches(BATCH)])
        fill(self.feature_mean, features.double().mean(0).float())
        fill(self.feature_scale, self.scales(features))
        if classify:
            target = 2.0 * np.eye(data.config.classes)[data.y] - 1.0
        else:
            target = np.asarray(data.y, np.float64)[:, None]
        centre, unit = (0.0, 1.0) if classify else (target.mean(), max(float(target.std()), 1e-12))
        found = leave_one_out_ridge(self.scaled(features).numpy(), (target - centre) / unit, ALPHAS)
        if classify:
            unit = temperature(found.left_out, data.y)
        fill(self.weight, unit * found.weight)
        fill(self.bias, unit * found.bias + centre)

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return logits (B, K) or numbers (B,)."""
        out = self.scaled(self.features(self.standardise(x), lengths)) @ self.weight + self.bias
        return out if self.config.task == "classify" else out[:, 0]


def leave_one_out_ridge(features: np.ndarray, target: np.ndarray, alphas: np.ndarray) -> Fitted:
    """Return the ridge whose squared leave-one-out error is smallest; the first of equals.

    Args:
        features: (N, F), of any mean, float32 or float64.
        target: (N, O).
        alphas: Strengths to choose from, above 0.
    """
    mean, centre = features.mean(0, dtype=np.float64), target.mean(0)
    centred = target - centre
    solve = _by_rows if len(features) <= features.shape[1] else _by_features
    dual, alpha, error = solve(features, mean, centred, alphas)
    weight = np.concatenate([(part - at).T @ dual for part, at in _columns(features, mean)])
    return Fitted(weight, centre - mean @ weight, alpha, target - error)


def _columns(features: np.ndarray, mean: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return blocks of columns with their means, so that 10,000 features are never copied to float64 at once."""
    return [(features[:, i : i + CHUNK], mean[i : i + CHUNK]) for i in range(0, features.shape[1], CHUNK)]


def _by_rows(
    features: np.ndarray, mean: np.ndarray, target: np.ndarray, alphas: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return dual weights (N, O), alpha and left-out errors (N, O) from the inner products of the rows."""
    rows = len(features)
    inner = np.zeros((rows, rows))
    for part, at in _columns(features, mean):
        block = part - at
        inner += block @ block.T
    constant = max(float(np.trace(inner)), 1.0)  # eigenvalue given to the constant direction, which no error sees
    values, vectors = np.linalg.eigh(inner + constant / rows)
    values, turned = np.maximum(values, 0.0), vectors.T @ target
    found = []
    for alpha in alphas:
        dual = vectors @ (turned / (values + alpha)[:, None])
        own = vectors**2 @ (1 / (values + alpha)) - 1 / (rows * (constant + alpha))
        error = dual / np.maximum(own, 1e-300)[:, None]
        found.append((dual, float(alpha), error))
    return _least(found)


def _by_features(
    features: np.ndarray, mean: np.ndarray, target: np.ndarray, alphas: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the same as `_by_rows`, from the inner products of the features."""
    centred = features - mean
    values, vectors = np.linalg.eigh(centred.T @ centred)
    seen = values > max(float(values[-1]), 1e-300) * 1e-12
    values, basis = values[seen], centred @ (vectors[:, seen] / np.sqrt(values[seen]))
    turned = basis.T @ target
    found = []
    for alpha in alphas:
        shrunk = values / (values + alpha)
        residual = target - basis @ (shrunk[:, None] * turned)
        error = residual / np.maximum(1 - 1 / len(features) - basis**2 @ shrunk, 1e-12)[:, None]
        found.append((residual / alpha, float(alpha), error))
    return _least(found)


def _least(found: list[tuple[np.ndarray, float, np.ndarray]]) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the first entry with the smallest squared error."""
    return min(found, key=lambda entry: float(np.mean(entry[2] ** 2)))


def temperature(decisions: np.ndarray, labels: np.ndarray) -> float:
    """Return the factor in 0.1 to 30 that gives softmax(factor x decisions) (N, K) the smallest log loss."""
    factors = np.geomspace(0.1, 30, 50)
    values, classes = torch.from_numpy(decisions), torch.from_numpy(labels)
    losses = [float(torch.nn.functional.cross_entropy(values * factor, classes)) for factor in factors]
    return float(factors[int(np.argmin(losses))])
