"""Families that there was no room for start where time is left, before any second configuration."""

import itertools
from types import SimpleNamespace

import pytest

from advisor.search.jobs import NO_TIME, Result
from advisor.search.race import Candidate
from advisor.search.racing import Racing
from tests.advisor.search.test_race import Plain, race_of


def racing(values, waiting, *, worth=True, by_trials=False, needs_quiet=False, refused=()):
    """Return the driver of a race in which the families of `values` have trained."""
    one = Racing.__new__(Racing)
    one.race, one._waiting = race_of(values, higher=True), list(waiting)
    gate = SimpleNamespace(needs_quiet=needs_quiet)
    outcome = SimpleNamespace(not_tried=dict.fromkeys(waiting, "no time"), infeasible={})
    one.context = SimpleNamespace(by_trials=by_trials, gate=gate, outcome=outcome)
    answers = iter(worth) if isinstance(worth, list) else itertools.repeat(worth)
    one._worth = lambda rung: next(answers)
    one._admitted = lambda family: None if family in refused else Plain(family)
    one._entered = lambda gated, extra: Candidate(9, gated, extra)
    return one


def test_a_family_that_waits_starts_as_its_default_and_counts_as_tried():
    one = racing({"a": 0.9, "b": 0.8}, ["c", "d"])
    found = one._latecomer(quiet=False)
    assert (found.family, found.extra, found.late, found.rung) == ("c", False, True, 0)
    assert list(one.context.outcome.not_tried) == ["d"]
    assert one._latecomer(quiet=False).family == "d"
    assert one._latecomer(quiet=False) is None


def test_one_that_cannot_keep_the_budget_gives_way_to_the_next():
    assert racing({"a": 0.9}, ["c", "d"], refused=["c"])._latecomer(quiet=False).family == "d"


@pytest.mark.parametrize(
    "why", [{"worth": False}, {"worth": [True, False]}, {"by_trials": True}, {"needs_quiet": True}]
)
def test_none_starts_without_time_by_trials_or_where_it_could_not_be_measured_alone(why):
    one = racing({"a": 0.9}, ["c"], **why)
    assert one._latecomer(quiet=False) is None
    assert one.context.outcome.not_tried == {"c": "no time"}


def test_none_starts_where_the_best_is_perfect():
    assert racing({"a": 1.0}, ["c"])._latecomer(quiet=True) is None


def test_a_latecomer_in_training_holds_nobody_back():
    race = race_of({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    race.all[0].running = True
    race.all[0].values.append(1.0)
    race.all[3].failed, race.all[3].values = "no memory", []
    race.all.append(Candidate(9, Plain("e"), False, running=True, late=True))
    assert race.climber().family == "b"


def test_a_latecomer_climbs_where_it_is_among_the_best_of_its_rung():
    race = race_of({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0})
    late = Candidate(9, Plain("e"), False, [0.5])
    race.all.append(late)
    assert race.climber() is late


def test_no_time_is_said_of_a_family_only_where_nothing_of_it_was_trained():
    one = racing({"a": 0.9}, [])
    for family in ("a", "b"):
        candidate = Candidate(9, Plain(family), True)
        one.race.all.append(candidate)
        one._finish(candidate, None, Result(failed=NO_TIME))
    assert one.context.outcome.not_tried == {"b": NO_TIME}
