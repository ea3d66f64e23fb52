"""The curve over the amount of data: which jobs it asks for, and when it is left out."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from advisor.metrics import METRICS
from advisor.search.amounts import SHARES, Amounts
from advisor.search.jobs import BaselineJob, Result
from advisor.search.problem import Plan

PLAN = Plan(task="regress", channels=1, folds=5, length=20, test_words="")


class Asked:
    """Answers a job with a quality that follows a power law of its share, and remembers it."""

    def __init__(self, failed=""):
        self.jobs, self.files, self.failed = [], "jobs", failed

    def submit(self, job):
        """Answer at once."""
        self.jobs.append(job)
        answer = Future()
        floor = 0.2 if job.name == "linear" else 0.3
        answer.set_result(Result(failed=self.failed, folds={job.only: floor + 0.1 * job.share**-0.5}))
        return answer


def context(limit_s=600.0, by_trials=False, failed=""):
    return SimpleNamespace(
        plan=PLAN, metric=METRICS["regress"], by_trials=by_trials, results=Asked(failed), say=lambda _: None,
        clock=SimpleNamespace(limit_s=limit_s, until=lambda _: 100.0, end_of=lambda _: 1e9),
        settings=SimpleNamespace(seed=0, workers=2), problem=SimpleNamespace(rows=range(50)),
    )  # fmt: skip


def contenders(train_s=6.0):
    return [
        SimpleNamespace(family=name, baseline=True, gated=None, mean=mean, parts=(), train_s=train_s)
        for name, mean in [("linear", 0.3), ("gradient_boosting", 0.4), ("mean", 0.35), ("hydra", 0.9)]
    ]


def test_the_two_best_that_are_not_naive_are_fitted_on_every_share_of_the_same_folds():
    at = context()
    curve = Amounts(at).run(contenders())
    asked = {(job.name, job.share, job.only) for job in at.results.jobs}
    assert asked == {(n, s, k) for n in ("linear", "gradient_boosting") for s in SHARES for k in range(3)}
    assert all(isinstance(job, BaselineJob) and not job.leaves_weights() for job in at.results.jobs)
    assert [one.family for one in curve.curves] == ["linear", "gradient_boosting"]


def test_it_is_left_out_where_fits_of_baselines_would_take_more_than_its_part():
    at = context()
    assert Amounts(at).run(contenders(train_s=60.0)) is None and not at.results.jobs


@pytest.mark.parametrize("at", [context(limit_s=120.0), context(limit_s=None), context(by_trials=True)])
def test_it_is_left_out_where_time_is_short_or_trials_are_counted(at):
    assert Amounts(at).run(contenders()) is None
    assert not at.results.jobs


def test_a_training_that_failed_leaves_nothing_said():
    assert Amounts(context(failed="out of memory")).run(contenders()) is None
