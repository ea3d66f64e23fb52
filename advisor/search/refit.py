"""The last training: the chosen one on all data, by all workers, as a committee where that is allowed.

W workers train W members. Where one training ends long before the time does, there are more, in rounds, up to
`MOST_MEMBERS`; forecasters are first trained from further seeds as in the final. Those that go on from the final's
weights get W more members where the time does for it: one round more as in the final, then shorter last trainings. A
committee is scored before the last training, made of the trainings of the final, so that the reported quality is of the
same kind of model as the one that is kept; its cost is measured against the budget.

A forecaster goes on from the weights of the final; a classifier or regressor begins anew, and has more members rather
than much longer trainings. Where the final's trainings were best long before their end, more training would only learn
by heart: the last one then begins anew, follows the same course of the learning rate, and ends as early; where accuracy
is the score, too coarse to say how early, it is as long as those.

In a resumed run, members that an earlier part of it has trained are taken, however little time is left.
"""

from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from advisor.baselines import Baseline
from advisor.ensemble import Ensemble
from advisor.search.context import MOST_STEPS, NEVER, Context
from advisor.search.finals import FINAL_SEED, SEEDS_BY_TRIALS
from advisor.search.gate import Gated
from advisor.search.jobs import CommitteeJob, NetworkJob, Result, weights_of
from advisor.search.outcome import Contender
from advisor.search.recipes.rows import batch_of
from advisor.search.rungs import FINAL_STEPS
from advisor.search.work import committee
from hybrids import SequenceModel
from hybrids.committee import Committee, CommitteeConfig

REFIT_SEED = 201
LEAST_REFIT_S = 1.0
MOST_MEMBERS = 6
"""Of a committee, where nobody asked for another number: the mean of six is within a sixth of what any number gains."""
SURE = 0.9
"""Share of the time that is left which further members may be planned into."""
AS_LONG = 0.7
"""Share of the final's training below which a last training from nothing would not be the model that was scored."""
ENOUGH, PASSES = 2.0, 20
"""Times the final's training, and passes over the data, of a last one from nothing before there are more members."""
EARLY = 0.7
"""Where the best score of a training was before this share of it, it went on for too long."""
SHORT = 0.5
"""Share of the final's training below which more members, that go on from its weights, would learn too little."""
LONGER = 1.1
"""Steps of the last training over those of the best score: it has more to learn from."""


@dataclass(frozen=True)
class Finished:
    """The model that is kept.

    Attributes:
        model: Trained.
        members: Networks that answer together; 1: it is no committee.
        test: Its scores on the test part, before the last training saw that part.
        says: What was done, in sentences.
    """

    model: SequenceModel | Committee | Baseline | Ensemble
    members: int
    test: list[float]
    says: tuple[str, ...]


class Refit:
    """See the module.

    Args:
        context: Of the search.
        share: Of the time that is left, which it may take.
        members: How many there must be, as in the ensemble that they were scored in; None: as many as pay.
    """

    def __init__(self, context: Context, share: float = 1.0, members: int | None = None) -> None:
        self.context, self.share, self.members = context, share, members

    def _left_s(self) -> float:
        return self.share * self.context.clock.until("refit")

    def run(self, chosen: Contender) -> Finished:
        """Train the chosen network for the last time."""
        assert chosen.gated is not None
        gated, at = chosen.gated, self.context
        keys = chosen.keys if self.members else self._further(gated, chosen)
        ready = self._ready(gated, keys, chosen)
        members, judged, says = self._committee(gated, chosen, keys, ready)
        short = self._short(chosen, members - ready)
        if short and ready and not self.members:
            keys, short = keys[:ready], ""
            members, judged, says = self._committee(gated, chosen, keys, ready)
        test = list(judged.test) if judged else chosen.test
        if short:
            says.append(f"{short}; the weights of the final are kept.")
            return self._finished(gated, list(keys[:members]), test, says)
        if members > ready:
            early = f", {self._steps(chosen)[0]} steps at most" if self._steps(chosen)[1] else ""
            at.say(f"refit: {members} x {gated.family} on all data{early}")
        jobs = self._jobs(gated, keys, chosen, members)
        results = [future.result() for future in [at.results.submit(job) for job in jobs]]
        if failed := next((r.failed for r in results if r.failed), ""):
            says.append(f"The last training on all data failed ({failed}); the weights of the final are kept.")
            return self._finished(gated, list(keys[:members]), test, says)
        own = "the test part included, after it had been scored" if at.plan.test_is_own else "but the test file"
        says.append(f"The kept model was trained once more on all data, {own}.")
        return self._finished(gated, [job.key() for job in jobs], test, says)

    def _short(self, chosen: Contender, trainings: int) -> str:
        """Return in words why there is no time for so many last trainings; empty where there is."""
        if self.context.by_trials or trainings <= 0:
            return ""
        seconds, needed_s = self._left_s(), self._needed_s(chosen)
        if seconds < LEAST_REFIT_S:
            return "No time was left for a last training on all data"
        if needed_s > seconds / self._rounds(trainings):
            as_long = f"a last training as long as those of the final ({needed_s:.0f} s)"
            return f"The {seconds:.0f} s that were left would not do for {as_long}"
        return ""

    def _ready(self, gated: Gated, keys: tuple[str, ...], chosen: Contender) -> int:
        """Return how many members an earlier part of the run has trained for the last time."""
        if self.context.by_trials:  # as many again, without asking
            return 0
        return self._known(self._jobs(gated, keys, chosen, len(keys)))

    def _known(self, jobs: list[NetworkJob]) -> int:
        """Return how many of the jobs, from the first on, were done by an earlier part of the run."""
        done = ((found := self.context.results.known(job)) and not found.failed for job in jobs)
        return sum(1 for _ in takewhile(bool, done))

    def _finished(self, gated: Gated, keys: list[str], test: list[float], says: list[str]) -> Finished:
        model = committee(gated.config, [weights_of(self.context.results.files, key) for key in keys])
        return Finished(model, len(keys), test, tuple(says))

    def _further(self, gated: Gated, chosen: Contender) -> tuple[str, ...]:
        """Return the keys of the final's trainings, and of further ones where seeds share folds and there is time."""
        at, keys = self.context, chosen.keys
        if at.by_trials or not self._by_seed(chosen):
            return keys
        jobs = [
            at.network_job(
                gated,
                0,
                at.settings.seed + FINAL_SEED + i,
                "refit",
                chosen.asked_s,
                MOST_STEPS,
                judged=True,
            )
            for i in range(len(keys), max(MOST_MEMBERS, at.settings.committee or 0))
        ]
        known = (*keys, *(job.key() for job in jobs[: self._known(jobs)]))
        ready = max(len(keys), self._ready(gated, known, chosen))
        most = min(self._most(chosen, ready), max(ready, len(keys) + self._time_for(chosen, len(keys))))
        count = (self._allowed(gated, most) if most > len(keys) else 0) - len(keys)
        if count < 1:
            return keys
        if most > ready:
            at.say(f"refit: {count} more trainings of {gated.family} as in the final, for a larger committee")
        jobs = jobs[:count]
        results = [future.result() for future in [at.results.submit(job) for job in jobs]]
        return (*keys, *(job.key() for job, result in zip(jobs, results, strict=True) if not result.failed))

    def _time_for(self, chosen: Contender, members: int) -> int:
        """Return how many further trainings there is time for, the last ones of them all included.

        Args:
            chosen: What is trained.
            members: Trained in the final.
        """
        workers, left_s = self.context.settings.workers, SURE * self._left_s()
        if self._goes_on(chosen):
            last_s = self._rounds(members + workers) * self._least_s(chosen)
            enough = 0 < last_s <= left_s - (chosen.asked_s or 0.0)
            return workers if enough and members + workers <= MOST_MEMBERS else 0
        last_s = self._enough_s(chosen)
        heat_s = max(heat.seconds for heat in chosen.heats)  # patience ended them; it will end the others
        spare_s = left_s - self._rounds(members) * last_s
        return max(0, int(spare_s / (heat_s + last_s))) * workers

    def _goes_on(self, chosen: Contender) -> bool:
        """Return whether the last training begins with the weights of the final."""
        return self.context.plan.task == "forecast" and not self._steps(chosen)[1]

    def _least_s(self, chosen: Contender) -> float:
        """Return the least seconds of a last training that goes on; 0 where steps are counted."""
        return SHORT * (chosen.asked_s or 0.0)

    def _by_seed(self, chosen: Contender) -> bool:
        """Return whether the trainings of the final differ by their seeds alone, and the same folds judge them."""
        return len({tuple(sorted(heat.folds)) for heat in chosen.heats}) == 1

    def _most(self, chosen: Contender, ready: int = 0) -> int:
        """Return the most members that are asked for, or that there is time to train; `ready` need none."""
        at = self.context
        if at.settings.committee is not None:
            return max(1, at.settings.committee)
        if at.by_trials:
            return SEEDS_BY_TRIALS
        rounds = 1
        if self._goes_on(chosen):
            if least_s := self._least_s(chosen):
                rounds = int(self._left_s() / least_s)
        elif enough_s := self._enough_s(chosen):
            rounds = int(SURE * self._left_s() / enough_s)
        return min(MOST_MEMBERS, max(ready, max(1, rounds) * at.settings.workers))

    def _committee(
        self, gated: Gated, chosen: Contender, keys: tuple[str, ...], ready: int = 0
    ) -> tuple[int, Result | None, list[str]]:
        """Return how many members pay, their score as a committee, and why in words; `ready`: see `_ready`."""
        at = self.context
        if self.members:
            return self.members, None, []
        planned = self._goes_on(chosen) and len(keys) > len(chosen.keys)  # the time for them was counted already
        wanted = len(keys) if planned else min(self._most(chosen, ready), len(keys))
        most = self._allowed(gated, wanted)
        if most < 2:
            return 1, None, ["A committee would break the budget; one network is kept."] if wanted > 1 else []
        result = self._score(gated, chosen, keys[:most])
        if result.failed:
            return 1, None, [f"The committee could not be scored ({result.failed}); one network is kept."]
        if result.folds:
            together = float(np.mean(list(result.folds.values())))
            alone_mean = float(np.mean([chosen.folds[k] for k in result.folds]))
            words = f"{at.metric.name} {together:.4g} against {alone_mean:.4g} on the folds"
            if at.metric.better(alone_mean, together):
                return 1, None, [f"A committee of {most} is no better ({words}); one network is kept."]
            return most, result, [f"{most} networks trained from different seeds answer together: {words}."]
        return most, result, [f"{most} networks trained from different seeds answer together."]

    def _allowed(self, gated: Gated, most: int) -> int:
        """Return how many networks, of `most`, keep the budget together; at least 1."""
        at = self.context
        for count in range(most, 1, -1):
            config = CommitteeConfig(member=gated.config, count=count)
            name = f"committee of {count} {gated.family} {gated.knobs.model_dump_json()}"
            cost = at.gate.cost(config.build, gated.cost.length, name)
            if not at.settings.budget.misses(cost):
                return count
        return 1

    def _score(self, gated: Gated, chosen: Contender, members: tuple[str, ...]) -> Result:
        at = self.context
        job = CommitteeJob(
            seed=at.settings.seed,
            folder=str(at.results.files),
            deadline=min(at.clock.end_of("refit"), NEVER),
            model=gated.config,
            members=members,
            folds=tuple(chosen.folds) if self._by_seed(chosen) else (),
            device=at.settings.device,
        )
        return at.results.submit(job).result()

    def _jobs(self, gated: Gated, keys: tuple[str, ...], chosen: Contender, members: int) -> list[NetworkJob]:
        """Return the last trainings; `keys` are those of the final's."""
        at = self.context
        share = None if at.by_trials else self._left_s() / self._rounds(members) or LEAST_REFIT_S
        steps, early = self._steps(chosen)
        whole, until = steps, 1.0
        if early and at.plan.task != "classify":
            whole = self._whole_steps(chosen)
            until = min(1.0, steps / whole)
            share = None if share is None else max(share, chosen.asked_s or 0.0)
        from_final = self._goes_on(chosen)
        return [
            at.network_job(
                gated,
                "all",
                at.settings.seed + REFIT_SEED + i,
                "refit",
                share,
                whole,
                start=keys[i] if from_final else None,
                until=until,
            )
            for i in range(members)
        ]

    def _rounds(self, members: int) -> int:
        return -(-members // self.context.settings.workers)

    def _needed_s(self, chosen: Contender) -> float:
        """Return the least seconds of a training from nothing that deserves the score of the final's; else 0."""
        if self._goes_on(chosen):
            return 0.0
        steps, _ = self._steps(chosen)
        trained = sum(heat.steps for heat in chosen.heats) / max(1, len(chosen.heats))
        return AS_LONG * _pace_s(chosen) * min(steps, trained)

    def _enough_s(self, chosen: Contender) -> float:
        """Return the seconds of a last training from nothing beyond which a further member gains more."""
        steps, early = self._steps(chosen)
        if early:
            return steps * _pace_s(chosen)
        return max(ENOUGH * self._needed_s(chosen) / AS_LONG, self._passes() * _pace_s(chosen))

    def _passes(self) -> int:
        """Return the steps of `PASSES` passes over the data (classify, regress)."""
        rows = len(self.context.problem.rows)
        return round(PASSES * rows / batch_of(rows))

    def _whole_steps(self, chosen: Contender) -> int:
        """Return the steps of a training of the final that nothing had ended early."""
        if chosen.asked_s is None:
            return FINAL_STEPS
        return max(1, round(chosen.asked_s / _pace_s(chosen)))

    def _steps(self, chosen: Contender) -> tuple[int, bool]:
        """Return the most steps of the last training, and whether the final's were best long before their end.

        Accuracies of few cases are often equal for long: that the first of equals came early says that there was no
        more to learn. How long was enough they do not say: as long as the final's, and not less than `FINAL_STEPS`, or
        than `PASSES` over the data where time ended the final's: what has not begun to learn is equal for long, too.
        """
        most = FINAL_STEPS if self.context.by_trials else MOST_STEPS
        pick = max if self.context.metric.higher_is_better else min
        first, kept, ended = [], [], []
        for heat in chosen.heats:
            if heat.curve:
                best = pick(point.quality for point in heat.curve)
                steps = [point.step for point in heat.curve if point.quality == best]
                first.append(min(steps))
                kept.append(max(steps))
                ended.append(heat.steps)
        if not ended or np.mean(first) >= EARLY * np.mean(ended):
            return most, False
        if self.context.plan.task == "classify":
            learnt = FINAL_STEPS if all(heat.settled for heat in chosen.heats) else max(FINAL_STEPS, self._passes())
            return min(most, max(learnt, round(float(np.mean(ended))))), True
        return max(10, min(most, round(LONGER * float(np.mean(kept))))), True


def _pace_s(chosen: Contender) -> float:
    """Return the seconds that a step took in the final, scoring included."""
    return sum(heat.seconds for heat in chosen.heats) / max(1, sum(heat.steps for heat in chosen.heats))
