"""Where the next configuration of a family comes from: one Optuna study for each family, TPE.

A study is told anew what is known each time it is asked, and its sampler's seed depends on the number of the question
alone. So the same standing gives the same question, whatever crashed or was resumed before. The run's journal holds
the studies as they ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.search.space import distributions, knobs_of, point_of
from hybrids.families import FAMILIES

optuna.logging.set_verbosity(optuna.logging.WARNING)
STARTUP = 3
"""Configurations of a family before its sampler goes by what it has seen."""
MANY = 1000
"""More than a family is asked for, so that the seeds of two families never meet."""


@dataclass(frozen=True)
class Seen:
    """One configuration that was asked for or given.

    Attributes:
        knobs: What it is.
        values: Quality after each rung; of one that ends early the sampler learns from the last.
        state: How it stands.
        excess: By how much it breaks the budget, of the limit; the sampler learns to stay away.
    """

    knobs: Knobs
    values: tuple[float, ...]
    state: Literal["running", "complete", "pruned", "failed", "infeasible"]
    excess: float = 0.0


class Studies:
    """Asks; see the module.

    Args:
        plan: The problem, which decides the space.
        higher_is_better: Direction of quality.
        seed: Of the samplers.
    """

    def __init__(self, plan: Plan, higher_is_better: bool, seed: int) -> None:
        self._plan, self._seed = plan, seed
        self._direction: Literal["maximize", "minimize"] = "maximize" if higher_is_better else "minimize"

    def ask(self, family: str, seen: Sequence[Seen]) -> Knobs:
        """Return the next configuration of `family`, knowing what was `seen` of it."""
        seed = self._seed + MANY * (1 + list(FAMILIES).index(family)) + len(seen)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        study = optuna.create_study(sampler=sampler, direction=self._direction)
        self._tell(study, family, seen)
        return knobs_of(study.ask(distributions(family, self._plan)).params, family, self._plan)

    def write(self, journal: Path, seen: dict[str, list[Seen]]) -> None:
        """Write the studies of all families, from nothing."""
        journal.parent.mkdir(parents=True, exist_ok=True)
        for stale in (journal, journal.with_name(journal.name + ".lock")):
            stale.unlink(missing_ok=True)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        for family, all_of_it in seen.items():
            study = optuna.create_study(study_name=family, storage=storage, direction=self._direction)
            self._tell(study, family, all_of_it)

    def _tell(self, study: optuna.Study, family: str, seen: Sequence[Seen]) -> None:
        for one in seen:
            study.enqueue_trial(point_of(one.knobs, family, self._plan))
            trial = study.ask(distributions(family, self._plan))
            for rung, value in enumerate(one.values):
                trial.report(value, rung)
            if one.state == "infeasible":
                trial.set_constraint("budget", max(one.excess, 1e-6))
                study.tell(trial, state=TrialState.PRUNED)
            elif one.state == "complete":
                study.tell(trial, one.values[-1])
            elif one.state != "running":
                study.tell(trial, state=TrialState.PRUNED if one.state == "pruned" else TrialState.FAIL)
