"""A worker that dies costs its job; the pool goes on; closing leaves no process."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future

import pandas as pd
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from advisor.data import Dataset
from advisor.search import problem
from advisor.search.executors import LocalPool
from advisor.search.jobs import NO_TIME, BaselineJob, NetworkJob, Result
from advisor.search.prepare import prepare
from advisor.search.recipes import forecast
from advisor.search.results import Results
from advisor.search.work import run_network
from advisor.search.worker import failure


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
        name=name, look_back=8, seed=0, folder=str(tmp_path / "jobs"), deadline=time.monotonic() + seconds
    )


def test_a_job_answers_and_a_dead_worker_is_replaced(pool, tmp_path):
    assert pool.submit(job(tmp_path)).result().folds[0] == pytest.approx(2.5)  # errors 1, 2, 3, 4 over a step of 1
    (process,) = pool._all
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not pool.submit(job(tmp_path)).result().failed
    assert len(pool._all) == 2


class Deadly(LocalPool):
    """A pool whose workers are killed as soon as they are given a job."""

    def _ask(self, process, job):
        os.kill(process.pid, signal.SIGKILL)
        return super()._ask(process, job)


def test_a_job_that_kills_two_workers_is_given_up_as_infeasible(tmp_path):
    deadly = Deadly(tmp_path, 1, 1, tmp_path / "log.txt")
    result = deadly.submit(job(tmp_path)).result()
    deadly.close()
    assert result.infeasible and "killed by the system" in result.failed
    assert len(deadly._all) == 2


@pytest.mark.slow
def test_a_worker_ends_when_its_driver_does(tmp_path):
    command = [sys.executable, "-m", "advisor.search.worker", str(tmp_path), "1"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0


RIGHT = Result(folds={0: 2.5}, seconds=0.1)


class Here:
    """A pool that answers at once."""

    def __init__(self, result=RIGHT):
        self.result = result

    def submit(self, job, keep, first):
        """Keep a result and return it."""
        job.weights().parent.mkdir(exist_ok=True)
        job.weights().touch()
        result = self.result
        keep(result)
        done = Future()
        done.set_result(result)
        return done


def test_what_is_known_is_not_done_again_by_a_later_driver(tmp_path):
    first = Results(tmp_path, Here()).submit(job(tmp_path)).result()
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"key": "torn')  # as a crash leaves it
    later = Results(tmp_path, None)
    assert later.submit(job(tmp_path, seconds=1e4)).result() == first
    assert later.answered == 1


def test_weights_that_are_gone_are_made_again(tmp_path):
    Results(tmp_path, Here()).submit(job(tmp_path))
    job(tmp_path).weights().unlink()
    later = Results(tmp_path, Here())
    later.submit(job(tmp_path))
    assert later.answered == 0 and job(tmp_path).weights().exists()


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (Result(failed="memory ran out", infeasible=True), True),
        (Result(failed="OSError: no space left", passing=True), True),
        (Result(failed="the loss became nan"), False),
    ],
)
def test_only_a_failure_of_means_is_tried_again_by_a_later_driver(failure, again, tmp_path):
    assert Results(tmp_path, Here(failure)).submit(job(tmp_path)).result() == failure
    for _ in range(2):  # the last line of a job counts
        later = Results(tmp_path, Here())
        assert later.submit(job(tmp_path)).result() == (RIGHT if again else failure)
    assert later.answered == 1


def test_an_older_folder_without_the_kind_of_a_failure_is_read(tmp_path):
    line = {"key": job(tmp_path).key(), "result": {"failed": "the loss became nan"}}
    (tmp_path / "results.jsonl").write_text(json.dumps(line) + "\n")
    assert Results(tmp_path, None).submit(job(tmp_path)).result().failed == "the loss became nan"


def test_where_no_worker_can_be_started_the_job_fails_and_the_pool_goes_on(pool, tmp_path):
    command, pool._command = pool._command, [str(tmp_path / "no such program")]
    result = pool.submit(job(tmp_path)).result()
    assert result.failed.startswith("FileNotFoundError") and result.passing
    pool._command = command
    assert not pool.submit(job(tmp_path)).result().failed


def test_a_result_that_cannot_be_written_down_costs_its_job(pool, tmp_path):
    def keep(result):
        raise OSError(errno.ENOSPC, "No space left on device")

    result = pool.submit(job(tmp_path), keep).result()
    assert "No space left" in result.failed and result.passing


def test_a_file_that_cannot_be_written_is_a_failure_that_may_pass(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file/weights"
    for save in (path.touch, lambda: save_file({"a": torch.zeros(1)}, path)):
        with pytest.raises((OSError, SafetensorError)) as error:
            save()
        found = failure(error.value)
        assert found.passing and not found.infeasible
    assert not failure(ValueError("shapes do not match")).passing


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_only_memory_makes_a_failure_infeasible(error, full):
    assert failure(error).infeasible == full


def test_a_job_that_fails_says_why(pool, tmp_path):
    assert "No baseline is named 'nonsense'" in pool.submit(job(tmp_path, "nonsense")).result().failed


def test_a_job_without_time_is_not_begun(pool, tmp_path):
    assert pool.submit(job(tmp_path, seconds=-1)).result().failed == "no time was left to begin it"


def test_a_job_that_was_begun_in_time_may_end_later_and_one_that_was_not_is_not_begun(pool, tmp_path):
    now = time.monotonic()
    late, soon = (job(tmp_path).model_copy(update={"begin_by": now + s}) for s in (-1.0, 60.0))
    assert late.key() == soon.key() == job(tmp_path).key()
    assert pool.submit(late).result().failed == NO_TIME
    assert not pool.submit(soon).result().failed


def test_a_network_that_made_no_step_is_no_model(pool, tmp_path):
    found = problem.load(tmp_path)
    start = forecast.start("mlp", found.plan)
    model = forecast.build("mlp", start, found.plan, causal=False)
    for seconds, failed in ((-1.0, NO_TIME), (60.0, "")):
        one = NetworkJob(
            model=model, train=forecast.training("mlp", start, found.plan, 1, None, 2), fold=0, seed=0,
            folder=str(tmp_path / "jobs"), deadline=time.monotonic() + seconds,
        )  # fmt: skip
        assert run_network(one, found).failed == failed
