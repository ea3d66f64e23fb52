"""Gradient boosting (Friedman 2001) on summary features, its trees read out into tensors."""

from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.base import Baseline, BaselineConfig, Training, resample, take
from advisor.baselines.trees import Forest
from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Series
from profiles.task import Task

DEPTH = 3
STAGES = 60
SUMMARIES, POINTS = 8, 16
NODES = 2 ** (DEPTH + 1) - 1
RATE = 0.1
WORK = 2e7  # rows x features looked at x trees: a few seconds on one core
ABSENT = -20.0  # logit of a class that no training row has


class GradientBoosting(Baseline):
    """scikit-learn's boosted trees of depth 3 on `summary` features; all trees walk down together."""

    tasks: ClassVar[tuple[Task, ...]] = ("classify", "regress")
    start: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        outputs = max(config.classes, 1)
        self.forest = Forest(config.sizes["stages"] * outputs, NODES, DEPTH)
        self.register_buffer("start", torch.zeros(outputs))

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return logits (B, K) or numbers (B,)."""
        leaves = self.forest(summary(x, lengths)).reshape(-1, self.config.sizes["stages"], len(self.start))
        out: Tensor = self.start + leaves.sum(1)
        return out if self.config.task == "classify" else out[:, 0]

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Fit at most 60 stages; with many rows, features or classes fewer, so that the time stays bounded."""
        from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

        data.check_classes()
        classify = data.config.task == "classify"
        present = np.unique(data.y) if classify else np.zeros(1, np.int64)
        columns = present if len(present) > 2 else present[-1:]  # two classes share one column of trees
        width = data.config.channels_in * (SUMMARIES + POINTS)
        looked_at = min(width, max(24, int(width**0.5)))
        data = data.capped(max(200, min(5000, int(WORK / (looked_at * len(columns) * 10)))))
        stages = int(np.clip(WORK / (len(data) * looked_at * len(columns)), 10, STAGES))
        notes = data.config.notes
        if stages < STAGES:
            notes += (f"gradient_boosting stopped after {stages} of {STAGES} stages to bound its time.",)
        model = cls(data.config.model_copy(update={"sizes": {"stages": stages}, "notes": notes}))
        features = torch.cat([summary(x, lengths) for x, lengths in data.batches(256)]).numpy()
        target = data.y if classify else np.asarray(data.y, np.float64)
        centre, unit = (0.0, 1.0) if classify else (target.mean(), max(float(target.std()), 1e-12))
        booster = GradientBoostingClassifier if classify else GradientBoostingRegressor
        fitted = booster(
            n_estimators=stages, max_depth=DEPTH, learning_rate=RATE, max_features=looked_at, random_state=data.seed
        ).fit(features, target if classify else (target - centre) / unit)
        model.read_trees(fitted.estimators_, columns, unit)
        first = fitted.decision_function(features[:1]) if classify else fitted.predict(features[:1])
        grown = sum(RATE * np.array([tree.predict(features[:1])[0] for tree in row]) for row in fitted.estimators_)
        if classify:
            model.start.fill_(ABSENT)
            model.start[torch.from_numpy(present)] = 0.0
        model.start[torch.from_numpy(columns)] = torch.from_numpy((first.reshape(-1) - grown) * unit + centre).float()
        return model

    def read_trees(self, trees: np.ndarray, columns: np.ndarray, unit: float) -> None:
        """Copy fitted scikit-learn trees (stages, len(columns)) into the forest, at those outputs."""
        for stage, row in enumerate(trees):
            for column, fitted in zip(columns, row, strict=True):
                tree = fitted.tree_
                self.forest.plant(
                    stage * len(self.start) + int(column),
                    tree.children_left < 0,
                    tree.feature,
                    tree.threshold,
                    tree.children_left,
                    tree.children_right,
                    RATE * unit * tree.value[:, 0, 0],
                )


def summary(x: Series, lengths: Lengths) -> Tensor:
    """Return what each channel looks like, (B, 24 C).

    Mean, standard deviation, lowest, highest, first and last value, slope of the least-squares line from the row's
    start to its end, mean absolute step, and 16 evenly spaced points.
    """
    valid = valid_steps(x, lengths)[..., None]
    count = lengths.to(x.dtype)[:, None]
    mean = torch.where(valid, x, 0.0).sum(1) / count
    centred = torch.where(valid, x - mean[:, None], 0.0)
    std = (centred.square().sum(1) / count).sqrt()
    low = torch.where(valid, x, torch.inf).amin(1)
    high = torch.where(valid, x, -torch.inf).amax(1)
    ends = take(x, torch.stack([torch.zeros_like(lengths), lengths - 1], 1))
    time = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)[None] - (count - 1) / 2
    time = torch.where(valid[..., 0], time, 0.0)[..., None]
    slope = (time * centred).sum(1) / time.square().sum(1).clamp_min(0.5) * (count - 1)
    steps = torch.where(valid[:, 1:], (x[:, 1:] - x[:, :-1]).abs(), 0.0).sum(1) / (count - 1).clamp_min(1)
    shape = torch.stack([mean, std, low, high, ends[:, 0], ends[:, 1], slope, steps], 1)
    return torch.cat([shape, resample(x, lengths, POINTS)], 1).flatten(1)
