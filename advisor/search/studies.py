"""One Optuna study for each family, all on the run's journal file; this process is its only writer."""

from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.search.space import searched, suggest

optuna.logging.set_verbosity(optuna.logging.WARNING)


def repair_tail(journal: Path) -> None:
    """Cut off a last record that a crash left half written; with it the journal could not be read again."""
    if not journal.exists():
        return
    data = journal.read_bytes()
    if data and not data.endswith(b"\n"):
        journal.write_bytes(data[: data.rfind(b"\n") + 1])


class Studies:
    """Asks and tells; see the module.

    Args:
        journal: File of the journal.
        plan: The problem, which decides the space.
        higher_is_better: Direction of quality.
        seed: Of the samplers; the n-th family gets seed + n.
    """

    def __init__(self, journal: Path, plan: Plan, higher_is_better: bool, seed: int) -> None:
        repair_tail(journal)
        journal.with_name(journal.name + ".lock").unlink(missing_ok=True)
        self._storage = JournalStorage(JournalFileBackend(str(journal)))
        self._plan, self._seed = plan, seed
        self._direction: Literal["maximize", "minimize"] = "maximize" if higher_is_better else "minimize"
        self._studies: dict[str, optuna.Study] = {}

    def _study(self, family: str) -> optuna.Study:
        if family not in self._studies:
            sampler = optuna.samplers.TPESampler(seed=self._seed + len(self._studies), n_startup_trials=4)
            study = optuna.create_study(
                study_name=family,
                storage=self._storage,
                sampler=sampler,
                direction=self._direction,
                load_if_exists=True,
            )
            for stale in study.get_trials(states=(TrialState.RUNNING,)):
                study.tell(stale.number, state=TrialState.FAIL)
            self._studies[family] = study
        return self._studies[family]

    def ask(self, family: str, start: Knobs | None = None) -> tuple[optuna.Trial, Knobs]:
        """Return the next candidate of `family`; `start` is taken as it is."""
        study = self._study(family)
        if start is not None:
            study.enqueue_trial({name: getattr(start, name) for name in searched(family, self._plan)})
        trial = study.ask()
        return trial, suggest(trial, family, self._plan)

    def tell(self, family: str, trial: optuna.Trial, quality: float | None, excess: float = 0.0) -> None:
        """Tell how a candidate did.

        Args:
            family: Whose.
            trial: As asked.
            quality: None: it was not trained to the end.
            excess: By how much it breaks the budget, over the limit; above 0 it is told as pruned, so that the
                sampler learns to stay away.
        """
        if excess > 0:
            trial.set_constraint("budget", excess)
            self._study(family).tell(trial, state=TrialState.PRUNED)
        elif quality is None:
            self._study(family).tell(trial, state=TrialState.FAIL)
        else:
            self._study(family).tell(trial, quality)
