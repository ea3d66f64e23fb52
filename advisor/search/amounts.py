"""Quality of the two best with a quarter, a half and all of the data: what more data would change.

All shares are trained afresh and equally long, on the folds and seeds of the final, so that only the amount of data
differs. Left out where the limit is too short for trainings that say anything.
"""

from collections.abc import Sequence

from advisor.choose import NAIVE, margin_of
from advisor.data_size import DataSizeCurve, data_size_curve
from advisor.search.context import MOST_STEPS, Context
from advisor.search.finals import FINAL_SEED
from advisor.search.jobs import BaselineJob, Job
from advisor.search.outcome import Contender
from advisor.search.recipes.forecast import look_back_of

SHARES = (0.25, 0.5, 1.0)
FAMILIES = 2
LEAST_LIMIT_S, PART = 300.0, 0.08
"""Below this limit the time is better spent on the model; from there on this part of it is for the curve."""
LEAST_RUN_S = 2.0
MOST_RUNS = 3
"""Folds or seeds a share."""


class Amounts:
    """See the module.

    Args:
        context: Of the search.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def run(self, contenders: Sequence[Contender]) -> DataSizeCurve | None:
        """Return the curve; None where there is no time for it, or a training failed."""
        at = self.context
        limit = at.clock.limit_s
        if at.by_trials or limit is None or limit < LEAST_LIMIT_S:
            return None
        ranked = sorted(contenders, key=lambda c: -c.mean if at.metric.higher_is_better else c.mean)
        best = [c for c in ranked if c.family not in NAIVE[at.plan.task] and not c.parts][:FAMILIES]
        networks = sum(not c.baseline for c in best)
        folds = [0, 0] if at.plan.task == "forecast" else list(range(min(MOST_RUNS, at.plan.folds)))
        seconds = min(at.clock.until("refit") / 2, PART * limit) * at.settings.workers
        seconds -= sum(self._fit_s(c) for c in best if c.baseline) * sum(SHARES) * len(folds)
        seconds /= max(1, networks * len(SHARES) * len(folds))
        if not best or seconds < (LEAST_RUN_S if networks else 0.0):
            return None
        at.say(f"more data? {' and '.join(c.family for c in best)} on a quarter, a half and all of it")
        running = {
            (c.family, share): [
                at.results.submit(self._job(c, fold, at.settings.seed + FINAL_SEED + i, share, seconds))
                for i, fold in enumerate(folds)
            ]
            for c in best
            for share in SHARES
        }
        found = {key: [future.result() for future in futures] for key, futures in running.items()}
        if any(result.failed for results in found.values() for result in results):
            at.say("  a training on a share of the data failed; nothing is said about more data")
            return None
        qualities = {c.family: {share: [r.quality for r in found[c.family, share]] for share in SHARES} for c in best}
        margin = margin_of(at.plan, best[0].mean, len(at.problem.rows))
        curve = data_size_curve(qualities, at.metric, margin, at.settings.seed)
        at.say(f"  {curve.says}")
        return curve

    def _fit_s(self, contender: Contender) -> float:
        """Return the seconds of one fit of a baseline: it was fitted once a fold (forecast: once), and for the test."""
        plan = self.context.plan
        return contender.train_s / (2 if plan.task == "forecast" else plan.folds + 1)

    def _job(self, contender: Contender, fold: int, seed: int, share: float, seconds: float) -> Job:
        at = self.context
        if contender.gated is None:
            return BaselineJob(
                name=contender.family,
                look_back=look_back_of(at.plan),
                square_root=at.plan.nonnegative,
                seed=seed,
                folder=str(at.results.files),
                deadline=at.clock.end_of("refit"),
                share=share,
                only=fold,
            )
        job = at.network_job(contender.gated, fold, seed, "refit", seconds, MOST_STEPS)
        return job.model_copy(update={"share": share})
