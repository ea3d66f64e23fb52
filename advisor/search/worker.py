"""A worker process: a job a line on standard input, a result a line on standard output.

Started as `python -m advisor.search.worker FOLDER THREADS`; it ends when its input does.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter

from advisor.search import problem
from advisor.search.jobs import BaselineJob, NetworkJob, Result, run_baseline, run_network

Job = Annotated[NetworkJob | BaselineJob, Field(discriminator="kind")]
JOBS: TypeAdapter[Job] = TypeAdapter(Job)


def main() -> None:
    """Serve jobs until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with results
    torch.set_num_threads(int(sys.argv[2]))
    torch.use_deterministic_algorithms(True, warn_only=True)
    data = problem.load(Path(sys.argv[1]))
    for line in sys.stdin:
        job = JOBS.validate_json(line)
        try:
            result = run_network(job, data) if isinstance(job, NetworkJob) else run_baseline(job, data)
        except (RuntimeError, ValueError, ArithmeticError, MemoryError, AssertionError) as error:
            result = Result(
                failed=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no words'}"
            )
        results.write(result.model_dump_json() + "\n")
        results.flush()


if __name__ == "__main__":
    main()
