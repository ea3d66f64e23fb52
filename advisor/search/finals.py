"""The final: the best candidate of the best families, trained afresh with other seeds and judged on every fold.

By time (forecast) and with many rows every heat is a seed: all are trained on the same part and judged on the same
folds, and may answer together as a committee. With few rows every heat is a fold.

Who was in the final of an earlier part of the run is in this one too, where nothing is left to train for it: the race
of a resumed run has another clock, and may be led by others.
"""

import math
from dataclasses import dataclass

from advisor.choose import margin_of
from advisor.search.context import MOST_STEPS, Context
from advisor.search.gate import Gated
from advisor.search.held_looks import held_looks
from advisor.search.jobs import NetworkJob, Result
from advisor.search.knobs import Knobs
from advisor.search.outcome import Contender, mean_folds
from advisor.search.race import Race
from advisor.search.rungs import FINAL_STEPS
from advisor.search.work import folds_judged

FINALISTS, MORE_FINALISTS, LONG_S = 2, 3, 300.0
"""Families in the final, and in one of a limit of so many seconds or more."""
HOPELESS = {"classify": 0.06, "regress": 0.10, "forecast": 0.05}
"""A family behind by more than this, in accuracy or as a share of the error, cannot win any more."""
SEEDS_BY_TRIALS, MOST_SEEDS = 2, 5
LEAST_HEAT_S, SHORTEST_HEAT_S = 2.0, 0.5
"""A training of the final where there is a choice, and where a late race leaves little but the time of the refit."""
FINAL_SEED = 101
NO_FINAL = "no time was left for its trainings"


@dataclass(frozen=True)
class Heat:
    """One training of the final."""

    fold: int
    seed: int


class Finals:
    """See the module.

    Args:
        context: Of the search.
        race: Whose best they are.
    """

    def __init__(self, context: Context, race: Race) -> None:
        self.context, self.race = context, race

    def seeds(self) -> int:
        """Return the seeds of a final: as many as workers; where steps are counted, the same on every machine."""
        at = self.context
        return SEEDS_BY_TRIALS if at.by_trials else min(MOST_SEEDS, max(2, at.settings.workers))

    def heats(self) -> list[Heat]:
        """Return the trainings of each finalist."""
        at, first = self.context, self.context.settings.seed + FINAL_SEED
        folds = [0] if at.plan.task == "forecast" else list(range(at.plan.folds))
        if len(folds) == 1:
            return [Heat(0, first + s) for s in range(self.seeds())]
        return [Heat(k, first) for k in folds]

    def finalists(self) -> list[Gated]:
        """Return the best candidates of the best families that can still win and, measured again, keep the budget."""
        at, families = self.context, self.race.families()
        found: list[Gated] = []
        most = MORE_FINALISTS if (at.clock.limit_s or 0.0) >= LONG_S else FINALISTS
        for family in families:
            best = self.race.best(family)
            ahead = self.race.best(families[0]).value
            behind = abs(best.value - ahead) / (1.0 if at.plan.task == "classify" else max(abs(ahead), 1e-12))
            if len(found) == most or (found and behind > self._hopeless(ahead)):
                break
            again = self._again(best.gated)
            if again.why:
                at.outcome.infeasible[family] = f"measured again, alone: {again.why}"
                continue
            found.append(again)
        return found

    def _again(self, gated: Gated) -> Gated:
        """Return a candidate measured again, alone."""
        at, name = self.context, f"final {gated.family} {gated.knobs.model_dump_json()}"
        cost = at.gate.cost(gated.config.build, gated.cost.length, name)
        return Gated(gated.family, gated.knobs, gated.config, cost, at.settings.budget.misses(cost))

    def ready(self) -> list[tuple[Gated, list[NetworkJob]]]:
        """Return the finalists of earlier parts of the run whose trainings are all there, and these.

        Where trials are counted the race is the same again, and so are those whom it sends.
        """
        at = self.context
        found: list[tuple[Gated, list[NetworkJob]]] = []
        for trial in [] if at.by_trials else at.outcome.trials:
            if trial.family not in at.families or at.gate.why_never(trial.family):
                continue
            gated = at.gate.admitted(trial.family, Knobs.model_validate(trial.config["knobs"]))
            if gated and not gated.why and (jobs := self._trained(gated)) and not (again := self._again(gated)).why:
                found.append((again, jobs))
        return found

    def _trained(self, gated: Gated) -> list[NetworkJob]:
        """Return the trainings of a finalist of before, those that went on the longest (see `go_on`); else nothing."""
        found: list[NetworkJob] = []
        jobs = [self._job(gated, heat, SHORTEST_HEAT_S) for heat in self.heats()]
        while all((known := self.context.results.known(job)) and not known.failed for job in jobs):
            found = jobs
            longer = zip(self.heats(), found, strict=True)
            jobs = [self._job(gated, heat, SHORTEST_HEAT_S, goes_on=job.key()) for heat, job in longer]
        return found

    def _hopeless(self, ahead: float) -> float:
        at = self.context
        if at.plan.task != "classify":
            return HOPELESS[at.plan.task]
        one_fold = len(at.problem.rows) // at.plan.folds
        return max(HOPELESS["classify"], 2 * margin_of(at.plan, ahead, one_fold))

    def run(self) -> None:
        """Train and judge; what comes out are contenders."""
        at, heats, ready = self.context, self.heats(), self.ready()
        known = [(g.family, g.knobs) for g, _ in ready]
        fresh = [g for g in self.finalists() if (g.family, g.knobs) not in known]
        while len(fresh) > 1 and self._heat_s(fresh) < LEAST_HEAT_S:
            fresh.pop()
        seconds = None if at.by_trials or not fresh else max(SHORTEST_HEAT_S, self._heat_s(fresh))
        if seconds is not None and seconds * self._rounds(fresh) > at.clock.until("refit"):
            self._drop()
            fresh = []
        if fresh:
            how = f"{len(heats)} fresh trainings each" + (f", {seconds:.1f} s" if seconds is not None else "")
            at.say(f"final: {', '.join(g.family for g in fresh)}; {how}")
        if ready:
            at.say(f"final: {', '.join(g.family for g, _ in ready)}; trained in an earlier part of the run")
        finalists = [(g, [self._job(g, heat, seconds) for heat in heats]) for g in fresh] + ready
        running = [[at.results.submit(job) for job in jobs] for _, jobs in finalists]
        for (gated, jobs), futures in zip(finalists, running, strict=True):
            self._judge(gated, jobs, [future.result() for future in futures])

    def _heat_s(self, finalists: list[Gated]) -> float:
        """Return the seconds that each training of the final may take; where steps are counted, no limit."""
        return math.inf if self.context.by_trials else self.context.clock.until("final") / self._rounds(finalists)

    def _rounds(self, finalists: list[Gated]) -> int:
        return math.ceil(len(finalists) * len(self.heats()) / self.context.settings.workers)

    def _drop(self) -> None:
        """Say that there is no final; no family is beaten by that."""
        self.context.say(f"final: {NO_FINAL}")
        for family in self.race.families():
            self.context.outcome.not_tried.setdefault(family, NO_FINAL)

    def go_on(self, contender: Contender, ahead: float) -> bool:
        """Train the heats of a network longer where a baseline is ahead, but not out of reach; return whether done.

        Not where the folds are scored by `held_looks`: the earlier looks are gone, and without them the folds that pick
        the weights would flatter them.

        Half of the time that is left is for this; the rest is for the last training, should the network win.

        Args:
            contender: The best network.
            ahead: Quality of the baseline.
        """
        at, heats = self.context, self.heats()
        behind = abs(contender.mean - ahead) / (1.0 if at.plan.task == "classify" else max(abs(ahead), 1e-12))
        seconds = 0.5 * at.clock.until("refit") / math.ceil(len(heats) / at.settings.workers)
        settled = all(heat.settled for heat in contender.heats)
        if at.by_trials or settled or self._held() or behind > self._hopeless(ahead) or seconds < LEAST_HEAT_S:
            return False
        assert contender.gated is not None
        at.say(f"final: {contender.family} is close behind and goes on, {seconds:.1f} s each")
        jobs = [
            self._job(contender.gated, heat, seconds + result.seconds, goes_on=key)
            for heat, key, result in zip(heats, contender.keys, contender.heats, strict=True)
        ]
        results = [future.result() for future in [at.results.submit(job) for job in jobs]]
        if any(result.failed for result in results):
            return False
        at.outcome.contenders.remove(contender)
        self._judge(contender.gated, jobs, results)
        return True

    def _held(self) -> bool:
        """Return whether the looks of a heat are kept."""
        at = self.context
        parts = {k: at.problem.judged(k, 1) for k in folds_judged(at.plan, 0)}
        return held_looks(at.plan.task, parts, goes_on=False) is not None

    def _job(self, gated: Gated, heat: Heat, seconds: float | None, goes_on: str | None = None) -> NetworkJob:
        at = self.context
        steps = FINAL_STEPS if at.by_trials else MOST_STEPS
        # the seconds bound the training; scoring every unit comes after it, so the deadline is that of the next phase
        return at.network_job(gated, heat.fold, heat.seed, "refit", seconds, steps, goes_on=goes_on, judged=True)

    def _judge(self, gated: Gated, jobs: list[NetworkJob], results: list[Result]) -> None:
        at = self.context
        if failed := next((r for r in results if r.failed), None):
            where = at.outcome.infeasible if failed.infeasible else at.outcome.not_tried
            where[gated.family] = f"a training of the final failed: {failed.failed}"
            return
        folds = mean_folds(tuple(results))
        test = [sum(scores) / len(scores) for scores in zip(*(r.test for r in results), strict=True)]
        config = {"model": gated.config.model_dump(mode="json"), "knobs": gated.knobs.model_dump(mode="json")}
        spent = sum(r.seconds for r in results)
        one = Contender(
            gated.family,
            False,
            gated.cost,
            folds,
            test,
            config,
            str(jobs[0].weights()),
            spent,
            gated,
            heats=tuple(results),
            keys=tuple(job.key() for job in jobs),
            asked_s=results[0].asked_s,
        )
        at.say(f"  {one.family}: {at.metric.name} {one.mean:.4f} over {len(results)} trainings")
        other = next((c for c in at.outcome.contenders if c.family == one.family), None)
        if other:  # another configuration of the family; of equally good ones the cheaper stays
            dearer = other.mean == one.mean and one.cost.flops >= other.cost.flops
            if dearer or at.metric.better(other.mean, one.mean):
                return
            at.outcome.contenders.remove(other)
        at.outcome.contenders.append(one)
