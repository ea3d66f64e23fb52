"""Who goes on in the race, and how long the rungs are."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.search.gate import Gated
from advisor.search.jobs import Result
from advisor.search.race import Candidate, Race
from advisor.search.rungs import Rungs, by_time, by_trials, cost_of, sizes_of, units


class Plain(Gated):
    """A candidate that was never measured."""

    def __init__(self, family):
        object.__setattr__(self, "family", family)


def race_of(values, higher=False):
    """Return a race in which `values`, family -> quality after the first rung, are known."""
    race = Race(Rungs(sizes_of(len(values)), None, 100), higher)
    race.all = [Candidate(i, Plain(f), False, [v]) for i, (f, v) in enumerate(values.items())]
    return race


def climb(race, rank):
    """Train whoever may go on, until nobody may; a candidate keeps its quality."""
    while c := race.climber():
        c.values.append(rank[c.family])


@given(starters=st.integers(1, 40))
def test_each_rung_has_half_of_the_one_before_and_the_last_has_two(starters):
    sizes = sizes_of(starters)
    assert sizes[0] == starters and sizes[-1] == min(2, starters)
    assert all(b == math.ceil(a / 2) for a, b in pairwise(sizes))


@given(worker_s=st.floats(1, 5000), workers=st.integers(1, 8))
def test_the_race_fits_into_the_time_of_the_workers(worker_s, workers):
    rungs = by_time(worker_s, 17, workers, 10)
    assert cost_of(rungs.sizes) * rungs.seconds <= max(worker_s * 1.001, 0.5 * cost_of(rungs.sizes))
    done = [sum(units(r) for r in range(rung + 1)) for rung in range(len(rungs.sizes))]
    assert [rungs.until(rung) for rung in range(len(done))] == [one / done[-1] for one in done]
    assert rungs.whole_s == pytest.approx(rungs.seconds * done[-1])


def test_two_minutes_on_two_cores_start_eight_families_for_about_five_seconds():
    rungs = by_time(77.0, 17, 2, 10)
    assert rungs.sizes == (8, 4, 2)
    assert rungs.seconds == pytest.approx(4.8, abs=0.1)


def test_no_more_families_start_than_there_are_trials():
    assert by_trials(3, 17).sizes == (3, 2)


@given(seed=st.integers(0, 99), higher=st.booleans())
def test_the_better_half_goes_on_at_each_rung_and_every_family_keeps_a_model(seed, higher):
    qualities = random.Random(seed).sample(range(100), 8)
    rank = {f"f{i}": float(q) for i, q in enumerate(qualities)}
    race = race_of(rank, higher)
    climb(race, rank)
    order = sorted(rank, key=rank.__getitem__, reverse=higher)
    rungs = {c.family: c.rung for c in race.all}
    assert [rungs[f] for f in order] == [3, 3, 2, 2, 1, 1, 1, 1]
    assert race.families() == order


def test_the_best_of_those_done_goes_on_while_others_still_train():
    race = race_of({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    race.all[3].values, race.all[3].running = [], True
    assert race.climber().family == "a"  # one of three done, of four that will be
    race.all[0].running = True
    assert race.climber() is None


def test_who_has_settled_is_not_trained_further_but_holds_its_place():
    race = race_of({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    race.all[0].result = Result(settled=True)
    assert race.climber().family == "b"
    race.all[1].values.append(2.0)
    assert race.climber() is None


def test_a_new_configuration_climbs_only_in_the_best_third_of_its_family():
    race = race_of({"a": 1.0, "b": 2.0})
    race.rungs = Rungs((3, 2), None, 100)
    for first in race.all:
        first.result = Result(settled=True)
    worse, better = Candidate(7, Plain("a"), True, [1.5]), Candidate(8, Plain("a"), True, [0.5])
    race.all += [worse, better]
    assert race.climber() is better
    assert race.newcomer() == "b"


def test_a_race_ends_where_the_best_is_perfect_or_has_settled_and_nothing_new_is_better():
    assert race_of({"a": 1.0, "b": 0.9}, higher=True).exhausted()
    assert not race_of({"a": 0.9}, higher=True).exhausted()
    race = race_of({"a": 0.9}, higher=True)
    race.all += [Candidate(i, Plain("a"), True, [0.8]) for i in range(1, 9)]
    assert not race.exhausted()
    race.all[0].result = Result(settled=True)
    assert race.exhausted()


def test_the_best_and_the_furthest_of_a_family_are_complete_the_others_pruned():
    race = race_of({"a": 1.0, "b": 2.0})
    race.all += [Candidate(7, Plain("a"), True, [1.5])]
    race.all[1].values.append(1.9)
    assert [race.state(c) for c in race.all] == ["complete", "complete", "complete"]
    race.all[0].values.append(0.9)
    assert race.state(race.all[2]) == "pruned"
