"""Arrays in files instead of memory: nameless temporary files, mapped; the disk is free again when they are dropped.

The system keeps of them in memory what is used and takes it back when memory is short. The folder is that of `tempfile`
(TMPDIR).
"""

import mmap
import tempfile
from typing import IO, Self

import numpy as np
from numpy.typing import DTypeLike

FROM_BYTES = 2**26
"""Smaller arrays are kept in memory."""


def scratch_array(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> np.ndarray:
    """Return a zeroed array that can be written: in memory where it is small, else in a file."""
    if int(np.prod(shape)) * np.dtype(dtype).itemsize < FROM_BYTES:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:  # the mapping keeps the file alive
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


def forget(array: np.ndarray) -> None:
    """Let the system take the pages of a mapped array out of memory; they are read again when needed."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = getattr(base, "_mmap", None) or base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


class Column:
    """Values of one type that are appended to, in a file; what `done` returned outlives the `with` block."""

    def __init__(self, dtype: DTypeLike, width: int | None = None) -> None:
        self.dtype, self.width, self.rows = np.dtype(dtype), width, 0
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed on leaving)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def add(self, values: np.ndarray) -> None:
        """Append (n,) or (n, width) values."""
        values.astype(self.dtype, copy=False).tofile(self._file)
        self.rows += len(values)

    def done(self) -> np.ndarray:
        """Return everything that was added, mapped."""
        shape = (self.rows,) if self.width is None else (self.rows, self.width)
        self._file.flush()
        if not int(np.prod(shape)):
            return np.empty(shape, self.dtype)
        return np.asarray(np.memmap(self._file, self.dtype, "r+", shape=shape))
