"""A worker that dies costs its job; the pool goes on; closing leaves no process."""

import os
import signal
import time

import pandas as pd
import pytest

from advisor.data import Dataset
from advisor.search.executors import LocalPool
from advisor.search.jobs import BaselineJob
from advisor.search.prepare import prepare


@pytest.fixture
def pool(tmp_path):
    values = pd.Series(range(80)).to_numpy("float32")[:, None]
    dataset = Dataset(
        name="t", task="forecast", ids=("a",), series=(values,), channels=("y",), stamps=(pd.RangeIndex(80),)
    )
    prepare(dataset, None, 1, 4, seed=0).save(tmp_path)
    made = LocalPool(tmp_path, 1, 1, tmp_path / "log.txt")
    yield made
    made.close()


def job(tmp_path, name="last_value", seconds=60.0):
    return BaselineJob(
        name=name, look_back=8, seed=0, save=str(tmp_path / "w.safetensors"), deadline=time.monotonic() + seconds
    )


def test_a_job_answers_and_a_dead_worker_is_replaced(pool, tmp_path):
    assert pool.submit(job(tmp_path)).result().folds[0] == pytest.approx(2.5)  # errors 1, 2, 3, 4 over a step of 1
    (process,) = pool._all
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not pool.submit(job(tmp_path)).result().failed
    assert len(pool._all) == 2


def test_a_job_that_fails_says_why(pool, tmp_path):
    assert "No baseline is named 'nonsense'" in pool.submit(job(tmp_path, "nonsense")).result().failed


def test_a_job_without_time_is_not_begun(pool, tmp_path):
    assert pool.submit(job(tmp_path, seconds=-1)).result().failed == "no time was left to begin it"
