"""The documents' advice beside the measurement: a difference within the margin does not speak against a rule."""

import pytest

from advisor.explain import checks
from advisor.metrics import METRICS
from advisor.records import Ranked
from advisor.rules import Advice, Fired


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
