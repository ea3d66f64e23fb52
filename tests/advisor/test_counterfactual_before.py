"""The change that is named is the smallest: at its value another family comes first, one step nearer none does."""

import math
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.counterfactual import before, lines, why_not
from advisor.counterfactual.before import _what_happened
from advisor.counterfactual.moves import Numbers, movable, moved, rounded
from advisor.errors import InputError
from advisor.rules import Advice, Facts, Fired, OwnRule, advise
from advisor.rules.bounds import bounds_of
from advisor.rules.conflicts import settle

FAMILIES = ("gru", "lstm", "transformer", "linear_attention", "ssm", "rnn_transformer", "conv", "rnn")
LONG = Facts(task="classify", samples=50_000, length_p50=1460, max_latency_ms=5.0)
FORECAST = Facts(task="forecast", samples=7, length_p50=17_420, context=336, horizon=96, season=24, reach=50)
SITUATIONS = {
    "few short": Facts(task="classify", samples=50, length_p50=150),
    "many long": LONG,
    "forecast": FORECAST,
    "stream": Facts(task="classify", samples=500, length_p50=700, streaming=True, max_memory_mib=500.0),
}


def first(facts):
    return advise(facts, FAMILIES).ranking[0].family


@cache
def turns_in(situation):
    return before(SITUATIONS[situation], FAMILIES)


def rule(key="MINE", families=None, **when):
    return OwnRule(
        key=key, document="mine", says="Mine.", families=families or {"conv": 1.0}, when=bounds_of("test", when),
        tier="budget",
    )  # fmt: skip


def nearer(turn):
    """Return the value one step nearer to the present one."""
    if isinstance(turn.then, int):
        return turn.then + (1 if turn.direction == "below" else -1)
    return turn.then * (1 + 1e-6 if turn.direction == "below" else 1 - 1e-6)


def check(facts, turns):
    winner = first(facts)
    for turn in turns:
        there = moved(facts, turn.fact, turn.then)
        assert turn.winner_now == winner != turn.winner_then == first(there)
        assert first(moved(there, turn.fact, turn.now)) == winner
        if turn.direction != "other" and turn.then is not None:
            assert first(moved(facts, turn.fact, nearer(turn))) == winner, turn
            assert (turn.then < (math.inf if turn.now is None else turn.now)) == (turn.direction == "below")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_at_the_value_another_is_first_one_step_nearer_it_is_not_and_back_is_back(situation):
    check(SITUATIONS[situation], turns_in(situation))


@settings(max_examples=5)
@given(
    task=st.sampled_from(["classify", "forecast"]),
    samples=st.integers(1, 10**6),
    length=st.integers(1, 20_000),
    memory=st.none() | st.floats(1, 1e5),
    streaming=st.booleans(),
)
def test_the_same_holds_for_any_situation(task, samples, length, memory, streaming):
    horizon = 12 if task == "forecast" else None
    facts = Facts(
        task=task, samples=samples, length_p50=length, horizon=horizon, max_memory_mib=memory, streaming=streaming
    )
    check(facts, before(facts, FAMILIES))


@settings(max_examples=5)
@given(bound=st.integers(12, 9999))
def test_a_threshold_of_an_own_rule_is_found_exactly(bound):
    facts = Facts(task="classify", samples=50_000, length_p50=12_000)
    turns = before(facts, ["transformer", "conv"], [rule(length_max=bound)])
    (turn,) = [turn for turn in turns if turn.fact == "length_p50"]
    assert (turn.then, turn.winner_then) == (bound, "conv") and "MINE" in turn.rules


@pytest.mark.parametrize("bound", [3.0, 0.8, 64.0, 33.3])
def test_a_limit_that_is_not_set_is_lowered_to_the_very_number_of_the_rule(bound):
    facts = Facts(task="classify", samples=50_000, length_p50=20_000)
    own = [rule(max_latency_ms_max=bound, families={"conv": 1.0, "transformer": -1.0})]
    (turn,) = [t for t in before(facts, ["transformer", "conv"], own) if t.fact == "max_latency_ms"]
    assert (turn.now, turn.then, turn.winner_then) == (None, bound, "conv")
    assert f"falls to {bound:g} ms (now none)" in turn.says


@pytest.mark.parametrize("bound", [256.0, 33.3, 33.375])
def test_past_a_limit_that_is_part_of_the_rule_the_turn_lies_above_it(bound):
    facts = Facts(task="classify", samples=50_000, length_p50=20_000, max_latency_ms=bound / 2)
    own = [rule(max_latency_ms_max=bound, families={"conv": 1.0, "transformer": -1.0})]
    (turn,) = [t for t in before(facts, ["transformer", "conv"], own) if t.fact == "max_latency_ms"]
    assert turn.then > bound and turn.winner_then == "transformer" and "MINE falls silent" in turn.says
    assert first_of(facts, "max_latency_ms", bound, own) == "conv"
    assert f"rises above {bound:.10g} ms (now {bound / 2:.6g})" in turn.says


def test_the_value_of_a_sentence_that_says_to_is_a_value_where_it_changes():
    facts = Facts(task="classify", samples=50_000, length_p50=1460, max_memory_mib=128.0)
    (turn,) = [t for t in before(facts, FAMILIES) if t.fact == "max_memory_mib" and t.direction == "above"]
    assert turn.says.startswith("If the memory limit rises above 256 MiB (now 128), ")
    for name, situation in SITUATIONS.items():
        for turn in turns_in(name):
            if said := re.search(r" (?:rises|falls) to ([\d.e+]+)", turn.says):
                value = type(turn.then)(said[1])
                assert first(moved(situation, turn.fact, value)) == turn.winner_then


def first_of(facts, name, value, own):
    return advise(moved(facts, name, value), ["transformer", "conv"], own).ranking[0].family


def fired_as(key, strength=1.0, says="One.", tier="data", **raises):
    return Fired(key=key, document="D", says=says, strength=strength, because="so", raises=raises, tier=tier)


def advice_of(*fired):
    conflicts = tuple(one for family in ("gru", "conv") for one in settle(family, fired).conflicts)
    return Advice(fired=fired, ranking=(), conflicts=conflicts)


NONE_AT_HAND = fired_as("PRE1", 0.3, "Look for one.")
ASIDE = (fired_as("UP", tier="budget", conv=-1.0), fired_as("LEN1", tier="length", conv=1.0))


@pytest.mark.parametrize(
    ("key", "now", "then", "words"),
    [
        ("PRE1", (NONE_AT_HAND,), (fired_as("PRE1", 1.0, conv=0.6),), "PRE1 speaks for other families"),
        ("PRE1", (fired_as("PRE1", 1.0, conv=0.6),), (NONE_AT_HAND,), "PRE1 speaks for no family any more"),
        ("SC1", (fired_as("SC1", gru=1.0),), (fired_as("SC1", conv=1.0),), "SC1 speaks for other families"),
        ("SC1", (fired_as("SC1", gru=1.0),), (fired_as("SC1", gru=0.5),), "SC1 gives families other weights"),
        ("SML1", (fired_as("SML1", 0.5, gru=1.0),), (fired_as("SML1", gru=1.0),), "SML1 weighs more (0.50 to 1.00)"),
        ("LEN1", ASIDE, ASIDE[1:], "LEN1 is heard again"),
        ("LEN1", ASIDE[1:], ASIDE, "LEN1 is set aside"),
        ("LEN1", (), ASIDE, "LEN1 speaks"),
        ("LEN1", ASIDE, (), "LEN1 falls silent"),
    ],
)
def test_what_a_rule_does_otherwise_is_said_as_it_is(key, now, then, words):
    assert _what_happened(key, advice_of(*now), advice_of(*then), ("gru", "conv")) == words


@pytest.mark.parametrize("situation", SITUATIONS)
def test_only_what_was_set_aside_is_heard_again(situation):
    advice = advise(SITUATIONS[situation], FAMILIES)
    for turn in turns_in(situation):
        for key in turn.rules:
            heard_again = f"{key} is heard again" in turn.says
            assert not heard_again or any(one.set_aside == key for one in advice.conflicts)


def test_a_limit_that_binds_is_raised_or_lifted():
    own = [rule(max_model_mib_max=6.0, families={"conv": 1.0})]
    facts = Facts(task="classify", samples=50_000, length_p50=2000, max_model_mib=5.0)
    turns = {t.direction: t for t in before(facts, FAMILIES, own) if t.fact == "max_model_mib"}
    assert turns["above"].winner_now != turns["above"].winner_then and turns["above"].then > 5


def test_a_transformer_becomes_something_else_below_its_bound_and_the_rule_is_named():
    (turn,) = [t for t in before(LONG, ["gru", "transformer"]) if t.fact == "length_p50" and t.direction == "below"]
    assert (turn.then, turn.winner_then) == (1023, "gru")
    assert "LEN2" in turn.rules
    assert turn.says.startswith("If the length falls to 1023 steps (now 1460), gru ")
    assert "transformer" in turn.says and "LEN2 falls silent" in turn.says


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_sentence_holds_the_numbers_the_families_and_the_rules(situation):
    for turn in turns_in(situation):
        assert turn.winner_now in turn.says and turn.winner_then in turn.says
        assert all(key in turn.says for key in turn.rules) and turn.rules
        for value in (turn.now, turn.then):
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert f"{value:.6g}" in turn.says or str(value) in turn.says


def test_the_same_situation_has_the_same_turns():
    assert turns_in("forecast") == before(FORECAST, FAMILIES)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_nearest_leads_and_each_fact_has_one_turn_in_each_direction(situation):
    turns = turns_in(situation)
    ratios = [turn.ratio for turn in turns]
    assert ratios == sorted(ratios)
    keys = [(turn.fact, turn.direction) for turn in turns if turn.direction != "other"]
    assert len(keys) == len(set(keys))


@given(value=st.floats(1e-6, 1e9), digits=st.integers(1, 6))
def test_a_rounded_number_is_never_on_the_other_side(value, digits):
    low, high = float(rounded(value, digits, up=False)), float(rounded(value, digits, up=True))
    assert low <= value <= high
    assert high - low <= 10 ** (math.floor(math.log10(value)) + 1 - digits) * 1.0001


def test_what_hangs_on_a_fact_moves_with_it():
    facts = Facts(
        task="classify", samples=10, length_p50=100, length_p99=300, total_steps=1500, reach=40, reach_high=60
    )
    longer = moved(facts, "length_p50", 200)
    assert (longer.length_p99, longer.total_steps) == (600, 3000)
    assert moved(facts, "samples", 20).total_steps == 3000
    assert moved(facts, "reach", 20).reach_high == 30
    assert moved(moved(facts, "max_model_mib", 1.0), "max_model_mib", 100.0).edge is False
    said = Facts(task="classify", samples=10, length_p50=100, edge=True)
    assert moved(said, "max_model_mib", 100.0).edge is True


def test_every_number_is_looked_at_on_both_sides_within_its_bounds():
    axes = {axis.name: axis for axis in movable()}
    assert {"samples", "length_p50", "total_steps", "horizon", "season", "reach", "max_latency_ms", "max_memory_mib",
            "max_model_mib", "streaming", "batch_size", "modality", "device_kind", "edge"} <= axes.keys()  # fmt: skip
    assert "task" not in axes
    assert all(axis.limit == name.startswith("max_") for name, axis in axes.items() if isinstance(axis, Numbers))


def test_a_family_that_is_first_needs_no_change():
    case = why_not(LONG, FAMILIES, first(LONG))
    assert case.place == 1 and case.turns == ()


@pytest.mark.parametrize("facts", SITUATIONS.values(), ids=SITUATIONS)
@pytest.mark.parametrize("place", [2, len(FAMILIES)])
def test_the_change_for_a_family_makes_it_first_or_it_is_said_that_none_does(facts, place):
    ranking = [one.family for one in advise(facts, FAMILIES).ranking]
    family = ranking[place - 1]
    case = why_not(facts, FAMILIES, family)
    assert (case.place, case.of, case.winner) == (place, len(FAMILIES), ranking[0])
    for turn in case.turns:
        assert turn.winner_then == family == first(moved(facts, turn.fact, turn.then))
    if not case.turns:
        assert any("No single change" in words for words in case.says)
    shares = [float(words.split()[1].rstrip(":")) for words in case.speaks_for if not words.count("stands")]
    assert all(share > 0 for share in shares)


def test_where_no_change_is_enough_the_one_that_brings_it_nearest_is_named():
    own = [rule("ALWAYS", {"lstm": 1.0}), rule("NEAR", {"conv": 0.5}, samples_max=100)]
    facts = Facts(task="classify", samples=500, length_p50=700)
    case = why_not(facts, ["lstm", "ssm", "conv"], "conv", own)
    assert case.place == 3 and case.turns == ()
    assert case.says[2] == (
        "No single change of a fact puts conv first. If the number of series falls to 100 (now 500), it moves from "
        "place 3 to 2, behind lstm."
    )


def test_an_unknown_family_is_an_error_with_the_nearest():
    with pytest.raises(InputError, match="'transfromer'") as caught:
        why_not(LONG, FAMILIES, "transfromer")
    assert "transformer" in caught.value.hint
    with pytest.raises(InputError, match="no family"):
        before(LONG, [])


def test_a_page_of_turns_is_short_and_says_each_fact_once():
    turns = turns_in("many long")
    told = lines(turns)
    assert 0 < len(told) <= 6 and len(set(told)) == len(told)
    assert told[0] == turns[0].says
    assert lines((turns[0], turns[0])) == [turns[0].says]
