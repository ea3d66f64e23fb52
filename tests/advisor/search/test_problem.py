"""Splits that never leak, and a problem that survives its file."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.data import Dataset
from advisor.data.grid import Grid
from advisor.data.rows import Rows
from advisor.search import problem as problems
from advisor.search.jobs import Result
from advisor.search.outcome import Contender, unit_scores
from advisor.search.prepare import LEAST_ORIGINS, origins, prepare
from advisor.search.work import usable_season

HOUR = 3_600_000_000


def labelled(n=40, classes=2):
    rng = np.random.default_rng(0)
    series = tuple(np.full((int(rng.integers(4, 9)), 1), i, np.float32) for i in range(n))
    return Dataset(
        name="x",
        task="classify",
        ids=tuple(map(str, range(n))),
        series=series,
        channels=("v",),
        labels=np.arange(n) % classes,
        classes=tuple(f"c{k}" for k in range(classes)),
    )


def counting(n_series=3, length=100):
    """Each value is its own time, so that a leak can be seen in the numbers."""
    values = np.arange(length, dtype=np.float32)[:, None]
    return Dataset(
        name="t",
        task="forecast",
        ids=tuple(f"s{i}" for i in range(n_series)),
        series=(values,) * n_series,
        channels=("y",),
        stamps=(pd.RangeIndex(length),) * n_series,
    )


def test_every_row_is_in_the_test_part_or_in_one_fold():
    made = prepare(labelled(), None, 1, None, seed=0)
    rows, test = set(made.rows.x[:, 0, 0].tolist()), set(made.test.x[:, 0, 0].tolist())
    assert rows.isdisjoint(test)
    assert rows | test == set(range(40))
    assert set(made.fold.tolist()) == set(range(made.plan.folds))


def test_every_fold_has_every_class():
    made = prepare(labelled(n=60, classes=3), None, 1, None, seed=1)
    for fold in range(made.plan.folds):
        assert set(made.judged(fold, 9).y.tolist()) == {0, 1, 2}


def test_what_judges_is_not_learnt_from():
    made = prepare(labelled(), None, 1, None, seed=0)
    learnt = made.training(0)
    assert isinstance(learnt, Rows)
    assert set(learnt.x[:, 0, 0].tolist()).isdisjoint(made.judged(0, 9).x[:, 0, 0].tolist())


def test_a_forecaster_learns_from_the_past_of_every_origin_and_of_the_test_part():
    made = prepare(counting(), None, 1, horizon=5, seed=0)
    learnt = max(float(s.max()) for s in made.training(0))
    everything = max(float(s.max()) for s in made.training(None))
    judged = [made.judged(k, 20) for k in range(made.plan.folds)]
    assert learnt < min(float(part.y.min()) for part in judged)
    assert everything < float(np.nanmin(made.test.y))
    assert max(float(part.y.max()) for part in judged) == everything


def test_the_truth_follows_its_window_without_a_gap():
    made = prepare(counting(), None, 1, horizon=5, seed=0)
    for part in (made.judged(0, 20), made.test):
        last = part.x[np.arange(len(part)), part.lengths - 1, 0]
        assert (part.y[:, 0] == last + 1).all()


def test_a_test_file_is_cut_at_every_horizon_from_its_first_step():
    whole = counting(length=120)
    history = Dataset(**{**vars(whole), "series": tuple(s[:100] for s in whole.series)})
    future = Dataset(**{**vars(whole), "series": tuple(s[100:] for s in whole.series)})
    made = prepare(history, future, 1, horizon=5, seed=0)
    assert sorted(set(made.test.y[:, 0].tolist())) == [100.0, 105.0, 110.0, 115.0]


def test_a_saved_problem_is_the_same_problem(tmp_path):
    for dataset in (labelled(), counting()):
        made = prepare(dataset, None, 1, 5, seed=0)
        made.save(tmp_path)
        back = problems.load(tmp_path)
        assert back.plan == made.plan
        for name in vars(made.test):
            np.testing.assert_array_equal(getattr(back.test, name), getattr(made.test, name))
        assert len(back.series) == len(made.series)
        for a, b in zip(back.series, made.series, strict=True):
            np.testing.assert_array_equal(a, b)


def dated(length=120, n_series=2):
    """A target that counts, a covariate that counts a thousand ahead, and dates."""
    steps = np.arange(length, dtype=np.float32)
    return Dataset(
        name="t",
        task="forecast",
        ids=tuple(f"s{i}" for i in range(n_series)),
        series=(np.stack([steps, steps + 1000], axis=1),) * n_series,
        channels=("y", "beside"),
        stamps=(pd.date_range("2023-01-02", periods=length, freq="h"),) * n_series,
        freq="h",
    )


def test_a_row_holds_target_covariates_and_calendar_and_its_truth_the_target():
    made = prepare(dated(), None, 1, horizon=6, seed=0)
    assert made.plan.covariates == ("beside",)
    assert made.plan.calendar == ("hour of day, sine", "hour of day, cosine")
    assert made.plan.channels == 4
    for part in (made.judged(0, 12), made.test):
        for padded, size, truth in zip(part.x, part.lengths, part.y, strict=True):
            row = padded[:size]
            np.testing.assert_array_equal(row[:, 1], row[:, 0] + 1000)
            np.testing.assert_allclose(row[:, 2], np.sin(2 * np.pi * row[:, 0] / 24), atol=1e-5)
            np.testing.assert_array_equal(truth, row[-1, 0] + 1 + np.arange(6))


def test_the_last_training_has_the_test_part_only_where_it_was_taken_from_the_data():
    whole = dated()
    made = prepare(whole, None, 1, horizon=6, seed=0)
    for one, all_of_it, seen in zip(whole.series, made.training("all"), made.training(None), strict=True):
        np.testing.assert_array_equal(all_of_it[:, :2], one)
        assert 0 < len(seen) < len(one)
    history = Dataset(**{**vars(whole), "series": tuple(s[:100] for s in whole.series)})
    future = Dataset(**{**vars(whole), "series": tuple(s[100:] for s in whole.series)})
    cut = {"stamps": tuple(index[:100] for index in whole.stamps)}
    after = {"stamps": tuple(index[100:] for index in whole.stamps)}
    asked = prepare(Dataset(**{**vars(history), **cut}), Dataset(**{**vars(future), **after}), 1, horizon=6, seed=0)
    assert [len(s) for s in asked.training("all")] == [100, 100]
    assert float(np.nanmin(asked.test.y)) == 100


def test_the_last_training_of_rows_has_every_row_once():
    made = prepare(labelled(), None, 1, None, seed=0)
    every = made.training("all")
    assert isinstance(every, Rows)
    assert sorted(every.x[:, 0, 0].tolist()) == list(range(40))
    np.testing.assert_array_equal([(row != 0).sum() for row in every.x[1:, :, 0]], every.lengths[1:])
    asked = prepare(labelled(), labelled(n=8), 1, None, seed=0)
    assert len(asked.training("all")) == 40


def test_of_very_many_series_an_even_part_judges(monkeypatch):
    monkeypatch.setattr(problems, "MOST_TEST_WINDOWS", 10)
    made = prepare(counting(n_series=35), None, 1, horizon=5, seed=0)
    assert len(made.judged(0, 8)) <= 10
    assert len(made.training(0)) == 35


@given(length=st.integers(9, 5000), horizon=st.integers(1, 60), series=st.integers(1, 40))
def test_few_data_are_judged_at_overlapping_origins_and_never_on_more_than_a_third(length, horizon, series):
    if length < 3 * horizon:
        return
    folds, cuts, stride = origins(length, horizon, series)
    judging = (folds * cuts - 1) * (stride or horizon) + horizon
    assert judging <= max(length / 3, length * 0.2, horizon)
    assert stride < horizon
    if not stride:  # far apart: as many as a fifth of the data hold, or enough
        assert folds * cuts * series >= min(LEAST_ORIGINS, length * 0.2 // horizon) or folds * cuts == 1


def test_origins_that_overlap_judge_what_was_not_learnt():
    made = prepare(counting(n_series=1, length=120), None, 1, horizon=12, seed=0)
    assert (made.plan.folds, made.plan.fold_cuts, made.plan.stride) == (2, 5, 2)
    firsts = np.concatenate([made.judged(k, 20).y[:, 0] for k in range(2)])
    learnt, last = max(float(s.max()) for s in made.training(0)), max(float(s.max()) for s in made.series)
    np.testing.assert_array_equal(firsts, learnt + 1 + 2 * np.arange(10))
    assert last == firsts[-1] + 11


def test_overlapping_origins_of_a_fold_are_one_where_contenders_are_compared():
    made = prepare(counting(n_series=1, length=120), None, 1, horizon=12, seed=0)
    heats = tuple(Result(units={0: (1.0, 2.0, 3.0, 4.0, 5.0), 1: (6.0,) * 5}, folds={0: 3.0, 1: 6.0}) for _ in "ab")
    one = Contender("mlp", False, None, {0: 3.0, 1: 6.0}, [], {}, "", 1.0, heats=heats)
    found = unit_scores([one], made)["mlp"]
    np.testing.assert_array_equal(found.values, [[3.0, 6.0]] * 2)
    assert found.fold.tolist() == [0, 1] and found.group.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("kind", "step", "season"),
    [("month", 1, 12), ("month", 3, 4), ("month", 12, 1), ("month", 5, 1), ("business", 1, 5), ("integer", 1, 1),
     ("fixed", HOUR, 24), ("fixed", HOUR // 2, 48), ("fixed", 24 * HOUR, 7),
     ("fixed", 168 * HOUR, 1), ("fixed", 7 * HOUR, 1)],
)  # fmt: skip
def test_a_step_suggests_the_season_of_its_calendar(kind, step, season):
    assert Grid(kind, step, None).season == season


def test_a_target_is_called_never_negative_by_what_may_be_learnt_from_alone():
    steps = np.arange(200.0)
    for values, wanted in ((steps, True), (steps - 1, False), (np.where(steps > 190, -1, steps), True)):
        series = (values[:, None].astype(np.float32),)
        dataset = replace(counting(1, len(values)), series=series)
        assert prepare(dataset, None, 1, horizon=5, seed=0).plan.nonnegative is wanted


def test_where_no_season_is_found_that_of_the_calendar_is_there_for_baselines_to_try():
    assert prepare(dated(), None, 1, horizon=6, seed=0).plan.calendar_season == 24
    assert prepare(dated(), None, 12, horizon=6, seed=0).plan.calendar_season == 1
    assert prepare(counting(), None, 1, horizon=6, seed=0).plan.calendar_season == 1
    assert [usable_season(24, look_back) for look_back in (48, 47)] == [24, 1]


def panel(*targets):
    """Return a panel of these targets."""
    series = tuple(np.asarray(one, np.float32)[:, None] for one in targets)
    return Dataset(
        name="t", task="forecast", ids=tuple(f"s{i}" for i in range(len(series))), series=series, channels=("y",),
        stamps=tuple(pd.RangeIndex(len(one)) for one in series),
    )  # fmt: skip


def test_a_series_that_is_flat_or_too_short_before_an_origin_is_not_scored_and_that_is_said():
    wave = np.sin(np.arange(100.0))
    made = prepare(panel(wave, wave + 1, np.r_[np.full(99, 5.0), 6.0], np.full(100, 3.0)), None, 1, 5, seed=0)
    for rows in (made.judged(0, 20), made.judged(made.plan.folds - 1, 20)):
        assert set(rows.group.tolist()) == {0, 1}
    assert len(made.test) == 2 * 4 and made.test.scale.min() > 0.1
    assert made.plan.test_words.endswith("but for 2 series that are flat before it and have no MASE")
    brief = prepare(panel(wave, wave, wave, wave[:22]), None, 1, 5, seed=0)
    assert 3 not in {g for k in range(brief.plan.folds) for g in brief.judged(k, 20).group.tolist()}
    assert np.isfinite(brief.test.scale).all() and "flat" not in brief.plan.test_words


def test_where_all_series_are_flat_the_error_is_in_their_own_unit():
    made = prepare(panel(np.full(100, 3.0), np.full(100, 4.0)), None, 1, 5, seed=0)
    assert made.scale.tolist() == [1.0, 1.0] and len(made.judged(0, 20)) and len(made.test)


def test_where_all_series_with_a_test_part_are_flat_they_are_scored_in_their_own_unit():
    flat, brief = np.full(100, 3.0), np.sin(np.arange(21.0))  # too short for a test part
    made = prepare(panel(flat, flat + 1, brief), None, 1, 5, seed=0)
    assert made.held.tolist() == [20, 20, 0] and len(made.test) == 8 and set(made.test.scale.tolist()) == {1.0}
