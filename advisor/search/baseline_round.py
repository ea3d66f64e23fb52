"""The baselines of a race: fitted by the workers beside the networks, measured, put into the final."""

from concurrent.futures import Future, wait
from functools import partial

from advisor import baselines
from advisor.choose import NAIVE
from advisor.search.context import NEVER, Context
from advisor.search.executors import PASSING
from advisor.search.gate import steps_read
from advisor.search.jobs import BaselineJob, Result, weights_of
from advisor.search.outcome import Contender, load_baseline, mean_folds
from advisor.search.recipes.forecast import look_back_of
from advisor.search.refit import Finished

COST_S = 0.05
WHOLE = "it reads the whole series at once and cannot answer step by step (STR1)"


class BaselineRound:
    """Submits them at once, and takes them up when asked to.

    Args:
        context: Of the search.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._jobs: dict[str, tuple[BaselineJob, Future[Result]]] = {}
        self._taken_up = False

    def names(self) -> tuple[str, ...]:
        """Return the baselines that race: all, or the naive references alone."""
        at, task = self.context, self.context.plan.task
        found = baselines.names(task)
        alone = at.settings.networks_only or self._none_streams()
        return tuple(n for n in found if n in NAIVE[task]) if alone else found

    def _none_streams(self) -> bool:
        """Return whether answers step by step are asked for, which of the baselines forecasters alone can give."""
        at = self.context
        return at.settings.budget.streaming and at.plan.task != "forecast"

    def begin(self) -> None:
        """Give the baselines to the workers."""
        at = self.context
        at.say(f"baselines: {', '.join(self.names())}")
        if self._none_streams() and not at.settings.networks_only:
            for name in sorted(set(baselines.names(at.plan.task)) - set(self.names())):
                at.outcome.infeasible[name] = WHOLE
                at.ledger.record_baseline(name, "infeasible", Result(), None, WHOLE)
        for name in self.names():
            at.ledger.number(name, None)
            naive = name in NAIVE[at.plan.task]  # in an instant, and there is always something to compare with
            late = "refit" if naive else "race" if at.gate.needs_quiet else "baselines"
            begin_by = min(at.clock.end_of("refit" if naive else "race"), NEVER)
            job = self._job(name, at.settings.seed, at.clock.end_of(late))
            job = job.model_copy(update={"begin_by": begin_by})
            self._jobs[name] = (job, at.results.submit(job, first=naive))

    def take_up(self) -> None:
        """Wait for the baselines, refuse what breaks the budget, record all; once."""
        at = self.context
        waiting = {} if self._taken_up else self._jobs
        self._taken_up = True
        wait([future for _, future in waiting.values()])  # a latency is measured beside no fit
        for name, (job, future) in waiting.items():
            result = future.result()
            if result.failed in PASSING:
                at.outcome.not_tried[name] = result.failed
                continue
            if result.failed:
                where = at.outcome.infeasible if result.infeasible else at.outcome.not_tried
                where[name] = result.failed
                at.ledger.record_baseline(
                    name, "infeasible" if result.infeasible else "failed", result, None, result.failed
                )
                continue
            weights = str(job.weights())
            model = load_baseline(weights)
            for note in model.config.notes:
                at.say(f"  {note}")
            cost = at.gate.cost(partial(load_baseline, weights), steps_read(at.plan), f"baseline {name}", COST_S)
            misses = at.settings.budget.misses(cost)
            if misses:
                at.outcome.infeasible[name] = str(misses[0])
                at.outcome.missed(name, misses)
                at.ledger.record_baseline(name, "infeasible", result, cost, str(misses[0]))
                continue
            at.ledger.record_baseline(name, "complete", result, cost, "")
            at.say(f"  {name}: {at.metric.name} {result.quality:.4f} in {result.seconds:.1f} s")
            config = {"model": model.config.model_dump(mode="json")}
            folds, test = mean_folds((result,)), list(result.test)
            at.outcome.contenders.append(
                Contender(name, True, cost, folds, test, config, weights, result.seconds, None, (result,), (job.key(),))
            )

    def on_everything(self, name: str) -> str | None:
        """Fit a baseline again, on all that the user gave; return its weights, or None where there is no time."""
        at = self.context
        fits = 2 if at.plan.task == "forecast" else at.plan.folds + 1
        took = self._jobs[name][1].result().seconds / fits
        job = self._job(name, at.settings.seed, at.clock.end_of("refit")).model_copy(update={"everything": True})
        if at.clock.until("refit") < took and not at.results.known(job):
            return None
        result = at.results.submit(job).result()
        return None if result.failed else str(weights_of(job.folder, job.key()))

    def finish(self, chosen: Contender) -> Finished:
        """Return the baseline fitted for the last time, on all data where there is time."""
        weights = self.on_everything(chosen.family)
        again = "The kept model was fitted once more on all data."
        as_it_was = "The kept model is the one that was compared; it could not be fitted again on all data."
        model = load_baseline(weights or chosen.weights)
        return Finished(model, 1, chosen.test, (again if weights else as_it_was,))

    def _job(self, name: str, seed: int, deadline: float) -> BaselineJob:
        look_back = look_back_of(self.context.plan)
        folder = str(self.context.results.files)
        return BaselineJob(
            name=name,
            look_back=look_back,
            square_root=self.context.plan.nonnegative,
            seed=seed,
            folder=folder,
            deadline=min(deadline, NEVER),
        )
