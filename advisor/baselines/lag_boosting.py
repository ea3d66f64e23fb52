"""Gradient boosting (Friedman 2001) on lags and calendar, global over series, for what the ridge on lags misses.

One forest for all steps ahead: a row is a window and a step, its features the step, the ridge's forecast, the values
one and more seasons before that step, the last values, means and deviations of the last spans, the other channels at
the last step, and the calendar and what is known ahead at the step itself. Fit O(rows F trees), all bounded; forward
H x trees x depth gathers.
"""

from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import BaselineConfig, Training, fill, take
from advisor.baselines.forecaster import Forecaster, known_ahead, level_and_unit, masked_mean, recent
from advisor.baselines.lags import LinearLags, beside, split
from advisor.baselines.trees import Forest
from hybrids.shapes import Lengths, Series

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

TREES, LEAVES, DEPTH, RATE = 60, 24, 5, 0.1
LEAST_IN_LEAF = 40
ROWS, STEPS_EACH = 14_000, 8  # windows x steps that the trees are grown on, and steps drawn from one window
RECENT = 6
SEASONS_BACK = (1, 2, 3, 4, 7, 14)
STEADY = 1e-3  # radians: a calendar's turn from step to step varies no more


class LagBoosting(Forecaster):
    """The ridge on lags, then boosted trees of its residuals; as many trees as help on the late windows."""

    turn: Tensor
    steady: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.linear = LinearLags(config)
        self.forest = Forest(config.sizes["trees"], 2 * LEAVES - 1, DEPTH)
        self.others = beside(config)
        neighbours = max(self.others - 1, 0)
        self.register_buffer("turn", torch.zeros(neighbours))
        self.register_buffer("steady", torch.zeros(neighbours))
        season = config.season
        self.back = [k for k in SEASONS_BACK if config.length >= k * season] if season > 1 else []
        self.spans = sorted({k for k in (3, season // 4, season, 7 * season, config.length) if 2 <= k <= config.length})

    def features(self, x: Series, lengths: Lengths) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return features (B, H, F), the ridge's forecast in units (B, H), level and unit of each window (B, 1)."""
        horizon, length = self.config.horizon, self.config.length
        values, valid = recent(x, lengths, length)
        mean, unit = level_and_unit(values, valid)
        size = torch.where(unit > 0, unit, 1.0)
        scaled = (values - mean) / size
        linear = (self.linear.median(x, lengths) - mean) / size
        fixed = [scaled[:, -min(RECENT, length) :], torch.log((unit + 1e-9) / (mean.abs() + unit + 1e-9))]
        for span in self.spans:
            part, real = scaled[:, -span:], valid[:, -span:]
            middle = masked_mean(part, real)[:, None]
            fixed += [middle, masked_mean((part - middle).square(), real).sqrt()[:, None]]
        ahead = torch.arange(1, horizon + 1, device=x.device)
        moving = [linear[..., None], (ahead.to(x.dtype) / horizon)[None, :, None].expand(x.shape[0], -1, -1)]
        end = lengths[:, None]
        for k in self.back:
            before = end + (ahead[None] - 1) % self.season - k * self.season
            moving.append(((take(x[..., :1], before)[..., 0] - mean) / size)[..., None])
        if self.config.ahead:  # the channels hold at each step what is known a horizon later
            at = end - 1 - horizon + ahead[None]
            moving.append(known_ahead(x[..., -self.config.ahead :], at, self.season))
        if self.others:
            fixed.append(take(x, end - 1)[:, 0, 1 : 1 + self.others])
        if self.others > 1:
            sine, cosine = fixed[-1][:, None, :-1], fixed[-1][:, None, 1:]
            angle = ahead.to(x.dtype)[:, None] * self.turn
            moving.append((sine * torch.cos(angle) + cosine * torch.sin(angle)) * self.steady)
            moving.append((cosine * torch.cos(angle) - sine * torch.sin(angle)) * self.steady)
        both = [torch.cat(moving, 2), torch.cat(fixed, 1)[:, None].expand(-1, horizon, -1)]
        return torch.cat(both, 2), linear, mean, unit

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        features, linear, mean, unit = self.features(x, lengths)
        grown = self.forest(features.flatten(0, 1)).sum(1).reshape(-1, self.config.horizon)
        middle: Tensor = mean + (linear + grown) * unit
        return middle

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Fit the ridge, choose the number of trees on the last fifth of the windows, then grow them on all."""
        ridge = LinearLags.fit(data)
        most = max(ROWS // min(data.config.horizon, STEPS_EACH), 1)
        config = ridge.config.model_copy(update={"sizes": ridge.config.sizes | {"trees": TREES}})
        if len(data) > most:
            note = f"The trees of {config.kind} saw {most} of {len(data)} windows, evenly spread, to bound their time."
            config = config.model_copy(update={"notes": (*config.notes, note)})
        model = cls(config)
        model.linear.load_state_dict(ridge.state_dict())
        pick = np.unique(np.linspace(0, len(data) - 1, min(most, len(data))).astype(np.int64))
        x, lengths = (torch.from_numpy(values[pick]) for values in (data.x, data.lengths))
        future = torch.from_numpy(data.y[pick]).float()
        if model.others > 1:
            model.find_turns(data.x[pick], data.lengths[pick])
        order = np.random.default_rng(data.seed)
        each = min(config.horizon, STEPS_EACH)
        steps = torch.from_numpy(np.stack([order.permutation(config.horizon)[:each] for _ in pick]))
        features, target, cost = model.rows(x, lengths, future, steps)
        early, late = (at * each for at in split(len(pick)))
        judged = x[late // each :], lengths[late // each :], future[late // each :]
        trial = boost(features[:early], target[:early], cost[:early], TREES, data.seed)
        errors = [np.mean(np.abs(target[late:]) * cost[late:])]
        errors += [np.mean(np.abs(target[late:] - p) * cost[late:]) for p in trial.staged_predict(features[late:])]
        trees = int(np.argmin(errors))
        model.read(trial, trees)
        model.learn_spread(*judged)
        if trees:
            model.read(boost(features, target, cost, trees, data.seed), trees)
        return model

    def rows(self, x: Tensor, lengths: Tensor, future: Tensor, steps: Tensor) -> tuple[np.ndarray, ...]:
        """Return features (N P, F), target and cost (N P,) of the given steps (N, P) of each window."""
        parts = []
        for i in range(0, len(x), 512):
            at, one = steps[i : i + 512], slice(i, i + 512)
            features, linear, mean, unit = self.features(x[one], lengths[one])
            scale = self.scale(x[one], lengths[one])[:, None]
            missed = torch.where(unit > 0, (future[one] - mean) / unit - linear, 0.0)
            cost = torch.where(scale > 0, unit / scale, 0.0).expand_as(at)
            chosen = features.gather(1, at[..., None].expand(-1, -1, features.shape[2]))
            parts.append((chosen.flatten(0, 1), missed.gather(1, at).flatten(), cost.flatten()))
        inputs, target, costs = (torch.cat(part).double().numpy() for part in zip(*parts, strict=True))
        costs = np.minimum(costs, np.quantile(costs, 0.95))
        return inputs, target, costs / costs.mean() if costs.mean() > 0 else np.ones_like(costs)

    def read(self, fitted: "HistGradientBoostingRegressor", trees: int) -> None:
        """Copy the first trees of a fitted scikit-learn booster, the rest is 0; the first carries the start value."""
        start = float(np.ravel(fitted._baseline_prediction)[0])
        for tree in range(TREES):
            nodes = fitted._predictors[tree][0].nodes if tree < trees else fitted._predictors[0][0].nodes[:0]
            self.forest.value[tree] = 0.0
            self.forest.plant(
                tree,
                nodes["is_leaf"].astype(bool),
                nodes["feature_idx"],
                nodes["num_threshold"],
                nodes["left"],
                nodes["right"],
                nodes["value"] + (start if tree == 0 else 0.0),
            )

    def find_turns(self, x: np.ndarray, lengths: np.ndarray) -> None:
        """Find the neighbouring channels that are sine and cosine of an angle that moves on by the same amount a step.

        Their values at a future step are the last ones, turned on; of other channels only the last step is known.
        """
        others = x[:, :, 1 : 1 + self.others].astype(np.float64)
        sine, cosine = others[..., :-1], others[..., 1:]
        valid = np.arange(x.shape[1])[None] < lengths[:, None]
        if not (valid[:, 1:]).any():
            return
        off = np.abs(sine**2 + cosine**2 - 1)[valid].max(0)
        point = cosine + 1j * sine
        turns = np.angle(point[:, 1:] * np.conj(point[:, :-1]))[valid[:, 1:]]
        steady = (off < STEADY) & (turns.max(0) - turns.min(0) < STEADY)
        fill(self.turn, np.where(steady, np.median(turns, 0), 0.0))
        fill(self.steady, steady.astype(np.float32))


def boost(
    features: np.ndarray, target: np.ndarray, cost: np.ndarray, trees: int, seed: int
) -> "HistGradientBoostingRegressor":
    """Return scikit-learn's histogram booster for the absolute error."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=trees,
        learning_rate=RATE,
        max_leaf_nodes=LEAVES,
        max_depth=DEPTH,
        min_samples_leaf=LEAST_IN_LEAF,
        max_features=0.5,
        early_stopping=False,
        random_state=seed,
    ).fit(features, target, cost)
