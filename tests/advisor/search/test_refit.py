"""The last training: it must not leave a model that had less training than the one that was scored."""

from types import SimpleNamespace

import pytest

from advisor.metrics import METRICS
from advisor.records import CurvePoint
from advisor.search.jobs import Result
from advisor.search.problem import Plan
from advisor.search.refit import Refit
from advisor.search.refit_plan import AS_LONG, MOST_MEMBERS, RefitPlan
from advisor.search.rungs import FINAL_STEPS


def search(task, workers=2, left_s=0.0, committee=None, rows=80):
    return SimpleNamespace(
        plan=Plan(task=task, channels=1, folds=2, length=20, horizon=2, test_words=""), metric=METRICS[task],
        by_trials=False, settings=SimpleNamespace(workers=workers, committee=committee),
        clock=SimpleNamespace(until=lambda phase: left_s), problem=SimpleNamespace(rows=range(rows)),
    )  # fmt: skip


def plan(task, *heats, asked_s=None, **settings):
    return RefitPlan(search(task, **settings), SimpleNamespace(heats=heats, asked_s=asked_s))


def heat(best_step, steps=100, seconds=10.0, higher=True):
    looks = [CurvePoint(step=s, seconds=1, train_loss=1, quality=float((s == best_step) == higher)) for s in (20, 100)]
    return Result(seconds=seconds, steps=steps, curve=tuple(looks))


@pytest.mark.parametrize(
    ("task", "best_step", "share"),
    [("classify", 100, 1.0), ("classify", 20, 1.0), ("forecast", 20, 0.22), ("regress", 20, 0.22)],
)
def test_a_training_from_nothing_needs_most_of_the_time_of_what_was_scored(task, best_step, share):
    one = heat(best_step, higher=task == "classify")
    assert plan(task, one, one).needed_s() == pytest.approx(AS_LONG * 10.0 * share)


def test_a_forecaster_that_goes_on_from_its_weights_needs_no_time():
    assert plan("forecast", heat(100, higher=False)).needed_s() == 0.0


@pytest.mark.parametrize(("members", "workers", "rounds"), [(2, 2, 1), (3, 2, 2), (1, 4, 1)])
def test_members_beyond_the_workers_take_another_round(members, workers, rounds):
    assert plan("classify", workers=workers).rounds(members) == rounds


@pytest.mark.parametrize(
    ("best_step", "left_s", "asked", "members"),
    [
        (100, 40.0, None, 2),  # the best came last: twice as long as in the final, and longer before there are more
        (100, 50.0, None, 4),
        (20, 70.0, None, 4),  # 30 s a round: 300 steps
        (20, 110.0, None, MOST_MEMBERS),
        (20, 110.0, 3, 3),
        (20, 0.1, None, 2),
    ],
)
def test_where_a_training_ends_long_before_the_time_more_members_are_trained(best_step, left_s, asked, members):
    found = plan("classify", heat(best_step), heat(best_step), left_s=left_s, committee=asked).most()
    assert found == members


@pytest.mark.parametrize(("rows", "members"), [(300, 4), (900, 2), (8000, 2)])
def test_no_members_are_added_before_a_last_training_has_passed_twenty_times_over_the_data(rows, members):
    ten_a_second = heat(100)
    assert plan("classify", ten_a_second, ten_a_second, left_s=100.0, rows=rows).most() == members


def forecaster(one, asked_s, **settings):
    at = search("forecast", **settings)
    at.settings.seed, at.say = 0, print
    at.network_job = lambda gated, fold, seed, *a, **k: SimpleNamespace(key=lambda: str(seed))
    at.results = SimpleNamespace(submit=lambda job: SimpleNamespace(result=Result), known=lambda job: None)
    facts = {"family": "mlp", "gated": SimpleNamespace(), "keys": ("a", "b"), "folds": {0: 1.0}}
    return Refit(at, SimpleNamespace(heats=(one, one), asked_s=asked_s, **facts))


@pytest.mark.parametrize(
    ("left_s", "asked", "members"),
    [
        (30.0, None, 4),  # one more round as in the final takes 12 s and more, two short last ones 6 s each
        (26.0, None, 2),
        (30.0, 3, 3),  # the number that was asked for bounds them
        (30.0, 0, 1),
        (5.0, None, 2),
    ],
)
def test_forecasters_that_go_on_are_more_where_a_short_last_training_of_each_fits(left_s, asked, members, monkeypatch):
    late = heat(100, higher=False).model_copy(update={"folds": {0: 1.0}})
    last, left = forecaster(late, asked_s=12.0, committee=asked), [left_s]

    def trained(job):
        left[0] -= 7.0  # two side by side, and what scoring takes
        return SimpleNamespace(result=Result)

    last.context.clock.until = lambda phase: left[0]
    last.context.results.submit = trained
    monkeypatch.setattr(Refit, "_allowed", lambda self, most: most)
    monkeypatch.setattr(Refit, "_score", lambda self, keys: Result(folds={0: 0.9}))
    assert last._committee(last._further(), ready=0)[0] == members


@pytest.mark.parametrize(("asked", "members"), [(None, MOST_MEMBERS), (10, 10)])
def test_where_the_final_ended_early_further_forecasters_are_as_many_as_were_asked_for(asked, members, monkeypatch):
    early = heat(20, higher=False).model_copy(update={"folds": {0: 1.0}})
    monkeypatch.setattr(Refit, "_allowed", lambda self, most: most)
    assert len(forecaster(early, asked_s=25.0, left_s=1000.0, committee=asked)._further()) == members


def test_an_early_end_of_a_forecaster_follows_the_course_of_the_training_that_was_scored():
    early_heat = heat(20, higher=False)  # patience ended it at 100 steps in 10 s
    found = plan("forecast", early_heat, early_heat, asked_s=25.0)
    assert found.steps() == (22, True)
    assert found.whole_steps() == 250
    assert plan("forecast", early_heat, early_heat).whole_steps() == FINAL_STEPS


@pytest.mark.parametrize(
    ("ended", "rows", "settled", "steps"),
    [
        (100, 80, True, FINAL_STEPS),
        (700, 80, True, 700),
        (700, 8000, True, 700),
        (700, 8000, False, 2500),  # it may not have begun to learn: twenty passes in batches of 64
    ],
)
def test_a_score_that_is_soon_equal_to_the_best_and_stays_so_asks_for_no_longer_training(ended, rows, settled, steps):
    looks = [CurvePoint(step=s, seconds=1, train_loss=1, quality=q) for s, q in ((20, 0.8), (60, 0.5), (ended, 0.8))]
    flat = Result(seconds=10.0, steps=ended, curve=tuple(looks), settled=settled)
    assert plan("classify", flat, flat, rows=rows).steps() == (steps, True)


@pytest.mark.parametrize(("missing", "seconds"), [(4, 5.0), (2, 10.0), (0, 10.0)])
def test_the_time_that_is_left_is_shared_by_the_trainings_that_are_missing(missing, seconds):
    last, asked = forecaster(heat(100, higher=False), asked_s=12.0, left_s=10.0), []
    last.context.network_job = lambda gated, fold, seed, phase, share, *a, **k: asked.append(share)
    last._jobs(("a", "b", "c", "d"), 4, missing)
    assert asked == [seconds] * 4
