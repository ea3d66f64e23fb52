"""The documents' advice beside the measurement, and the state of the families that did not reach the final."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.choose import choose
from advisor.data.rows import Rows
from advisor.explain import checks, ranking, reasons
from advisor.metrics import METRICS
from advisor.records import ENSEMBLE, Request, Trial
from advisor.rules import Advice, Fired
from advisor.search.outcome import Contender, Outcome
from advisor.search.problem import Plan, Problem
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.cost import Cost

PLAN = Plan(task="classify", channels=1, classes=2, folds=2, length=10, test_words="the test part")


def raced(**quality):
    """Return a trial of each family in the race, and a worse one of it."""
    return [
        Trial(number=k, family=f, config={}, seed=0, state="complete", quality=q + worse)
        for k, (f, q) in enumerate(quality.items())
        for worse in (0.0, 0.2)
    ]


ADVICE = Advice(
    fired=(Fired(key="LEN1", document="D4", says="prefer gru", strength=1, because="short", raises={"gru": 1.0}),),
    ranking=(),
)


@pytest.mark.parametrize(
    ("validation", "evidence"),
    [
        ({"gru": 0.80, "conv": 0.90}, "agrees"),
        ({"gru": 0.905, "conv": 0.90}, "agrees"),
        ({"gru": 0.95, "conv": 0.90}, "disagrees"),
        ({"conv": 0.90}, "not measured"),
    ],
)
def test_a_rule_is_judged_by_the_families_it_prefers(validation, evidence):
    (check,) = checks(ADVICE, raced(**validation), METRICS["forecast"], margin=0.01)
    assert check.evidence == evidence


@pytest.mark.parametrize("name", ["mean", ENSEMBLE])
def test_baselines_and_ensembles_say_nothing_about_a_rule(name):
    (check,) = checks(ADVICE, raced(gru=0.9, **{name: 0.1}), METRICS["forecast"], margin=0.01)
    assert check.evidence == "not measured"


AGAINST = {"bilstm": -0.4, "bigru": -0.4}


@pytest.mark.parametrize(
    ("validation", "evidence", "words"),
    [
        ({"bilstm": 0.80, "gru": 0.90}, "disagrees", "bilstm reached mase 0.8, gru 0.9"),
        ({"bilstm": 0.895, "gru": 0.90}, "agrees", "within the margin"),
        ({"bilstm": 0.95, "bigru": 0.99, "gru": 0.90}, "agrees", "bilstm reached mase 0.95, gru 0.9"),
        ({"gru": 0.9, "conv": 0.8}, "not measured", "no family that it advises against was trained"),
        ({"bilstm": 0.9}, "not measured", "only families that it advises against were trained"),
    ],
)
def test_a_rule_that_only_advises_against_is_judged_by_those_families(validation, evidence, words):
    rule = Fired(key="BI1", document="D2", says="too dear", strength=1, because="short", raises=AGAINST)
    (check,) = checks(Advice(fired=(rule,), ranking=()), raced(**validation), METRICS["forecast"], margin=0.01)
    assert check.evidence == evidence and words in check.because


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"key": "PRE1", "raises": {}}, "it speaks of no family."),
        ({"key": "HW1", "raises": AGAINST, "tier": "target"}, "what the target can run, which no quality tells"),
    ],
)
def test_what_no_quality_can_judge_is_said(rule, words):
    fired = Fired(document="D4", says="says", strength=1, because="so", **rule)
    rows = raced(bilstm=0.8, gru=0.9)
    (check,) = checks(Advice(fired=(fired,), ranking=()), rows, METRICS["forecast"], margin=0.01)
    assert check.evidence == "not measured" and words in check.because


def trial(number, state, quality=None, reason=""):
    return Trial(number=number, family="gru", config={}, seed=0, state=state, quality=quality, reason=reason)


def contender(family, folds, flops=1):
    cost = Cost(
        latency_p50_ms=1, latency_p95_ms=1, latency_p99_ms=1, runs=20, peak_memory_mib=1, parameter_bytes=4,
        size_mib=1, flops=flops, batch=1, length=10, device="cpu", threads=1,
    )  # fmt: skip
    return Contender(family, family not in FAMILIES, cost, dict(enumerate(folds)), [1.0, 0.0], {}, "", 1.0)


def told(contenders, networks_only=False):
    """Return the rows of a run with these contenders, and its reasons in one text."""
    rows = Rows(np.zeros((2, 10, 1)), np.full(2, 10), np.zeros(2), np.ones(2), np.arange(2))
    problem = Problem(PLAN, rows, np.arange(2), (), rows)
    choice = choose([c for c in contenders if not (networks_only and c.baseline)], PLAN, 1000)
    found = ranking(choice, Outcome(contenders=contenders), problem, Budget(), ())
    request = Request(data="x", task="classify", networks_only=networks_only)
    words = reasons(choice, found, found[0].quality, Budget(), request, "the folds")
    return {row.family: row for row in found}, " ".join(words)


def test_with_one_fold_the_number_decides_and_it_is_said_that_no_test_is_possible():
    rows, words = told([contender("gru", [0.9], 9), contender("conv", [0.5])])
    assert (rows["gru"].state, rows["conv"].state) == ("recommended", "behind")
    assert rows["conv"].reason == (
        "accuracy 0.5 on the one fold against 0.9; no test can tell here whether that is chance"
    )
    assert "too few independent parts" in words and "A tie" not in words and "mean over" not in words


def test_with_folds_that_can_be_tested_a_tie_is_one():
    rows, words = told([contender("gru", [0.9, 0.8], 9), contender("conv", [0.7, 0.8])])
    assert rows["conv"].state == "tied" and "cannot be told from the best" in rows["conv"].reason
    assert (
        "A tie: with these data conv cannot be told from the best (tested over 2 folds)." in words
        and "one fold" not in words
    )


def test_the_best_that_is_too_dear_is_not_said_to_be_like_itself():
    rows, words = told([contender("gru", [0.9, 0.802], 9), contender("conv", [0.8, 0.9])])
    assert rows["conv"].state == "recommended" and rows["gru"].state == "tied"
    assert "dearer than conv, within the margin, from which it cannot be told (p 1.00)" in rows["gru"].reason
    assert "gru cannot be told from conv" in words
    one, _ = told([contender("gru", [0.9], 9), contender("conv", [0.899])])
    assert one["gru"].state == "behind" and "told" not in one["gru"].reason


def test_a_committee_that_became_dearer_than_the_best_is_not_called_the_cheaper():
    best, chosen = contender("gru", [0.9, 0.802], 9), contender("conv", [0.8, 0.9], 1)
    rows = Rows(np.zeros((2, 10, 1)), np.full(2, 10), np.zeros(2), np.ones(2), np.arange(2))
    choice = choose([best, chosen], PLAN, 1000)
    kept = contender("conv", [0.8, 0.9], 20)
    problem, outcome = Problem(PLAN, rows, np.arange(2), (), rows), Outcome(contenders=[best, kept])
    row = ranking(replace(choice, chosen=kept), outcome, problem, Budget(), ())[1]
    assert row.family == "gru" and "but one network for one dearer than conv, within the margin" in row.reason


def test_where_networks_alone_are_asked_for_a_better_baseline_is_not_called_worse():
    rows, words = told([contender("gru", [0.7, 0.8]), contender("majority", [0.9, 0.9])], networks_only=True)
    assert rows["gru"].state == "recommended" and "is the best of 1 networks." in words
    assert rows["majority"].reason == "accuracy 0.9 on the folds, but networks alone were asked for"


def row_of_gru(trials, **why):
    contenders = [contender("majority", [0.5, 0.5])]
    rows = Rows(np.zeros((2, 10, 1)), np.full(2, 10), np.zeros(2), np.ones(2), np.arange(2))
    problem = Problem(PLAN, rows, np.arange(2), (), rows)
    outcome = Outcome(trials=trials, contenders=contenders, **why)
    first, second = ranking(choose(contenders, PLAN, 2), outcome, problem, Budget(), ("gru",))
    assert (first.family, first.state) == ("majority", "recommended")
    return second


REFUSED, FAILED = trial(0, "infeasible", reason="9 ms"), trial(1, "failed", reason="the loss is not finite")


@pytest.mark.parametrize(
    ("trials", "why", "state", "reason"),
    [
        ([], {}, "not tried", "no time was left to train it"),
        ([], {"not_tried": {"gru": "no time"}}, "not tried", "no time"),
        ([REFUSED], {"not_tried": {"gru": "no time"}}, "not tried", "no time"),
        ([REFUSED], {"infeasible": {"gru": "even its smallest: 9 ms"}}, "infeasible", "even its smallest: 9 ms"),
        ([REFUSED, FAILED], {"not_tried": {"gru": "no time"}}, "failed", "the loss is not finite"),
        ([FAILED, REFUSED], {}, "failed", "the loss is not finite"),
        ([FAILED, trial(2, "complete", 0.4)], {}, "behind", "did not reach the final"),
    ],
)
def test_only_a_family_whose_training_failed_has_failed(trials, why, state, reason):
    row = row_of_gru(trials, **why)
    assert (row.state, row.trials) == (state, len(trials))
    assert row.reason.startswith(reason)


def test_the_costs_of_refused_variants_are_not_those_of_a_family_that_was_not_tried():
    dear = trial(0, "infeasible", reason="9 ms").model_copy(update={"latency_ms": 9.0, "size_mib": 3.0})
    small = trial(1, "failed", reason="the loss is not finite").model_copy(update={"latency_ms": 2.0})
    row = row_of_gru([dear], not_tried={"gru": "no time"})
    assert (row.state, row.latency_ms, row.size_mib) == ("not tried", None, None)
    assert row_of_gru([dear], infeasible={"gru": "9 ms"}).latency_ms == 9.0
    assert row_of_gru([small, dear]).latency_ms == 2.0


def test_a_family_whose_final_failed_says_so():
    why = {"not_tried": {"gru": "a training of the final failed: out of memory"}}
    row = row_of_gru([trial(0, "complete", 0.4)], **why)
    assert (row.state, row.reason) == ("behind", "a training of the final failed: out of memory")
