"""Every rule has its page and its row, speaks in its cases with the words of the table, and is silent elsewhere."""

import inspect
import re
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.rules import TIERS, advise, page, rules, scenarios
from advisor.rules.resource import attention_length_cap
from advisor.rules.table import operators
from hybrids import FAMILIES, mixers
from profiles.crossover import Crossovers

RECURRENCE_IS_CHEAPER = Crossovers(
    short_below=2900, long_from=None, recurrent_from=64, longest=4096, device="Bench 3000", says=""
)
SPEECH = {"task": "transcribe", "modality": "audio"}
FORECAST = {"task": "forecast", "samples": 1}
CASES = {  # key: facts that make it speak, facts that make it silent
    "SC1": (
        [
            SPEECH | {"max_latency_ms": 50},
            SPEECH | {"streaming": True},
            SPEECH | {"realtime": True},
            {"scenario": "SC1"},
        ],
        [
            SPEECH,
            SPEECH | {"max_latency_ms": 101},
            {"streaming": True, "task": "transcribe"},
            SPEECH | {"streaming": True, "scenario": "SC5"},
        ],
    ),
    "SC2": (
        [{"task": "translate", "length_p50": 2000}, {"task": "translate", "length_p50": 20, "length_p99": 512}],
        [{"task": "translate", "length_p50": 511}, {"length_p50": 2000}],
    ),
    "SC3": (
        [FORECAST | {"horizon": 24}, FORECAST | {"horizon": 96, "season": 48}],
        [FORECAST | {"horizon": 25}, FORECAST, {"horizon": 12}],
    ),
    "SC4": ([{"modality": "several"}], [{"modality": "series", "channels": 12}]),
    "SC5": (
        [{"max_model_mib": 8}, {"max_memory_mib": 256}, {"device_memory_mib": 1024}, {"edge": True}],
        [{"max_model_mib": 8.1, "max_memory_mib": 257, "device_memory_mib": 1025}, {}],
    ),
    "LEN1": ([{"length_p50": 511}, {"length_p50": 5000, "reach": 20}], [{"length_p50": 512}, {"reach": 600}]),
    "LEN2": ([{"length_p50": 1024}, {"reach": 513}], [{"length_p50": 1023}, {"length_p50": 5000, "reach": 20}]),
    "LEN3": (
        [{"length_p50": 512}, {"length_p50": 1023}, {"length_p50": 5000, "reach": 700}],
        [{"length_p50": 511}, {"length_p50": 1024}],
    ),
    "MEM1": (
        [{"max_memory_mib": 64, "length_p50": 4000}, {"device_memory_mib": 64, "length_p50": 4000}],
        [{"max_memory_mib": 64_000, "length_p50": 4000}, {"length_p50": 10**6}],
    ),
    "MEM2": (
        [{"device_memory_mib": 2048, "length_p50": 2185}, {"device_memory_mib": 2048, "length_p99": 9000}],
        [{"device_memory_mib": 2048, "length_p50": 2184}, {"length_p50": 10**6}],
    ),
    "PRE1": ([{"pretrained": True}, {"modality": "text"}, {"task": "translate"}], [{}, {"modality": "audio"}]),
    "PRE2": ([{"pretrained": True}, {"pretrained": True, "samples": 20}], [{}, {"modality": "text"}]),
    "SML1": (
        [{"samples": 999}, {"task": "forecast", "samples": 1, "length_p50": 9999}],
        [
            {"samples": 1000},
            {"task": "forecast", "samples": 1, "length_p50": 10_000},
            {"samples": 9, "pretrained": True},
        ],
    ),
    "STR1": (
        [{"streaming": True}, {"streaming": True, "max_latency_ms": 5}],
        [{"streaming": False, "max_latency_ms": 1}, {"realtime": True}],
    ),
    "EDG1": (
        [{"max_model_mib": 2}, {"max_memory_mib": 64}, {"edge": True}],
        [{"max_model_mib": 2.1}, {"max_memory_mib": 65}, {"max_model_mib": 1, "edge": False}],
    ),
    "BI1": (
        [{}, {"task": "regress"}, FORECAST, {"max_latency_ms": 5}, {"edge": True}, {"realtime": True}],
        [{"streaming": True}, {"streaming": True, "max_latency_ms": 5}],
    ),
    "PRA1": (
        [{"samples": 20}, {"task": "forecast", "samples": 1, "length_p50": 100}],
        [{"samples": 19}, {"task": "forecast", "samples": 1, "length_p50": 99}],
    ),
    "PRA2": (
        [
            {"max_latency_ms": 5},
            {"max_memory_mib": 99},
            {"max_model_mib": 99},
            {"streaming": True},
            {"pretrained": True},
        ],
        [
            {},
            {"length_p50": 100, "streaming": True},
            {"length_p50": 100, "pretrained": True},
            {"pretrained": True, "failed_families": {"transformer": ""}},
            {"streaming": True, "missing_operators": ("Softmax",)},
            {"streaming": True, "crossovers": RECURRENCE_IS_CHEAPER},
        ],
    ),
    "PRA3": ([{"length_p50": 600}, {"length_p50": 10, "pretrained": True}], [{"length_p50": 10}, {"length_p50": 5000}]),
    "PRA4": (
        [{"edge": True}, {"cloud": True}, {"cloud": True, "pretrained": True}, {"cloud": True, "edge": True}],
        [{}, {"cloud": False}],
    ),
    "HW1": (
        [
            {"missing_operators": ("GRU",)},
            {"failed_families": {"ssm": "out of memory"}},
            {"missing_operators": ("Xyz",)},
        ],
        [{}, {"missing_operators": (), "failed_families": {}}],
    ),
}
SPEAKS = [(key, facts) for key, (speaks, _) in CASES.items() for facts in speaks]
SILENT = [(key, facts) for key, (_, silent) in CASES.items() for facts in silent]
HEADINGS = ["Fires when:", "Why:", "Does not apply:", "Evidence:"]


@pytest.mark.parametrize("key", scenarios())
def test_the_page_opens_with_the_key_and_has_its_headings(key):
    lines = page(key).splitlines()
    assert re.match(rf"{key}: .+\.$", lines[0])
    assert [line for line in lines if line in HEADINGS] == HEADINGS
    assert re.search(r"\bD[0-4]\b", page(key)) and "trength" in page(key)


def test_every_key_of_the_digest_has_a_row_a_rule_and_cases():
    counts = {"SC": 5, "LEN": 3, "MEM": 2, "PRE": 2, "SML": 1, "STR": 1, "EDG": 1, "BI": 1, "PRA": 4, "HW": 1}
    digest = {f"{letters}{number}" for letters, count in counts.items() for number in range(1, count + 1)}
    assert set(scenarios()) == set(rules()) == set(CASES) == digest
    assert list(rules()) == list(scenarios())
    assert all(inspect.isfunction(rule) for rule in rules().values())
    assert all(len(silent) and len(speaks) for speaks, silent in CASES.values())


@pytest.mark.parametrize("key", scenarios())
def test_weights_name_families_and_somebody_is_preferred_unless_it_is_about_how_to_work(key):
    row = scenarios()[key]
    weights = [row.families, *(case.families for case in row.cases.values())]
    assert all(set(one) <= set(operators()) and all(one.values()) for one in weights)
    assert row.procedure == (row.tier == "practice") and row.tier in TIERS
    if row.procedure:
        assert not any(weights)
    elif key != "HW1":
        assert max(row.families.values()) > 0


@pytest.mark.parametrize(("key", "facts"), SPEAKS)
def test_a_rule_speaks_in_its_case_with_the_words_of_the_table(situation, key, facts):
    answer, row = rules()[key](situation(**facts)), scenarios()[key]
    assert answer is not None and 0 < answer.strength <= 1
    assert re.fullmatch(r"[A-Z0-9a-z].*\.", answer.because)
    assert (answer.key, answer.document, answer.procedure) == (key, row.document, row.procedure)
    spoken = {row.says: (row.families, row.tier)}
    spoken |= {case.says: (case.families, case.tier or row.tier) for case in row.cases.values()}
    families, tier = spoken[answer.says]
    assert answer.tier == tier and (key == "HW1" or answer.raises == families)


@pytest.mark.parametrize(
    ("key", "changes", "tier"),
    [
        ("BI1", {"max_latency_ms": 5}, "budget"),
        ("BI1", {"edge": True}, "budget"),
        ("BI1", {"realtime": True}, "budget"),
        ("BI1", FORECAST | {"max_latency_ms": 5}, "budget"),
        ("BI1", FORECAST, "length"),
        ("BI1", {}, "length"),
        ("PRA4", {"edge": True}, "budget"),
        ("PRA4", {"cloud": True}, "scenario"),
        ("PRA4", {"cloud": True, "pretrained": True}, "scenario"),
    ],
)
def test_a_case_that_rests_on_a_limit_has_the_tier_of_the_budget(situation, key, changes, tier):
    assert rules()[key](situation(**changes)).tier == tier


def test_speech_in_real_time_has_weighed_the_two_directions_but_not_the_small_device(situation):
    speech = situation(**SPEECH, realtime=True, length_p50=300)
    assert rules()["BI1"](speech) is None and rules()["SC1"](speech).raises["bilstm"] == 1
    assert rules()["BI1"](situation(**SPEECH, max_latency_ms=50, edge=True)).because == (
        "The device is a phone or embedded."
    )


@pytest.mark.parametrize("task", ["classify", "regress", "tag", "transcribe", "translate"])
def test_both_directions_are_weakly_advised_for_every_task_but_a_forecast(situation, task):
    assert rules()["BI1"](situation(task=task)).raises["bilstm"] > 0
    assert "any task but a forecast" in " ".join(page("BI1").split())


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("SML1", {"samples": 1}, "There is 1 labelled series, below"),
        ("SML1", {"samples": 2}, "There are 2 labelled series, below"),
        ("SML1", FORECAST | {"length_p50": 1}, "There is 1 observed step, below"),
        ("PRE2", {"samples": 1, "pretrained": True}, "1 series is few"),
        ("SC3", {"task": "forecast", "horizon": 1}, "1 step is forecast"),
        ("LEN1", {"length_p50": 1}, "reads 1 step,"),
        ("LEN1", {"reach": 1}, "only the last one matters."),
        ("LEN1", {"reach": 1, "reach_kind": "from the start"}, "the first one is enough."),
    ],
)
def test_one_of_a_kind_is_told_in_the_singular(situation, key, changes, words):
    assert words in rules()[key](situation(**changes)).because


def test_measuring_first_promises_no_more_than_the_time_allows():
    assert "that the time allows" in scenarios()["PRA1"].says


@pytest.mark.parametrize(("key", "facts"), SILENT)
def test_a_rule_is_silent_in_the_opposite_case(situation, key, facts):
    assert rules()[key](situation(**facts)) is None


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("LEN1", {"length_p50": 511}, "511"),
        ("SC3", {"task": "forecast", "horizon": 12}, "12"),
        ("SML1", {"samples": 67}, "67"),
        ("EDG1", {"max_model_mib": 2}, "2 MiB"),
        ("MEM2", {"device_memory_mib": 2048, "length_p50": 4000}, "2184 steps"),
        ("PRA2", {"max_latency_ms": 5, "streaming": True}, "5 ms for an answer, answers step by step"),
        ("MEM1", {"max_memory_mib": 64, "length_p50": 4000, "reach": 50}, "No more than 50 steps"),
        ("PRA4", {"edge": True, "cloud": True}, "does not lift"),
    ],
)
def test_a_rule_says_the_users_number(situation, key, changes, words):
    assert words in rules()[key](situation(**changes)).because


def test_a_rule_on_how_to_work_names_what_the_toolkit_does_about_it():
    told = {"MEM2": "checkpointing", "PRE1": "pretrained", "PRE2": "freezing", "PRA1": "recommend", "PRA2": "hybridise"}
    assert all(words in scenarios()[key].says for key, words in told.items())


def test_pretrained_weights_silence_the_small_data_rule_and_speak_for_what_can_take_them(situation):
    advice = advise(situation(samples=100, pretrained=True), ("lstm", "transformer", "transformer_rnn"))
    assert {"PRE1", "PRE2"} <= {one.key for one in advice.fired} and "SML1" not in {one.key for one in advice.fired}
    assert advice.ranking[0].family == "transformer_rnn"


def test_a_bidirectional_network_gains_a_little_offline_and_loses_where_cost_is_limited(situation):
    offline, limited = (advise(situation(**one), ["bilstm"]).ranking[0] for one in ({}, {"max_latency_ms": 5}))
    assert offline.score == pytest.approx(0.1) and limited.score == pytest.approx(-0.4)


@given(memory=st.floats(1, 1e6), batch=st.integers(1, 64), heads=st.integers(1, 16))
def test_the_cap_is_the_longest_whose_matrices_fill_half_of_the_memory(memory, batch, heads):
    cap, half = attention_length_cap(memory, batch, heads), memory * 2**19
    assert batch * heads * cap**2 * 4 <= half < batch * heads * (cap + 1) ** 2 * 4 + 1


def test_the_tighter_of_the_two_memories_caps_the_length(situation):
    answer = rules()["MEM1"](situation(length_p50=4000, max_memory_mib=64, device_memory_mib=1024))
    assert answer.cap_length == min(isqrt(64 * 2**19 // 16), isqrt(1024 * 2**19 // (32 * 16)))
    assert str(answer.cap_length) in answer.because and "4000" in answer.because


@pytest.mark.parametrize("weights", [scenarios()["STR1"].families, scenarios()["STR1"].cases["no_look_ahead"].families])
def test_a_stream_speaks_against_every_family_that_cannot_step(weights):
    """The latency-controlled network cannot step, but answers with a bounded delay; of two the documents are silent."""
    steps = {family: row.streams for family, row in FAMILIES.items() if family not in {"lc_bilstm", "conv", "mlp"}}
    assert {family: weight > 0 for family, weight in weights.items() if family != "lc_bilstm"} == steps


def test_the_look_ahead_of_the_table_is_that_of_the_mixer():
    mixer = mixers.config("lc_bilstm")()
    assert scenarios()["SC1"].numbers == {"chunk": mixer.chunk, "right": mixer.right}


def test_an_unknown_key_is_an_error_with_the_nearest():
    with pytest.raises(InputError, match="'LEN9'") as caught:
        page("LEN9")
    assert "LEN1" in caught.value.hint


def test_a_key_is_found_in_lower_case():
    assert page("len1") == page("LEN1")
