"""The report shows what was known before training, from its files, and says plainly what is not there."""

import json
from pathlib import Path

import pytest

from advisor.audit import Finding
from advisor.counterfactual import before as turns_before
from advisor.records import Measured, Recommendation, Request
from advisor.report import Records, before
from advisor.rules import Facts, advise
from profiles.crossover import Crossovers
from profiles.dependence import Dependence, DependenceCurve
from profiles.gradient_reach import GradientReach

FAMILIES = ("gru", "lstm", "bilstm", "transformer", "ssm_attention")
FACTS = Facts(task="classify", samples=60, length_p50=2000, streaming=True)
CURVE = DependenceCurve(
    steps=(1, 24, 168), values=(0.9, 0.4, 0.2), floor=(0.01, 0.01, 0.01), x_label="lag", y_label="r"
)
PAST = Dependence(
    reach_steps=168,
    reach_low=160,
    reach_high=170,
    looked=500,
    curve=CURVE,
    says="The last 168 <steps>.",
    reach_from_end=168,
)
REACH = GradientReach(
    words="GRU", trained=True, reach_steps=140, looked=500, distances=(1, 100), norms=(1.0, 0.1), fade=0.1, rows=8
)
HERE = Crossovers(short_below=0, long_from=None, longest=2048, device="abacus", says="Both cross at 96 steps.")
WRONG = Finding(code="repeated_series", severity="warning", counted=2, of=9, says="2 of 9 repeat.", do="Drop them.")


def records(**content: object) -> Records:
    """Return the records of a run that holds only `content`, by file name without .json."""
    measured = Measured(metric="accuracy", value=1, low=1, high=1, split="test", higher_is_better=True)
    rec = Recommendation(
        family="gru",
        baseline=False,
        config={},
        quality=measured,
        latency_ms=1,
        latency_stat="p95",
        memory_mib=1,
        size_mib=1,
        ranking=(),
        tied_with=(),
        baselines=(),
        advice=(),
        reasons=(),
        request=Request(data="a.csv", task="classify"),
        versions={},
        wall_s=1,
    )
    names = ("data_profile", "advice", "audit", "turns", "calibration", "model_reach")
    facts = {f"{name}.json": json.loads(json.dumps(content.get(name, {}))) for name in names}
    return Records(Path("run"), rec, [], facts)


def dumped(*found: object) -> dict[str, object]:
    """Return a file that holds a list, as `read_records` gives it."""
    return {"content": [one.model_dump(mode="json") for one in found]}


def test_the_past_is_drawn_beside_what_chance_gives_and_what_the_network_reaches():
    shown = before.past(records(data_profile={"dependence": PAST.model_dump()}, model_reach=REACH.model_dump()))
    assert "The last 168 &lt;steps&gt;." in shown
    assert shown.count("<svg") == 2 and "what chance gives" in shown
    assert "within 140 of 500 steps back; counted from the end, the data need 168" in shown


def test_a_curve_without_points_is_not_drawn():
    bare = PAST.model_copy(update={"curve": CURVE.model_copy(update={"steps": (), "values": (), "floor": ()})})
    assert "<svg" not in before.past(records(data_profile={"dependence": bare.model_dump()}))


def test_findings_crossovers_and_turns_are_told():
    turns = turns_before(FACTS, FAMILIES)
    r = records(
        audit=dumped(WRONG),
        turns=dumped(*turns),
        calibration={"crossovers": HERE.model_dump(), "noise": {"says": "Times repeat within 3 %."}},
    )
    assert "2 of 9 repeat." in before.findings(r) and "Drop them." in before.findings(r)
    assert "Both cross at 96 steps. Times repeat within 3 %." in before.length_and_cost(r)
    assert turns and all(f"<li>{turn.says[:20]}" in before.turns(r) for turn in turns)


def test_rules_that_contradict_each_other_are_listed():
    advice = advise(FACTS, FAMILIES)
    shown = before.conflicts(records(advice=advice.model_dump(mode="json")))
    assert advice.conflicts and all(one.stands in shown and one.set_aside in shown for one in advice.conflicts)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (before.past, "was not measured"),
        (before.findings, "not audited"),
        (before.length_and_cost, "not calibrated"),
        (before.turns, "not looked for"),
        (before.conflicts, ""),
    ],
)
@pytest.mark.parametrize("content", [{}, {"content": [{"of": "another version"}]}])
def test_what_is_absent_or_of_another_version_is_said(part, words, content):
    empty = dict.fromkeys(("data_profile", "advice", "audit", "turns", "calibration", "model_reach"), content)
    assert words in part(records(**empty)) if words else part(records(**empty)) == ""


def test_an_audit_that_found_nothing_says_so():
    assert "Nothing suspicious" in before.findings(records(audit=dumped()))
    assert "No single change" in before.turns(records(turns=dumped()))
