"""What all parts of one search share: the problem, the limits, the workers, what was found so far."""

from collections.abc import Callable
from dataclasses import dataclass, field

from advisor import metrics
from advisor.metrics import Metric
from advisor.runs import Run
from advisor.search.clock import Clock
from advisor.search.executors import LocalPool
from advisor.search.gate import Gated
from advisor.search.gatekeeper import Gatekeeper
from advisor.search.jobs import Fold, NetworkJob
from advisor.search.ledger import Ledger
from advisor.search.limits import counted_limit
from advisor.search.outcome import Outcome
from advisor.search.problem import Plan, Problem
from advisor.search.recipes import training
from advisor.search.results import Results
from profiles.budget import Budget

MOST_STEPS = 20_000
NEVER = 1e15
"""A deadline that JSON can hold and that never comes."""


@dataclass(frozen=True)
class Settings:
    """What was asked of the search.

    Attributes:
        budget: Limits of the model.
        device: Where it is trained.
        seed: Of everything.
        trials: Networks to train instead of a time limit.
        workers: Processes side by side.
        committee: Most networks of one kind that answer together; 0 or 1: one model alone; None: as many as pay.
        networks_only: Whether baselines stand aside, but for the naive reference.
    """

    budget: Budget
    device: str
    seed: int
    trials: int | None
    workers: int
    committee: int | None = None
    networks_only: bool = False


@dataclass
class Context:
    """See the module; made by `driver.Search`."""

    problem: Problem
    settings: Settings
    clock: Clock
    run: Run
    say: Callable[[str], None]
    pool: LocalPool
    families: tuple[str, ...] = ()
    outcome: Outcome = field(init=False)
    ledger: Ledger = field(init=False)
    results: Results = field(init=False)
    gate: Gatekeeper = field(init=False)
    limit_s: float | None = field(init=False)
    """See `limits`."""

    def __post_init__(self) -> None:
        asked = self.settings
        self.outcome = Outcome(trials=self.run.trials())
        self.ledger = Ledger(self.run, self.outcome.trials, asked.budget, asked.seed)
        self.results = Results(self.run.work, self.pool)
        self.limit_s = counted_limit(self.run.work / "limits.jsonl", None if self.by_trials else self.clock.limit_s)
        self.gate = Gatekeeper(self.run.work, self.plan, asked.budget, asked.device)

    @property
    def plan(self) -> Plan:
        """Return the facts of the problem."""
        return self.problem.plan

    @property
    def metric(self) -> Metric:
        """Return how quality is measured."""
        return metrics.METRICS[self.plan.task]

    @property
    def by_trials(self) -> bool:
        """Return whether steps are counted and not seconds."""
        return self.settings.trials is not None

    def network_job(
        self,
        gated: Gated,
        fold: Fold,
        seed: int,
        phase: str,
        seconds: float | None,
        steps: int,
        *,
        start: str | None = None,
        goes_on: str | None = None,
        until: float = 1.0,
        judged: bool = False,
    ) -> NetworkJob:
        """Return the job that trains a network for one rung.

        Args:
            gated: The candidate.
            fold: What judges it.
            seed: Of the training.
            phase: Of the clock, by whose end it must be done.
            seconds: Of the whole training; None: steps alone count.
            steps: Of the whole training at most.
            start: Key of the job whose weights it starts from.
            goes_on: Key of the job whose progress it goes on from.
            until: Share of the training at which this rung ends.
            judged: Whether the score of every unit is wanted, of the test part too.
        """
        units = len(self.problem.rows)
        settings = training(gated.family, gated.knobs, self.plan, units, seconds, steps)
        return NetworkJob(
            model=gated.config,
            train=settings.model_copy(update={"until": until}),
            seed=seed,
            fold=fold,
            start=start,
            goes_on=goes_on,
            test=judged,
            units=judged,
            folder=str(self.results.files),
            deadline=min(self.clock.end_of(phase), NEVER),
            limit_s=self.limit_s if judged or fold == "all" else None,
            device=self.settings.device,
        )
