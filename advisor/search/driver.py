"""The search: cost gate, baselines, a fair start for every family, refinement of the best, finals, refit.

With a time limit, phases end by the clock and candidates train for equal seconds. With a number of trials, every
training has the same number of steps and candidates are asked in generations of fixed size, so that the same seed
gives the same answer whatever the number of workers.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait

import numpy as np
import optuna
from torch import nn

from advisor import baselines, metrics
from advisor.runs import Run
from advisor.search.clock import Clock
from advisor.search.executors import NO_TIME, LocalPool
from advisor.search.gate import Gated, admit, admit_or_shrink, cost_of
from advisor.search.jobs import BaselineJob, NetworkJob, Result
from advisor.search.knobs import Knobs
from advisor.search.ledger import Ledger
from advisor.search.order import in_turns
from advisor.search.outcome import Contender, Outcome, load_baseline
from advisor.search.problem import Problem
from advisor.search.recipes import training
from advisor.search.recipes.forecast import look_back_of
from advisor.search.studies import Studies
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.cost import Cost
from profiles.target import Target

GENERATION = 4
STEPS_BY_TRIALS = 200
MOST_STEPS = 20_000
LEAST_SHARE_S = 2.5
START_SHARE, START_SHARE_S = 0.05, 20.0
"""A family starts only if it can train for this share of the limit, or so many seconds: better few that learn."""
LEAST_BASELINES_S = 8.0
"""The baselines get this long, however short the limit."""
MOST_FINALISTS = 3
SEEDS_BY_TIME = 2
NEVER = 1e15
"""A deadline that JSON can hold and that never comes."""


class Search:
    """One search over one problem; call `explore`, then `final`, then `refit` for the chosen contender."""

    def __init__(
        self,
        problem: Problem,
        *,
        families: tuple[str, ...],
        budget: Budget,
        device: str,
        clock: Clock,
        run: Run,
        seed: int,
        trials: int | None,
        workers: int,
        say: Callable[[str], None],
        target: Target | None = None,
    ) -> None:
        self.problem, self.plan = problem, problem.plan
        self.families, self.budget, self.device, self.target = families, budget, device, target
        self.clock, self.run, self.seed, self.say = clock, run, seed, say
        self.most_trials, self.workers = trials, workers
        self.metric = metrics.METRICS[self.plan.task]
        self.outcome = Outcome(trials=run.trials())
        self.ledger = Ledger(run, self.outcome.trials, budget, seed)
        self.studies = Studies(run.path / "study.journal", self.plan, self.metric.higher_is_better, seed)
        self.best: dict[str, tuple[float, Gated, str]] = {}
        self.pool = LocalPool(run.work, workers, 1, run.path / "log.txt")
        if budget.max_latency_ms is None:  # else the gate must measure on a quiet machine
            self.pool.start()
        self.share_s: float | None = None
        self._jobs: dict[Future[Result], tuple[int, str]] = {}

    def gate(self) -> dict[str, Gated]:
        """Return the start of every family that can keep the budget; the others are recorded with their numbers."""
        admitted: dict[str, Gated] = {}
        worst: list[tuple[float, str, str]] = []
        done = {t.family for t in self.outcome.trials if not t.baseline}
        started = {t.family for t in self.outcome.trials if t.state == "complete"}
        room = self._starters()
        for family in in_turns(self.families):
            row = FAMILIES[family]
            if row.needs:
                self.outcome.not_tried[family] = f"it needs {row.needs}"
                continue
            if self.budget.streaming and not row.streams:
                self.outcome.infeasible[family] = "it wants the whole sequence, or a past that grows (STR1)"
                continue
            if self.target and (why := self.target.cannot_run(family)):
                self.outcome.infeasible[family] = f"it cannot run on {self.target.name}: {why} (HW1)"
                continue
            if family not in started:
                if room < 1:
                    self.outcome.not_tried[family] = self._no_room()
                    continue
                room -= 1
            tried = admit_or_shrink(family, self.plan, self.budget, self.device, self.target)
            for one in tried:
                if one.misses and family not in done:
                    self.ledger.record(one, "infeasible", reason=str(one.misses[0]))
            last = tried[-1]
            if last.misses:
                room += family not in started
                self.outcome.infeasible[family] = f"even its smallest: {last.misses[0]}"
                worst.append((last.excess, family, str(last.misses[0])))
            else:
                admitted[family] = last
        if worst:
            self.outcome.nearest = min(worst)[1:]
        return admitted

    def cost(self, model: nn.Module, length: int, seconds: float) -> Cost:
        """Return what one answer costs, on the target device where there is one."""
        return cost_of(model, length, self.budget, self.device, seconds, self.target)

    def _admit(self, family: str, knobs: Knobs) -> Gated:
        return admit(family, knobs, self.plan, self.budget, self.device, target=self.target)

    def _starters(self) -> int:
        """Return how many families the time or the number of trials lets start."""
        if self.most_trials is not None:
            return self.most_trials
        least_s = max(LEAST_SHARE_S, min(START_SHARE_S, START_SHARE * (self.clock.limit_s or 0.0)))
        return int(self.clock.lasts("start") / least_s) * self.workers

    def _no_room(self) -> str:
        if self.most_trials is not None:
            return f"the {self.most_trials} trials were used up"
        return "no time was left to train it; the advised families of each kind start first"

    def explore(self, admitted: dict[str, Gated]) -> None:
        """Run the baselines, give every admitted family its start, refine the best."""
        self.pool.start()
        self._take_up(admitted)
        self._baselines()
        self._fair_start({f: g for f, g in admitted.items() if f not in self.best})
        self._refine()

    def _take_up(self, admitted: dict[str, Gated]) -> None:
        """Take up what an earlier part of this run has finished."""
        for trial in self.outcome.trials:
            weights = self.run.work / f"trial-{trial.number}.safetensors"
            if trial.state == "complete" and not trial.baseline and trial.family in admitted and weights.exists():
                gated = self._admit(trial.family, Knobs(**trial.config["knobs"]))
                self._keep_best(trial.family, trial.quality, gated, str(weights))

    def _baselines(self) -> None:
        look_back = look_back_of(self.plan)
        deadline = max(self.clock.end_of("baselines"), time.monotonic() + LEAST_BASELINES_S)
        names = baselines.names(self.plan.task)
        self.say(f"baselines: {', '.join(names)}")
        jobs = {}
        for name in names:
            save = str(self.run.work / f"baseline-{name}.safetensors")
            job = BaselineJob(name=name, look_back=look_back, seed=self.seed, save=save, deadline=min(deadline, NEVER))
            jobs[name] = (job, self.pool.submit(job))
        for name, (job, future) in jobs.items():
            result = future.result()
            if result.failed:
                self.outcome.not_tried[name] = result.failed
                self.ledger.record_baseline(name, "failed", result, None, result.failed)
                continue
            model = load_baseline(job.save)
            for note in model.config.notes:
                self.say(f"  {note}")
            length = look_back if self.plan.task == "forecast" else self.plan.length
            cost = self.cost(model, length, 0.05)
            misses = self.budget.misses(cost)
            if misses:
                self.outcome.infeasible[name] = str(misses[0])
                self.outcome.nearest = self.outcome.nearest or (name, str(misses[0]))
                self.ledger.record_baseline(name, "infeasible", result, cost, str(misses[0]))
                continue
            self.ledger.record_baseline(name, "complete", result, cost, "")
            mean = float(np.mean(list(result.folds.values())))
            self.say(f"  {name}: {self.metric.name} {mean:.4f} in {result.seconds:.1f} s")
            config = {"model": model.config.model_dump(mode="json")}
            self.outcome.contenders.append(
                Contender(name, True, cost, result.folds, list(result.test), config, job.save, result.seconds)
            )

    def _fair_start(self, admitted: dict[str, Gated]) -> None:
        order = list(admitted)
        left = self.clock.until("start")
        if self.most_trials is not None:
            fit = max(0, self.most_trials - self.ledger.trained())
        else:
            fit = int(left / LEAST_SHARE_S) * self.workers
        for family in order[fit:]:
            self.outcome.not_tried[family] = self._no_room()
        order = order[:fit]
        if not order:
            return
        if self.most_trials is None:
            self.share_s = left / math.ceil(len(order) / self.workers)
        how = f"{self.share_s:.0f} s each" if self.share_s else f"{STEPS_BY_TRIALS} steps each"
        self.say(f"fair start: {', '.join(order)}; {how}")
        running = {}
        for family in order:
            trial, _ = self.studies.ask(family, admitted[family].knobs)
            gated = admitted[family]
            running[self._launch(gated, self.clock.end_of("start"))] = (trial, gated)
        self._collect(running)

    def _refine(self) -> None:
        while self.best and self._may_refine():
            rank = sorted(self.best, key=lambda f: self._order(self.best[f][0]))
            live = rank[: max(2, math.ceil(len(rank) / 2))]
            room = GENERATION if self.most_trials is None else min(GENERATION, self.most_trials - self.ledger.trained())
            running: dict[Future[Result], tuple[optuna.Trial, Gated]] = {}
            counts = {f: sum(t.family == f for t in self.outcome.trials) for f in live}
            size = self.workers if self.most_trials is None else room
            refused = 0
            while len(running) < size and refused < 20:
                family = min(live, key=lambda f: (counts[f], live.index(f)))
                counts[family] += 1
                trial, knobs = self.studies.ask(family)
                gated = self._admit(family, knobs)
                if gated.misses:
                    refused += 1
                    self.ledger.record(gated, "infeasible", reason=str(gated.misses[0]))
                    self.studies.tell(family, trial, None, gated.excess)
                    continue
                running[self._launch(gated, self.clock.end_of("refine"))] = (trial, gated)
            if not running:
                return
            self._collect(running)

    def _may_refine(self) -> bool:
        if self.most_trials is not None:
            return self.ledger.trained() < self.most_trials
        return self.share_s is not None and self.clock.until("refine") >= max(LEAST_SHARE_S, 0.6 * self.share_s)

    def final(self) -> None:
        """Train the best candidate of the best families afresh and score it on every fold."""
        rank = sorted(self.best, key=lambda f: self._order(self.best[f][0]))
        finalists: list[Gated] = []
        for family in rank:
            gated = self.best[family][1]
            cost = self.cost(gated.config.build(), gated.cost.length, 0.2)
            misses = self.budget.misses(cost)
            if misses:
                self.outcome.infeasible[family] = f"measured again, alone: {misses[0]}"
                continue
            finalists.append(Gated(family, gated.knobs, gated.config, cost, ()))
        finalists = finalists[:MOST_FINALISTS]
        if not finalists:
            return
        by_time = self.plan.task == "forecast"
        heats = [(0, self.seed + 101 + s) for s in range(SEEDS_BY_TIME)] if by_time else [
            (k, self.seed + 101) for k in range(self.plan.folds)
        ]  # fmt: skip
        seconds = None
        if self.most_trials is None:
            while finalists:
                rounds = math.ceil(len(finalists) * len(heats) / self.workers)
                seconds = self.clock.until("final") / rounds
                if seconds >= LEAST_SHARE_S or len(finalists) == 1:
                    break
                finalists.pop()
            if self.share_s:
                seconds = min(seconds or 0.0, 2 * self.share_s)
        self.say(f"final: {', '.join(g.family for g in finalists)}; {len(heats)} fresh trainings each")
        running = {}
        for gated in finalists:
            for i, (fold, seed) in enumerate(heats):
                save = str(self.run.work / f"final-{gated.family}-{i}.safetensors")
                job = self._job(gated, fold, seed, seconds, save, self.clock.end_of("final"), test=True)
                running[gated.family, i] = (job, self.pool.submit(job))
        for gated in finalists:
            results = [running[gated.family, i][1].result() for i in range(len(heats))]
            failed = next((r.failed for r in results if r.failed), "")
            if failed:
                self.outcome.not_tried[gated.family] = f"a training of the final failed: {failed}"
                continue
            folds = {
                k: float(np.mean([r.folds[k] for r in results if k in r.folds]))
                for k in sorted({k for r in results for k in r.folds})
            }
            test = list(np.mean([r.test for r in results], axis=0))
            config = {"model": gated.config.model_dump(mode="json"), "knobs": gated.knobs.model_dump()}
            weights = running[gated.family, 0][0].save
            spent = sum(r.seconds for r in results)
            self.outcome.contenders.append(
                Contender(gated.family, False, gated.cost, folds, test, config, weights, spent, gated)
            )

    def refit(self, chosen: Contender) -> tuple[str, list[float]]:
        """Train the chosen network on everything but the test part; return its weights and test scores.

        A forecaster goes on from the weights of the final; a classifier or regressor begins anew. Where no time is
        left, or the training fails, the weights of the final are kept.
        """
        assert chosen.gated is not None
        by_time = self.plan.task == "forecast"
        seconds = None
        if self.most_trials is None:
            seconds = self.clock.until("refit")
            if not by_time and self.share_s:
                seconds = min(seconds, 2 * self.share_s)
            if seconds < 1.0:
                self.say("refit: no time was left; the weights of the final are kept")
                return chosen.weights, chosen.test
        self.say(f"refit: {chosen.family} on everything but the test part")
        save = str(self.run.work / "refit.safetensors")
        job = self._job(
            chosen.gated, None, self.seed + 201, seconds, save, self.clock.end_of("refit"), test=True
        ).model_copy(update={"start": chosen.weights if by_time else None})
        result = self.pool.submit(job).result()
        if result.failed:
            self.say(f"refit failed ({result.failed}); the weights of the final are kept")
            return chosen.weights, chosen.test
        return save, list(result.test)

    def close(self) -> None:
        """Stop the workers."""
        self.pool.close()

    def _order(self, quality: float) -> float:
        return -quality if self.metric.higher_is_better else quality

    def _job(
        self,
        gated: Gated,
        fold: int | None,
        seed: int,
        seconds: float | None,
        save: str,
        deadline: float,
        test: bool = False,
    ) -> NetworkJob:
        units = len(self.problem.rows)
        steps = MOST_STEPS if self.most_trials is None else STEPS_BY_TRIALS
        return NetworkJob(
            model=gated.config,
            train=training(gated.family, gated.knobs, self.plan, units, seconds, steps),
            seed=seed,
            fold=fold,
            save=save,
            test=test,
            deadline=min(deadline, NEVER),
            device=self.device,
        )

    def _launch(self, gated: Gated, deadline: float) -> "Future[Result]":
        number = max([self.ledger.next_number(), *(n + 1 for n, _ in self._jobs.values())])
        save = str(self.run.work / f"trial-{number}.safetensors")
        job = self._job(gated, 0, self.seed, self.share_s, save, deadline)
        future = self.pool.submit(job)
        self._jobs[future] = (number, save)
        return future

    def _collect(self, running: "dict[Future[Result], tuple[optuna.Trial, Gated]]") -> None:
        """Record results; with a number of trials in the order asked, with a clock as they come."""
        todo = dict(running)
        while todo:
            if self.most_trials is None:
                done = sorted(wait(todo, return_when=FIRST_COMPLETED).done, key=lambda f: self._jobs[f][0])
            else:
                done = list(todo)
            for future in done:
                trial, gated = todo.pop(future)
                number, save = self._jobs.pop(future)
                self._finish(number, save, trial, gated, future.result())

    def _finish(self, number: int, save: str, trial: optuna.Trial, gated: Gated, result: Result) -> None:
        if result.failed == NO_TIME:
            self.outcome.not_tried.setdefault(gated.family, NO_TIME)
            self.studies.tell(gated.family, trial, None)
            return
        if result.failed:
            self.ledger.record(gated, "failed", result, reason=result.failed, number=number)
            self.studies.tell(gated.family, trial, None)
            self.say(f"  {gated.family}: failed, {result.failed}")
            return
        quality = float(np.mean(list(result.folds.values())))
        self.ledger.record(gated, "complete", result, quality=quality, number=number)
        self.studies.tell(gated.family, trial, quality)
        self._keep_best(gated.family, quality, gated, save)
        stat = self.budget.latency_stat
        cost = f"{gated.cost.latency_ms(stat):.2f} ms {stat}, {result.steps} steps in {result.seconds:.1f} s"
        self.say(f"  {gated.family}: {self.metric.name} {quality:.4f}, {cost}")

    def _keep_best(self, family: str, quality: float | None, gated: Gated, save: str) -> None:
        if quality is not None and (family not in self.best or self.metric.better(quality, self.best[family][0])):
            self.best[family] = (quality, gated, save)
