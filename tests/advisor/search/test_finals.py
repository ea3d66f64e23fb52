"""A resumed run has in its final whoever was in it before, and keeps what was trained for the last time."""

import time
from concurrent.futures import Future
from dataclasses import replace

import pytest

from advisor.runs import Run
from advisor.search import driver, refit
from advisor.search.clock import Clock
from advisor.search.context import Settings
from advisor.search.driver import Search
from advisor.search.finals import NO_FINAL, Finals
from advisor.search.jobs import Result
from advisor.search.race import Candidate, Race
from advisor.search.recipes import start
from advisor.search.refit import Refit
from advisor.search.rungs import Rungs
from profiles.budget import Budget

NOTHING_LEFT_S = 57.6


class Answering:
    """A pool that has done every job at once."""

    def __init__(self, *settings: object) -> None:
        self.jobs, self.quality = [], {}

    def submit(self, job, keep, first):
        """Answer with the quality of the job's family."""
        self.jobs.append(job)
        good = self.quality.get(job.model.family, 0.9)
        result = Result(folds={0: good, 1: good}, seconds=1.0, steps=300, asked_s=1.0)
        job.weights().parent.mkdir(exist_ok=True)
        job.weights().touch()
        keep(result)
        answer = Future()
        answer.set_result(result)
        return answer


@pytest.fixture
def part(tmp_path, monkeypatch, ten_rows):
    """Return a function that makes a part of a run of a minute, of which so many seconds are over."""
    monkeypatch.setattr(driver, "LocalPool", Answering)

    def make(over_s, trials=None, budget=None):
        clock = Clock(time.monotonic() - over_s, None if trials else 60.0)
        found = Search(ten_rows, Settings(budget or Budget(), "cpu", 0, trials, 2), clock, Run(tmp_path), print)
        found.context.families = ("gru", "conv", "lstm")
        return found

    return make


def final(search, *families, width=None):
    """Hold the final of families that were trained, best first; return the jobs that it asked of the workers."""
    at, race = search.context, Race(Rungs((2,), 1.0, 1), True)
    for number, family in enumerate(families):
        knobs = start(family, at.plan)
        gated = at.gate.admit(family, knobs.model_copy(update={"width": width}) if width else knobs)
        race.all.append(Candidate(number, gated, False, [0.9]))
        at.ledger.record(gated, "complete", Result(), quality=0.9)
    before = len(at.pool.jobs)
    Finals(at, race).run()
    return {job.model.family for job in at.pool.jobs[before:]}


def contenders(search):
    return sorted(c.family for c in search.outcome.contenders)


def test_a_finalist_of_before_is_in_the_final_again_though_the_race_has_other_leaders(part):
    assert final(part(20.0), "gru", "conv") == {"gru", "conv"}
    again = part(20.0)
    assert final(again, "lstm", "gru") == {"lstm"}
    assert contenders(again) == ["conv", "gru", "lstm"]


def test_it_is_so_where_no_time_is_left_for_a_final(part):
    final(part(20.0), "gru", "conv")
    again = part(NOTHING_LEFT_S)
    assert not final(again, "lstm")
    assert contenders(again) == ["conv", "gru"]
    assert again.outcome.not_tried["lstm"] == NO_FINAL


def test_it_is_so_and_who_leads_now_is_trained_where_there_is_time_for_a_short_final(part):
    assert final(part(20.0), "gru", "conv") == {"gru", "conv"}
    again = part(45.0)
    assert final(again, "lstm", "gru") == {"lstm"}
    assert contenders(again) == ["conv", "gru", "lstm"]


@pytest.mark.parametrize(("quality", "width"), [(0.8, 64), (0.95, 32), (0.9, 32)])
def test_of_two_configurations_of_a_family_the_better_is_kept_or_the_cheaper(quality, width, part):
    assert final(part(20.0), "gru", width=64) == {"gru"}
    again = part(20.0)
    again.context.pool.quality = {"gru": quality}
    assert final(again, "gru", width=32) == {"gru"}
    assert [c.gated.knobs.width for c in again.outcome.contenders] == [width]


def test_who_breaks_the_budget_that_holds_now_is_not_in_the_final(part):
    final(part(20.0), "gru", "conv")
    again = part(20.0, budget=Budget(max_model_mib=1e-6))
    final(again)
    assert not contenders(again)


def test_where_trials_are_counted_the_race_alone_decides(part):
    final(part(20.0), "gru")
    again = part(0.0, trials=2)
    final(again, "conv")
    assert contenders(again) == ["conv"]


def test_members_that_were_trained_for_the_last_time_are_kept_where_no_time_is_left(part, monkeypatch):
    monkeypatch.setattr(refit, "committee", lambda config, files: [file.stem for file in files])
    kept = []
    for over_s, most in ((20.0, 1), (NOTHING_LEFT_S, 2), (20.0, 2), (NOTHING_LEFT_S, 2), (NOTHING_LEFT_S, 1)):
        search = part(over_s)
        search.context.settings = replace(search.context.settings, committee=most)
        search.context.pool.quality = {"gru": 0.9}
        final(search, "gru")
        before = len(search.context.pool.jobs)
        done = Refit(search.context, search.outcome.contenders[0]).run()
        trained = [job for job in search.context.pool.jobs[before:] if job.kind == "network"]
        kept.append((done.members, done.model, len(trained)))
    assert [(members, trained) for members, _, trained in kept] == [(1, 1), (1, 0), (2, 1), (2, 0), (1, 0)]
    assert kept[0][1] == kept[1][1] == kept[4][1] == kept[2][1][:1]
    assert kept[2][1] == kept[3][1]


def test_a_network_that_went_on_behind_a_baseline_is_in_the_final_as_it_became(part):
    keys = []
    for over_s in (20.0, NOTHING_LEFT_S):
        search = part(over_s)
        final(search, "gru")
        went = Finals(search.context, Race(Rungs((2,), 1.0, 1), True)).go_on(search.outcome.contenders[0], ahead=0.91)
        keys.append((went, search.outcome.contenders[0].keys))
    (went, longer), (again, found) = keys
    assert went and not again and longer == found
