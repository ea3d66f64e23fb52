"""The best wins; of those that are no worse than the margin, the cheapest; ties are named."""

from advisor.choose import choose
from advisor.search.outcome import Contender
from advisor.search.problem import Plan
from profiles.cost import Cost

PLAN = Plan(task="classify", channels=1, classes=2, folds=5, length=10, test_words="")


def contender(family, scores, flops):
    cost = Cost(
        latency_p50_ms=1, latency_p95_ms=1, latency_p99_ms=1, runs=20, peak_memory_mib=1, parameter_bytes=4,
        size_mib=1, flops=flops, batch=1, length=10, device="cpu", threads=1,
    )  # fmt: skip
    return Contender(family, False, cost, dict(enumerate(scores)), [1.0], {}, "", 1.0)


def test_a_clear_winner_wins_whatever_it_costs():
    good, cheap = contender("good", [0.9, 0.91, 0.9, 0.92, 0.9], 100), contender("cheap", [0.5] * 5, 1)
    choice = choose([good, cheap], PLAN, 1000)
    assert choice.chosen is good
    assert choice.tied == ()


def test_within_the_margin_the_cheapest_wins_and_the_tie_is_named():
    good, cheap = contender("good", [0.9, 0.8, 0.9, 0.8, 0.9], 100), contender("cheap", [0.8, 0.9, 0.9, 0.8, 0.89], 1)
    choice = choose([good, cheap], PLAN, 1000)
    assert choice.chosen is cheap
    assert choice.best is good
    assert choice.tied == ("good",)


def test_with_one_fold_nothing_is_tied_because_nothing_is_tested():
    good, cheap, poor = contender("good", [0.9], 100), contender("cheap", [0.9], 1), contender("poor", [0.2], 1)
    choice = choose([good, cheap, poor], PLAN, 1000)
    assert (choice.tied, choice.p_values) == ((), {})


def test_the_best_is_tied_only_with_a_chosen_one_that_the_test_cannot_tell_from_it():
    good = contender("good", [0.9, 0.9, 0.9, 0.9, 0.9], 100)
    steady = contender("cheap", [0.896, 0.8961, 0.8959, 0.896, 0.896], 1)
    choice = choose([good, steady], PLAN, 1000)
    assert choice.chosen is steady and choice.p_values["cheap"] < 0.05
    assert choice.tied == ()


def test_one_error_of_sixty_is_no_reason():
    good, cheap = contender("good", [1, 1, 1, 1, 1], 100), contender("cheap", [1, 1, 1, 1, 1 - 1 / 12], 1)
    assert choose([good, cheap], PLAN, 60).chosen is cheap
    assert choose([good, cheap], PLAN, 600).chosen is good
