"""A fold is answered as of the look that the other folds pick, so that what picks the weights does not score them."""

import time

import numpy as np
import pytest

from advisor import metrics
from advisor.data.rows import Rows
from advisor.search.held_looks import MOST_UNITS, HeldLooks, held_looks
from advisor.search.jobs import CommitteeJob, NetworkJob
from advisor.search.prepare import prepare
from advisor.search.recipes import build, start, training
from advisor.search.work import run
from tests.advisor.search.test_problem import counting


def fold(units=2):
    """Return units whose truth is 0, in units of 1."""
    x, y = np.zeros((units, 5, 1), np.float32), np.zeros((units, 3), np.float32)
    return Rows(x, np.full(units, 5), y, np.ones(units), np.arange(units))


def looks_of(errors):
    """Return the looks of a training whose errors are `errors`, (looks, folds)."""
    parts = {k: fold() for k in range(len(errors[0]))}
    held = HeldLooks("forecast", parts)
    for row in errors:
        asked = iter(row)
        held.look(lambda x, lengths, asked=asked: np.full((len(x), 3, 3), next(asked), np.float32))
    return held


def scores(held):
    return {k: float(answer.mean()) for k, answer in held.answers().items()}


def test_each_fold_is_answered_by_the_look_that_is_best_on_the_others():
    assert scores(looks_of([[1, 9], [5, 2], [7, 7]])) == {0: 5, 1: 9}
    assert scores(looks_of([[1, 9, 5], [4, 4, 3], [9, 1, 5]])) == {0: 9, 1: 9, 2: 3}


def test_where_all_folds_agree_it_is_the_best_look_and_of_equals_the_latest():
    assert scores(looks_of([[3, 4], [1, 2], [1, 2], [5, 6]])) == {0: 1, 1: 2}
    held = looks_of([[1, 1], [1, 1]])
    assert held.answers()[0] is held._answers[1][0]


def test_the_score_of_luck_is_that_of_chance_and_not_that_of_the_best_look():
    draw = np.random.default_rng(0)
    found, best = [], []
    for _ in range(200):
        errors = draw.normal(10, 1, (20, 4))
        found.append(np.mean(list(scores(looks_of(errors.tolist())).values())))
        best.append(errors.mean(1).min())
    assert np.mean(found) == pytest.approx(10, abs=0.15)
    assert np.mean(best) < 9.2


def test_looks_are_kept_only_of_forecasts_on_few_origins_in_several_folds_and_from_the_start():
    few = {0: fold(), 1: fold()}
    assert held_looks("forecast", few, goes_on=False) is not None
    assert held_looks("forecast", few, goes_on=True) is None
    assert held_looks("forecast", {0: fold()}, goes_on=False) is None
    assert held_looks("forecast", {0: fold(MOST_UNITS), 1: fold()}, goes_on=False) is None
    assert held_looks("classify", few, goes_on=False) is None


def test_a_committee_is_scored_by_what_its_members_answered(tmp_path):
    problem = prepare(counting(), None, 1, 4, seed=0)
    plan, knobs = problem.plan, start("mlp", problem.plan)
    rest = {"folder": str(tmp_path), "deadline": time.monotonic() + 600}
    model, train = build("mlp", knobs, plan, causal=False), training("mlp", knobs, plan, 0, None, 60)
    jobs = [NetworkJob(model=model, train=train, fold=0, seed=s, test=True, units=True, **rest) for s in (1, 2)]
    alone = [run(job, problem) for job in jobs]
    keys, folds = tuple(job.key() for job in jobs), tuple(alone[0].folds)
    together = run(CommitteeJob(model=model, members=keys, folds=folds, seed=0, **rest), problem)
    higher = metrics.METRICS["forecast"].higher_is_better
    assert not higher and together.quality <= max(one.quality for one in alone) + 1e-9
    assert len(together.test) == len(alone[0].test)
