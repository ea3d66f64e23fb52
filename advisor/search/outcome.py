"""What a search found: contenders that reached the final, trials, and why the others are not among them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from advisor import baselines
from advisor.compare import Scores
from advisor.errors import NoCandidateError
from advisor.records import Trial
from advisor.search.gate import Gated
from advisor.search.jobs import Result
from advisor.search.problem import Problem
from profiles.budget import Miss
from profiles.cost import Cost


@dataclass
class Contender:
    """One candidate that reached the final, or a baseline.

    Attributes:
        family: Of a network, or the name of a baseline.
        baseline: Which of the two.
        cost: Of one answer.
        folds: Quality on each fold, seeds averaged.
        test: One score a unit of the test part.
        config: As it is written into the recommendation.
        weights: File of one trained model.
        train_s: Seconds of all its trainings for the final.
        gated: Of a network.
        heats: Trainings of the final, one a seed or a fold; of a baseline its one result.
        keys: Of the jobs of the heats.
        asked_s: Seconds that each heat was given; None where steps are counted, and for a baseline.
        parts: Of an ensemble: the contenders whose mean it answers with; `counts`: networks of each, 1 of a baseline.
    """

    family: str
    baseline: bool
    cost: Cost
    folds: dict[int, float]
    test: list[float]
    config: dict[str, Any]
    weights: str
    train_s: float
    gated: Gated | None = None
    heats: tuple[Result, ...] = ()
    keys: tuple[str, ...] = ()
    asked_s: float | None = None
    parts: tuple["Contender", ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def seeded(self) -> bool:
        """Return whether another seed would give another model."""
        return any(part.seeded for part in self.parts) if self.parts else not self.baseline

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
    nearest: tuple[float, str, str] | None = None
    """Excess, family and miss of what came closest to the budget, where none kept it."""

    def missed(self, family: str, misses: Sequence[Miss]) -> None:
        """Remember what broke the budget, if nothing that did came closer."""
        self.came_near(misses[0].ratio - 1, family, str(misses[0]))

    def came_near(self, excess: float, family: str, why: str) -> None:
        """Remember what exceeds a limit by the share `excess`, if nothing that did came closer."""
        self.nearest = min(self.nearest or (excess, family, why), (excess, family, why))

    def no_candidate(self, begun: bool = True) -> NoCandidateError:
        """Return the error of a search that found nothing: what came closest to the budget, or what was in the way.

        Args:
            begun: Whether the run folder holds a run, so that another there has to go on with it.
        """
        go_on = "; say --resume too, or --out ANOTHER" if begun else ""
        if self.nearest is None:
            why = next(iter(self.infeasible.values()), "the time was too short")
            return NoCandidateError(
                f"no candidate could be trained: {why}.", f"give more time with --time-limit{go_on}."
            )
        _, family, miss = self.nearest
        limit = f"--{miss.split(':')[0].replace('_', '-')}" if miss.startswith("max_") else "the budget"
        return NoCandidateError(
            f"no candidate keeps the budget; nearest is {family} with {miss}.",
            f"relax {limit} above that, or give a faster device{go_on}.",
        )


def mean_folds(results: tuple[Result, ...]) -> dict[int, float]:
    """Return the quality on each fold, the mean over the trainings that were judged on it."""
    folds = sorted({k for r in results for k in r.folds})
    return {k: float(np.mean([r.folds[k] for r in results if k in r.folds])) for k in folds}


def unit_scores(contenders: Sequence[Contender], problem: Problem) -> dict[str, Scores]:
    """Return name -> scores unit by unit, of the contenders for which they are known.

    Args:
        contenders: With the results of their heats.
        problem: Whose folds judged them.
    """
    found: dict[str, Scores] = {}
    for c in contenders:
        folds = sorted(c.folds)
        seeds = min(sum(k in heat.units for heat in c.heats) for k in folds) if folds else 0
        if not seeds:
            continue
        per_fold = [np.array([h.units[k] for h in c.heats if k in h.units][:seeds]) for k in folds]
        groups = [problem.judged(k, 1).group for k in folds]
        if any(len(g) != p.shape[1] for g, p in zip(groups, per_fold, strict=True)):
            continue
        if problem.plan.stride:  # overlapping origins of a fold are one
            per_fold, groups = zip(*map(_by_group, per_fold, groups), strict=True)
        fold = np.concatenate([np.full(len(g), k) for k, g in zip(folds, groups, strict=True)])
        found[c.family] = Scores(np.concatenate(per_fold, axis=1), fold, np.concatenate(groups), c.seeded)
    return found


def _by_group(scores: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean score of each group, (S, G), and the groups, (G,)."""
    names, at = np.unique(group, return_inverse=True)
    return np.array([np.bincount(at, row) for row in scores]) / np.bincount(at), names


def load_baseline(weights: str) -> baselines.Baseline:
    """Return the fitted baseline that a job saved."""
    config = baselines.BaselineConfig.model_validate_json(Path(weights).with_suffix(".json").read_text())
    model = baselines.build(config)
    model.load_state_dict(load_file(weights))
    return model.eval()
