"""What the jobs of a run found, one line each, so that a resumed run does none of them twice.

A resumed run decides anew, from the first step on; a job that is asked for again is answered from here. With a number
of trials the same results lead to the same decisions, so only what is missing is trained. A job that failed for want of
means, such as memory, is done again.
"""

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from advisor.runs import write_text
from advisor.search.executors import PASSING
from advisor.search.jobs import Job, Result


class Pool(Protocol):
    """Who does the jobs."""

    def submit(self, job: Job, keep: Callable[[Result], None], first: bool) -> "Future[Result]":
        """Run the job; `keep` is told the result before anyone else."""


class Lines:
    """A file of JSON lines that is only appended to; a line cut short by a crash is dropped.

    Args:
        path: The file; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: list[dict[str, object]] = []
        if path.exists():
            text = path.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                text = text[: text.rfind("\n") + 1]
                write_text(path, text)
            self.found = [json.loads(line) for line in text.splitlines()]

    def add(self, line: dict[str, object]) -> None:
        """Put one line on disk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Results:
    """Answers jobs from what is known, else passes them on and writes down what they found.

    Args:
        folder: Of the run's work; the lines are in `results.jsonl`, the files of jobs in `jobs`.
        pool: Who does what is not known.
    """

    def __init__(self, folder: Path, pool: Pool) -> None:
        self.files = folder / "jobs"
        self._pool = pool
        self._lines = Lines(folder / "results.jsonl")
        self._lock = threading.Lock()
        self._known = {str(line["key"]): Result.model_validate(line["result"]) for line in self._lines.found}
        self.answered = 0
        """Jobs that were answered from what an earlier part of the run found."""

    def known(self, job: Job) -> Result | None:
        """Return what an earlier part of the run found, if `job` need not be done again."""
        found = self._known.get(job.key())
        if found and found.settles and (found.failed or not job.leaves_weights() or job.weights().exists()):
            return found
        return None

    def submit(self, job: Job, first: bool = False) -> "Future[Result]":
        """Return the result of `job`, now or later; `first`: before all that wait."""
        if known := self.known(job):
            self.answered += 1
            answer: Future[Result] = Future()
            answer.set_result(known)
            return answer
        key = job.key()
        return self._pool.submit(job, lambda result: self._write(key, result), first)

    def _write(self, key: str, result: Result) -> None:
        if result.failed in PASSING:
            return
        with self._lock:
            self._lines.add({"key": key, "result": result.model_dump(mode="json")})
