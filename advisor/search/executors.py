"""Runs jobs in worker processes, side by side; a worker that dies or hangs costs its job, never the run."""

import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from advisor.search.jobs import BaselineJob, NetworkJob, Result

GRACE_S = 4.0
NO_TIME = "no time was left to begin it"
FOREVER_S = 1e6
"""A deadline further away than this is none."""


class LocalPool:
    """Worker processes on this machine.

    Args:
        folder: Where the problem was saved.
        workers: Processes side by side.
        threads: Threads of each; 1 is best for small models on CPU.
        log: File that takes what the workers say on standard error.
    """

    def __init__(self, folder: Path, workers: int, threads: int, log: Path) -> None:
        self._command = [sys.executable, "-m", "advisor.search.worker", str(folder), str(threads)]
        self._log = log.open("ab")
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._own = threading.local()
        self._workers = workers
        self._all: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def start(self) -> None:
        """Start the processes now, so that they load while the driver does something else."""
        for _ in range(self._workers - len(self._all)):
            self._threads.submit(self._process)

    def submit(self, job: NetworkJob | BaselineJob) -> "Future[Result]":
        """Run `job` on the next free worker."""
        return self._threads.submit(self._run, job)

    def _process(self) -> "subprocess.Popen[bytes]":
        process: subprocess.Popen[bytes] | None = getattr(self._own, "process", None)
        if process is None or process.poll() is not None:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
            )
            self._own.process = process
            self._all.append(process)
        return process

    def _run(self, job: NetworkJob | BaselineJob) -> Result:
        if self._closed:
            return Result(failed="the run was stopped")
        if time.monotonic() >= job.deadline:
            return Result(failed=NO_TIME)
        process = self._process()
        left = job.deadline - time.monotonic()
        late = threading.Timer(left + GRACE_S, process.kill)
        late.daemon = True
        if left < FOREVER_S:
            late.start()
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(job.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (BrokenPipeError, OSError):
            line = b""
        finally:
            late.cancel()
        if line:
            return Result.model_validate_json(line)
        code = process.wait()
        overdue = time.monotonic() >= job.deadline
        return Result(failed="stopped at the deadline" if overdue else f"its worker process ended with code {code}")

    def close(self) -> None:
        """End every process at once; jobs not begun are dropped."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:
            process.kill()
        self._threads.shutdown(wait=True)
        for process in self._all:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
        self._log.close()
