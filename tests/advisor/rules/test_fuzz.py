"""Any combination of facts yields a ranking with finite scores that add up, never an error."""

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.rules import Advice, Facts, OwnRule, advise, explain_advice, scenarios
from advisor.rules.table import operators
from profiles.crossover import Crossovers

FAMILIES = tuple(operators())
NAMED = sorted(set.union(*(set(needs) for row in operators().values() for needs in row.values())))
COUNT = st.integers(1, 10**7)
LIMIT = st.none() | st.floats(1e-9, 1e9)
REQUIRED = {
    "task": st.sampled_from(["classify", "regress", "forecast", "tag", "transcribe", "translate"]),
    "samples": COUNT,
    "length_p50": COUNT,
}
OPTIONAL = {
    "length_p99": COUNT,
    "channels": COUNT,
    "total_steps": COUNT,
    "horizon": st.none() | COUNT,
    "season": COUNT,
    "context": st.none() | COUNT,
    "reach": st.none() | st.integers(0, 10**7),
    "reach_high": st.none() | st.integers(0, 10**7),
    "reach_kind": st.sampled_from(["lag", "from the end", "from the start", "from the middle"]),
    "step_ms": LIMIT,
    "modality": st.sampled_from(["series", "text", "audio", "several"]),
    "scenario": st.none() | st.sampled_from([key for key, row in scenarios().items() if row.name]),
    "pretrained": st.booleans(),
    "streaming": st.booleans(),
    "batch_size": COUNT,
    "max_latency_ms": LIMIT,
    "max_memory_mib": LIMIT,
    "max_model_mib": LIMIT,
    "device_kind": st.sampled_from([None, "cpu", "cuda", "mps"]),
    "device_memory_mib": LIMIT,
    "crossovers": st.none()
    | st.builds(
        Crossovers,
        short_below=st.integers(0, 10**5),
        long_from=st.none() | st.integers(-5, 10**5),
        longest=st.integers(1, 10**5),
        device=st.text(max_size=9),
        says=st.just(""),
        recurrent_from=st.none() | st.integers(-5, 10**5),
    ),
    "missing_operators": st.lists(st.sampled_from(NAMED) | st.text(max_size=9), max_size=4).map(tuple),
    "failed_families": st.dictionaries(
        st.sampled_from(FAMILIES) | st.text(max_size=9), st.text(max_size=9), max_size=3
    ),
    "edge": st.booleans(),
    "cloud": st.none() | st.booleans(),
    "realtime": st.booleans(),
}
FACTS = st.fixed_dictionaries(REQUIRED, optional=OPTIONAL)
OWN = st.builds(
    OwnRule,
    key=st.just("MINE"),
    document=st.just("mine"),
    says=st.just("Mine."),
    families=st.dictionaries(st.sampled_from(FAMILIES), st.floats(-1, 1), min_size=1, max_size=4),
    tier=st.sampled_from(["target", "budget", "scenario", "data", "length"]),
    strength=st.floats(0.01, 1),
)


def test_every_fact_is_drawn():
    assert set(Facts.model_fields) == set(REQUIRED) | set(OPTIONAL)


@given(FACTS, st.lists(OWN, max_size=1))
def test_any_facts_yield_a_ranking(changes, own):
    facts = Facts(**changes)
    advice = advise(facts, FAMILIES, own)
    assert advise(facts, FAMILIES, own) == advice
    assert Advice.model_validate_json(advice.model_dump_json()) == advice
    assert Facts.model_validate_json(facts.model_dump_json()) == facts
    assert sorted(one.family for one in advice.ranking) == sorted(FAMILIES)
    scores = [one.score for one in advice.ranking]
    assert all(map(isfinite, scores)) and scores == sorted(scores, reverse=True)
    assert all(0 <= one.strength <= 1 and one.because for one in advice.fired)
    for one in advice.ranking:
        said = sum(rule.strength * rule.raises.get(one.family, 0) for rule in advice.fired)
        aside = sum(found.share for found in advice.conflicts if found.family == one.family)
        assert one.score == pytest.approx(said - aside, abs=2e-3)
    assert len(explain_advice(advice)) >= len(advice.fired) + len(FAMILIES) + 2


@given(FACTS)
def test_a_longer_list_of_families_changes_no_score(changes):
    facts = Facts(**changes)
    together = {one.family: one.score for one in advise(facts, FAMILIES).ranking}
    assert all(advise(facts, [family]).ranking[0].score == score for family, score in together.items())
