"""Where time runs out: what was not begun has not failed, and no training is without a limit."""

import time
from concurrent.futures import Future

import pytest

from advisor.runs import Run
from advisor.search import driver
from advisor.search.clock import Clock
from advisor.search.context import Settings
from advisor.search.driver import Search
from advisor.search.executors import PASSING
from advisor.search.finals import NO_FINAL, SHORTEST_HEAT_S, Finals
from advisor.search.jobs import Result
from advisor.search.race import Candidate, Race
from advisor.search.recipes import start
from advisor.search.rungs import Rungs
from profiles.budget import Budget

FAILED = "the loss became nan"


class Failing:
    """A pool that fails every job at once."""

    why = FAILED

    def __init__(self, *settings: object) -> None:
        self.jobs = []

    def submit(self, job, keep, first):
        """Answer at once."""
        self.jobs.append(job)
        answer = Future()
        answer.set_result(Result(failed=self.why))
        return answer


@pytest.fixture
def search(tmp_path, monkeypatch, ten_rows):
    """Return a function that makes a search of a minute, of which so many seconds are over."""
    monkeypatch.setattr(driver, "LocalPool", Failing)

    def make(over_s):
        said = []
        clock = Clock(time.monotonic() - over_s, 60.0)
        made = Search(ten_rows, Settings(Budget(), "cpu", 0, None, 2), clock, Run(tmp_path), said.append)
        return made, said

    return make


@pytest.mark.parametrize("why", [*PASSING, FAILED])
def test_a_baseline_without_time_was_not_tried_and_one_that_broke_has_failed(why, search, monkeypatch):
    monkeypatch.setattr(Failing, "why", why)
    made, _ = search(0.0)
    made._baselines.begin()
    made._baselines.take_up()
    names = made._baselines.names()
    assert made.outcome.not_tried == dict.fromkeys(names, why)
    assert [(t.family, t.state) for t in made.outcome.trials] == [(n, "failed") for n in names if why == FAILED]


def final(made, families=("gru", "conv")):
    """Hold the final of families that were trained."""
    race, gate = Race(Rungs((2,), 1.0, 1), True), made.context.gate
    race.all = [Candidate(i, gate.admit(f, start(f, made.plan)), False, [0.9]) for i, f in enumerate(families)]
    Finals(made.context, race).run()


def test_where_the_race_took_the_time_of_the_final_one_family_is_trained_for_a_moment(search):
    made, said = search(45.0)
    final(made)
    assert {(job.model.family, job.train.seconds) for job in made.context.pool.jobs} == {("gru", SHORTEST_HEAT_S)}
    assert any("final: gru; 2 fresh trainings each, 0.5 s" in line for line in said)


def test_in_time_the_final_has_as_many_seconds_as_its_phase(search):
    made, _ = search(20.0)
    final(made)
    jobs = made.context.pool.jobs
    assert {job.model.family for job in jobs} == {"gru", "conv"}
    assert all(8.0 < job.train.seconds < 9.5 for job in jobs)  # 18.7 s left, two rounds


def test_where_not_even_a_moment_is_left_there_is_no_final_and_that_is_said(search):
    made, said = search(57.6)
    final(made)
    assert not made.context.pool.jobs
    assert f"final: {NO_FINAL}" in said
    assert made.outcome.not_tried == {"gru": NO_FINAL, "conv": NO_FINAL}
