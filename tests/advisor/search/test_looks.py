"""A training is looked at early and often where judging is free, seldom where it is dear; it ends once it settles."""

from itertools import pairwise

import pytest
from pydantic import ValidationError

from advisor.records import CurvePoint
from advisor.training.config import TrainConfig
from advisor.training.looks import JUDGING, LEAST_STEPS, LITTLE, has_settled, is_due

EARLY = TrainConfig(early_looks=True, max_steps=1000)
TIMED = TrainConfig(early_looks=True, seconds=20.0)


def looks(config, steps, judging_s=0.0):
    """Return the shares of a training of so many steps at which it is looked at."""
    found, looked, at, cost = [], 0.0, 0, None
    for step in range(1, steps + 1):
        done = step / steps
        if is_due(config, done - looked, step - at, looked, cost):
            found.append(done)
            looked, at, cost = done, step, judging_s
    return found


def test_where_judging_is_free_the_first_look_is_early_and_none_is_late():
    config, found = TIMED, looks(TIMED, 4000)
    assert found[0] < 0.006
    gaps = [b - a for a, b in pairwise(found)]
    assert all(a <= b + 1e-3 for a, b in pairwise(gaps))
    assert max(gaps) < 1 / config.looks + 1e-3
    assert len(found) < 3 * config.looks


def test_without_early_looks_all_are_as_far_apart():
    plain = TrainConfig(seconds=20.0)
    assert looks(plain, 1200)[:11] == pytest.approx([k / 12 for k in range(1, 12)], abs=0.01)


def test_few_steps_are_looked_at_as_before():
    assert looks(TrainConfig(early_looks=True, looks=8), 24) == [k / 8 for k in range(1, 9)]


@pytest.mark.parametrize("judging_s", [0.01, 0.1, 1.0, 10.0])
def test_judging_takes_no_more_than_its_share_of_the_seconds(judging_s):
    config, found = TIMED, looks(TIMED, 4000, judging_s)
    spent = judging_s * (len(found) - 1) / config.seconds  # what the first look takes, nobody knows before it
    assert spent <= JUDGING
    early = [b - a for a, b in pairwise(found) if b - a < 1 / config.looks - 1e-9]
    assert all(judging_s <= LITTLE * gap * config.seconds + 1e-6 for gap in early)


def test_early_looks_are_some_steps_apart():
    found = looks(TIMED, 200)
    assert min(b - a for a, b in pairwise(found)) >= LEAST_STEPS / 200 - 1e-9


def first_settled(qualities, config=EARLY):
    """Return the share of a training at which it has settled; `qualities` are of even looks, more is better."""
    curve = []
    for i, quality in enumerate(qualities, 1):
        step = round(i / len(qualities) * config.max_steps)
        curve.append(CurvePoint(step=step, seconds=0.0, train_loss=1.0, quality=quality))
        if has_settled(config, curve, max(point.quality for point in curve)):
            return i / len(qualities)
    return None


@pytest.mark.parametrize(("best", "end"), [(1, 0.21), (10, 0.5), (30, 0.8), (60, None)])
def test_a_training_whose_best_came_very_early_ends_sooner(best, end):
    assert first_settled([float(i) if i <= best else 0.0 for i in range(1, 101)]) == (
        end and pytest.approx(end, abs=0.011)
    )


def test_equal_scores_are_waited_for_as_long_as_patience_says():
    assert first_settled([1.0] * 100) == pytest.approx(0.51, abs=0.011)


def test_a_single_worse_score_never_ends_a_training_however_late_it_comes():
    assert first_settled([1.0, 0.0, 0.0]) is None
    assert first_settled([1.0, 0.0, 0.0, 0.0, 0.0]) == 0.8


def test_a_training_of_no_seconds_is_refused_and_not_one_without_a_limit():
    with pytest.raises(ValidationError, match="greater than 0"):
        TrainConfig(seconds=0.0)
