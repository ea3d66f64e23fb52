"""Known power laws come back; crossing curves are named; noise says nothing."""

import numpy as np
import pytest

from advisor.data_size import EXPONENTS, data_size_curve, power_law
from advisor.metrics import METRICS

MASE, ACCURACY = METRICS["forecast"], METRICS["classify"]
SHARES = (0.25, 0.5, 1.0)


def runs(law, noise=0.0, count=6, seed=0):
    rng = np.random.default_rng(seed)
    return {s: [law(s) + noise * rng.normal() for _ in range(count)] for s in SHARES}


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_a_power_law_is_its_own_fit(exponent):
    shares = np.array([0.1, *SHARES])
    found = power_law(shares, (0.3 + 0.2 * shares**-exponent)[None], np.array([exponent]))
    assert [round(float(one[0, 0]), 12) for one in found] == [0.3, 0.2, 0.0]


def test_the_bounded_fit_is_the_best_of_a_fine_search():
    shares, loss = np.array(SHARES), np.array([0.5, 0.2, 0.05])  # the free fit would have a floor below 0
    at_half = np.array([0.5])
    a, _, rss = (float(one[0, 0]) for one in power_law(shares, loss[None], at_half))
    grid = np.linspace(0, 0.6, 601)
    best = min(float(((loss - p - q * shares**-0.5) ** 2).sum()) for p in grid[::10] for q in grid)
    assert a == 0.0 and rss <= best + 1e-9
    assert power_law(shares, loss[None, ::-1], at_half)[1] == 0.0  # more data never costs: a flat line


def test_the_extrapolation_of_an_exact_law_is_the_law():
    found = data_size_curve({"gru": runs(lambda n: 0.5 + 0.3 * n**-0.5)}, MASE, 0.01)
    (curve,) = found.curves
    assert curve.exponent == pytest.approx(0.5, abs=0.02)
    for point in curve.extrapolated:
        assert point.quality == pytest.approx(0.5 + 0.3 * point.multiple**-0.5, abs=0.003)
    assert (found.favours, found.overtakes_at) == (None, None)


def test_curves_that_cross_are_named_with_where():
    slow, fast = (lambda n: 0.60 + 0.02 * n**-0.5), (lambda n: 0.40 + 0.24 * n**-0.5)
    found = data_size_curve({"fast": runs(fast, 0.001), "slow": runs(slow, 0.001, seed=1)}, MASE, 0.006)
    assert [c.family for c in found.curves] == ["slow", "fast"]
    assert (found.favours, found.overtakes_at) == ("fast", 2.0)
    assert found.says.startswith("More data would favour fast: with 2 times as much")


def test_accuracy_rises_and_stays_below_one():
    better, worse = (lambda n: 0.9 - 0.1 * n**-0.5), (lambda n: 0.75 - 0.02 * n**-0.5)
    found = data_size_curve({"a": runs(better, 0.002), "b": runs(worse, 0.002)}, ACCURACY, 0.005)
    assert found.curves[0].family == "a" and found.favours == "a" and found.overtakes_at is None
    for curve in found.curves:
        qualities = [p.quality for p in (*curve.measured, *curve.extrapolated)]
        assert qualities == sorted(qualities) and qualities[-1] < 1.0
        assert all(p.low <= p.quality <= p.high for p in curve.extrapolated)


def test_flat_noise_says_nothing():
    alarms = 0
    for seed in range(40):
        flat = {f: runs(lambda _: 0.7, 0.02, seed=10 * seed + i) for i, f in enumerate("ab")}
        alarms += data_size_curve(flat, MASE, 0.007, seed).favours is not None
    assert alarms <= 4


def test_runs_that_are_all_the_same_promise_no_more_than_noisy_ones():
    level, steep = (lambda n: 0.700 + 0.005 * n**-0.5), (lambda n: 0.700 + 0.010 * n**-0.5)
    found = data_size_curve({"level": runs(level), "steep": runs(steep)}, MASE, 0.0005)
    assert found.favours is None and "No sign that more data would change the order" in found.says
    for curve in found.curves:
        assert all(p.high - p.low > 0.01 for p in (*curve.measured, *curve.extrapolated))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    inside = []
    for seed in range(40):
        found = data_size_curve({"a": runs(lambda n: 0.5 + 0.2 * n**-0.4, 0.01, seed=seed)}, MASE, 0.005, seed)
        point = found.curves[0].extrapolated[1]
        inside.append(point.low <= 0.5 + 0.2 * 4**-0.4 <= point.high)
    assert np.mean(inside) >= 0.8


def test_the_same_seed_gives_the_same_curve():
    given = {"a": runs(lambda n: 1 / n, 0.1), "b": runs(lambda n: 2 - n, 0.1)}
    assert data_size_curve(given, MASE, 0.01, 3) == data_size_curve(given, MASE, 0.01, 3)


def test_what_cannot_be_a_curve_is_refused():
    with pytest.raises(ValueError, match=r"1\.0 among them"):
        data_size_curve({"a": {0.25: [1.0], 0.5: [1.0]}}, MASE, 0.01)
    with pytest.raises(ValueError, match="2 qualities at each"):
        data_size_curve({"a": {0.5: [1.0, 1.0], 1.0: [1.0]}}, MASE, 0.01)


def test_exponents_cover_what_is_known_of_learning_curves():
    assert EXPONENTS.min() <= 0.1 and EXPONENTS.max() >= 1.0
