"""The reach of labelled series: planted positions are found, noise is not, and nothing outside a part is read."""

from pathlib import Path

import numpy as np
import pytest

from advisor.data import read
from profiles.dependence import context, measure_dependence
from profiles.dependence.context import FITS_A_CLASS, FITS_IN_10_S, Lengths, dependence_on_context
from profiles.dependence.pairs import Columns, Screen
from profiles.dependence.quality import Target
from profiles.dependence.ridge import (
    STRENGTHS,
    deal,
    gaussian_kernel,
    held_out_predictions,
    inverses,
    linear_kernel,
    standard,
)
from profiles.dependence.sufficient import crossing
from profiles.dependence.windows import DIRECTIONS, Part, Stack, interval_statistics, positive_shares

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def noise(count, length, seed=0, channels=1):
    return np.random.default_rng(seed).normal(size=(count, length, channels))


def asked(series, labels, classify=True, seed=0):
    return dependence_on_context(list(series), labels, classify, 10.0, seed)


def within_a_quarter(found, planted):
    return abs(found - planted) <= 0.25 * planted


def test_folds_in_closed_form_equal_a_fit_for_each_fold():
    x, y = noise(23, 5)[..., 0], noise(23, 1, seed=1)[..., 0]
    kernel = linear_kernel(standard(x))
    dealt = deal(y[:, 0], 5, 2, seed=0)
    for strength, inverse in zip(STRENGTHS, inverses(kernel), strict=True):
        found = held_out_predictions(inverse, y, dealt)
        for one, predicted in zip(dealt, found, strict=True):
            for fold in range(5):
                test, train = one == fold, one != fold
                fitted = kernel[np.ix_(train, train)] + 1 + strength * np.eye(train.sum())
                expected = (kernel[np.ix_(test, train)] + 1) @ np.linalg.solve(fitted, y[train])
                np.testing.assert_allclose(predicted[test], expected, atol=1e-9)


def test_every_class_is_dealt_evenly_to_the_folds():
    classes = np.repeat([0, 1], [20, 10])
    for one in deal(classes, 5, 3, seed=0):
        assert np.bincount(one[classes == 0]).tolist() == [4] * 5
        assert np.bincount(one[classes == 1]).tolist() == [2] * 5


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_descriptions_of_a_part_read_nothing_outside_it(direction):
    series = [one[: 30 + 5 * i] for i, one in enumerate(noise(6, 60, channels=2))]
    stack, part = Stack.of(series), Part(direction, 20)
    changed = stack.values.copy() + 100
    for i, (low, high) in enumerate(zip(*stack.bounds(part), strict=True)):
        assert high - low == 20
        changed[i, low:high] = stack.values[i, low:high]
    other = Stack(changed, stack.lengths)
    np.testing.assert_array_equal(stack.flat(part), other.flat(part))
    np.testing.assert_allclose(interval_statistics(stack, part), interval_statistics(other, part), atol=1e-6)


def test_a_share_of_positive_steps_is_counted_within_the_part():
    stack = Stack.of(list(noise(5, 80)))
    whole, half = positive_shares(stack, [Part("from the end", 80), Part("from the end", 40)])
    (alone,) = positive_shares(Stack(stack.values, stack.lengths), [Part("from the end", 40)])
    assert whole.shape[1] > half.shape[1] - 1 and (whole >= 0).all() and (whole <= 1).all()
    np.testing.assert_array_equal(half[:, : alone.shape[1]], alone)


def test_a_shuffle_moves_windows_and_keeps_values():
    stack = Stack.of([np.arange(16.0)[:, None], np.arange(8.0)[:, None]])
    mixed = stack.shuffled(4, seed=1)
    assert (np.sort(mixed.values, axis=1) == np.sort(stack.values, axis=1)).all()
    assert (mixed.values[1, 8:] == 0).all()
    first = np.diff(mixed.values[0, :, 0]).reshape(-1)
    assert np.isclose(first, first.min()).sum() < 15 and np.isclose(first[[0, 1, 2, 4, 5, 6]], first[0]).all()


def test_a_product_of_two_steps_is_screened_out_of_all_pairs():
    x = noise(120, 40)
    codes = np.sign(x[:, 5, 0] * x[:, 33, 0])[:, None]
    screen = Screen(Columns.of(x, 100, 0), codes, [np.arange(i, 120, 4) for i in range(4)], seed=0)
    assert all((a[0], b[0]) == (5, 33) for a, b in screen.pairs)
    assert np.mean(np.sign(screen.predictions(5, 34)) == codes) > 0.8
    assert not screen.predictions(6, 40).any()


def test_a_crossing_lies_between_its_bracket():
    assert crossing([1, 4, 16], np.array([-1.0, -0.5, 0.5])) == (5.0, pytest.approx(8.0), 16.0)
    assert crossing([1, 4], np.array([0.0, 1.0]))[1] == 1.0
    assert crossing([1, 4], np.array([-2.0, -1.0]))[1] == 4.0


def test_a_gaussian_kernel_is_one_on_its_diagonal():
    kernel = gaussian_kernel(linear_kernel(standard(noise(9, 4)[..., 0])))
    np.testing.assert_allclose(np.diag(kernel), 1)
    assert (kernel <= 1).all() and (kernel > 0).all()


def test_the_sign_of_one_step_is_found_where_it_was_planted():
    x = noise(60, 40)
    found = asked(x, (x[:, -12, 0] > 0).astype(int))
    assert found.kind == "from the end" and within_a_quarter(found.reach_steps, 12)
    assert found.reach_low <= 12 <= found.reach_high
    assert found.position_matters


def test_a_delayed_exclusive_or_is_found_though_no_single_step_tells():
    x = noise(80, 50)
    found = asked(x, ((x[:, -45, 0] > 0) ^ (x[:, -1, 0] > 0)).astype(int))
    assert found.kind == "from the end" and within_a_quarter(found.reach_steps, 45)


def test_labels_that_hold_for_series_of_unequal_length_are_counted_from_the_start():
    x = noise(60, 60, channels=2)
    rng = np.random.default_rng(1)
    found = asked([one[: rng.integers(40, 60)] for one in x], x[:, 9, 1] + 0.1 * rng.normal(size=60), classify=False)
    assert found.kind == "from the start" and within_a_quarter(found.reach_steps, 10)


def test_a_level_that_holds_everywhere_needs_no_position():
    labels = np.arange(40) % 2
    found = asked(noise(40, 32) + 2 * labels[:, None, None], labels)
    assert 0 < found.reach_steps < 24 and found.position_matters is False


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_labels_independent_of_the_series_have_no_reach(seed):
    labels = np.random.default_rng(seed + 100).integers(0, 3, 50)
    found = asked(noise(50, 30, seed), labels, seed=seed)
    assert found.reach_steps == 0 and "does not prove" in found.says


@pytest.mark.parametrize(
    ("series", "labels"),
    [
        (noise(6, 5), np.arange(6)),
        (noise(6, 10), np.zeros(6, int)),
        (noise(2, 10), np.array([0, 1])),
        (np.zeros((8, 2, 1)), np.arange(8) % 2),
        (noise(8, 1), np.arange(8) % 2),
    ],
)
@pytest.mark.parametrize("classify", [True, False])
def test_sets_that_tell_nothing_are_answered_with_a_sentence(series, labels, classify):
    found = asked(series, labels, classify)
    assert found.reach_steps == 0 and found.says.endswith(".")


def test_one_series_a_class_is_named():
    assert "2 classes have one series" in asked(noise(8, 2), np.array([0, 0, 0, 0, 0, 0, 1, 2])).notes[0]


def test_a_tie_between_classes_is_not_decided_by_rounding():
    labels = np.arange(30) % 2
    target = Target.of(labels, True)
    rounding = 1e-15 * target.codes[None]
    assert target.credit(rounding, np.arange(30)).mean() == 0.5


@pytest.mark.parametrize(("count", "classes"), [(12, 3), (30, 2), pytest.param(41, 5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spike", [0.0, 5.0])
def test_constant_series_have_no_reach_whatever_their_labels(count, classes, spike):
    series = np.full((count, 3, 1), 0.1)
    series[3, 1] += spike
    found = asked(series, np.arange(count) % classes)
    assert found.reach_steps == 0 and found.reach_from_end == 0


def test_steps_are_counted_up_to_a_length_that_a_fifth_of_the_series_has():
    lengths = Lengths.of([40] * 60 + [400] * 40)
    assert lengths == (40, 40, 400, 400) and "one in 5" in lengths.notes()[0]
    assert Lengths.of([40] * 81 + [400] * 19).looked == 40
    assert Lengths.of([7, 7]).notes() == []


def test_a_label_far_back_in_a_part_of_the_series_is_not_cut_to_the_median_length():
    labels = np.arange(40) % 2
    series = [one[: 40 if i % 5 < 2 else 4] for i, one in enumerate(noise(40, 40))]
    for one, label in zip(series, labels, strict=True):
        one[:3] += 4 * label
    found = asked(series, labels)
    assert found.looked == 40 and found.reach_from_end > 30 and "median 4" in found.says


def test_what_is_needed_from_the_end_is_told_where_the_start_is_enough():
    x = noise(50, 24)
    found = asked(x, (x[:, 2, 0] > 0).astype(int))
    assert found.kind == "from the start" and found.reach_steps < 6
    assert within_a_quarter(found.reach_from_end, 22)


def test_series_read_in_part_are_drawn_in_proportion_to_their_labels():
    labels = np.repeat(np.arange(4), 100)
    drawn = context._drawn(labels, 300, seed=0)
    assert np.bincount(labels[drawn]).tolist() == [75] * 4 and len(np.unique(drawn)) == 300
    assert (drawn != context._drawn(labels, 300, seed=1)).any()
    assert np.ptp(np.diff(context._drawn(np.zeros(400), 40, seed=0))) > 5


def test_many_classes_cost_series():
    series = list(noise(600, 2))
    read = [
        len(context._part_to_read(series, np.arange(600) % k, np.arange(600), True, 10.0, 0)[0]) for k in (2, 50, 200)
    ]
    assert read == sorted(read, reverse=True) and len(set(read)) == 3
    for k, n in zip((2, 50, 200), read, strict=True):
        assert n**3 + FITS_A_CLASS * k * n**2 <= FITS_IN_10_S < (n + 1) ** 3 + FITS_A_CLASS * k * (n + 1) ** 2


def test_rare_classes_that_were_not_drawn_are_counted():
    labels = np.append(np.zeros(900, int), np.arange(1, 4))
    notes = context._part_to_read(list(noise(903, 2)), labels, np.arange(903), True, 1.0, 0)[2]
    assert any("so rare that none" in note for note in notes)


@pytest.mark.parametrize("task", ["classify", "regress", "forecast"])
def test_a_series_that_is_not_finite_is_named(task):
    series = list(noise(5, 8))
    series[3][2] = np.nan
    with pytest.raises(ValueError, match="Series 3"):
        measure_dependence(series, task, np.arange(5) % 2)


def test_a_label_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match="nan of series 1"):
        measure_dependence(list(noise(3, 8)), "regress", np.array([1.0, np.nan, 2.0]))


def test_a_forecast_counts_from_the_end():
    found = measure_dependence(list(noise(1, 300)), "forecast")
    assert found.reach_from_end == found.reach_steps


@pytest.mark.slow
def test_a_large_set_is_read_in_part_and_says_so():
    x = noise(50, 5000)
    found = dependence_on_context(list(x), (x[:, -300:, 0].mean(1) > 0).astype(int), True, 0.1, 0)
    assert any("series were read" in note for note in found.notes)
    assert any("3 steps at a time" in note for note in found.notes)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not on this machine")
def test_italy_power_demand_needs_the_evening_only():
    data = read(DATA / "ucr_uea/ItalyPowerDemand/ItalyPowerDemand_TRAIN.ts")
    found = asked(data.series, data.labels)
    again = asked(data.series, data.labels, seed=1)
    assert found.reach_steps == again.reach_steps <= 8
    assert found.position_matters and "steps are enough" in found.says
