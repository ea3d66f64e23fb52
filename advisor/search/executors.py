"""Runs jobs in worker processes, side by side; a worker that dies or hangs costs its job, never the run.

A worker that dies is replaced and its job is given to the new one; a job that kills two workers is given up. So is one
for which no worker can be started.
"""

import contextlib
import heapq
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

from advisor.search.jobs import NO_TIME, Job, Result

GRACE_S, LAST_GRACE_S = 4.0, 1.5
"""Seconds after its deadline at which a job is killed, and at the latest after the end of the search."""
LATE = "stopped at the deadline"
STOPPED = "the run was stopped"
PASSING = (NO_TIME, LATE, STOPPED)
"""Failures that say nothing of the job: another part of the run may do it."""
FOREVER_S = 1e6
"""A deadline further away than this is none."""
MOST_DEATHS = 2


class LocalPool:
    """Worker processes on this machine.

    Args:
        folder: Where the problem is, or will be when the first job is submitted.
        workers: Processes side by side.
        threads: Threads of each; 1 is best for small models on CPU.
        log: File that takes what the workers say on standard error.
        ends: Returns the `time.monotonic()` at which the search ends.
    """

    def __init__(
        self, folder: Path, workers: int, threads: int, log: Path, ends: Callable[[], float] = lambda: math.inf
    ) -> None:
        self._ends = ends
        self._command = [sys.executable, "-m", "advisor.search.worker", str(folder), str(threads)]
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("ab")
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._own = threading.local()
        self._workers = workers
        self._all: list[subprocess.Popen[bytes]] = []
        self._started = self._closed = False
        self.busy_s = 0.0
        """Seconds that workers have spent in jobs, all together."""
        self._lock = threading.Lock()
        self._waiting: list[tuple[bool, int, Job, Callable[[Result], None] | None, Future[Result]]] = []
        self._order = count()

    def start(self) -> None:
        """Start the processes now, so that they load while the driver does something else."""
        if not self._started:
            self._started = True
            for _ in range(self._workers):
                self._threads.submit(self._process)

    def submit(self, job: Job, keep: Callable[[Result], None] | None = None, first: bool = False) -> "Future[Result]":
        """Run `job` on a free worker, in the order given; `keep` is told the result before anyone else.

        Args:
            job: What to do.
            keep: Told the result.
            first: Before all that wait and are not first.
        """
        future: Future[Result] = Future()
        with self._lock:
            heapq.heappush(self._waiting, (not first, next(self._order), job, keep, future))
        self._threads.submit(self._next)
        return future

    def _next(self) -> None:
        """Take up what has waited longest."""
        with self._lock:
            _, _, job, keep, future = heapq.heappop(self._waiting)
        try:
            future.set_result(self._run(job, keep))
        except OSError as error:  # no process can be started, or no result written down
            future.set_result(Result(failed=f"{type(error).__name__}: {error}", passing=True))
        except BaseException as error:
            future.set_exception(error)
            raise

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
            if self._closed:  # it began while the others were ended
                process.kill()
        return process

    def _run(self, job: Job, keep: Callable[[Result], None] | None) -> Result:
        result = self._answer(job)
        if keep is not None and not self._closed:
            keep(result)
        return result

    def _answer(self, job: Job) -> Result:
        died = ""
        for _ in range(MOST_DEATHS):
            if self._closed:
                return Result(failed=STOPPED)
            if time.monotonic() >= (job.deadline if job.begin_by is None else min(job.begin_by, job.deadline)):
                return Result(failed=NO_TIME)
            process = self._process()
            began = time.monotonic()
            line = self._ask(process, job)
            with self._lock:
                self.busy_s += time.monotonic() - began
            if line:
                return Result.model_validate_json(line)
            code = process.wait()
            if self._closed:
                return Result(failed=STOPPED)
            if time.monotonic() >= job.deadline:
                return Result(failed=LATE)
            died = _cause(code)
        return Result(failed=f"it ended {MOST_DEATHS} worker processes ({died})", infeasible=True)

    def _ask(self, process: "subprocess.Popen[bytes]", job: Job) -> bytes:
        """Return the worker's answer; empty where it died, or was killed some seconds after the deadline."""
        left = job.deadline - time.monotonic()
        late = threading.Timer(min(left + GRACE_S, self._ends() - time.monotonic() + LAST_GRACE_S), process.kill)
        late.daemon = True
        if left < FOREVER_S:
            late.start()
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(job.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            return process.stdout.readline()
        except (BrokenPipeError, OSError):
            return b""
        finally:
            late.cancel()

    def close(self) -> None:
        """End every process at once; jobs not begun are dropped."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:
            process.kill()
        self._threads.shutdown(wait=True)
        for *_, future in self._waiting:
            future.set_result(Result(failed=STOPPED))
        for process in self._all:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):  # what a dead worker never read
                        pipe.close()
        self._log.close()


def _cause(code: int) -> str:
    """Return in words how a process ended."""
    if code == -signal.SIGKILL:
        return "killed by the system, as it does when memory runs out"
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"code {code}"
