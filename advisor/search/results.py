"""What the jobs of a run found, one line each, so that a resumed run does none of them twice.

A resumed run decides anew, from the first step on; a job that is asked for again is answered from here. With a number
of trials the same results lead to the same decisions, so only what is missing is trained. A job that failed for want of
means, such as memory, is done again; so is a training of the final, or the last one, that a shorter time limit ended,
and what was made of it.
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
from advisor.search.jobs import CommitteeJob, Job, NetworkJob, Result

LONGER, CLOCK_ENDED = 2.0, 0.9
"""Times the seconds of before that are worth a new training, if it had used this share of them."""


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
        self._anew: set[str] = set()
        self.answered = 0
        """Jobs that were answered from what an earlier part of the run found."""

    def submit(self, job: Job, first: bool = False) -> "Future[Result]":
        """Return the result of `job`, now or later; `first`: before all that wait."""
        key = job.key()
        known = self._known.get(key)
        if known and self._outgrown(job, known):
            self._anew.add(key)
            return self._better(job, known, first)
        if known and known.settles and (known.failed or not job.leaves_weights() or job.weights().exists()):
            self.answered += 1
            answer: Future[Result] = Future()
            answer.set_result(known)
            return answer
        return self._pool.submit(job, lambda result: self._write(key, result), first)

    def _outgrown(self, job: Job, known: Result) -> bool:
        """Return whether the job has far more time than it had, or builds on one that has; a race is not run twice."""
        if known.failed:
            return False
        if isinstance(job, CommitteeJob):
            return not self._anew.isdisjoint(job.members)
        if not isinstance(job, NetworkJob) or not (job.test or job.fold == "all"):
            return False
        had_s, has_s = known.asked_s, job.train.seconds
        ended = had_s is not None and not known.settled and known.seconds >= CLOCK_ENDED * had_s
        return not self._anew.isdisjoint({job.start, job.goes_on}) or (
            ended and has_s is not None and has_s >= LONGER * (had_s or 0.0)
        )

    def _better(self, job: Job, known: Result, first: bool) -> "Future[Result]":
        """Return the result of doing the job again; what is known, where that fails."""
        answer: Future[Result] = Future()

        def keep(result: Result) -> None:
            if not result.failed:
                self._write(job.key(), result)

        def hand_on(done: "Future[Result]") -> None:
            if error := done.exception():
                answer.set_exception(error)
            else:
                answer.set_result(known if done.result().failed else done.result())

        self._pool.submit(job, keep, first).add_done_callback(hand_on)
        return answer

    def _write(self, key: str, result: Result) -> None:
        if result.failed in PASSING:
            return
        with self._lock:
            self._lines.add({"key": key, "result": result.model_dump(mode="json")})
