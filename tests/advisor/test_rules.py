"""Every rule has its page, speaks in its case, is silent in the opposite, and the ranking follows."""

import inspect
import re
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.rules import Advice, Facts, advise, facts_from, page, rules, scenarios
from advisor.rules.resource import attention_length_cap
from profiles.budget import Budget
from profiles.data import DataProfile
from profiles.device import DeviceProfile

FAMILIES = ("gru", "lstm", "transformer", "linear_attention", "ssm", "rnn_transformer", "conv")
PLAIN = {"task": "classify", "samples": 50_000, "length_p50": 700}
CASES = {  # key: facts that make it speak, facts that make it silent
    "SC1": (
        {"task": "transcribe", "modality": "audio", "max_latency_ms": 50},
        {"task": "transcribe", "modality": "audio"},
    ),
    "SC2": ({"task": "translate", "modality": "text", "length_p50": 2000}, {"task": "translate", "length_p50": 20}),
    "SC3": ({"task": "forecast", "horizon": 12}, {"task": "forecast", "horizon": 720}),
    "SC4": ({"modality": "several"}, {"modality": "series", "channels": 12}),
    "SC5": ({"max_model_mib": 4}, {"max_model_mib": 400}),
    "LEN1": ({"length_p50": 511}, {"length_p50": 512}),
    "LEN2": ({"length_p50": 1024}, {"length_p50": 1023}),
    "LEN3": ({"length_p50": 512}, {"length_p50": 1024}),
    "MEM1": ({"max_memory_mib": 64, "length_p50": 4000}, {"max_memory_mib": 64_000, "length_p50": 4000}),
    "SML1": ({"samples": 67}, {"samples": 1000}),
    "STR1": ({"streaming": True}, {"streaming": False, "max_latency_ms": 1}),
    "EDG1": ({"max_model_mib": 2}, {"max_model_mib": 3}),
}


def situation(**changes) -> Facts:
    return Facts(**(PLAIN | changes))


def order(facts: Facts) -> list[str]:
    return [one.family for one in advise(facts, FAMILIES).ranking]


def keys(facts: Facts) -> set[str]:
    return {one.key for one in advise(facts, FAMILIES).fired}


@pytest.mark.parametrize("key", scenarios())
def test_the_page_opens_with_the_key_and_has_its_headings(key):
    lines = page(key).splitlines()
    assert re.match(rf"{key}: .+\.$", lines[0])
    assert [line for line in lines if line in {"Why:", "Does not apply:", "Evidence:"}] == [
        "Why:",
        "Does not apply:",
        "Evidence:",
    ]
    assert re.search(r"\bD[0-4]\b", page(key))


def test_every_row_has_a_rule_and_every_rule_a_row_and_a_case():
    assert list(rules()) == list(scenarios()) == list(CASES)
    assert all(inspect.isfunction(rule) for rule in rules().values())


@pytest.mark.parametrize("key", scenarios())
def test_weights_lie_between_minus_one_and_one_and_somebody_is_preferred(key):
    weights = scenarios()[key].families.values()
    assert all(-1 <= weight <= 1 for weight in weights) and max(weights) > 0


@pytest.mark.parametrize("key", CASES)
def test_a_rule_speaks_in_its_case_with_the_words_of_the_table(key):
    answer = rules()[key](situation(**CASES[key][0]))
    assert answer is not None and 0 < answer.strength <= 1
    row = scenarios()[key]
    assert (answer.key, answer.says, answer.document, answer.raises) == (key, row.says, row.document, row.families)


@pytest.mark.parametrize("key", CASES)
def test_a_rule_is_silent_in_the_opposite_case(key):
    assert rules()[key](situation(**CASES[key][1])) is None


@pytest.mark.parametrize(("key", "number"), [("LEN1", "511"), ("SC3", "12"), ("SML1", "67"), ("EDG1", "2 MiB")])
def test_a_rule_says_the_users_number(key, number):
    assert number in rules()[key](situation(**CASES[key][0])).because


def test_few_short_series_prefer_recurrence():
    facts = situation(samples=67, length_p50=24)
    assert keys(facts) == {"LEN1", "SML1"}
    ranked = order(facts)
    assert set(ranked[:2]) == {"gru", "lstm"} and ranked[-1] == "transformer"


def test_many_long_series_prefer_the_transformer():
    facts = situation(length_p50=2000)
    assert keys(facts) == {"LEN2"}
    assert order(facts)[0] == "transformer"


def test_lengths_between_prefer_the_hybrid():
    assert order(situation())[0] == "rnn_transformer"


def test_a_stream_puts_the_transformer_last():
    assert order(situation(streaming=True, length_p50=2000, samples=100))[-1] == "transformer"


def test_a_family_nobody_speaks_of_scores_zero_and_says_so():
    (only,) = advise(situation(length_p50=24), ["conv"]).ranking
    assert only.score == 0 and only.reasons == ("No rule that fired speaks for or against it.",)


def test_equal_scores_keep_the_order_given_and_names_appear_once():
    ranking = advise(situation(), ["b", "a", "b", "c"]).ranking
    assert [one.family for one in ranking] == ["b", "a", "c"]


@given(
    length=st.integers(1, 20_000),
    samples=st.integers(1, 10**6),
    streaming=st.booleans(),
    memory=st.none() | st.floats(1, 1e5),
    task=st.sampled_from(["classify", "regress", "forecast"]),
)
def test_advice_is_repeatable_sums_up_and_survives_json(length, samples, streaming, memory, task):
    facts = situation(task=task, length_p50=length, samples=samples, streaming=streaming, max_memory_mib=memory)
    advice = advise(facts, FAMILIES)
    assert advise(facts, FAMILIES) == advice
    assert Advice.model_validate_json(advice.model_dump_json()) == advice
    assert Facts.model_validate_json(facts.model_dump_json()) == facts
    assert len({"LEN1", "LEN2", "LEN3"} & {one.key for one in advice.fired}) == 1
    for one in advice.ranking:
        total = sum(rule.strength * rule.raises.get(one.family, 0) for rule in advice.fired)
        assert one.score == pytest.approx(total, abs=1e-3)


@given(memory=st.floats(1, 1e6), batch=st.integers(1, 64), heads=st.integers(1, 16))
def test_the_cap_is_the_longest_whose_matrices_fill_half_of_the_memory(memory, batch, heads):
    cap, half = attention_length_cap(memory, batch, heads), memory * 2**19
    assert batch * heads * cap**2 * 4 <= half < batch * heads * (cap + 1) ** 2 * 4 + 1


def test_the_tighter_of_the_two_memories_caps_the_length():
    answer = rules()["MEM1"](situation(length_p50=4000, max_memory_mib=64, device_memory_mib=1024))
    assert answer.cap_length == min(isqrt(64 * 2**19 // 16), isqrt(1024 * 2**19 // (32 * 16)))
    assert str(answer.cap_length) in answer.because and "4000" in answer.because


def test_an_unknown_key_is_an_error_with_the_nearest():
    with pytest.raises(InputError, match="'LEN9'") as caught:
        page("LEN9")
    assert "LEN1" in caught.value.hint


def test_a_key_is_found_in_lower_case():
    assert page("len1") == page("LEN1")


def profile(**changes) -> DataProfile:
    known = dict.fromkeys(("length_min", "length_p50", "length_p90", "length_p99", "length_max"), 17_420)
    counts = {"samples": 7, "channels": 1, "total_steps": 7 * 17_420, "missing": 0.0, "season": 24}
    return DataProfile(**({"task": "forecast"} | known | counts | changes))


def test_facts_are_taken_from_the_profiles():
    device = DeviceProfile(
        kind="cpu",
        name="a",
        cores=2,
        threads=2,
        memory_mib=2048,
        memory_available_mib=1024,
        torch="2",
        matmul_gflops=1,
        copy_gib_s=1,
    )
    facts = facts_from(profile(), device, Budget(max_latency_ms=5, max_model_mib=1, batch_size=4), 24)
    assert (facts.device_kind, facts.device_memory_mib, facts.batch_size, facts.season) == ("cpu", 2048, 4, 24)
    assert facts.edge and facts.realtime and not facts.streaming


@pytest.mark.parametrize(("horizon", "expected"), [(48, 144), (6, 48), (17_000, 420)])
def test_a_forecaster_reads_a_window_and_not_the_whole_series(horizon, expected):
    assert facts_from(profile(), horizon=horizon).length == expected


def test_the_given_context_is_what_a_forecaster_reads():
    facts = facts_from(profile(), horizon=96, context=1500)
    assert facts.length == facts.longest == 1500 and "LEN2" in keys(facts)


def test_a_classifier_reads_the_whole_series():
    facts = facts_from(profile(task="classify"))
    assert facts.length == 17_420 and not facts.edge and not facts.realtime


@pytest.mark.parametrize("said", [True, False])
def test_the_users_word_on_the_device_wins_over_the_budget(said):
    facts = facts_from(profile(), budget=Budget(max_model_mib=1 if not said else None), horizon=24, edge=said)
    assert facts.edge is said and ("EDG1" in keys(facts)) is said
