"""The five rows of the selection table: recognised from the facts, or named by the user."""

import pytest

from advisor.errors import InputError
from advisor.rules import Facts, advise, rules, scenario_key, scenarios
from advisor.rules.table import operators

FAMILIES = tuple(operators())
SPEECH = {"task": "transcribe", "modality": "audio", "length_p50": 300}
ROWS = {  # key: the application, and what the documents recommend for it
    "SC1": (SPEECH | {"max_latency_ms": 80}, {"bilstm", "lc_bilstm"}),
    "SC2": ({"task": "translate", "modality": "text", "length_p50": 3000}, {"transformer", "encoder_decoder"}),
    "SC3": ({"task": "forecast", "samples": 100, "length_p50": 400, "horizon": 12}, {"gru"}),
    "SC4": ({"modality": "several", "length_p50": 600}, {"cross_fusion"}),
    "SC5": ({"max_model_mib": 4, "length_p50": 200}, {"gru", "lstm"}),
}


def spoken(facts: Facts) -> set[str]:
    return {one.key for one in advise(facts, FAMILIES).fired if one.key.startswith("SC")}


@pytest.mark.parametrize("key", ROWS)
def test_the_application_is_recognised_and_its_family_comes_first(situation, key):
    changes, expected = ROWS[key]
    facts = situation(**changes)
    assert spoken(facts) == {key}
    assert advise(facts, FAMILIES).ranking[0].family in expected


@pytest.mark.parametrize("key", ROWS)
@pytest.mark.parametrize("facts", [changes for changes, _ in ROWS.values()], ids=list(ROWS))
def test_a_named_application_silences_the_recognised_one(situation, key, facts):
    named = situation(**facts, scenario=key)
    assert spoken(named) - {"SC5"} == {key} - {"SC5"} and key in spoken(named)
    answer = rules()[key](named)
    assert answer.strength == 1 and answer.because.startswith(f"You said so: scenario {key}.")


@pytest.mark.parametrize("key", ["SC1", "SC2", "SC3", "SC4"])
def test_few_resources_are_heard_whatever_application_is_named(situation, key):
    tight = situation(scenario=key, max_memory_mib=32)
    answer = rules()["SC5"](tight)
    assert answer.because == "Its memory 32 MiB, at most 256." and answer.tier == "budget"
    assert spoken(tight) == {key, "SC5"} and spoken(situation(scenario=key)) == {key}


def test_a_named_application_counts_in_full_where_the_facts_would_count_half(situation):
    facts = {"task": "forecast", "horizon": 12, "device_kind": "cuda"}
    assert rules()["SC3"](situation(**facts)).strength == 0.5
    assert rules()["SC3"](situation(**facts, scenario="SC3")).strength == 1


def test_it_is_said_where_the_facts_do_not_show_what_the_user_named(situation):
    assert "would not have shown it" in rules()["SC4"](situation(scenario="SC4")).because


@pytest.mark.parametrize(("said", "key"), [("sc3", "SC3"), ("speech", "SC1"), (" Multimodal ", "SC4")])
def test_an_application_goes_by_key_or_word_in_any_case(situation, said, key):
    assert scenario_key(said) == key and spoken(situation(scenario=said)) == {key}


@pytest.mark.parametrize(("said", "near"), [("SC9", "SC5"), ("speach", "speech"), ("multimodel", "multimodal")])
def test_an_unknown_application_is_an_error_with_the_nearest(situation, said, near):
    with pytest.raises(InputError, match=f"'{said}'") as caught:
        advise(situation(scenario=said), FAMILIES)
    assert near in caught.value.hint.partition("?")[0] and "SC4 (multimodal)" in caught.value.hint


def test_an_application_that_is_near_to_none_is_an_error_with_all():
    with pytest.raises(InputError) as caught:
        scenario_key("zzz")
    assert caught.value.hint.startswith("Choose from SC1 (speech), ")


def test_a_stream_of_speech_gets_the_latency_controlled_and_causal_families(situation):
    facts = situation(**SPEECH, streaming=True)
    answer = rules()["SC1"](facts)
    assert answer.raises == scenarios()["SC1"].cases["streaming"].families
    assert "after the whole utterance: 300 steps." in answer.because
    assert "waits for 31 steps at most (chunks of 16 steps, 16 more read)" in answer.because
    order = [one.family for one in advise(facts, FAMILIES).ranking]
    assert order[-1] in {"bilstm", "bigru", "encoder_decoder"} and order.index("lc_bilstm") < order.index("bilstm")
    assert set(order[:4]) <= {"lc_bilstm", "lstm", "gru", "mingru", "ssm"}


def test_the_waits_are_told_in_time_where_the_time_of_a_step_is_known(situation):
    because = rules()["SC1"](situation(**SPEECH, streaming=True, step_ms=10)).because
    assert "300 steps, 3000 ms" in because and "31 steps, 310 ms" in because


@pytest.mark.parametrize(("limit", "late"), [(309, True), (310, False)])
def test_a_look_ahead_longer_than_the_latency_leaves_causal_families_only(situation, limit, late):
    facts = situation(**SPEECH, streaming=True, step_ms=10, max_latency_ms=limit)
    score = {one.family: one.score for one in advise(facts, FAMILIES).ranking}
    assert (score["lc_bilstm"] < 0) is late and score["bilstm"] < 0 < score["lstm"]
    assert ("That look-ahead alone is over" in rules()["SC1"](facts).because) is late


def test_offline_speech_in_real_time_keeps_the_bidirectional_network_and_says_what_it_waits_for(situation):
    answer = rules()["SC1"](situation(**SPEECH, max_latency_ms=50))
    assert answer.raises["bilstm"] == 1 and "after the whole utterance" in answer.because
