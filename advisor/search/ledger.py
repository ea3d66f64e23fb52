"""Writes every finished trial into the run folder at once, so that nothing computed is lost."""

from typing import Any, Literal

import numpy as np

from advisor.records import Trial
from advisor.runs import Run
from advisor.search.gate import Gated
from advisor.search.jobs import Result
from profiles.budget import Budget
from profiles.cost import Cost

State = Literal["complete", "pruned", "infeasible", "failed"]


class Ledger:
    """Appends trials to the run's file and to `trials`, the list of all so far."""

    def __init__(self, run: Run, trials: list[Trial], budget: Budget, seed: int) -> None:
        self._run, self.trials, self._budget, self._seed = run, trials, budget, seed
        self._baselines = {t.family for t in trials if t.baseline}

    def next_number(self) -> int:
        """Return the number of the next trial."""
        return max((t.number for t in self.trials), default=-1) + 1

    def trained(self) -> int:
        """Return how many networks were trained, or failed in training."""
        return sum(t.state in ("complete", "failed") and not t.baseline for t in self.trials)

    def record(
        self,
        gated: Gated,
        state: State,
        result: Result | None = None,
        quality: float | None = None,
        reason: str = "",
        number: int | None = None,
    ) -> None:
        """Write the trial of a network."""
        self._add(
            Trial(
                number=self.next_number() if number is None else number,
                family=gated.family,
                config={"knobs": gated.knobs.model_dump(), "model": gated.config.model_dump(mode="json")},
                seed=self._seed,
                state=state,
                quality=quality,
                train_s=result.seconds if result else 0.0,
                reason=reason,
                curve=result.curve if result else (),
                **self._cost(gated.cost),
            )
        )

    def record_baseline(self, name: str, state: State, result: Result, cost: Cost | None, reason: str) -> None:
        """Write the trial of a baseline, unless an earlier part of this run has."""
        if name in self._baselines:
            return
        self._add(
            Trial(
                number=self.next_number(),
                family=name,
                config={},
                seed=self._seed,
                state=state,
                quality=float(np.mean(list(result.folds.values()))) if result.folds else None,
                train_s=result.seconds,
                reason=reason,
                baseline=True,
                **self._cost(cost),
            )
        )

    def _cost(self, cost: Cost | None) -> dict[str, Any]:
        if cost is None:
            return {}
        return {
            "latency_ms": cost.latency_ms(self._budget.latency_stat),
            "memory_mib": cost.peak_memory_mib,
            "size_mib": cost.size_mib,
            "flops": cost.flops,
        }

    def _add(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._run.add_trial(trial)
