"""Who starts first where the time is short."""

from hypothesis import given
from hypothesis import strategies as st

from advisor.search.clock import PHASES, Clock
from advisor.search.order import in_turns
from hybrids.families import FAMILIES


@given(ranked=st.permutations(list(FAMILIES)))
def test_the_first_of_every_kind_comes_before_the_second_of_any(ranked):
    order = in_turns(ranked)
    assert sorted(order) == sorted(ranked)
    kinds = {FAMILIES[name].kind for name in ranked}
    assert {FAMILIES[name].kind for name in order[: len(kinds)]} == kinds
    assert order[0] == ranked[0]


@given(ranked=st.permutations(list(FAMILIES)))
def test_inside_a_kind_the_advice_keeps_its_order(ranked):
    order = in_turns(ranked)
    for kind in {row.kind for row in FAMILIES.values()}:
        of_kind = [name for name in ranked if FAMILIES[name].kind == kind]
        assert [name for name in order if FAMILIES[name].kind == kind] == of_kind


def test_the_phases_of_the_clock_share_out_the_limit():
    clock = Clock(0.0, 100.0)
    assert round(sum(clock.lasts(phase) for phase in PHASES), 6) == 95.5
    assert round(clock.lasts("start"), 6) == 21
