"""A worker process: a job a line on standard input, a result a line on standard output.

Started as `python -m advisor.search.worker FOLDER THREADS`. It ends when its input does, in the middle of a job too:
a driver that was killed leaves nobody behind who goes on writing.
"""

import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from safetensors import SafetensorError

from advisor.search import problem
from advisor.search.jobs import JOBS, Result
from advisor.search.memory import FULL, first_to_go, out_of_memory
from advisor.search.work import run


def main() -> None:
    """Serve jobs until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    first_to_go()
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with results
    torch.set_num_threads(int(sys.argv[2]))
    torch.use_deterministic_algorithms(True, warn_only=True)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    data: problem.Problem | None = None
    while True:
        line = lines.get()
        began = time.monotonic()
        try:
            data = data or problem.load(Path(sys.argv[1]))
            result = run(JOBS.validate_json(line), data)
        except Exception as error:
            result = failure(error)
        result.busy_s = time.monotonic() - began
        results.write(result.model_dump_json() + "\n")
        results.flush()


def failure(error: BaseException) -> Result:
    """Return the result of a job that raised `error`."""
    if out_of_memory(error):
        return Result(failed=f"{FULL} while it was trained", infeasible=True)
    words = str(error).splitlines()[0] if str(error) else "no words"
    passing = isinstance(error, OSError | SafetensorError)  # the latter too where a disk is full
    return Result(failed=f"{type(error).__name__}: {words}", passing=passing)


def _listen(lines: "queue.SimpleQueue[bytes]") -> None:
    """Pass on the lines of standard input; leave at once when it ends, which it does when the driver does."""
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
