"""The reach of labelled series: planted positions are found, noise is not, and nothing outside a part is read."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from advisor.data import read
from profiles.dependence.context import dependence_on_context
from profiles.dependence.pairs import Columns, Screen
from profiles.dependence.ridge import STRENGTHS, deal, gaussian_kernel, held_out_predictions, linear_kernel, standard
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
    for strength, found in zip(STRENGTHS, held_out_predictions(kernel, y, dealt), strict=True):
        for one, predicted in zip(dealt, found, strict=True):
            for fold in range(5):
                test, train = one == fold, one != fold
                ridge = KernelRidge(alpha=strength, kernel="precomputed")
                ridge.fit(kernel[np.ix_(train, train)] + 1, y[train])
                expected = ridge.predict(kernel[np.ix_(test, train)] + 1)
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
    labels = np.arange(60) % 2
    found = asked(noise(60, 48) + labels[:, None, None], labels)
    assert 0 < found.reach_steps < 40 and found.position_matters is False


@pytest.mark.parametrize("seed", range(2))
def test_labels_independent_of_the_series_have_no_reach(seed):
    labels = np.random.default_rng(seed + 100).integers(0, 3, 50)
    found = asked(noise(50, 30, seed), labels, seed=seed)
    assert found.reach_steps == 0 and "does not prove" in found.says


@pytest.mark.parametrize(
    ("series", "labels"),
    [
        (noise(6, 10), np.arange(6)),
        (noise(6, 10), np.zeros(6, int)),
        (noise(2, 10), np.array([0, 1])),
        (np.zeros((8, 10, 1)), np.arange(8) % 2),
        (noise(8, 1), np.arange(8) % 2),
    ],
)
@pytest.mark.parametrize("classify", [True, False])
def test_sets_that_tell_nothing_are_answered_with_a_sentence(series, labels, classify):
    found = asked(series, labels, classify)
    assert found.reach_steps == 0 and found.says.endswith(".")


def test_one_series_a_class_is_named():
    assert "2 classes have one series" in asked(noise(8, 10), np.array([0, 0, 0, 0, 0, 0, 1, 2])).notes[0]


@pytest.mark.slow
def test_a_large_set_is_read_in_part_and_says_so():
    x = noise(50, 5000)
    found = dependence_on_context(list(x), (x[:, -300:, 0].mean(1) > 0).astype(int), True, 0.1, 0)
    assert any("series were read" in note for note in found.notes)
    assert any("3 steps at a time" in note for note in found.notes)


@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not on this machine")
def test_italy_power_demand_needs_the_evening_only():
    data = read(DATA / "ucr_uea/ItalyPowerDemand/ItalyPowerDemand_TRAIN.ts")
    found = asked(data.series, data.labels)
    again = asked(data.series, data.labels, seed=1)
    assert found.reach_steps == again.reach_steps <= 8
    assert found.position_matters and "steps are enough" in found.says
