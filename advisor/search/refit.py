"""The last training: the chosen one on all data, by all workers, as a committee where that is allowed.

W workers train W members. Where one training ends long before the time does, there are more, in rounds, up to
`MOST_MEMBERS` or as many as were asked for; forecasters are first trained from further seeds as in the final. Those
that go on from the final's weights get W more members where the time does for it: one round more as in the final, then
shorter last trainings (`refit_plan` says how many and how long). A committee is scored before the last training, made
of the trainings of the final, so that the reported quality is of the same kind of model as the one that is kept; its
cost is measured against the budget.

In a resumed run, members that an earlier part of it has trained are taken, however little time is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from advisor.baselines import Baseline
from advisor.ensemble import Ensemble
from advisor.search.context import MOST_STEPS, NEVER, Context
from advisor.search.finals import FINAL_SEED
from advisor.search.jobs import CommitteeJob, NetworkJob, Result, weights_of
from advisor.search.outcome import Contender
from advisor.search.refit_plan import LEAST_REFIT_S, MOST_MEMBERS, RefitPlan
from advisor.search.work import committee
from hybrids import SequenceModel
from hybrids.committee import Committee, CommitteeConfig

REFIT_SEED = 201


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
        chosen: The network, as the final trained it.
        share: Of the time that is left, which it may take.
        members: How many there must be, as in the ensemble that they were scored in; None: as many as pay.
    """

    def __init__(self, context: Context, chosen: Contender, share: float = 1.0, members: int | None = None) -> None:
        assert chosen.gated is not None
        self.context, self.chosen, self.gated, self.members = context, chosen, chosen.gated, members
        self.plan = RefitPlan(context, chosen, share)

    def run(self) -> Finished:
        """Train the chosen network for the last time."""
        at, plan = self.context, self.plan
        keys = self.chosen.keys if self.members else self._further()
        ready = self._ready(keys)
        members, judged, says = self._committee(keys, ready)
        short = plan.short(members - ready)
        if short and ready and not self.members:
            members, judged, says = self._committee(keys[:ready], ready)
            says.append(f"{short}; what an earlier part of the run has trained is kept.")
            keys, short = keys[:ready], ""
        test = list(judged.test) if judged else self.chosen.test
        if short:
            says.append(f"{short}; the weights of the final are kept.")
            return self._finished(keys[:members], test, says)
        if members > ready:
            steps, early = plan.steps()
            most = f", {steps} steps at most" if early else ""
            at.say(f"refit: {members} x {self.chosen.family} on all data{most}")
        jobs = self._jobs(keys, members, members - ready)
        results = [future.result() for future in [at.results.submit(job) for job in jobs]]
        if failed := next((r.failed for r in results if r.failed), ""):
            says.append(f"The last training on all data failed ({failed}); the weights of the final are kept.")
            return self._finished(keys[:members], test, says)
        own = "the test part included, after it had been scored" if at.plan.test_is_own else "but the test file"
        says.append(f"The kept model was trained once more on all data, {own}.")
        return self._finished([job.key() for job in jobs], test, says)

    def _finished(self, keys: Sequence[str], test: list[float], says: list[str]) -> Finished:
        model = committee(self.gated.config, [weights_of(self.context.results.files, key) for key in keys])
        return Finished(model, len(keys), test, tuple(says))

    def _ready(self, keys: tuple[str, ...]) -> int:
        """Return how many members an earlier part of the run has trained for the last time."""
        if self.context.by_trials:  # as many again, without asking
            return 0
        return self._known(self._jobs(keys, len(keys), len(keys)))

    def _known(self, jobs: list[NetworkJob]) -> int:
        """Return how many of the jobs, from the first on, were done by an earlier part of the run."""
        done = ((found := self.context.results.known(job)) and not found.failed for job in jobs)
        return sum(1 for _ in takewhile(bool, done))

    def _further(self) -> tuple[str, ...]:
        """Return the keys of the final's trainings, and of further ones where seeds share folds and there is time."""
        at, keys = self.context, self.chosen.keys
        if at.by_trials or not self.plan.by_seed():
            return keys
        jobs = [
            at.network_job(
                self.gated,
                0,
                at.settings.seed + FINAL_SEED + i,
                "refit",
                self.chosen.asked_s,
                MOST_STEPS,
                judged=True,
            )
            for i in range(len(keys), max(MOST_MEMBERS, at.settings.committee or 0))
        ]
        known = (*keys, *(job.key() for job in jobs[: self._known(jobs)]))
        ready = max(len(keys), self._ready(known))
        most = min(self.plan.most(ready), max(ready, len(keys) + self.plan.further(len(keys))))
        count = (self._allowed(most) if most > len(keys) else 0) - len(keys)
        if count < 1:
            return keys
        if most > ready:
            at.say(f"refit: {count} more trainings of {self.chosen.family} as in the final, for a larger committee")
        jobs = jobs[:count]
        results = [future.result() for future in [at.results.submit(job) for job in jobs]]
        return (*keys, *(job.key() for job, result in zip(jobs, results, strict=True) if not result.failed))

    def _committee(self, keys: tuple[str, ...], ready: int) -> tuple[int, Result | None, list[str]]:
        """Return how many members pay, their score as a committee, and why in words; `ready`: see `_ready`."""
        at, chosen = self.context, self.chosen
        if self.members:
            return self.members, None, []
        planned = self.plan.goes_on() and len(keys) > len(chosen.keys)  # the time for them was counted already
        wanted = len(keys) if planned else min(self.plan.most(ready), len(keys))
        most = self._allowed(wanted)
        if most < 2:
            return 1, None, ["A committee would break the budget; one network is kept."] if wanted > 1 else []
        result = self._score(keys[:most])
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

    def _allowed(self, most: int) -> int:
        """Return how many networks, of `most`, keep the budget together; at least 1."""
        at, gated = self.context, self.gated
        for count in range(most, 1, -1):
            config = CommitteeConfig(member=gated.config, count=count)
            name = f"committee of {count} {gated.family} {gated.knobs.model_dump_json()}"
            cost = at.gate.cost(config.build, gated.cost.length, name)
            if not at.settings.budget.misses(cost):
                return count
        return 1

    def _score(self, members: tuple[str, ...]) -> Result:
        at = self.context
        job = CommitteeJob(
            seed=at.settings.seed,
            folder=str(at.results.files),
            deadline=min(at.clock.end_of("refit"), NEVER),
            model=self.gated.config,
            members=members,
            folds=tuple(self.chosen.folds) if self.plan.by_seed() else (),
            device=at.settings.device,
        )
        return at.results.submit(job).result()

    def _jobs(self, keys: tuple[str, ...], members: int, missing: int) -> list[NetworkJob]:
        """Return the last trainings, of which so many are not done; `keys` are those of the final's."""
        at, plan = self.context, self.plan
        share = None if at.by_trials else plan.left_s() / max(1, plan.rounds(missing)) or LEAST_REFIT_S
        steps, early = plan.steps()
        whole, until = steps, 1.0
        if early and at.plan.task != "classify":
            whole = plan.whole_steps()
            until = min(1.0, steps / whole)
            share = None if share is None else max(share, self.chosen.asked_s or 0.0)
        from_final = plan.goes_on()
        return [
            at.network_job(
                self.gated,
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
