"""The choice of a run made again: just inside a limit one family wins, just outside it the one that is named."""

import math
import subprocess
import sys

import pytest

from advisor.counterfactual import after, explain_run, lines, why_not_measured
from advisor.counterfactual.after import at_least
from advisor.counterfactual.replay import Replay, limits_of
from advisor.errors import InputError
from advisor.records import ENSEMBLE, Measured, Ranked, Recommendation, Request, Trial
from advisor.rules import Facts, advise
from advisor.runs import Run
from profiles.budget import Budget

BUDGET = Budget(max_latency_ms=3.0, max_memory_mib=50.0)
UNITS = 1000  # the margin of an accuracy is then 0.005
MODELS = (  # family, state, quality of the trial, of the final, latency, memory, size, operations
    ("linear", "complete", 0.80, 0.80, 0.1, 1.0, 0.1, 10),
    ("boosting", "infeasible", 0.99, None, 9.0, 5.0, 2.0, 50),
    ("gru", "complete", 0.925, 0.92, 2.0, 20.0, 1.0, 900),
    ("conv", "complete", 0.918, 0.917, 1.0, 30.0, 2.0, 300),
    ("gru", "complete", 0.90, None, 0.8, 10.0, 0.5, 200),
    ("rnn", "complete", 0.91, None, 0.7, 15.0, 0.4, 150),
    ("transformer", "infeasible", None, None, 4.2, 40.0, 3.0, None),
    ("transformer", "infeasible", None, None, 5.5, 30.0, 2.0, None),
    ("ssm", "infeasible", None, None, 6.0, 80.0, 3.0, None),
    ("lstm", "failed", None, None, 1.0, 10.0, 1.0, None),
)
BASELINES = {"linear", "boosting"}
STATES = {"gru": "tied", "conv": "recommended", "linear": "behind", "rnn": "behind", "transformer": "infeasible",
          "ssm": "infeasible", "boosting": "infeasible", "lstm": "failed", "mingru": "not tried",
          "cross_fusion": "not tried"}  # fmt: skip
REASONS = {"cross_fusion": "it needs several streams"}


def trials(counted=True):
    return [
        Trial(
            number=i, family=family, config={}, seed=0, state=state, quality=quality, latency_ms=latency,
            memory_mib=memory, size_mib=size, flops=flops if counted else None, train_s=1.0,
            baseline=family in BASELINES,
        )
        for i, (family, state, quality, _, latency, memory, size, flops) in enumerate(MODELS)
    ]  # fmt: skip


def measured(value):
    return Measured(metric="accuracy", value=value, low=value, high=value, split="test", higher_is_better=True)


def recommendation(judged=UNITS):
    rows = []
    for family, state in sorted(STATES.items(), key=lambda pair: pair[1] != "recommended"):
        own = [model for model in MODELS if model[0] == family]
        final = next((model for model in own if model[3] is not None), own[0] if own else None)
        rows.append(
            Ranked(
                family=family, baseline=family in BASELINES, state=state, reason=REASONS.get(family, "because"),
                quality=measured(final[3]) if final and final[3] else None,
                validation=(final[3] or final[2]) if final else None,
                latency_ms=final and final[4], memory_mib=final and final[5], size_mib=final and final[6],
                train_s=1.0, trials=len(own),
            )
        )  # fmt: skip
    return Recommendation(
        family="conv", baseline=False, config={}, quality=measured(0.917), latency_ms=1.0, latency_stat="p95",
        memory_mib=30.0, size_mib=2.0, ranking=tuple(rows), tied_with=("gru",), judged=judged, baselines=(),
        advice=(), reasons=("It is the best.",), request=Request(data="x", task="classify", time_limit_s=60.0),
        versions={}, wall_s=1.0,
    )  # fmt: skip


@pytest.fixture
def replay():
    return Replay(recommendation(), trials())


def turns():
    return after(recommendation(), trials(), BUDGET)


def case(family, advice=None):
    return why_not_measured(recommendation(), trials(), BUDGET, family, advice=advice)


def test_at_the_limits_that_were_asked_the_choice_is_that_of_the_run(replay):
    assert replay.winner(limits_of(BUDGET)).family == recommendation().family
    assert replay.best(limits_of(BUDGET)).family == "gru"
    assert replay.margin(0.92) == 0.005


def test_at_a_limit_the_one_wins_just_outside_it_the_other(replay):
    asked = limits_of(BUDGET)
    told = [turn for turn in turns() if turn.fact in asked and turn.evidence != "untrained"]
    assert {turn.direction for turn in told} == {"below", "above"}
    for turn in told:
        outside = math.nextafter(turn.then, 0)
        here, beyond = replay.winner(asked | {turn.fact: turn.then}), replay.winner(asked | {turn.fact: outside})
        there, back = (beyond, here) if turn.direction == "below" else (here, beyond)
        assert (back.family, there.family) == (turn.winner_now, turn.winner_then)


def test_a_falling_limit_is_told_in_steps_each_from_the_winner_before():
    steps = [turn for turn in turns() if turn.fact == "max_latency_ms" and turn.direction == "below"]
    assert [(t.winner_now, t.then, t.winner_then) for t in steps] == [("conv", 1.0, "gru"), ("gru", 0.8, "rnn"),
                                                                      ("rnn", 0.7, "linear")]  # fmt: skip
    assert steps[0].says == "conv until the latency limit falls below 1 ms, then gru (accuracy 0.9, one training)."
    assert [t.evidence for t in steps] == ["one training", "one training", "measured"]


def test_a_change_between_two_limits_is_never_missed(replay):
    asked = limits_of(BUDGET)
    for name in ("max_latency_ms", "max_memory_mib", "max_model_mib"):
        steps = [t for t in turns() if t.fact == name and t.direction == "below"]
        for i in range(1, 400):
            limit = (asked[name] or 4.0) * (1 - i / 400)
            found = replay.winner(asked | {name: limit})
            expected = [t.winner_then for t in steps if limit < t.then] or ["conv"]
            assert found is None or found.family == expected[-1]


def test_what_was_refused_before_training_is_told_with_what_would_admit_it_and_no_more():
    told = {t.winner_then: t for t in turns() if t.evidence == "untrained"}
    assert told.keys() == {"transformer"}  # ssm breaks two limits
    assert told["transformer"].then == 4.2
    assert told["transformer"].says == (
        "transformer was not trained: it broke the latency limit; 4.2 ms would admit it (asked: 3)."
    )


@pytest.mark.parametrize(("cost", "said"), [(4.2031, "4.21 ms"), (4.2, "4.2 ms"), (1390.31, "1.4e+03 ms")])
def test_a_limit_that_is_named_is_rounded_to_the_side_that_admits(cost, said):
    dear = [t.model_copy(update={"latency_ms": cost}) if t.latency_ms == 4.2 else t for t in trials()]
    (turn,) = [t for t in after(recommendation(), dear, BUDGET) if t.evidence == "untrained"]
    if cost < 5.5:
        assert f"{said} would admit it" in turn.says and float(said.split()[0]) >= cost
    assert at_least(cost) == said.split()[0]


def test_the_quality_that_is_named_wins_as_it_is_printed(replay):
    worse = [t.model_copy(update={"quality": 0.80123456}) if t.family == "linear" else t for t in trials()]
    for turn in after(recommendation(), worse, BUDGET):
        if turn.fact == "quality":
            said = float(turn.says.split("accuracy ")[1].split(":")[0])
            just = said * (1 + 2e-9)
            assert replay.winner(limits_of(BUDGET), {turn.winner_then: just}).family == turn.winner_then


def test_a_refused_model_that_was_judged_wins_from_its_cost_on():
    (turn,) = [t for t in turns() if t.direction == "above" and t.winner_then == "boosting" and t.fact != "quality"]
    assert (turn.fact, turn.then, turn.now) == ("max_latency_ms", 9.0, 3.0)
    assert "9 ms" in turn.says and "0.99" in turn.says


def test_an_ensemble_that_was_refused_wins_from_its_cost_on_and_is_not_called_untrained():
    row = Ranked(family=ENSEMBLE, state="infeasible", reason="max_memory_mib: 60 MiB measured")
    found = recommendation().model_copy(update={"ranking": (*recommendation().ranking, row)})
    refused = trials()[0].model_copy(
        update={"number": 99, "family": ENSEMBLE, "state": "infeasible", "quality": 0.99, "memory_mib": 60.0}
        | {"baseline": False}
    )
    (turn,) = [
        t for t in after(found, [*trials(), refused], BUDGET) if t.winner_then == ENSEMBLE and t.fact != "quality"
    ]
    assert (turn.fact, turn.then, turn.winner_now, turn.evidence) == ("max_memory_mib", 60.0, "conv", "measured")


def test_the_price_of_the_margin_is_told():
    (turn,) = [t for t in turns() if t.fact == "margin"]
    assert (turn.now, turn.winner_now, turn.winner_then) == (0.005, "conv", "gru")
    assert "0.92" in turn.says and "0.917" in turn.says


def test_with_the_quality_that_is_named_a_family_wins_with_a_hair_less_it_does_not(replay):
    told = [t for t in turns() if t.fact == "quality"]
    assert {t.winner_then for t in told} == {"gru", "linear", "rnn"}
    for turn in told:
        asked = limits_of(BUDGET)
        assert replay.winner(asked, {turn.winner_then: turn.then}).family == turn.winner_then
        assert replay.winner(asked, {turn.winner_then: turn.then - 1e-6}).family != turn.winner_then
        assert f"{turn.then:.4g}" in turn.says and f"{turn.now:.4g}" in turn.says
    gaps = [turn.then - turn.now for turn in told]
    assert gaps == sorted(gaps)


def test_without_the_operations_latency_says_what_is_cheap():
    rough = Replay(recommendation(), trials(counted=False))
    assert not rough.exact
    assert rough.winner(limits_of(BUDGET)).family == "conv"
    gru, conv = (rough.admitted(limits_of(BUDGET))[family] for family in ("gru", "conv"))
    assert rough.times_dearer(gru, conv) == 2.0


def test_one_model_without_operations_is_enough_for_the_latency_to_say_it(replay):
    some = [t.model_copy(update={"flops": None}) if t.family == "linear" else t for t in trials()]
    assert replay.exact and not Replay(recommendation(), some).exact


def test_without_the_number_judged_the_margin_is_the_least_one():
    assert Replay(recommendation(judged=None), trials()).margin(0.92) == 0.005
    assert Replay(recommendation(judged=100), trials()).margin(0.92) == 0.015


def test_a_page_of_turns_says_each_fact_and_direction_once():
    told = lines(turns())
    assert len(told) == 6 and len(set(told)) == 6


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("conv", "conv is the recommendation"),
        ("gru", "within the margin of the best and needs 3 times the operations of conv; --families gru"),
        ("linear", "linear would win with accuracy 0.915: it has 0.8, 0.115 less."),
        ("rnn", "0.91 in one training"),
        ("transformer", "4.2 ms would admit it (asked: 3)"),
        ("ssm", "the latency limit 6 ms (asked: 3) and the memory limit 80 MiB (asked: 50)"),
        ("lstm", "A failed training can be tried again"),
        ("mingru", "give it time with --families mingru, or --time-limit above 60 s"),
        ("cross_fusion", "No budget changes that: it needs several streams"),
    ],
)
def test_why_not_says_the_state_the_numbers_and_the_smallest_change(family, words):
    found = case(family)
    text = " ".join(found.lines())
    assert words in text
    assert found.state == STATES[family] and found.winner == "conv"
    if found.numbers.validation is not None and family != "conv":
        assert f"{found.numbers.validation:.4g}" in text and f"{found.winner_numbers.validation:.4g}" in text


def test_a_family_that_was_not_tried_has_no_numbers_of_its_refused_variants():
    dear = Trial(number=90, family="mingru", config={}, seed=0, state="infeasible", latency_ms=3.2701,
                 memory_mib=9.0, size_mib=1.0)  # fmt: skip
    dearer = dear.model_copy(update={"number": 91, "latency_ms": 6.0, "memory_mib": 61.0})
    answer = recommendation()
    rows = [
        r.model_copy(update={"latency_ms": 6.0, "train_s": 0.0, "trials": 2}) if r.family == "mingru" else r
        for r in answer.ranking
    ]
    answer = answer.model_copy(update={"ranking": tuple(rows)})
    found = why_not_measured(answer, [*trials(), dearer, dear], BUDGET, "mingru")
    text = " ".join(found.says)
    assert found.numbers.latency_ms is None and "mingru: " not in text.replace("mingru was not tried: ", "")
    assert "Larger ones broke the latency limit (3.28 ms, asked: 3) and the memory limit (61 MiB, asked: 50)." in text
    assert "nothing is known" not in text
    assert "A smaller one was not tried, so what it reaches is not known: give it time with --families mingru" in text


def test_where_a_baseline_won_leaving_the_networks_out_is_no_way_to_another_choice():
    chosen = recommendation().model_copy(update={"family": "linear", "baseline": True})
    rows = [
        r.model_copy(update={"validation": 0.92, "quality": measured(0.92), "state": "recommended"})
        if r.family == "linear" else r for r in chosen.ranking
    ]  # fmt: skip
    rows.sort(key=lambda r: r.family != "linear")
    found = why_not_measured(chosen.model_copy(update={"ranking": tuple(rows)}), trials(), BUDGET, "gru")
    text = " ".join(found.says)
    assert "is within the margin of the best and needs 90 times the operations of linear." in text
    assert "--families" not in text


def test_that_limits_are_judged_by_this_run_is_said_where_a_limit_is_named(folder):
    def noted(family):
        return any(note.startswith("Limits are judged") for note in explain_run(folder, family).notes)

    assert noted(None) and noted("conv") and noted("rnn")
    assert not any(noted(family) for family in ("transformer", "ssm", "lstm", "mingru", "cross_fusion"))


def test_the_rules_for_and_against_stand_beside_the_numbers():
    advice = advise(Facts(task="classify", samples=50, length_p50=100), list(STATES))
    assert any(words.startswith("LEN1 +") for words in case("gru", advice=advice).speaks_for)
    assert any(words.startswith("SML1 -") for words in case("transformer", advice=advice).speaks_against)


def test_a_family_that_the_run_does_not_know_is_an_error_with_the_nearest():
    with pytest.raises(InputError, match="'grru'") as caught:
        case("grru")
    assert "gru" in caught.value.hint


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path / "run", recommendation(), trials())


def written(path, answer, tried):
    run = Run(path)
    run.write("recommendation", answer)
    run.write("budget", BUDGET)
    run.write("advice", advise(Facts(task="classify", samples=50, length_p50=100), list(STATES)))
    for trial in tried:
        run.add_trial(trial)
    return run.path


def test_what_an_older_folder_lacks_is_said(tmp_path):
    found = explain_run(written(tmp_path / "old", recommendation(judged=None), trials(counted=False)))
    assert found.family == "conv" and found.turns
    assert any("latency says what is cheap" in note for note in found.notes)
    assert any("margin is taken at its least" in note for note in found.notes)


def test_a_run_is_explained_from_its_folder_as_it_was_chosen(folder):
    found = explain_run(folder)
    assert found.family == "conv" and found.why_not is None and found.turns == turns()
    assert [note for note in found.notes if not note.startswith("Limits are judged")] == []
    assert found.lines()[0] == "It is the best."
    assert explain_run(folder, "gru").why_not.family == "gru"
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_an_unknown_family_and_a_folder_that_is_no_run_are_errors(folder, tmp_path):
    with pytest.raises(InputError, match="'trnsformer'") as caught:
        explain_run(folder, "trnsformer")
    assert "transformer" in caught.value.hint
    with pytest.raises(InputError, match=r"has no recommendation\.json"):
        explain_run(tmp_path)


def test_neither_the_rules_nor_a_finished_run_need_torch(folder):
    code = (
        "import sys; from advisor.counterfactual import before, explain_run; from advisor.rules import Facts\n"
        "assert before(Facts(task='classify', samples=50, length_p50=1100), ['gru', 'transformer'])\n"
        f"for family in (None, *{list(STATES)}): assert explain_run({str(folder)!r}, family).lines()\n"
        "assert not {'torch', 'sklearn', 'optuna'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.slow
def test_a_real_run_is_replayed_as_it_was_chosen(tmp_path):
    from advisor import recommend

    data = tmp_path / "data.csv"
    rows = [[i % 2, *(math.sin(0.3 * t * (1 + i % 2) + i) for t in range(24))] for i in range(60)]
    header = ",".join(["label", *(f"t{t}" for t in range(24))])
    data.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    chosen = recommend(data, trials=1, out=tmp_path / "run")
    found = explain_run(tmp_path / "run")
    assert found.family == chosen.family
    assert not any(words in note for note in found.notes for words in ("choice would be", "operations", "its least"))
    assert "No budget changes that" in " ".join(explain_run(tmp_path / "run", "cross_fusion").lines())
    for family in {row.state: row.family for row in chosen.ranking}.values():
        assert explain_run(tmp_path / "run", family).lines()
