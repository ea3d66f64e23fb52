"""The user's own rules: read, heard like the documents' rules, and refused with the file, the key and the cure."""

import pytest

from advisor.errors import InputError
from advisor.rules import Facts, advise, explain_advice, own_rules, page
from advisor.rules.bounds import known_facts

GOOD = """
[MINE1]
says = "Our sensors are answered by a GRU."
families = { gru = 1.0, transformer = -0.5 }
when = { task = "forecast", length_max = 900, samples_min = 20000, streaming = true }
tier = "budget"
strength = 0.8
document = "benchmark of 2025"

[ALWAYS]
says = "We like convolutions."
[ALWAYS.families]
conv = 0.5
"""
FITS = {"task": "forecast", "length_p50": 900, "samples": 20_000, "streaming": True}
RULE = '[A]\nsays = "x"\nfamilies = { gru = 1.0 }\n'


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        path = tmp_path / "my.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_rule_of_the_user_is_heard_like_one_of_the_documents(written):
    first, always = own_rules(written(GOOD))
    answer = first.answer(Facts(**FITS))
    assert (answer.key, answer.document, answer.tier, answer.strength) == ("MINE1", "benchmark of 2025", "budget", 0.8)
    assert answer.because == (
        "Your rule: task is forecast, length 900 is at most 900, samples 20000 is at least 20000, streaming is true."
    )
    assert (always.document, always.tier, always.strength) == ("my.toml", "scenario", 1)
    assert always.answer(Facts(**FITS)).because == "Your rule: it holds always."
    advice = advise(Facts(**FITS), ("conv", "gru"), (first, always))
    assert [one.key for one in advice.fired][-2:] == ["MINE1", "ALWAYS"]
    assert any("MINE1" in line for line in explain_advice(advice))


@pytest.mark.parametrize(
    "change", [{"length_p50": 901}, {"samples": 19_999}, {"streaming": False}, {"task": "classify"}]
)
def test_it_is_silent_where_one_condition_is_not_met(written, change):
    assert own_rules(written(GOOD))[0].answer(Facts(**(FITS | change))) is None


def test_a_fact_that_is_not_known_meets_no_condition(written):
    (rule,) = own_rules(written(RULE + "when = { max_latency_ms_max = 10 }"))
    assert rule.answer(Facts(**FITS)) is None and rule.answer(Facts(**FITS, max_latency_ms=9)) is not None


@pytest.mark.parametrize(("kind", "speaks"), [("cpu", True), ("mps", True), ("cuda", False), (None, False)])
def test_a_list_admits_any_of_its_values(written, kind, speaks):
    (rule,) = own_rules(written(RULE + 'when = { device_kind = ["cpu", "mps"] }'))
    assert (rule.answer(Facts(**FITS, device_kind=kind)) is not None) is speaks


def test_it_stands_against_lower_tiers_and_is_set_aside_by_higher_ones(written):
    own = own_rules(written('[A]\nsays = "x"\nfamilies = { transformer = 1, bilstm = 1 }'))
    advice = advise(Facts(task="classify", samples=9, length_p50=24, streaming=True), ("transformer", "bilstm"), own)
    assert {(one.stands, one.set_aside) for one in advice.conflicts} >= {("STR1", "A")}
    advice = advise(Facts(task="classify", samples=9, length_p50=24), ("transformer",), own)
    assert [(one.stands, one.set_aside) for one in advice.conflicts] == [("A", "SML1")]


def test_it_has_a_page(written):
    third = RULE + 'when = { context_min = 8, task = ["tag", "regress"], batch_size_max = 4 }'
    own = own_rules(written(GOOD + third))
    text = page("mine1", own)
    assert text.startswith("MINE1: Our sensors") and "length is at most 900, and samples is at least 20000" in text
    assert [line for line in text.splitlines() if line.endswith(":")] == [
        "Fires when:", "Why:", "Does not apply:", "Evidence:",
    ]  # fmt: skip
    assert "Context is at least 8, and task is tag or regress, and batch_size is at most 4" in page("A", own)
    assert "Always. Strength 1." in page("ALWAYS", own)
    assert page("LEN1", own) == page("LEN1")


def test_every_single_fact_can_be_bounded():
    assert set(Facts.model_fields) - set(known_facts()) == {"crossovers", "failed_families", "missing_operators"}


@pytest.mark.parametrize("asked", ['"SC3"', '"short_forecast"', '["sc3", "SC4"]'])
@pytest.mark.parametrize(("named", "speaks"), [("SC3", True), ("short_forecast", True), ("SC1", False), (None, False)])
def test_a_named_application_is_a_condition_by_key_or_word(written, asked, named, speaks):
    (rule,) = own_rules(written(f"{RULE}when = {{ scenario = {asked} }}"))
    answer = rule.answer(Facts(**FITS, scenario=named))
    assert (answer is not None) is speaks
    assert answer is None or answer.because == "Your rule: scenario is SC3."


@pytest.mark.parametrize(
    ("text", "words", "cure"),
    [
        ("[A\n", "not TOML", "write [KEY]"),
        (b"\xff\xfe", "not TOML", "write [KEY]"),
        ("", "no rule", "write [KEY]"),
        ("A = 3", "rule 'A': it is 3, not a table", "write [KEY]"),
        (RULE.replace("[A]", "[len1]"), "rule 'len1': the key is taken", "other than"),
        (RULE + RULE.replace("[A]", "[a]"), "rule 'a': the key is taken", "key of its own"),
        (RULE + "wenn = {}", "rule 'A': no field is named 'wenn'", "when"),
        (RULE.replace("gru", "gruu"), "rule 'A': no family is named 'gruu'", "gru"),
        (RULE.replace("1.0", "1.5"), "rule 'A': families.gru: input should be less than or equal to 1, got 1.5", "["),
        (RULE.replace("1.0", "nan"), "rule 'A': families.gru", "["),
        (RULE.replace("1.0", '"much"'), "rule 'A': families.gru", "["),
        (RULE.replace("{ gru = 1.0 }", "{}"), "rule 'A': families", "["),
        (RULE.replace("{ gru = 1.0 }", "3"), "rule 'A': families", "["),
        ("[A]\nfamilies = { gru = 1.0 }", "rule 'A': says: field required.", "["),
        (RULE + "strength = 2", "rule 'A': strength", "["),
        (RULE + "strength = true", "rule 'A': strength: input should be a valid number, got True", "["),
        (RULE.replace("1.0", "true"), "rule 'A': families.gru: input should be a valid number, got True", "["),
        (RULE.replace("[A]", '[""]'), "rule '': the key is empty", "write [KEY]"),
        (RULE.replace("[A]", '[" "]'), "rule ' ': the key is empty", "write [KEY]"),
        (RULE + 'when = { scenario = "SC9" }', "rule 'A': no scenario is named 'SC9'", "SC5"),
        (RULE + "when = { scenario = 3 }", "rule 'A': scenario is 3, not one of SC1, SC2", "one of"),
        (RULE + 'tier = "bugdet"', "rule 'A': no tier is named 'bugdet'", "budget"),
        (RULE + 'tier = "practice"', "rule 'A': no tier is named 'practice'", "Choose from"),
        (RULE + "when = 3", "rule 'A': when is 3", "when ="),
        (RULE + "when = { lenght_max = 3 }", "rule 'A': no fact is named 'lenght'", "length"),
        (RULE + "when = { zzz = 3 }", "rule 'A': no fact is named 'zzz'", "Choose from"),
        (RULE + "when = { crossovers = 3 }", "rule 'A': no fact is named 'crossovers'", "Choose from"),
        (RULE + 'when = { task = "forcast" }', "rule 'A': no task is named 'forcast'", "forecast"),
        (RULE + "when = { task = 3 }", "rule 'A': task is 3, not one of classify", "one of"),
        (RULE + 'when = { task_min = "tag" }', "rule 'A': task_min bounds task, which is no number", "task ="),
        (RULE + "when = { streaming = 1 }", "rule 'A': streaming is 1, not true or false", "true or false"),
        (RULE + 'when = { samples_min = "many" }', "rule 'A': samples_min is 'many', not a number", "a number"),
        (RULE + "when = { samples_min = inf }", "rule 'A': samples_min is inf, not a number", "a number"),
        (RULE + "when = { samples_min = true }", "rule 'A': samples_min is True, not a number", "a number"),
        (RULE + "when = { samples_min = [1, 2] }", "rule 'A': samples_min is [1, 2], not a number", "a number"),
        (RULE + "when = { task = [] }", "rule 'A': task is an empty list", "name a value"),
        (RULE + "when = { samples_min = 9, samples_max = 8 }", "rule 'A': samples_min 9 is above", "swap"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_file_key_and_cure(written, text, words, cure):
    path = written(text)
    with pytest.raises(InputError) as caught:
        own_rules(path)
    assert str(path) in caught.value.message and words in caught.value.message and cure in caught.value.hint


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        own_rules(tmp_path / "none.toml")
