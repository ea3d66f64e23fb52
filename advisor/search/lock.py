"""One driver a run folder: two would write the same files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from advisor.errors import InputError
from advisor.runs import Run


@contextmanager
def only_driver(run: Run) -> Iterator[None]:
    """Hold the lock of a run folder; the system frees it when this process ends, however it does.

    Raises:
        InputError: another process holds it.
    """
    import fcntl  # POSIX, as are the workers

    run.work.mkdir(parents=True, exist_ok=True)
    with (run.work / "driver.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise InputError(
                f"{run.path} is in use by process {file.read().strip() or 'unknown'}.",
                "wait for it, or end it and say `advisor resume` then.",
            ) from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
