"""Facts are taken from the measured profiles, and lead to the advice an expert would give."""

import subprocess
import sys

import pytest

from advisor.errors import InputError
from advisor.rules import Facts, advise, explain_advice, facts_from
from advisor.search.problem import Plan
from advisor.search.recipes.forecast import look_back_of
from profiles.budget import Budget
from profiles.crossover import Crossovers
from profiles.data import DataProfile
from profiles.dependence import Dependence, DependenceCurve
from profiles.device import DeviceProfile

FAMILIES = ("gru", "lstm", "transformer", "linear_attention", "ssm", "rnn_transformer", "conv")


def profile(**changes) -> DataProfile:
    known = dict.fromkeys(("length_min", "length_p50", "length_p90", "length_p99", "length_max"), 17_420)
    counts = {"samples": 7, "channels": 1, "total_steps": 7 * 17_420, "missing": 0.0, "season": 24}
    return DataProfile(**({"task": "forecast"} | known | counts | changes))


def dependence(steps: int, low: int, high: int, looked: int, kind: str = "lag") -> Dependence:
    curve = DependenceCurve(steps=(1,), values=(0.5,), floor=(0.1,), x_label="lag", y_label="information")
    return Dependence(
        reach_steps=steps, reach_low=low, reach_high=high, looked=looked, kind=kind, curve=curve, says="A sentence."
    )


def order(facts: Facts) -> list[str]:
    return [one.family for one in advise(facts, FAMILIES).ranking]


def keys(facts: Facts) -> set[str]:
    return {one.key for one in advise(facts, FAMILIES).fired if not one.procedure}


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


@pytest.mark.parametrize(
    ("horizon", "expected"), [(48, 192), (6, 192), (24, 192), (100, 336), (17_000, 420), (17_419, 4)]
)
def test_a_forecaster_reads_a_window_and_not_the_whole_series(horizon, expected):
    assert facts_from(profile(), horizon=horizon).length == expected


@pytest.mark.parametrize(("horizon", "season", "length"), [(48, 24, 17_420), (1, 1, 3), (200, 700, 5000), (9, 7, 20)])
def test_the_rules_and_the_search_read_the_same_window(horizon, season, length):
    plan = Plan(
        task="forecast",
        channels=1,
        horizon=horizon,
        season=season,
        folds=3,
        length=max(2, length - horizon),
        test_words="",
    )
    facts = Facts(task="forecast", samples=1, length_p50=length, horizon=horizon, season=season)
    data = profile(length_p50=length, season=season)
    assert facts.context == facts_from(data, horizon=horizon).context == look_back_of(plan)


@pytest.mark.parametrize(
    "changes", [{"task": "classify", "horizon": 24}, {"task": "forecast"}, {"task": "forecast", "context": None}]
)
def test_without_a_horizon_or_a_forecast_the_whole_series_is_read(changes):
    facts = Facts(**({"samples": 7, "length_p50": 17_420} | changes))
    assert facts.context is None and facts.length == 17_420


@pytest.mark.parametrize(
    ("reach", "high", "needed"), [(3, 14, 14), (3, 7, 7), (3, 6, 3), (0, 1, 1), (0, 0, 0), (20, 31, 20), (3, None, 700)]
)
def test_a_wide_interval_of_the_reach_counts_by_its_upper_end(reach, high, needed):
    assert Facts(task="classify", samples=9, length_p50=700, reach=reach, reach_high=high).needed == needed


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


def test_what_was_measured_on_the_target_and_said_by_the_user_is_carried_over():
    crossovers = Crossovers(short_below=2900, long_from=None, longest=4096, device="a", says="")
    facts = facts_from(
        profile(task="classify"),
        crossovers=crossovers,
        missing_operators=["Scan"],
        failed_families=["ssm"],
        scenario="speech",
        cloud=True,
        pretrained=True,
        step_ms=10,
        modality="audio",
    )
    assert (facts.crossovers, facts.missing_operators, facts.failed_families) == (crossovers, ("Scan",), {"ssm": ""})
    assert (facts.scenario, facts.cloud, facts.pretrained, facts.step_ms) == ("SC1", True, True, 10)
    assert facts_from(profile(), failed_families={"ssm": "no memory"}).failed_families == {"ssm": "no memory"}


def test_an_unknown_scenario_is_refused_at_once():
    with pytest.raises(InputError, match="'SC7'"):
        facts_from(profile(), scenario="SC7")


@pytest.mark.parametrize(
    ("found", "context", "needed", "high"),
    [
        (None, None, 17_420, None),
        (dependence(20, 15, 31, 2000), None, 20, 31),
        (dependence(0, 0, 0, 2000), None, 0, 0),
        (dependence(1900, 1500, 2000, 2000), None, 17_420, None),
        (dependence(1900, 1500, 2000, 2000), 500, 500, 2000),
        (dependence(20, 15, 31, 2000), 10, 10, 31),
    ],
)
def test_the_measured_reach_shortens_what_is_needed_unless_the_look_ended_first(found, context, needed, high):
    facts = facts_from(profile(task="classify", dependence=found), context=context)
    assert (facts.needed, facts.reach_high) == (needed, high)


def test_the_part_of_the_series_that_matters_is_carried_over():
    facts = facts_from(profile(task="classify", dependence=dependence(30, 20, 40, 17_420, "from the start")))
    assert any("the first 30 are enough" in line for line in explain_advice(advise(facts, FAMILIES)))


def test_few_short_series_prefer_recurrence():
    facts = Facts(task="classify", samples=67, length_p50=24)
    assert keys(facts) == {"LEN1", "SML1", "BI1"}
    ranked = order(facts)
    assert set(ranked[:2]) == {"gru", "lstm"} and ranked[-1] == "transformer"


def test_many_long_series_prefer_the_transformer():
    facts = Facts(task="classify", samples=50_000, length_p50=2000)
    assert keys(facts) == {"LEN2", "BI1"} and order(facts)[0] == "transformer"


def test_lengths_between_prefer_the_hybrid():
    assert order(Facts(task="classify", samples=50_000, length_p50=700))[0] == "rnn_transformer"


def test_a_stream_puts_the_transformer_last():
    assert order(Facts(task="classify", samples=100, length_p50=2000, streaming=True))[-1] == "transformer"


def test_a_family_nobody_speaks_of_scores_zero_and_says_so():
    (only,) = advise(Facts(task="classify", samples=9, length_p50=24), ["conv"]).ranking
    assert only.score == 0 and only.reasons == ("No rule that fired speaks for or against it.",)


def test_equal_scores_keep_the_order_given_and_names_appear_once():
    ranking = advise(Facts(task="classify", samples=50_000, length_p50=700), ["b", "a", "b", "c"]).ranking
    assert [one.family for one in ranking] == ["b", "a", "c"]


def test_advice_is_printed_with_fired_rules_and_ranking():
    advice = advise(Facts(task="classify", samples=50, length_p50=24), FAMILIES)
    lines = explain_advice(advice)
    assert any("LEN1" in line and "strength 0.98" in line and "24 steps" in line for line in lines)
    assert any("PRA1" in line and "how to work" in line for line in lines)
    assert [line.split()[-1] for line in lines[-len(FAMILIES) :]] == [one.family for one in advice.ranking]
    assert explain_advice(advise(Facts(task="tag", samples=1, length_p50=9, streaming=True), []))[-1].endswith(":")


def test_the_rules_need_no_torch():
    code = "import sys, advisor.rules; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
