"""Conflicts are settled in the stated order, and shown; what agrees adds up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.rules import TIERS, Fired, Scenario, advise, explain_advice, scenarios
from advisor.rules.conflicts import settle

ORDER = list(TIERS)
PAIRS = {  # tiers, the higher first: facts that make rules of the two contradict each other, family, rule, rule aside
    ("target", "budget"): ({"missing_operators": ("LSTM",), "streaming": True}, "lstm", "HW1", "STR1"),
    ("target", "scenario"): (
        {"missing_operators": ("GRU",), "task": "forecast", "horizon": 12},
        "gru",
        "HW1",
        "SC3",
    ),
    ("target", "data"): ({"missing_operators": ("aten::lstm",), "samples": 67}, "lstm", "HW1", "SML1"),
    ("target", "length"): ({"failed_families": {"transformer": ""}, "length_p50": 2000}, "transformer", "HW1", "LEN2"),
    ("budget", "scenario"): (
        {"streaming": True, "task": "translate", "length_p50": 2000},
        "transformer",
        "STR1",
        "SC2",
    ),
    ("budget", "data"): ({"streaming": True, "samples": 67}, "bilstm", "STR1", "SML1"),
    ("budget", "length"): ({"max_memory_mib": 64, "edge": False, "length_p50": 4000}, "transformer", "MEM1", "LEN2"),
    ("scenario", "data"): ({"task": "translate", "length_p50": 2000, "samples": 9}, "transformer", "SC2", "SML1"),
    ("scenario", "length"): (
        {"task": "forecast", "horizon": 12, "length_p50": 2000, "context": 2000},
        "gru",
        "SC3",
        "LEN2",
    ),
    ("data", "length"): ({"samples": 67, "length_p50": 2000}, "transformer", "SML1", "LEN2"),
}


def voice(key: str, tier: str, share: float) -> Fired:
    return Fired(key=key, document="", says="", strength=1, because="", raises={"gru": share}, tier=tier)


def said(row: Scenario, weights: dict[str, float]) -> Fired:
    return Fired(key=row.key, document="", says="", strength=1, because="", raises=weights, tier=row.tier)


@pytest.mark.parametrize("tiers", PAIRS, ids=" over ".join)
def test_the_higher_tier_stands_and_the_lower_is_set_aside_and_shown(situation, tiers):
    changes, family, stands, aside = PAIRS[tiers]
    advice = advise(situation(**changes), [family])
    key_tier = {one.key: one.tier for one in advice.fired}
    assert (key_tier[stands], key_tier[aside]) == tiers
    (found,) = (one for one in advice.conflicts if one.set_aside == aside)
    assert (found.family, found.stands) == (family, stands)
    assert all(part in found.says for part in (stands, aside, family, TIERS[tiers[0]], TIERS[tiers[1]]))
    (judged,) = advice.ranking
    assert found.says in judged.reasons and judged.score * found.share < 0
    assert any(f"{stands}" in line and f"{aside} is set aside" in line for line in explain_advice(advice))


def test_every_pair_of_tiers_that_favours_families_is_covered():
    tiers = ORDER[:-1]
    assert list(PAIRS) == [(a, b) for i, a in enumerate(tiers) for b in tiers[i + 1 :]]


def test_every_contradiction_in_the_table_is_settled_by_the_order():
    voices = [
        (row, weights)
        for row in scenarios().values()
        for weights in (row.families, *(case.families for case in row.cases.values()))
    ]
    contradictions = [
        (family, said(higher, first), said(lower, second))
        for higher, first in voices
        for lower, second in voices
        for family in sorted(first.keys() & second.keys())
        if ORDER.index(higher.tier) < ORDER.index(lower.tier) and first[family] * second[family] < 0
    ]
    assert len(contradictions) > 50
    for family, higher, lower in contradictions:
        (heard,), (conflict,) = settle(family, [lower, higher])
        assert (heard[0].key, conflict.stands, conflict.set_aside) == (higher.key, higher.key, lower.key)


def test_shares_of_one_tier_add_up_though_they_differ():
    heard, conflicts = settle("gru", [voice("A", "budget", 0.5), voice("B", "budget", -0.2)])
    assert sum(share for _, share in heard) == pytest.approx(0.3) and not conflicts


def test_a_tier_that_cancels_out_gives_no_verdict():
    fired = [voice("A", "budget", 0.5), voice("B", "budget", -0.5), voice("C", "data", -0.3), voice("D", "length", 0.4)]
    heard, conflicts = settle("gru", fired)
    assert [one.key for one, _ in heard] == ["A", "B", "C"]
    assert [(one.stands, one.set_aside) for one in conflicts] == [("C", "D")]


def test_the_strongest_voice_of_the_tier_is_named():
    _, (conflict,) = settle(
        "gru", [voice("A", "budget", 0.2), voice("B", "budget", 0.9), voice("C", "budget", -1), voice("D", "data", -1)]
    )
    assert (conflict.stands, conflict.set_aside, conflict.share) == ("B", "D", -1)


@given(st.lists(st.tuples(st.sampled_from(ORDER), st.floats(-1, 1)), max_size=8))
def test_nothing_is_lost_and_the_verdict_of_the_highest_tier_is_never_turned(shares):
    fired = [voice(f"R{i}", tier, share) for i, (tier, share) in enumerate(shares)]
    heard, conflicts = settle("gru", fired)
    speaking = {one.key for one in fired if one.raises["gru"]}
    assert {one.key for one, _ in heard} | {one.set_aside for one in conflicts} == speaking
    assert not {one.key for one, _ in heard} & {one.set_aside for one in conflicts}
    score = sum(share for _, share in heard)
    assert all(one.share * score <= 1e-6 for one in conflicts)


def test_without_conflicts_no_heading_is_printed(situation):
    assert not any("Conflict" in line for line in explain_advice(advise(situation(), ["gru"])))
