"""The quality benchmark is fair: nothing after a cut is told, the scorer has closed forms, ratios are what they say."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advisor.data import read
from benchmarks.quality import run, sets, summary
from benchmarks.quality.folder import Meta, Rows, read_meta, read_ts, write_ts
from benchmarks.quality.forecast_sets import FORECAST_SETS, Forecast
from benchmarks.quality.score import forecast_scores, score, seasonal_error

DATA = Path(__file__).parents[3] / "shared" / "data"
here = pytest.mark.skipif(not DATA.is_dir(), reason="the data sets (../shared/data) are not beside the repository")


def panel(name: str, values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"unique_id": name, "ds": pd.date_range("2020-01-01", periods=len(values)), "y": values})


def test_an_error_of_one_seasonal_step_has_a_mase_of_one():
    context = panel("a@0", [0.0, 10.0, 2.0, 12.0, 4.0, 14.0])  # each value is 2 above the one two steps before
    truth = panel("a@0", [6.0, 16.0])
    answer = truth.rename(columns={"y": "yhat"}).assign(yhat=[4.0, 14.0])
    found = forecast_scores(context, truth, answer, season=2)
    assert found["mase"] == 1
    assert found["smape"] == pytest.approx(100 * np.mean([2 * 2 / 10, 2 * 2 / 30]))


def test_a_scale_is_of_the_steps_that_are_known():
    assert seasonal_error(np.array([1.0, np.nan, 4.0, 6.0]), 2) == 3
    assert seasonal_error(np.array([1.0, 3.0]), 7) == 2
    assert np.isnan(seasonal_error(np.array([np.nan, np.nan, 1.0]), 1))


def test_series_without_a_scale_are_counted_and_do_not_make_the_mean_infinite():
    context = pd.concat([panel("flat@0", [1.0] * 4), panel("a@0", [0.0, 1.0, 2.0, 3.0])])
    truth = pd.concat([panel("flat@0", [2.0]), panel("a@0", [4.0])])
    found = forecast_scores(context, truth, truth.rename(columns={"y": "yhat"}).assign(yhat=[1.0, 3.0]), season=1)
    assert (found["mase"], found["unscored"]) == (1, 1)


def test_true_values_that_are_missing_do_not_count():
    context, truth = panel("a@0", [0.0, 1.0, 2.0]), panel("a@0", [3.0, np.nan])
    answer = truth.rename(columns={"y": "yhat"}).assign(yhat=[3.0, 99.0])
    assert forecast_scores(context, truth, answer, season=1)["mase"] == 0


def test_a_step_without_a_forecast_is_refused():
    context, truth = panel("a@0", [0.0, 1.0]), panel("a@0", [2.0, 3.0])
    with pytest.raises(ValueError, match="1 of 2 steps have no finite forecast"):
        forecast_scores(context, truth, truth.rename(columns={"y": "yhat"})[:1], season=1)


def test_classes_are_compared_by_value_and_numbers_by_their_squared_error(tmp_path):
    pd.DataFrame({"id": [0, 1, 2], "label": ["1", "2", "b"]}).to_csv(tmp_path / "truth.csv", index=False)
    pd.DataFrame({"id": [2, 1, 0], "prediction": ["b", "1", "1.0"]}).to_csv(tmp_path / "a.csv", index=False)
    assert score(Meta("x", "classify"), tmp_path, tmp_path / "truth.csv", tmp_path / "a.csv")["accuracy"] == 2 / 3
    pd.DataFrame({"id": [0, 1], "label": [1.0, 2.0]}).to_csv(tmp_path / "truth.csv", index=False)
    pd.DataFrame({"id": [0, 1], "prediction": [4.0, 6.0]}).to_csv(tmp_path / "a.csv", index=False)
    found = score(Meta("x", "regress"), tmp_path, tmp_path / "truth.csv", tmp_path / "a.csv")
    assert found["rmse"] == pytest.approx(np.sqrt((9 + 16) / 2))


def test_training_ends_at_the_first_cut_and_contexts_right_before_what_is_asked():
    both = pd.concat([panel("a", list(range(20))), panel("b", list(range(100, 118)))])
    train, contexts, truth = Forecast(both, horizon=3, season=1, freq="D", cuts=2).parts()
    assert train.groupby("unique_id")["y"].max().to_dict() == {"a": 13, "b": 111}
    assert contexts.groupby("unique_id")["y"].max().to_dict() == {"a@0": 13, "a@1": 16, "b@0": 111, "b@1": 114}
    assert truth.groupby("unique_id")["y"].apply(list).to_dict() == {
        "a@0": [14, 15, 16], "a@1": [17, 18, 19], "b@0": [112, 113, 114], "b@1": [115, 116, 117],
    }  # fmt: skip


def test_sequences_are_written_as_we_and_the_advisor_read_them(tmp_path):
    rng = np.random.default_rng(0)
    rows = Rows(tuple(rng.normal(size=(n, 2)) for n in (3, 5, 4, 6)), ("up", "down", "up", "down"))
    write_ts(tmp_path / "train.ts", "x", rows, "classify")
    back = read_ts(tmp_path / "train.ts")
    assert back.labels == rows.labels
    assert all(np.array_equal(a, b) for a, b in zip(back.series, rows.series, strict=True))
    theirs = read(tmp_path / "train.ts")
    assert [theirs.classes[k] for k in theirs.labels] == list(rows.labels)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(theirs.series, rows.series, strict=True))


@here
@pytest.mark.parametrize("name", ["classic_univariate/airline", "ucr_uea/GunPoint", "covid3month"])
def test_the_folder_that_tools_see_holds_no_true_value(tmp_path, name):
    meta = sets.prepare(name, DATA, tmp_path)
    assert read_meta(tmp_path / "data") == meta
    told = pd.read_csv(tmp_path / "truth.csv")
    if meta.task == "forecast":
        known = pd.read_csv(tmp_path / "data" / "contexts.csv")
        assert known.merge(told, on=["unique_id", "ds"]).empty
        assert pd.read_csv(tmp_path / "data" / "train.csv")["ds"].max() < told["ds"].min()
    else:
        assert read_ts(tmp_path / "data" / "test.ts").labels == ()
        assert len(read_ts(tmp_path / "data" / "test.ts").series) == len(told)


@here
@pytest.mark.slow
def test_the_seasonal_naive_has_the_published_scores_on_m4_hourly():
    source = FORECAST_SETS["m4_hourly"](DATA)
    _, contexts, truth = source.parts()
    last = {name: own["y"].to_numpy()[-24:] for name, own in contexts.groupby("unique_id")}
    told = truth.assign(yhat=np.concatenate([np.tile(last[name], 2) for name in truth["unique_id"].unique()]))
    found = forecast_scores(contexts, truth, told, season=24)
    assert round(found["mase"], 3) == 1.193  # "Evaluation and Ranks" of the M4 competition, hourly sNaive
    assert round(found["smape"], 3) == 13.912


def test_tools_take_turns_on_a_set_and_answer_only_their_tasks():
    plan = list(run.planned(["etth1", "ucr_uea/GunPoint"], ["ours", "autogluon", "aeon"], 2))
    assert plan == [
        ("etth1", "ours", 0), ("etth1", "autogluon", 0), ("etth1", "ours", 1), ("etth1", "autogluon", 1),
        ("ucr_uea/GunPoint", "ours", 0), ("ucr_uea/GunPoint", "aeon", 0),
        ("ucr_uea/GunPoint", "ours", 1), ("ucr_uea/GunPoint", "aeon", 1),
    ]  # fmt: skip


def test_sets_are_chosen_by_name_group_or_task():
    assert sets.chosen(["etth1", "ecg_ucr"]) == ["etth1", "ecg_ucr/ECG200", "ecg_ucr/ECGFiveDays"]
    assert sets.chosen(["regress"]) == list(sets.REGRESSION)
    with pytest.raises(ValueError, match="no such set: nile"):
        sets.chosen(["nile"])


def result(scores: dict[tuple[str, str, int], dict[str, float]]) -> dict:
    cells = {}
    for (name, tool, seed), models in scores.items():
        task = sets.task_of(name)
        metric = {"forecast": "mase", "classify": "accuracy", "regress": "rmse"}[task]
        cells[run.key_of(name, tool, 60, seed)] = {
            "set": name, "task": task, "tool": tool, "seconds": 60, "seed": seed,
            "models": {key: {"model": "m", "fit_s": 1.0, "predict_s": 1.0, metric: v} for key, v in models.items()},
        }  # fmt: skip
    return {"machine": {"name": "a processor", "cores": 2}, "cells": cells}


def test_ratios_pair_the_seeds_and_their_geometric_mean_runs_over_sets():
    told = result(
        {
            ("etth1", "ours", 0): {"model": 1.0},
            ("etth1", "ours", 1): {"model": 3.0},
            ("etth1", "ours", 2): {"model": 99.0},  # without a peer
            ("etth1", "autogluon", 0): {"ensemble": 1.0},
            ("etth1", "autogluon", 1): {"ensemble": 1.0},
            ("nab_taxi", "ours", 0): {"model": 1.0},
            ("nab_taxi", "autogluon", 0): {"ensemble": 2.0},
        }
    )
    first, second = (summary.found(told, 60, "forecast", who) for who in ("ours", "AutoGluon ensemble"))
    by_set = summary.ratios(first, second)
    assert by_set == {"etth1": (2.0, 1.0, 3.0), "nab_taxi": (0.5, 0.5, 0.5)}
    assert summary.geometric_mean(list(by_set.values())) == pytest.approx((1.0, 0.5**0.5, 1.5**0.5))
    assert "1.000 (0.707 to 1.225), geometric mean of 2 sets; largest 2.000 on etth1" in summary.markdown(told, 60)


def test_a_group_counts_once_and_only_when_all_its_series_are_there():
    names = [name for name in sets.NAMES if name.startswith("classic_univariate/")]
    some = {(name, "ours", 0): {"model": float(i)} for i, name in enumerate(names)}
    assert summary.found(result(some), 60, "forecast", "ours") == {"classic_univariate": {0: 2.0}}
    del some[names[0], "ours", 0]
    assert summary.found(result(some), 60, "forecast", "ours") == {}


def test_the_accuracy_is_against_the_better_of_the_two_on_each_set():
    told = result(
        {
            ("ucr_uea/GunPoint", "ours", 0): {"model": 0.9},
            ("ucr_uea/OSULeaf", "ours", 0): {"model": 0.9},
            ("ucr_uea/GunPoint", "aeon", 0): {"minirocket": 0.8, "multirocket_hydra": 0.9},
            ("ucr_uea/OSULeaf", "aeon", 0): {"minirocket": 1.0, "multirocket_hydra": 0.7},
        }
    )
    assert "accuracy, ours: 0.9000, mean of 2 sets" in (text := "\n".join(summary.verdicts(told, 60)))
    assert "0.9500; -5.00 points" in text


@here
@pytest.mark.slow
def test_a_tool_runs_by_itself_and_leaves_a_scored_cell(tmp_path):
    cell = run.measure("classic_univariate/airline", "baselines", 20, 0, DATA, tmp_path, lambda message: None)
    assert "error" not in cell
    assert set(cell["models"]) == {"last", "naive", "ridge", "boosting"}
    assert 1 < cell["models"]["naive"]["mase"] < 3


def test_what_a_tool_answered_before_it_failed_counts(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    meta = Meta("x", "regress")
    pd.DataFrame({"id": [0], "label": [1.0]}).to_csv(tmp_path / "truth.csv", index=False)
    assert run.scored(meta, tmp_path, tmp_path / "out", "stopped after 9 s") == {"error": "stopped after 9 s"}
    pd.DataFrame({"id": [0], "prediction": [3.0]}).to_csv(tmp_path / "out" / "a.csv", index=False)
    (tmp_path / "out" / "answer.json").write_text('{"models": {"a": {"model": "m"}, "b": {}}, "notes": []}')
    (tmp_path / "out" / "b.csv").write_text("id,prediction\n")
    found = run.scored(meta, tmp_path, tmp_path / "out", "stopped after 9 s")
    assert found["models"]["a"] == {"model": "m", "rmse": 2.0}
    assert found["models"]["b"] == {"error": "ValueError: 1 of 1 rows have no answer"}
    assert found["error"] == "stopped after 9 s"


def test_what_a_tool_started_ends_with_it():
    sleep = "subprocess.Popen(['sleep', '60'], start_new_session=True).pid"
    script = f"import subprocess, time; print({sleep}, flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    with child:
        grandchild = int(child.stdout.readline())
        run._end(child)
    for _ in range(50):
        state = Path(f"/proc/{grandchild}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the grandchild is alive")
