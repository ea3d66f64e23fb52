"""What running out of memory looks like, and who should go first when the machine does."""

import contextlib
import errno
from pathlib import Path

import torch

FULL = "memory ran out"
SIGNS = (
    "can't allocate memory", "out of memory", "bad_alloc", "unable to allocate", "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)  # fmt: skip
"""Words of the CPU allocator, of CUDA, of C++, of numpy, and of CUDA's libraries."""
LIKELIER = 500
"""Of 1000: what the kernel adds to a worker's share of memory when it looks for a process to end."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def first_to_go() -> None:
    """Tell the kernel to end this process rather than the driver; only Linux listens."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(LIKELIER))
