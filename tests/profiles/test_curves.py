"""Planted formulas come back: the fit, its error, and the exponent of growth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from profiles.curves import Curve, curve, exponent, fit

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
NUMBERS = st.floats(0.0, 1.0)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_planted_polynomial_comes_back(a, b, c):
    planted = [a + b * n / 100 + c * (n / 1000) ** 2 + 1e-3 for n in LENGTHS]
    found = fit(LENGTHS, planted)
    assert found.error_percent < 0.1
    assert [found.at(n) for n in LENGTHS] == pytest.approx(planted, rel=0.01)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_exponent_comes_back_from_noisy_times(power, seed):
    noise = np.exp(0.03 * np.random.default_rng(seed).standard_normal(len(LENGTHS)))
    times = [n**power * e for n, e in zip(LENGTHS, noise, strict=True)]
    assert exponent(LENGTHS, times) == pytest.approx(power, abs=0.05)


def test_the_cost_of_starting_does_not_lower_the_exponent():
    assert exponent(LENGTHS, [200 + n**2 for n in LENGTHS]) == pytest.approx(2.0, abs=0.01)


def test_the_error_of_the_fit_is_the_noise_that_was_planted():
    noise = np.exp(0.05 * np.random.default_rng(0).standard_normal(len(LENGTHS)))
    found = fit(LENGTHS, [(5 + 0.1 * n) * e for n, e in zip(LENGTHS, noise, strict=True)])
    assert 2.0 < found.error_percent < 6.0


def test_no_term_is_negative_where_times_fall():
    found = fit((16, 32, 64), (3.0, 2.0, 1.5))
    assert min(found.constant, found.linear, found.quadratic) >= 0
    assert found.linear == found.quadratic == 0.0


def test_one_point_is_a_constant_without_an_exponent():
    found = curve([64], [2.0])
    assert found.fit.exponent is None and found.at(64) == 2.0 and found.fit.error_percent == pytest.approx(0.0)


def test_two_points_give_a_line_and_never_a_square():
    found = curve((16, 32), (1.0, 4.0))  # as steep as L^2
    assert found.fit.quadratic == 0.0 and found.fit.linear > 0
    assert curve((16, 32), (1.0, 2.5)).fit.quadratic == 0.0
    assert curve((16,), (1.0,)).fit.linear == 0.0


def test_three_points_with_noise_leave_an_error_and_fewer_are_not_judged():
    noisy = curve((16, 32, 64), (1.0, 1.3, 2.2))  # a + b L + c L^2 with all three above 0 would run through them
    assert noisy.is_judged and noisy.fit.error_percent > 1.0
    assert not curve((16, 32), (1.0, 1.3)).is_judged and not curve((16,), (1.0,)).is_judged


def test_between_two_lengths_the_curve_is_a_line_in_logs_and_beyond_them_it_follows_the_fit():
    found = curve(LENGTHS, [float(n) for n in LENGTHS])
    assert found.at(90) == pytest.approx(90)
    assert found.at(8) == pytest.approx(8) and found.at(10_000) == pytest.approx(10_000)


def test_scaling_the_times_scales_the_fit():
    times = [3 + 0.02 * n + 1e-5 * n**2 + n % 7 for n in LENGTHS]
    once, thrice = fit(LENGTHS, times), fit(LENGTHS, [3 * t for t in times])
    assert thrice.at(100) == pytest.approx(3 * once.at(100))
    assert thrice.error_percent == pytest.approx(once.error_percent)


@pytest.mark.parametrize(
    ("lengths", "values"), [((), ()), ((1, 2), (1.0,)), ((1, 2), (1.0, 0.0)), ((2, 1), (1.0, 1.0))]
)
def test_what_is_no_curve_is_refused(lengths, values):
    with pytest.raises(ValueError, match="curve"):
        curve(lengths, values)


def test_a_curve_survives_json_and_a_broken_one_does_not():
    found = curve(LENGTHS, [float(n) for n in LENGTHS])
    assert Curve.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError, match="one value above 0"):
        Curve.model_validate({**found.model_dump(), "values": (1.0,)})
