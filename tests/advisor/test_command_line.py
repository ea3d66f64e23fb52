"""What the user does wrong is one line, a hint and an exit code; never a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from advisor import api, load_run, recommend
from advisor.cli import main
from advisor.errors import InputError
from advisor.predict import write_frame
from advisor.runs import Run
from profiles.budget import Budget


def said(*words):
    """Return the exit code and what was said, of a command that a user's mistake ends."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    return done.exit_code, done.stderr


def refused(*words):
    """Return the error and the hint of a command that must end with 2."""
    code, stderr = said(*words)
    assert code == 2, stderr
    error, hint = stderr.splitlines()[-2:]
    assert error.startswith("error: ") and hint.startswith("hint: ")
    return error, hint


@pytest.fixture
def waves(tmp_path):
    values = np.random.default_rng(0).normal(size=(30, 16))
    frame = pd.DataFrame(values, columns=[f"t{i}" for i in range(16)])
    frame.insert(0, "label", np.where(np.arange(30) % 2, "fast", "slow"))
    frame.to_csv(tmp_path / "waves.csv", index=False)
    return tmp_path / "waves.csv"


@pytest.fixture
def begun(waves, tmp_path):
    """Return a folder with what a run that was stopped early has written."""
    run = Run(tmp_path / "begun")
    request = {"data": str(waves), "task": "classify", "trials": 1}
    run.write("run", {"request": request, "versions": {}, "sha256": "other"})
    run.write("budget", Budget())
    return run.path


@pytest.mark.parametrize(
    "ends", [("--trials", "--time-limit"), ("--trials", "--preset"), ("--preset", "--time-limit")], ids=" ".join
)
def test_two_ways_to_end_a_search_are_refused(waves, tmp_path, ends):
    values = {"--trials": "3", "--time-limit": "60s", "--preset": "fast"}
    words = [word for name in ends for word in (name, values[name])]
    error, hint = refused("recommend", waves, *words, "--out", tmp_path / "run")
    assert all(name in error for name in ends)
    assert hint == "hint: give one of --time-limit, --preset, --trials."
    assert not (tmp_path / "run").exists()


def test_python_refuses_a_number_of_trials_with_a_time_limit(waves, tmp_path):
    with pytest.raises(InputError, match="trials and time_limit_s are given together"):
        recommend(waves, trials=3, time_limit_s=60.0, out=tmp_path / "run")


def test_a_preset_alone_is_a_time_limit(monkeypatch):
    asked = []
    monkeypatch.setattr(api, "recommend", lambda *a, **options: asked.append(options))
    CliRunner().invoke(main, ["recommend", "any.csv", "--preset", "fast"])
    assert (asked[0]["time_limit_s"], asked[0]["trials"]) == (120.0, None)


@pytest.mark.parametrize("value", ["inf", "nan", "1e999"])
@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("recommend", "--max-latency-ms"),
        ("recommend", "--max-memory-mib"),
        ("recommend", "--max-model-mib"),
        ("profile", "--seconds"),
    ],
)
def test_a_number_that_is_not_finite_is_refused(waves, verb, option, value):
    error, hint = refused(verb, waves, option, value)
    assert option in error and value in error and hint == "hint: give a finite number."


BROKEN = {
    "no JSON": b'{"family": ',
    "no text": b"\xff\xfe{}",
    "no record": b"[]",
    "missing fields": b"{}",
    "a field of another version": b'{"family": "gru", "of_another_version": 1}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("verb", ["report", "explain"])
def test_a_recommendation_that_cannot_be_read_is_one_line_and_a_hint(tmp_path, verb, content):
    (tmp_path / "recommendation.json").write_bytes(content)
    error, hint = refused(verb, tmp_path)
    assert "recommendation.json is damaged or of another version" in error
    assert "recommend again" in hint
    with pytest.raises(InputError, match="damaged or of another version"):
        load_run(tmp_path)


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", ["run", "budget"])
def test_a_run_that_cannot_be_read_is_not_resumed(begun, name, content):
    if (name, content) == ("budget", BROKEN["missing fields"]):
        return  # a budget without a limit
    (begun / f"{name}.json").write_bytes(content)
    error, _ = refused("resume", begun)
    assert f"{name}.json is damaged or of another version" in error


@pytest.mark.parametrize("line", ["{}", "no JSON"])
def test_a_whole_line_of_the_trials_that_cannot_be_read_names_the_file(tmp_path, line):
    (tmp_path / "trials.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=r"trials\.jsonl is damaged or of another version"):
        Run(tmp_path).trials()


def test_the_work_of_another_version_is_not_gone_on_with(waves, begun):
    Run(begun).write("run", {**Run(begun).read("run"), "sha256": api.inspect(waves).dataset.sha256})
    (begun / "work").mkdir()
    (begun / "work/results.jsonl").write_text('{"key": "k", "result": {"of_another_version": 1}}\n')
    command = [sys.executable, "-m", "advisor", "resume", begun]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "work is damaged or of another version" in done.stderr and "--out ANOTHER" in done.stderr


def test_a_run_without_its_request_was_begun_with_another_one(waves, begun):
    (begun / "run.json").write_text("{}")
    error, _ = refused("recommend", waves, "--trials", "1", "--resume", "--out", begun)
    assert "was begun with another" in error


def test_a_folder_with_a_run_says_how_to_go_on_with_another_budget(waves, begun):
    error, hint = refused("recommend", waves, "--max-latency-ms", "5", "--out", begun)
    assert "holds a run already" in error
    assert "advisor resume" in hint and "--resume" in hint and "--out ANOTHER" in hint


def test_a_run_folder_that_cannot_be_made_is_one_line_and_a_hint(waves):
    error, hint = refused("recommend", waves, "--trials", "1", "--out", waves / "run")
    assert error.startswith(f"error: {waves / 'run'}") and error.endswith(": Not a directory.")
    assert hint == "hint: check the path, its rights and the free space."


def test_a_full_disk_is_one_line_and_a_hint(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(api, "calibrate", full)
    error, _ = refused("device", "--calibrate", "-o", "here.json")
    assert error == "error: No space left on device."


def test_an_answer_that_cannot_be_written_is_one_line_and_a_hint(waves, monkeypatch):
    monkeypatch.setattr("advisor.predict.predict", lambda run, data, out: write_frame(pd.DataFrame(), out))
    error, _ = refused("predict", "run", waves, "-o", waves / "answers.csv")
    assert error == f"error: {waves}: File exists."


def test_a_pipe_that_nobody_reads_any_more_ends_quietly(waves, monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(api, "inspect", gone)
    assert said("inspect", waves) == (1, "")


@pytest.mark.parametrize("verb", ["inspect", "profile"])
def test_what_is_interrupted_ends_with_130(waves, monkeypatch, verb):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "inspect", interrupted)
    assert said(verb, waves) == (130, "\ninterrupted.\n")
