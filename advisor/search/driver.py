"""The search: baselines and a race of all families, a final of the best, and the last training of the chosen.

With a time limit, phases end by the clock and candidates train for seconds. With a number of trials, trainings have
fixed steps and are decided on in generations of fixed size, so that the same seed gives the same answer whatever the
number of workers. Whatever is finished is on disk and is not done twice (`results`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from advisor.choose import Choice, choose
from advisor.data_size import DataSizeCurve
from advisor.naive import AgainstNaive, beats_naive
from advisor.runs import Run
from advisor.search.amounts import Amounts
from advisor.search.baseline_round import BaselineRound
from advisor.search.clock import Clock
from advisor.search.context import Context, Settings
from advisor.search.ensembles import Ensembles
from advisor.search.executors import LocalPool
from advisor.search.finals import Finals
from advisor.search.knobs import Knobs
from advisor.search.outcome import Contender, unit_scores
from advisor.search.problem import Plan, Problem
from advisor.search.race import Race
from advisor.search.racing import Racing
from advisor.search.refit import Finished, Refit
from hybrids import SequenceModel
from hybrids.committee import Committee
from profiles.budget import Miss
from profiles.cost import Cost
from profiles.target import Target

LAST_S = 0.06
"""Seconds of timing, each round, of a model that is finished: the time for the search is over."""


class Search:
    """One search over one problem: `begin`, `explore`, `choose`, `finish`, and `close` in any case.

    Args:
        problem: Saved in the run folder already.
        settings: What was asked.
        clock: Of the run.
        run: The run folder.
        say: Told a line at a time what happens.
    """

    def __init__(
        self, problem: Problem, settings: Settings, clock: Clock, run: Run, say: Callable[[str], None]
    ) -> None:
        run.work.mkdir(parents=True, exist_ok=True)
        pool = LocalPool(run.work, settings.workers, 1, run.path / "log.txt", lambda: clock.end_of("refit"))
        self.context = Context(problem, settings, clock, run, say, pool)
        self.outcome = self.context.outcome
        self._baselines = BaselineRound(self.context)
        self._begun = self._joined = False
        self.race: Race | None = None

    @property
    def plan(self) -> Plan:
        """Return the facts of the problem."""
        return self.context.plan

    def load(self) -> None:
        """Let the workers load, unless something must be measured in quiet first."""
        if not self.context.gate.needs_quiet:
            self.context.pool.start()

    def begin(self) -> None:
        """Start the workers on the baselines, unless the gate must measure in quiet first."""
        if not self.context.gate.needs_quiet and not self._begun:
            self._begin_now()

    def _begin_now(self) -> None:
        self._begun = True
        self.context.clock.open()
        self.context.pool.start()
        self._baselines.begin()

    def explore(self, families: tuple[str, ...], given: dict[str, list[Knobs]], target: Target | None = None) -> bool:
        """Race, then hold the final; return whether there is a contender.

        Args:
            families: That may race, in the order of the advice.
            given: Family -> configurations from earlier runs, to try after its default.
            target: The device that the model is for, if another.
        """
        at = self.context
        at.families, at.gate.target = families, target
        at.clock.open()
        racing = Racing(at, given)
        admitted = racing.start()
        if not self._begun:
            self._begin_now()
        if admitted:
            racing.run()
            self.race = racing.race
            at.clock.race_is_over()
            if at.gate.needs_quiet:  # finalists are measured again
                self._baselines.take_up()
            Finals(at, self.race).run()
        self._baselines.take_up()
        return bool(self.outcome.contenders)

    def choose(self) -> Choice[Contender]:
        """Choose among the contenders, after the first call with the ensemble of them.

        A network that is close behind a baseline is first given more time.
        """
        choice, race = self._choose(), self.race
        if self._joined:
            return choice
        self._joined = True
        networks = [c for c in self.outcome.contenders if not c.baseline]
        if choice.chosen.baseline and networks and race is not None:
            best = min(networks, key=lambda c: race.order(c.mean))
            Finals(self.context, race).go_on(best, choice.best.mean)
        Ensembles(self.context, self._baselines).propose()
        return self._choose()

    def _choose(self) -> Choice[Contender]:
        """Choose among the contenders; where networks alone were asked for, among them, if there are any."""
        at = self.context
        contenders = self.outcome.contenders
        if at.settings.networks_only:
            contenders = [c for c in contenders if not c.baseline] or contenders
        return choose(contenders, at.plan, len(at.problem.rows), unit_scores(contenders, at.problem))

    def amounts(self) -> DataSizeCurve | None:
        """Return the quality of the two best against the amount of data, where there is time for it."""
        return Amounts(self.context).run(self.outcome.contenders)

    def against_naive(self) -> AgainstNaive | None:
        """Return whether anything beats the naive answer by more than chance."""
        at, contenders = self.context, self.outcome.contenders
        return beats_naive(contenders, at.plan, len(at.problem.rows), unit_scores(contenders, at.problem))

    def finish(self, chosen: Contender) -> tuple[Contender, Finished]:
        """Train the chosen for the last time, on all data; return it with its final cost and scores, and its model."""
        at = self.context
        if chosen.parts:
            done = Ensembles(at, self._baselines).finish(chosen)
        elif chosen.gated is not None:
            done = Refit(at, chosen).run()
        else:
            done = self._baselines.finish(chosen)
        for line in done.says:
            at.say(f"  {line}")
        cost = self._cost_again(done.model, chosen)
        missed = at.settings.budget.misses(cost)
        if missed and isinstance(done.model, Committee):
            says = f"Measured again, {done.members} networks break the budget together ({missed[0]}); one is kept."
            at.say(f"  {says}")
            alone = done.model.members[0]
            assert isinstance(alone, SequenceModel)
            done = Finished(alone, 1, chosen.test, (*done.says, says))
            cost = self._cost_again(alone, chosen)
        config = {**chosen.config, "model": done.model.config.model_dump(mode="json")}
        return replace(chosen, cost=cost, test=done.test, config=config), done

    def _cost_again(self, model: nn.Module, chosen: Contender) -> Cost:
        """Return the cost of a finished model; one that misses the budget is measured twice, as a latency is noisy."""
        cost = self.cost(model, chosen.cost.length, LAST_S)
        budget = self.context.settings.budget
        return self.cost(model, chosen.cost.length, LAST_S) if budget.misses(cost) else cost

    def put_aside(self, chosen: Contender, misses: Sequence[Miss]) -> bool:
        """Take a contender out of the choice that broke the budget in the end; return whether one is left.

        Args:
            chosen: As it was chosen.
            misses: What it broke, measured again.
        """
        outcome, why = self.outcome, str(misses[0])
        for gone in [c for c in outcome.contenders if c is chosen or any(part is chosen for part in c.parts)]:
            outcome.contenders.remove(gone)
            part = "" if gone is chosen else f"its part {chosen.family}, "
            outcome.infeasible[gone.family] = f"{part}measured again after training: {why}"
        outcome.missed(chosen.family, misses)
        self.context.say(f"  {chosen.family}: {why}, measured again; the next best is taken")
        return bool(outcome.contenders)

    def cost(self, model: nn.Module, length: int, seconds: float) -> Cost:
        """Return what one answer costs, on the target device where there is one."""
        return self.context.gate.cost(lambda: model, length, seconds=seconds)

    def close(self) -> None:
        """Stop the workers."""
        self.context.pool.close()
