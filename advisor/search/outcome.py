"""What a search found: contenders that reached the final, trials, and why the others are not among them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from advisor import baselines
from advisor.records import Trial
from advisor.search.gate import Gated
from profiles.cost import Cost


@dataclass
class Contender:
    """One candidate that reached the final, or a baseline, with its score on every fold."""

    family: str
    baseline: bool
    cost: Cost
    folds: dict[int, float]
    test: list[float]
    config: dict[str, Any]
    weights: str
    train_s: float
    gated: Gated | None = None

    @property
    def mean(self) -> float:
        """Return the mean over the folds."""
        return float(np.mean(list(self.folds.values())))


@dataclass
class Outcome:
    """All that the search found."""

    trials: list[Trial] = field(default_factory=list)
    contenders: list[Contender] = field(default_factory=list)
    not_tried: dict[str, str] = field(default_factory=dict)
    infeasible: dict[str, str] = field(default_factory=dict)
    nearest: tuple[str, str] | None = None
    """Family and miss that came closest to the budget, where none kept it."""


def load_baseline(weights: str) -> baselines.Baseline:
    """Return the fitted baseline that a job saved."""
    config = baselines.BaselineConfig.model_validate_json(Path(weights).with_suffix(".json").read_text())
    model = baselines.build(config)
    model.load_state_dict(load_file(weights))
    return model.eval()
