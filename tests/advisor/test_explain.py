"""The documents' advice beside the measurement, and the state of the families that did not reach the final."""

import numpy as np
import pytest

from advisor.choose import choose
from advisor.explain import checks, ranking
from advisor.metrics import METRICS
from advisor.records import Ranked, Trial
from advisor.rules import Advice, Fired
from advisor.search.outcome import Contender, Outcome
from advisor.search.problem import Plan, Problem, Rows
from profiles.budget import Budget
from profiles.cost import Cost

PLAN = Plan(task="classify", channels=1, classes=2, folds=2, length=10, test_words="the test part")


def ranked(**validation):
    return [Ranked(family=f, state="behind", reason="", validation=v) for f, v in validation.items()]


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
    (check,) = checks(ADVICE, ranked(**validation), METRICS["forecast"], margin=0.01)
    assert check.evidence == evidence


def test_baselines_say_nothing_about_a_rule():
    rows = [*ranked(gru=0.9), Ranked(family="mean", baseline=True, state="behind", reason="", validation=0.1)]
    (check,) = checks(ADVICE, rows, METRICS["forecast"], margin=0.01)
    assert check.evidence == "not measured"


def trial(number, state, quality=None, reason=""):
    return Trial(number=number, family="gru", config={}, seed=0, state=state, quality=quality, reason=reason)


def row_of_gru(trials, **why):
    cost = Cost(
        latency_p50_ms=1, latency_p95_ms=1, latency_p99_ms=1, runs=20, peak_memory_mib=1, parameter_bytes=4,
        size_mib=1, flops=1, batch=1, length=10, device="cpu", threads=1,
    )  # fmt: skip
    contenders = [Contender("majority", True, cost, {0: 0.5, 1: 0.5}, [1.0, 0.0], {}, "", 1.0)]
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
