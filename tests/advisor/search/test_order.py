"""Who starts first where the time is short."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.search.clock import PHASES, Clock
from advisor.search.order import STRONGEST, in_turns
from hybrids.families import FAMILIES


@given(ranked=st.permutations(list(FAMILIES)), task=st.sampled_from(list(STRONGEST)))
def test_the_first_of_every_kind_comes_before_the_second_of_any(ranked, task):
    order = in_turns(ranked, task)
    assert sorted(order) == sorted(ranked)
    kinds = {FAMILIES[name].kind for name in ranked}
    assert {FAMILIES[name].kind for name in order[: len(kinds)]} == kinds
    assert FAMILIES[order[0]].kind == STRONGEST[task]
    others = [name for name in ranked if FAMILIES[name].kind != STRONGEST[task]]
    assert order[1] == others[0]


@given(ranked=st.permutations(list(FAMILIES)), task=st.sampled_from(list(STRONGEST)))
def test_inside_a_kind_the_advice_keeps_its_order(ranked, task):
    order = in_turns(ranked, task)
    for kind in {row.kind for row in FAMILIES.values()}:
        of_kind = [name for name in ranked if FAMILIES[name].kind == kind]
        assert [name for name in order if FAMILIES[name].kind == kind] == of_kind


def test_the_phases_share_out_what_is_left_when_the_race_opens():
    clock = Clock(time.monotonic() - 20.0, 100.0)
    clock.open()
    ends = [clock.until(phase) for phase in PHASES]
    assert ends == sorted(ends)
    assert ends == pytest.approx([77 * share for share in PHASES.values()], abs=0.1)  # 3 of the 80 s are for leaving


def test_a_race_that_took_longer_leaves_the_final_its_share_of_the_rest():
    clock = Clock(time.monotonic() - 80.0, 100.0)
    clock.race_is_over()
    assert clock.until("final") == pytest.approx(17 * 0.25 / 0.58, abs=0.1)
    assert clock.until("refit") == pytest.approx(17, abs=0.1)


def test_without_a_limit_no_phase_ends():
    assert Clock(0.0, None).until("race") == math.inf
