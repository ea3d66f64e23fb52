"""Writes every finished trial into the run folder."""

import json
from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

import numpy as np

from advisor.records import ENSEMBLE, Trial
from advisor.runs import Run
from advisor.search.gate import Gated, Refused
from advisor.search.jobs import Result
from advisor.search.knobs import Knobs
from profiles.budget import Budget, Miss
from profiles.cost import Cost

State = Literal["complete", "pruned", "infeasible", "failed"]


class Ledger:
    """Appends trials to the run's file and to `trials`, the list of all so far.

    A trial keeps its number for good: the configuration that an earlier part of the run recorded finds it again. What
    this part recorded is left alone; what an earlier part did is replaced where the verdict is another now, in the file
    by a later line of the same number.
    """

    def __init__(self, run: Run, trials: list[Trial], budget: Budget, seed: int) -> None:
        self._run, self.trials, self._budget, self._seed = run, trials, budget, seed
        self._earlier = {t.number: t for t in trials}
        self._recorded: set[int] = set()
        """Numbers that this part of the run has recorded."""
        self._numbers = {_name(t.family, t.config.get("knobs")): t.number for t in trials}

    def number(self, family: str, knobs: Knobs | None) -> int:
        """Return the number of a configuration, or of a baseline where `knobs` is None."""
        return self._number(_name(family, knobs.model_dump(mode="json") if knobs else None))

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            taken = set(self._numbers.values())
            self._numbers[name] = next(n for n in count() if n not in taken)
        return self._numbers[name]

    def record(
        self,
        gated: Gated | Refused,
        state: State,
        result: Result | None = None,
        quality: float | None = None,
        reason: str = "",
    ) -> None:
        """Write the trial of a network."""
        self._add(
            Trial(
                number=self.number(gated.family, gated.knobs),
                family=gated.family,
                config={"knobs": gated.knobs.model_dump(mode="json"), "model": gated.config.model_dump(mode="json")},
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
        """Write the trial of a baseline."""
        self._add(
            Trial(
                number=self.number(name, None),
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

    def record_ensemble(self, parts: Sequence[str], result: Result, cost: Cost, misses: Sequence[Miss]) -> None:
        """Write the trial of an ensemble: the one that keeps the budget, or the smallest that does not."""
        knobs = {"parts": list(parts)}
        self._add(
            Trial(
                number=self._number(_name(ENSEMBLE, knobs)),
                family=ENSEMBLE,
                config={"knobs": knobs},
                seed=self._seed,
                state="infeasible" if misses else "complete",
                quality=result.quality,
                reason=str(misses[0]) if misses else "",
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
        if trial.number in self._recorded:
            return
        self._recorded.add(trial.number)
        earlier = self._earlier.get(trial.number)
        if earlier is None:
            self.trials.append(trial)
        elif _verdict(earlier) == _verdict(trial):
            return
        else:
            self.trials[self.trials.index(earlier)] = trial
        self._run.add_trial(trial)


def _verdict(trial: Trial) -> tuple[State, float | None, str]:
    return trial.state, trial.quality, trial.reason


def _name(family: str, knobs: Any) -> str:
    return json.dumps([family, knobs], sort_keys=True)
