"""How long the last training is, and how many networks are trained: in rounds of as many as there are workers.

A forecaster goes on from the weights of the final; a classifier or regressor begins anew, and has more members rather
than much longer trainings. Where the final's trainings were best long before their end, more training would only learn
by heart: the last one then begins anew, follows the same course of the learning rate, and ends as early; where accuracy
is the score, too coarse to say how early, it is as long as those.
"""

import numpy as np

from advisor.search.context import MOST_STEPS, Context
from advisor.search.finals import SEEDS_BY_TRIALS
from advisor.search.outcome import Contender
from advisor.search.recipes.rows import batch_of
from advisor.search.rungs import FINAL_STEPS

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


class RefitPlan:
    """See the module.

    Args:
        context: Of the search.
        chosen: The network, as the final trained it.
        share: Of the time that is left, which it may take.
    """

    def __init__(self, context: Context, chosen: Contender, share: float = 1.0) -> None:
        self.context, self.chosen, self.share = context, chosen, share

    def left_s(self) -> float:
        """Return the seconds that are left for all of it."""
        return self.share * self.context.clock.until("refit")

    def rounds(self, members: int) -> int:
        """Return how often the workers are at work for so many."""
        return -(-members // self.context.settings.workers)

    def goes_on(self) -> bool:
        """Return whether the last training begins with the weights of the final."""
        return self.context.plan.task == "forecast" and not self.steps()[1]

    def by_seed(self) -> bool:
        """Return whether the trainings of the final differ by their seeds alone, and the same folds judge them."""
        return len({tuple(sorted(heat.folds)) for heat in self.chosen.heats}) == 1

    def short(self, trainings: int) -> str:
        """Return in words why there is no time for so many last trainings; empty where there is."""
        if self.context.by_trials or trainings <= 0:
            return ""
        left_s, needed_s = self.left_s(), self.needed_s()
        if left_s < LEAST_REFIT_S:
            return "No time was left for a last training on all data"
        if needed_s > left_s / self.rounds(trainings):
            as_long = f"a last training as long as those of the final ({needed_s:.0f} s)"
            return f"The {left_s:.0f} s that were left would not do for {as_long}"
        return ""

    def most(self, ready: int = 0) -> int:
        """Return the most members that are asked for, or that there is time to train; `ready` need none."""
        at = self.context
        if at.settings.committee is not None:
            return max(1, at.settings.committee)
        if at.by_trials:
            return SEEDS_BY_TRIALS
        rounds = 1
        if self.goes_on():
            if least_s := self._least_s():
                rounds = int(self.left_s() / least_s)
        elif enough_s := self._enough_s():
            rounds = int(SURE * self.left_s() / enough_s)
        return min(MOST_MEMBERS, max(ready, max(1, rounds) * at.settings.workers))

    def further(self, members: int) -> int:
        """Return how many further trainings as in the final there is time for, the last ones of them all included.

        Args:
            members: Trained in the final.
        """
        workers, left_s = self.context.settings.workers, SURE * self.left_s()
        if self.goes_on():
            last_s = self.rounds(members + workers) * self._least_s()
            enough = 0 < last_s <= left_s - (self.chosen.asked_s or 0.0)
            return workers if enough and members + workers <= MOST_MEMBERS else 0
        last_s = self._enough_s()
        heat_s = max(heat.seconds for heat in self.chosen.heats)  # patience ended them; it will end the others
        spare_s = left_s - self.rounds(members) * last_s
        return max(0, int(spare_s / (heat_s + last_s))) * workers

    def needed_s(self) -> float:
        """Return the least seconds of a training from nothing that deserves the score of the final's; else 0."""
        if self.goes_on():
            return 0.0
        heats = self.chosen.heats
        trained = sum(heat.steps for heat in heats) / max(1, len(heats))
        return AS_LONG * self._pace_s() * min(self.steps()[0], trained)

    def whole_steps(self) -> int:
        """Return the steps of a training of the final that nothing had ended early."""
        if self.chosen.asked_s is None:
            return FINAL_STEPS
        return max(1, round(self.chosen.asked_s / self._pace_s()))

    def steps(self) -> tuple[int, bool]:
        """Return the most steps of the last training, and whether the final's were best long before their end.

        Accuracies of few cases are often equal for long: that the first of equals came early says that there was no
        more to learn. How long was enough they do not say: as long as the final's, and not less than `FINAL_STEPS`, or
        than `PASSES` over the data where time ended the final's: what has not begun to learn is equal for long, too.
        """
        most = FINAL_STEPS if self.context.by_trials else MOST_STEPS
        pick = max if self.context.metric.higher_is_better else min
        first, kept, ended = [], [], []
        for heat in self.chosen.heats:
            if heat.curve:
                best = pick(point.quality for point in heat.curve)
                steps = [point.step for point in heat.curve if point.quality == best]
                first.append(min(steps))
                kept.append(max(steps))
                ended.append(heat.steps)
        if not ended or np.mean(first) >= EARLY * np.mean(ended):
            return most, False
        if self.context.plan.task == "classify":
            settled = all(heat.settled for heat in self.chosen.heats)
            learnt = FINAL_STEPS if settled else max(FINAL_STEPS, self._passes())
            return min(most, max(learnt, round(float(np.mean(ended))))), True
        return max(10, min(most, round(LONGER * float(np.mean(kept))))), True

    def _least_s(self) -> float:
        """Return the least seconds of a last training that goes on; 0 where steps are counted."""
        return SHORT * (self.chosen.asked_s or 0.0)

    def _enough_s(self) -> float:
        """Return the seconds of a last training from nothing beyond which a further member gains more."""
        steps, early = self.steps()
        if early:
            return steps * self._pace_s()
        return max(ENOUGH * self.needed_s() / AS_LONG, self._passes() * self._pace_s())

    def _passes(self) -> int:
        """Return the steps of `PASSES` passes over the data (classify, regress)."""
        rows = len(self.context.problem.rows)
        return round(PASSES * rows / batch_of(rows))

    def _pace_s(self) -> float:
        """Return the seconds that a step took in the final, scoring included."""
        heats = self.chosen.heats
        return sum(heat.seconds for heat in heats) / max(1, sum(heat.steps for heat in heats))
