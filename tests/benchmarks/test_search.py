"""The benchmarks of the search see what they are there to see: broken limits, lost trials, crying wolf."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import limits, resuming, statistics
from benchmarks.driven import descendants, kill, trials
from benchmarks.simulated import DESIGNS, labelled, random_ridge


def test_a_third_of_the_budgets_is_tight_or_impossible_and_every_kind_is_drawn():
    drawn = limits.draw(400, 0)
    hard = np.mean([one["kind"] != "roomy" for one in drawn])
    assert 0.25 < hard < 0.42
    assert {one["batch_size"] for one in drawn} == {1, 32} and {one["streaming"] for one in drawn} == {True, False}
    assert all(1 <= len(one["limits"]) <= 3 for one in drawn)
    assert limits.draw(5, 0) == drawn[:5]


def test_a_limit_is_broken_above_five_percent():
    allowed = {"max_latency_ms": 1.0, "max_model_mib": 2.0}
    assert limits.broken(allowed, {"max_latency_ms": 1.05, "max_model_mib": 1.0}) == []
    assert limits.broken(allowed, {"where": "ONNX", "max_latency_ms": 1.2}) == ["ONNX max_latency_ms 20 % over"]
    assert limits.broken(allowed, {}) == []


def test_a_process_is_killed_with_those_that_it_started_in_sessions_of_their_own():
    inner = "import time; time.sleep(60)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], start_new_session=True)"
    process = subprocess.Popen([sys.executable, "-c", outer], start_new_session=True)
    until = time.monotonic() + 20
    while not (below := descendants(process.pid)) and time.monotonic() < until:
        time.sleep(0.02)
    assert below
    kill(process)
    assert process.returncode == -9
    while any(_state(pid) not in "ZX-" for pid in below) and time.monotonic() < until:
        time.sleep(0.02)
    assert all(_state(pid) in "ZX-" for pid in below)  # a killed orphan is a zombie until its new parent looks


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return "-"


def trial(number, family="gru", quality=0.5):
    return {"number": number, "family": family, "state": "complete", "quality": quality, "config": {"knobs": {"w": 8}}}


def run_of(folder, found, quality=0.5, torn=""):
    folder.mkdir()
    (folder / "trials.jsonl").write_text("".join(json.dumps(one) + "\n" for one in found) + torn)
    row = {"family": "gru", "state": "recommended", "validation": quality, "quality": {"value": quality}, "trials": 1}
    (folder / "recommendation.json").write_text(json.dumps({"ranking": [row]}))
    return folder


@pytest.mark.parametrize(
    ("found", "at_kill", "quality", "fault"),
    [
        ([trial(0), trial(1, "conv")], [trial(0)], 0.5, None),
        ([trial(1, "conv"), trial(0)], [], 0.5, None),
        ([trial(0), trial(1, "conv")], [trial(0, quality=0.4)], 0.5, "lost or changed: [0]"),
        ([trial(0), trial(0, "conv")], [], 0.5, "numbers that come twice: [0]"),
        ([trial(0), trial(1, "conv"), trial(2, "conv")], [], 0.5, "other trials: 3 against 2; extra"),
        ([trial(0), trial(1, "conv")], [], 0.6, "another final table"),
    ],
)
def test_lost_doubled_and_other_trials_are_seen(tmp_path, found, at_kill, quality, fault):
    whole = run_of(tmp_path / "whole", [trial(0), trial(1, "conv")])
    run = run_of(tmp_path / "run", found, quality)
    faults = resuming.compared([at_kill], run, whole)
    assert (not faults) if fault is None else fault in faults[0]


def test_a_line_cut_short_by_a_kill_is_no_finished_trial(tmp_path):
    run = run_of(tmp_path / "run", [trial(0)], torn='{"number": 1, "fam')
    assert [one["number"] for one in trials(run)] == [0]
    assert trials(tmp_path / "nothing") == []


@pytest.mark.parametrize("name", ["8 series", "400 series, folds", "fit: 60 cases", "fit: numbers"])
def test_equal_contenders_are_seldom_called_different_and_better_ones_are_seen(name):
    design = DESIGNS[name]
    assert statistics.alarms(design, 2, 40, seed=1) <= 0.15
    seen = [statistics.power(design, gain, 20, seed=1) for gain in (0.02, 0.9)]
    assert seen[1] >= seen[0] and seen[1] >= 0.7


def test_the_share_of_errors_spared_is_the_gain():
    rng = np.random.default_rng(0)
    for name, task in (("fit: 300 cases", "classify"), ("400 series", "forecast")):
        (one, _) = DESIGNS[name].draw(rng, 2)
        better = statistics.improved(rng, one, task, 0.5)
        loss = (lambda s: 1 - s.values.mean()) if task == "classify" else (lambda s: s.values.mean())
        assert loss(better) == pytest.approx(0.5 * loss(one), rel=0.35 if task == "classify" else 1e-9)


def test_what_is_reported_of_the_chosen_is_unbiased_and_its_folds_promise_too_much():
    found = statistics.curse(30, seed=0)
    assert abs(found["held_out_less_truth_points"]) < 3 * found["standard_error_points"]
    assert found["folds_less_truth_points"] > 2


def test_the_simulated_learner_learns():
    rng = np.random.default_rng(0)
    x, y = labelled(rng, 600, "classify")
    answer = random_ridge(rng, x[:400], y[:400], x[400:])
    assert np.mean((answer > 0.5) == (y[400:] > 0.5)) > 0.65
