"""A run that was killed goes on: nothing that was finished is lost or done twice, and the table is the same."""

import fcntl
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from advisor import recommend
from advisor.carry_out import _same_question
from advisor.errors import InputError
from advisor.records import Request
from advisor.runs import Run
from advisor.search.lock import only_driver

OPTIONS = ["--families", "gru,conv", "--trials", "3", "--json"]


@pytest.fixture
def waves(tmp_path):
    labels = np.arange(30) % 2
    values = np.sin(np.arange(16)[None] * (0.5 + labels[:, None])) + np.random.default_rng(0).normal(size=(30, 16))
    frame = pd.DataFrame(values.round(3), columns=[f"t{i}" for i in range(16)])
    frame.insert(0, "label", np.where(labels == 1, "fast", "slow"))
    frame.to_csv(tmp_path / "waves.csv", index=False)
    return tmp_path / "waves.csv"


def table(run):
    found = json.loads((run / "recommendation.json").read_text())
    rows = [(r["family"], r["state"], r["validation"], r["trials"]) for r in found["ranking"]]
    trials = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    return rows, found["quality"], sorted((t["number"], t["family"], t["state"], t["quality"]) for t in trials)


@pytest.mark.slow
def test_a_run_killed_twice_ends_as_an_undisturbed_one(waves, tmp_path):
    advisor = [sys.executable, "-m", "advisor"]
    began = time.monotonic()
    subprocess.run([*advisor, "recommend", waves, *OPTIONS, "--out", tmp_path / "a"], check=True, capture_output=True)
    whole = time.monotonic() - began
    command = [*advisor, "recommend", waves, *OPTIONS, "--out", tmp_path / "b"]
    for share in (0.5, 0.6):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(share * whole)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        if (tmp_path / "b/run.json").exists():
            command = [*advisor, "resume", tmp_path / "b", "--json"]
    subprocess.run(command, check=True, capture_output=True)
    keys = [json.loads(line)["key"] for line in (tmp_path / "b/work/results.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys))
    assert table(tmp_path / "a") == table(tmp_path / "b")


def test_a_second_driver_of_the_same_folder_is_refused_while_the_first_lives(tmp_path):
    run = Run(tmp_path)
    with only_driver(run), pytest.raises(InputError, match="is in use by process") as refused, only_driver(run):
        pass
    assert "advisor resume" in refused.value.hint
    with only_driver(run), (run.work / "driver.lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def asked(tmp_path, **changed):
    request = Request(data=str(tmp_path / "waves.csv"), test=str(tmp_path / "test.csv"), task="classify")
    sha256 = hashlib.sha256((tmp_path / "waves.csv").read_bytes()).hexdigest()
    return {"request": request.model_dump(mode="json"), "versions": {}, "sha256": sha256, "test_sha256": "", **changed}


@pytest.mark.parametrize(("key", "name"), [("sha256", "data file"), ("test_sha256", "test file")])
def test_a_run_does_not_go_on_with_a_file_that_has_changed(key, name, waves, tmp_path):
    shutil.copy(waves, tmp_path / "test.csv")
    Run(tmp_path / "run").write("run", asked(tmp_path, **{key: "of what it was before"}))
    with pytest.raises(InputError, match=f"was begun with another {name}") as refused:
        recommend(waves, test=tmp_path / "test.csv", out=tmp_path / "run", resume=True)
    assert "--out" in refused.value.hint


def test_an_older_run_that_does_not_know_its_test_file_goes_on(waves, tmp_path):
    run, now = Run(tmp_path / "run"), asked(tmp_path, test_sha256="of the file")
    before = {name: value for name, value in now.items() if name != "test_sha256"}
    for known in (before, now):
        run.write("run", known)
        _same_question(run, now)
