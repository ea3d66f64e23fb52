"""HW1: what the target lacks counts against the families that cannot do without it."""

import pytest

from advisor.rules import Facts, advise, rules
from advisor.rules.table import operators


def answer(*missing: str, **failed: str):
    facts = Facts(task="classify", samples=9, length_p50=24, missing_operators=missing, failed_families=failed)
    return rules()["HW1"](facts)


@pytest.mark.parametrize(
    ("operator", "out", "spared"),
    [
        ("LSTM", {"lstm", "bilstm", "lc_bilstm", "attention_rnn", "transformer_rnn"}, {"gru", "transformer", "ssm"}),
        ("GRU", {"gru", "bigru", "rnn_transformer", "moe_rnn"}, {"lstm", "transformer", "ssm"}),
        ("aten::scaled_dot_product_attention", {"transformer", "encoder_decoder", "ssm_attention"}, {"gru", "ssm"}),
        ("MatMul", set(operators()), set()),
        ("NoSuchOperator", set(), set(operators())),
    ],
)
def test_a_missing_operator_counts_against_those_who_need_it(operator, out, spared):
    raises = answer(operator).raises
    assert out <= set(raises) and not spared & set(raises) and set(raises.values()) <= {-1.0}


def test_a_family_with_a_variant_that_does_without_it_is_spared_and_the_variant_named():
    found = answer("Scan")
    assert "rnn" in found.raises and "linear_attention" not in found.raises
    assert "linear_attention is hit only as gated_delta and has other variants." in found.because


@pytest.mark.parametrize(
    ("operator", "words"),
    [("MatMul", "every family needs it"), ("NoSuchOperator", "no family needs it"), ("LSTM", "and 1 more need it")],
)
def test_it_is_said_who_needs_it(operator, words):
    assert words in answer(operator).because


def test_a_single_user_of_an_operator_is_named_in_the_singular():
    (operator, family), *_ = sorted(
        (name, users[0])
        for name in set.union(*(set(needs) for row in operators().values() for needs in row.values()))
        if len(users := [family for family, row in operators().items() if any(name in one for one in row.values())])
        == 1
    )
    assert f"The target lacks {operator}: {family} needs it." in answer(operator).because


def test_a_family_that_failed_counts_against_with_its_reason():
    found = answer(transformer="out of memory", ssm="")
    assert found.raises == {"transformer": -1.0, "ssm": -1.0}
    assert found.because == "transformer failed on the target (out of memory). ssm failed on the target."


def test_nothing_speaks_for_a_family_that_cannot_run():
    facts = Facts(task="classify", samples=9, length_p50=24, streaming=True, missing_operators=("LSTM",))
    ranked = {one.family: one.score for one in advise(facts, ("gru", "lstm")).ranking}
    assert ranked["lstm"] == -1 and ranked["gru"] > 2
