"""The right test for the data at hand, equal to closed forms where there are any, and calm where nothing differs."""

import numpy as np
import pytest
from scipy import stats

from advisor.choose import choose, train_share
from advisor.compare import Scores, compare, luck_of, pseudo, relative
from advisor.naive import beats_naive
from advisor.search.outcome import Contender
from advisor.search.problem import Plan
from profiles.cost import Cost

RNG = np.random.default_rng(0)
COST = Cost(
    latency_p50_ms=1, latency_p95_ms=1, latency_p99_ms=1, runs=20, peak_memory_mib=1, parameter_bytes=4,
    size_mib=1, flops=1, batch=1, length=10, device="cpu", threads=1,
)  # fmt: skip


def closed_form(values, fold=None, group=None):
    values = np.atleast_2d(np.asarray(values, float))
    n = values.shape[1]
    return Scores(values, np.zeros(n, int) if fold is None else fold, np.arange(n) if group is None else group, False)


def contender(family, scores, task="forecast"):
    units = pseudo(scores, task).mean(0)
    folds = {int(k): float(units[scores.fold == k].mean()) for k in np.unique(scores.fold)}
    return Contender(family, False, COST, folds, [1.0], {}, "", 1.0)


def test_many_cases_and_one_split_are_the_paired_t_test():
    a, b = RNG.normal(size=(2, 80))
    found = compare(closed_form(a), closed_form(b), "classify", 0.8)
    assert found.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_many_series_and_one_split_are_the_t_test_of_relative_differences():
    a, b = RNG.gamma(4, size=(2, 80))
    found = compare(closed_form(a), closed_form(b), "forecast", 0.8)
    expected = stats.ttest_1samp(relative(a, b), 0).pvalue if relative(a, b).mean() * (a - b).mean() >= 0 else 1.0
    assert found.p_value == pytest.approx(expected) and found.difference == pytest.approx((a - b).mean())
    assert (found.over, found.count, found.words("forecast")) == ("groups", 80, "over 80 series")


def test_one_steep_day_does_not_hide_what_all_other_days_show():
    steady = 1 + 0.01 * RNG.random(size=40)
    steep = np.where(np.arange(40) == 7, 200.0, 1.5 * steady)
    assert compare(closed_form(steep), closed_form(steady), "forecast", 0.8).p_value < 1e-6
    assert compare(closed_form(steep), closed_form(steady), "classify", 0.8).p_value > 0.1


def test_forecasts_whose_relative_and_plain_differences_disagree_are_told_apart_by_neither():
    b = np.ones(40)
    a = np.where(np.arange(40) < 4, 40.0, 0.5 * b)
    found = compare(closed_form(a), closed_form(b), "forecast", 0.8)
    assert found.difference > 0 and found.p_value == 1.0


def test_series_of_several_origins_count_once():
    per_series = RNG.normal(size=40)
    group, fold = np.repeat(np.arange(40), 3), np.zeros(120, int)
    a = closed_form(np.repeat(per_series, 3), fold, group)
    zero = closed_form(np.zeros(120), fold, group)
    found = compare(a, zero, "classify", 0.8)
    assert found.p_value == pytest.approx(stats.ttest_1samp(per_series, 0).pvalue)


def test_few_cases_in_folds_are_nadeau_and_bengio_unless_the_folds_take_after_each_other():
    gaps = np.array([0.3, 0.1, 0.3, 0.1, 0.2])
    fold = np.repeat(np.arange(5), 4)
    found = compare(closed_form(gaps[fold], fold), closed_form(np.zeros(20), fold), "classify", 0.8)
    t = gaps.mean() / np.sqrt((1 / 5 + 0.25) * gaps.var(ddof=1))
    assert (found.over, found.freedom) == ("folds", 4)
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, 4))


def test_origins_that_take_after_each_other_count_for_fewer():
    fold, group = np.repeat(np.arange(5), 12), np.zeros(60, int)
    wave = 2 + np.sin(np.arange(60) / 3)
    shuffled = RNG.permutation(wave)
    zero = closed_form(np.full(60, 1.8), fold, group)
    smooth, rough = (compare(closed_form(v, fold, group), zero, "forecast", 5 / 6) for v in (wave, shuffled))
    assert smooth.error > 1.5 * rough.error and smooth.freedom < rough.freedom


def test_one_fold_of_few_series_allows_no_test():
    found = compare(closed_form(RNG.normal(size=8)), closed_form(RNG.normal(size=8)), "forecast", 0.8)
    assert (found.p_value, found.over, found.words("forecast")) == (None, "nothing", "")


def test_a_single_training_says_nothing_of_a_configuration():
    values = RNG.normal(size=(1, 80))
    one = Scores(values, np.zeros(80, int), np.arange(80))
    assert compare(one, closed_form(np.zeros(80)), "forecast", 0.8).p_value is None
    twice = Scores(np.concatenate([values, values + 0.1]), one.fold, one.group)
    assert compare(twice, closed_form(np.zeros(80)), "forecast", 0.8).p_value is not None


def test_luck_is_the_variance_between_seeds():
    noise = RNG.normal(size=(1, 50))
    seeds = [Scores(noise + np.array([[0.0], [gap]]), np.zeros(50, int), np.arange(50)) for gap in (0.2, 0.4)]
    luck = luck_of(seeds, "classify")
    assert (luck.freedom, luck.variance) == (2, pytest.approx((0.2**2 / 2 + 0.4**2 / 2) / 2))
    found = compare(seeds[0], seeds[1], "classify", 0.8)
    assert found.error == pytest.approx(np.sqrt(luck.variance / 2 + 0.4**2 / 4))  # the own of the second is more


def test_pseudo_scores_average_to_the_rmse_of_each_fold():
    squares, fold = RNG.gamma(1, size=(2, 40)), np.arange(40) % 4
    found = pseudo(Scores(squares, fold, np.arange(40)), "regress")
    for k in range(4):
        assert np.allclose(found[:, fold == k].mean(1), np.sqrt(squares[:, fold == k].mean(1)))


def test_equal_contenders_are_seldom_called_different_even_if_there_are_ten():
    alarms = 0
    for _ in range(100):
        level = RNG.gamma(4, size=100)
        same = [closed_form(level + RNG.normal(size=100)) for _ in range(10)]
        named = {f"c{i}": one for i, one in enumerate(same)}
        plan = Plan(task="forecast", channels=1, folds=1, length=9, test_words="")
        choice = choose([contender(f, s) for f, s in named.items()], plan, 100, named)
        alarms += len(choice.tied) < 9 - (choice.chosen is not choice.best)
    assert alarms <= 7


def test_the_choice_uses_units_where_it_has_them_and_says_over_what():
    plan = Plan(task="forecast", channels=1, folds=1, length=9, test_words="")
    level = RNG.gamma(4, size=100)
    named = {"a": closed_form(level), "b": closed_form(level + 1 + 0.1 * RNG.normal(size=100))}
    contenders = [contender(f, s) for f, s in named.items()]
    choice = choose(contenders, plan, 100, named)
    assert choice.p_values["b"] < 0.001 and choice.tested == "over 100 series" and choice.tied == ()
    assert choose(contenders, plan, 100).p_values == {}


def test_the_share_trained_on_is_what_comes_before_or_lies_outside_a_fold():
    shares = [
        train_share(Plan(task=t, channels=1, folds=k, length=9, test_words=""))
        for t, k in (("classify", 5), ("forecast", 5), ("classify", 1))
    ]
    assert shares == [0.8, 5 / 6, 0.5]


@pytest.mark.parametrize(("gain", "beaten"), [(0.0, ()), (0.5, ("gru",))])
def test_whether_the_naive_forecast_is_beaten_is_said(gain, beaten):
    plan = Plan(task="forecast", channels=1, folds=1, length=9, test_words="")
    level = 1 + 0.1 * RNG.random(size=60)
    named = {
        "last_value": closed_form(level),
        "seasonal_naive": closed_form(level + 1),
        "gru": closed_form(level * (1 - gain) + 0.001 * RNG.normal(size=60)),
    }
    found = beats_naive([contender(f, s) for f, s in named.items()], plan, 60, named)
    assert (found.naive, found.best, found.beaten_by) == ("last_value", "gru", beaten)
    assert ("gru (" in found.says and "beats the naive forecast" in found.says) == bool(beaten)
    assert found.says.startswith("Nothing beats the naive forecast (last_value, mase 1.0") != bool(beaten)


def test_where_no_test_is_possible_nothing_is_claimed_against_the_naive():
    plan = Plan(task="regress", channels=1, folds=1, length=9, test_words="")
    named = {"mean": closed_form(np.ones(5)), "gru": closed_form(np.full(5, 0.5))}
    contenders = [contender(f, s, "regress") for f, s in named.items()]
    found = beats_naive(contenders, plan, 5, named)
    assert (found.beaten_by, found.p_value) == ((), None) and "cannot be tested" in found.says
    assert beats_naive(contenders[1:], plan, 5) is None


@pytest.mark.parametrize("seed", range(30))
def test_a_naive_forecast_that_the_best_beats_is_not_tied_with_it(seed):
    rng, plan = np.random.default_rng(seed), Plan(task="forecast", channels=1, folds=1, length=9, test_words="")
    level = 1 + rng.random(60)
    worse = {name: 0.03 * k for k, name in enumerate(("gru", "ridge", "theta", "last_value", "seasonal_naive"))}
    named = {f: closed_form(level * (0.9 + w) + 0.3 * rng.normal(size=60)) for f, w in worse.items()}
    contenders = [contender(f, s) for f, s in named.items()]
    choice, verdict = choose(contenders, plan, 60, named), beats_naive(contenders, plan, 60, named)
    if choice.best.family in verdict.beaten_by:
        assert verdict.naive not in choice.tied
    assert choice.best.family != verdict.best or choice.p_values[verdict.naive] == pytest.approx(verdict.p_value)
