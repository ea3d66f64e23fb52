"""The length rules: what is needed, what it costs here, and what a recurrent state can carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.rules import Facts, rules
from advisor.rules.costs import cheaper
from profiles.crossover import Crossovers


def crossed(
    short_below: int, long_from: int | None, longest: int = 4096, recurrent_from: int | None = None
) -> Crossovers:
    return Crossovers(
        short_below=short_below,
        long_from=long_from,
        longest=longest,
        device="Bench 3000",
        says="",
        recurrent_from=recurrent_from,
    )


def fires(facts: Facts) -> dict[str, float]:
    answers = {key: rules()[key](facts) for key in ("LEN1", "LEN2", "LEN3")}
    return {key: answer.strength for key, answer in answers.items() if answer is not None}


def because(facts: Facts, key: str) -> str:
    return rules()[key](facts).because


@pytest.mark.parametrize(
    ("short_below", "long_from", "length", "cost", "keys"),
    [
        (2900, None, 700, "recurrence", {"LEN1"}),
        (2900, None, 1023, "recurrence", {"LEN1"}),
        (2900, None, 2000, "recurrence", {"LEN2"}),
        (2900, 3500, 3200, "unclear", {"LEN2", "LEN3"}),
        (2900, 3500, 4000, "attention", {"LEN2"}),
        (4096, None, 700, "recurrence", {"LEN1"}),
        (4096, None, 100_000, "recurrence", {"LEN2"}),
        (100, 300, 50, "recurrence", {"LEN1"}),
        (100, 300, 200, "unclear", {"LEN3"}),
        (100, 300, 300, "attention", {"LEN2"}),
        (100, None, 200, "unclear", {"LEN3"}),
        (0, 64, 64, "attention", {"LEN2"}),
        (0, 64, 24, "not measured", {"LEN1"}),
        (0, 3000, 700, "not measured", {"LEN3"}),
        (0, None, 200, "not measured", {"LEN1"}),
        (600, 300, 400, "both", {"LEN1"}),
        (900, 300, 600, "both", {"LEN3"}),
        (2000, 300, 1500, "both", {"LEN2"}),
        (4096, 64, 400, "both", {"LEN1"}),
    ],
)
def test_measured_lengths_stand_in_for_the_documents(situation, short_below, long_from, length, cost, keys):
    facts = situation(length_p50=length, crossovers=crossed(short_below, long_from))
    assert cheaper(facts) == cost and set(fires(facts)) == keys


@pytest.mark.parametrize(
    ("short_below", "recurrent_from", "length", "cost", "strengths"),
    [
        (0, 100, 30, "not measured", {"LEN1": 1 - 15 / 512}),
        (0, 100, 63, "not measured", {"LEN1": 1 - 31.5 / 512}),
        (0, 100, 64, "attention", {"LEN1": (1 - 32 / 512) / 2}),
        (0, 100, 99, "attention", {"LEN1": (1 - 49.5 / 512) / 2}),
        (0, 100, 100, "recurrence", {"LEN1": 1 - 50 / 1024}),
        (0, 356, 300, "attention", {"LEN1": (1 - 150 / 512) / 2}),
        (0, 100, 700, "recurrence", {"LEN1": 1 - 350 / 1024}),
        (0, 900, 700, "attention", {"LEN2": 0.5}),
        (0, 3000, 2000, "attention", {"LEN2": 0.897}),
        (0, 100, 5000, "recurrence", {"LEN2": 0.5}),
        (100, 900, 50, "recurrence", {"LEN1": 0.75}),
        (100, 900, 101, "attention", {"LEN1": (1 - 50.5 / 512) / 2}),
        (100, 900, 899, "attention", {"LEN2": 0.5}),
        (100, 900, 900, "recurrence", {"LEN1": 1 - 450 / 1024}),
        (4096, 64, 300, "recurrence", {"LEN1": 1 - 150 / 1024}),
    ],
)
def test_a_reversed_device_is_read_as_measured(situation, short_below, recurrent_from, length, cost, strengths):
    facts = situation(length_p50=length, crossovers=crossed(short_below, None, recurrent_from=recurrent_from))
    assert cheaper(facts) == cost and fires(facts) == pytest.approx(strengths, abs=1e-3)


def test_on_a_reversed_device_the_reach_decides_for_long_sequences(situation):
    found = crossed(0, None, recurrent_from=100)
    near, beyond, far = (situation(length_p50=5000, reach=reach, crossovers=found) for reach in (300, 600, 4096))
    assert fires(near) == pytest.approx({"LEN1": 1 - 150 / 1024}, abs=1e-3)
    assert set(fires(beyond)) == {"LEN2", "LEN3"} and fires(far) == {"LEN2": 0.75}


@pytest.mark.parametrize(
    ("short_below", "recurrent_from", "length", "parts"),
    [
        (0, 100, 70, ("cheaper from 100 steps on", "cheaper from 64 to 99 steps", "the cost does not speak")),
        (0, 100, 30, ("cheaper from 64 to 99 steps", "says nothing of this length")),
        (0, 100, 300, ("cheaper from 100 steps on",)),
        (100, 900, 300, ("up to 100 steps and from 900 steps on", "from 101 to 899 steps", "the cost does not speak")),
        (4096, 64, 300, ("at every length up to 4096", "at no length up to 4096")),
    ],
)
def test_the_third_length_is_said(situation, short_below, recurrent_from, length, parts):
    found = crossed(short_below, None, recurrent_from=recurrent_from)
    words = because(situation(length_p50=length, crossovers=found), "LEN1")
    assert all(part in words for part in parts) and "lies between" not in words
    assert ("does not speak" in words) is ("the cost does not speak" in parts)


def test_a_device_where_recurrence_is_never_cheaper_says_so(situation):
    assert "or cheaper at no length," in because(situation(length_p50=300, crossovers=crossed(0, 64)), "LEN2")


def test_a_cost_beyond_the_longest_measured_is_said_to_be_of_that_length(situation):
    words = because(situation(length_p50=20_000, crossovers=crossed(4096, None)), "LEN2")
    assert "dearer here at 4096 steps, the longest measured," in words and "Nothing longer than 4096 steps" in words
    within = because(situation(length_p50=4096, crossovers=crossed(4096, None)), "LEN2")
    assert "dearer here at this length," in within and "Nothing longer" not in within


@pytest.mark.parametrize(
    ("length", "reach", "high", "key", "words"),
    [
        (5000, 3, 14, "LEN1", "only the last 3 matter; the interval is wide and goes up to 14, so 14 count."),
        (5000, 0, 14, "LEN1", "none of them was found to matter; the interval is wide and goes up to 14, so 14 count."),
        (5000, 300, 700, "LEN3", "goes up to 700, so 700 count."),
        (5000, 300, 2000, "LEN2", "goes up to 2000, so 2000 count."),
        (100, 30, 2000, "LEN1", "goes up to 2000, so 100 count."),
    ],
)
def test_a_wide_interval_of_the_reach_is_counted_to_its_end_and_said(situation, length, reach, high, key, words):
    assert words in because(situation(length_p50=length, reach=reach, reach_high=high), key)


def test_both_bounds_are_shown(situation):
    words = because(situation(crossovers=crossed(2900, 3500)), "LEN1")
    assert all(
        part in words for part in ("700 steps", "512 and 1024", "Bench 3000", "up to 2900", "from 3500 steps on")
    )


@pytest.mark.parametrize(
    ("short_below", "long_from", "words"),
    [
        (4096, None, ("at every length up to 4096", "at no length up to 4096")),
        (0, 64, ("attention or cheaper at no length", "from 64 steps on", "says nothing of this length")),
        (600, 40, ("the two cost the same", "the documents' bounds decide")),
    ],
)
def test_crossovers_that_never_happen_or_overlap_are_said(situation, short_below, long_from, words):
    text = because(
        situation(length_p50=50 if long_from != 64 else 24, crossovers=crossed(short_below, long_from)), "LEN1"
    )
    assert all(part in text for part in words)


def test_a_length_between_the_two_is_said(situation):
    assert "lies between" in because(situation(length_p50=200, crossovers=crossed(100, 300)), "LEN3")


def test_dear_attention_halves_the_case_for_long_sequences_but_does_not_end_it(situation):
    plain = fires(situation(length_p50=2048))["LEN2"]
    dear = situation(length_p50=2048, crossovers=crossed(4096, None))
    assert fires(dear)["LEN2"] == pytest.approx(plain / 2)
    assert "dearer" in because(dear, "LEN2") and "not measured" in because(dear, "LEN2")
    known = situation(length_p50=2048, reach=2048, crossovers=crossed(4096, None))
    assert plain / 2 < fires(known)["LEN2"] < plain


def test_cheap_attention_over_few_steps_is_only_half_a_case(situation):
    facts = situation(length_p50=100, crossovers=crossed(0, 64))
    assert fires(facts) == {"LEN2": 0.5} and "Only the cost" in because(facts, "LEN2")


def test_long_series_of_which_little_matters_are_short(situation):
    facts = situation(length_p50=5000, reach=20, reach_high=31)
    assert set(fires(facts)) == {"LEN1"}
    assert "5000 steps, but only the last 20 matter (up to 31" in because(facts, "LEN1")


def test_a_reach_beyond_an_lstm_silences_the_case_for_short_ones(situation):
    facts = situation(reach=600, crossovers=crossed(4096, None))
    assert set(fires(facts)) == {"LEN2", "LEN3"} and set(fires(situation(reach=512))) == {"LEN3"}


def test_a_reach_that_ends_where_the_look_ended_does_not_shorten_the_series(situation):
    facts = situation(length_p50=5000, reach=600, reach_high=None)
    assert facts.needed == 5000 and set(fires(facts)) == {"LEN2"}
    assert "at least the last 600" in because(facts, "LEN2")


def test_no_model_reaches_beyond_what_it_reads(situation):
    assert set(fires(situation(context=100, reach=3000))) == {"LEN1"}
    assert "all of them matter" in because(situation(context=100, reach=3000), "LEN1")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("lag", "only the last 20 matter"),
        ("from the end", "the last 20 are enough"),
        ("from the start", "the first 20 are enough"),
        ("from the middle", "the middle 20 are enough"),
    ],
)
def test_it_is_said_where_the_steps_that_matter_lie(situation, kind, words):
    assert words in because(situation(reach=20, reach_kind=kind), "LEN1")


def test_a_past_that_does_not_matter_is_said(situation):
    facts = situation(length_p50=5000, reach=0)
    assert fires(facts) == {"LEN1": 1.0} and "none of them was found to matter" in because(facts, "LEN1")


@given(
    length=st.integers(1, 20_000),
    reach=st.none() | st.integers(0, 20_000),
    is_open=st.booleans(),
    found=st.none()
    | st.builds(
        crossed,
        st.integers(0, 4096),
        st.none() | st.integers(1, 4096),
        st.integers(1, 4096),
        st.none() | st.integers(1, 4096),
    ),
)
def test_one_rule_speaks_at_every_length_and_short_never_beside_another(length, reach, is_open, found):
    changes = {"reach_high": None} if is_open else {}
    facts = Facts(task="classify", samples=9, length_p50=length, reach=reach, crossovers=found, **changes)
    heard = fires(facts)
    assert heard and ("LEN1" not in heard or set(heard) == {"LEN1"})


@given(length=st.integers(1, 20_000))
def test_without_measurements_the_documents_bounds_divide_all_lengths(length):
    (key,) = fires(Facts(task="classify", samples=9, length_p50=length))
    assert key == ("LEN1" if length < 512 else "LEN3" if length < 1024 else "LEN2")
