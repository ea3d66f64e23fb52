"""Planted crossovers come back, from noisy times too, and noise that could move them is said."""

import math

import numpy as np
import pytest

from profiles.crossover import crossovers, pairs, uncertainty, why_none
from profiles.curves import Curve, curve

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def line(per_step: float, start: float = 0.0, square: float = 0.0, noise: float = 0.0, seed: int = 0) -> Curve:
    rng = np.random.default_rng(seed)
    times = [(start + per_step * n + square * n**2) * math.exp(noise * rng.standard_normal()) for n in LENGTHS]
    return curve(LENGTHS, times)


def found_in(recurrent: Curve, attention: Curve):
    answer = crossovers({"gru": recurrent, "lstm": line(9.0), "transformer": attention}, "a toaster", 4)
    assert answer is not None
    return answer


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("planted", [100, 300, 700, 1500])
def test_a_planted_crossover_is_found_within_a_tenth_in_times_with_two_per_cent_of_noise(planted, seed):
    gru = line(1.0, noise=0.02, seed=seed)
    transformer = line(0.4, start=0.6 * planted, noise=0.02, seed=100 + seed)
    found = found_in(gru, transformer)
    assert found.short_below == pytest.approx(planted, rel=0.1)
    assert found.long_from == pytest.approx(planted, rel=0.1)
    assert found.recurrent_from is None and found.longest == 4096
    assert str(found.short_below) in found.says and "512" in found.says and "1024" in found.says


def test_where_recurrent_networks_win_from_some_length_on_the_reverse_of_the_documents_is_said():
    found = found_in(line(1.0), line(0.8, square=0.002))
    assert found.short_below == 0 and found.long_from is None
    assert found.recurrent_from == pytest.approx(100, rel=0.03)
    assert "reverse of the documents" in found.says


def test_where_recurrent_networks_always_win_the_short_lengths_reach_to_the_longest():
    found = found_in(line(1.0), line(2.0))
    assert (found.short_below, found.long_from, found.recurrent_from) == (4096, None, 64)


def test_who_is_cheaper_below_64_steps_does_not_count():
    found = found_in(line(1.0), line(0.5, start=20.0))
    assert (found.short_below, found.long_from) == (0, 64)


def test_where_attention_always_wins_no_length_is_short():
    found = found_in(line(1.0), line(0.5))
    assert (found.short_below, found.long_from, found.recurrent_from) == (0, 64, None)


def test_the_cheaper_of_gru_and_lstm_speaks_for_recurrent_networks():
    training = {"gru": line(5.0), "lstm": line(1.0), "transformer": line(2.0)}
    assert crossovers(training, "d", 4).short_below == 4096
    assert crossovers({**training, "lstm": line(3.0)}, "d", 4).short_below == 0


@pytest.mark.parametrize("names", [("gru", "lstm"), ("transformer",), ()])
def test_without_both_kinds_there_is_no_crossover(names):
    assert crossovers({name: line(1.0) for name in names}, "d", 4) is None


def test_why_there_is_no_crossover_is_said():
    assert "needs the Transformer, and GRU or LSTM" in why_none({"gru": line(1.0), "lstm": line(1.0)})
    one_length = {"gru": curve((16,), (1.0,)), "transformer": curve((16,), (2.0,))}
    assert crossovers(one_length, "d", 4) is None
    assert "two lengths" in why_none(one_length) and "GRU or LSTM" not in why_none(one_length)
    assert why_none({"gru": line(1.0), "transformer": line(2.0)}) == ""


def test_lengths_below_64_are_compared_where_nothing_longer_was_measured():
    lengths = (16, 32, 64)
    found = crossovers({"gru": curve(lengths, (1.0, 2.0, 4.0)), "transformer": curve(lengths, (2.0, 3.0, 5.0))}, "d", 4)
    assert (found.short_below, found.longest) == (64, 64) and "from 16 to 64" in found.says


def test_lengths_that_only_one_was_measured_at_do_not_count():
    short = curve((16, 32, 64), (16.0, 32.0, 64.0))
    assert crossovers({"gru": short, "transformer": line(2.0)}, "d", 4).longest == 64
    assert crossovers({"gru": curve((8, 16), (8.0, 16.0)), "transformer": line(2.0)}, "d", 4) is None


def test_steep_crossovers_are_certain_and_near_ties_are_not():
    steep = {"gru": line(1.0), "transformer": line(0.4, start=180.0)}
    assert uncertainty(steep, 0.04)[0] < 1.15
    tie = {"gru": line(1.0), "transformer": line(1.01)}
    factor, words = uncertainty(tie, 0.04)
    assert factor > 100 and "can be anything" in words
    assert uncertainty(tie, 0.0) == (1.0, "") == uncertainty({}, 0.1)


def test_every_pair_says_who_is_cheaper_below_and_above():
    table = pairs("training", {"a": line(1.0), "b": line(0.4, start=180.0), "c": line(5.0)})
    assert [(one.first, one.second, one.below, one.above) for one in table] == [
        ("a", "b", "a", "b"),
        ("a", "c", "a", "a"),
        ("b", "c", "c", "b"),
    ]
    assert table[0].crossovers == pytest.approx((300,), rel=0.02)
    assert table[1].crossovers == ()
