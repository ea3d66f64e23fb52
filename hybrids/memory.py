"""How much memory is free, and whether attention over a whole sequence fits into it (MEM1).

Attention memory grows as the square of the length wherever the score matrix, or a mask of its size, is really made. A
fused kernel makes neither: it takes memory in proportion to the length. A length that cannot fit is refused before the
work starts, with the longest one that would fit: better than a process killed in the middle.
"""

from bisect import bisect_right
from pathlib import Path

import torch

from hybrids.cache import block_of
from hybrids.errors import ShapeError

WORTH_A_LOOK = 256 * 2**20
"""Bytes of the score matrix below which nothing is checked."""
GIB = 2**30
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
CGROUP_FILES = (  # limit, use, and the counter of file pages that the kernel drops when memory runs short: v2 and v1
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
FUSED_TYPES = {
    "cpu": (torch.float16, torch.bfloat16, torch.float32, torch.float64),
    "cuda": (torch.float16, torch.bfloat16, torch.float32),
}


def available_bytes(device: torch.device) -> int | None:
    """Return the bytes that can still be taken on `device`; None if unknown.

    On CUDA what the driver reports and what PyTorch holds unused; on CPU the least of what Linux calls available and
    what the control group still allows.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    known = [size for size in (_system_available(), _group_available()) if size is not None]
    return min(known, default=None)


def _system_available() -> int | None:
    """Return MemAvailable of /proc/meminfo."""
    kib = _counter(MEMINFO, "MemAvailable:")
    return None if kib is None else kib * 1024


def _group_available() -> int | None:
    """Return what the control group of this process, as it sees it, still allows; None without a limit."""
    for limit_file, use_file, counters, droppable in CGROUP_FILES:
        try:
            limit, use = ((CGROUP / name).read_text().strip() for name in (limit_file, use_file))
        except OSError:
            continue
        if limit.isdigit() and use.isdigit():
            return max(0, int(limit) - int(use) + (_counter(CGROUP / counters, droppable) or 0))
    return None


def _counter(file: Path, name: str) -> int | None:
    """Return the number behind `name` in a file of names and numbers."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(words[1]) for words in map(str.split, lines) if words[:1] == [name]), None)


def attention_bytes(
    rows: int, heads: int, width: int, queries: int, keys: int, mask_rows: int, dtype: torch.dtype, device: torch.device
) -> int:
    """Return about how many bytes one call of `scaled_dot_product_attention` takes, backward pass included.

    A fused kernel (CPU, and CUDA but for float64) takes queries, keys, values, outputs, their gradients, and the mask,
    once as bits and once as numbers. Elsewhere scores, probabilities and a gradient are made in full.

    Args:
        rows: B.
        heads: H.
        width: H * d.
        queries: Steps that look.
        keys: Steps that are looked at.
        mask_rows: Masks (queries, keys) that are made: 0, 1 for all rows, or B.
        dtype: Of the numbers.
        device: Where.
    """
    linear = 4 * rows * (queries + keys) * width * dtype.itemsize
    masks = mask_rows * queries * keys * (1 + dtype.itemsize)
    scores = 0 if dtype in FUSED_TYPES.get(device.type, ()) else 3 * rows * heads * queries * keys * dtype.itemsize
    return linear + masks + scores


def window_bytes(
    rows: int,
    heads: int,
    width: int,
    queries: int,
    slots: int,
    window: int,
    mask_rows: int,
    dtype: torch.dtype,
    device: torch.device,
) -> int:
    """Return about how many bytes `window_attention` takes: its first queries, and blocks that see one window each.

    Args:
        rows: B.
        heads: H.
        width: H * d.
        queries: Steps that look.
        slots: Steps of the cache before them.
        window: Most steps a query sees.
        mask_rows: Masks that the first queries need: 0, 1 for all rows, or B.
        dtype: Of the numbers.
        device: Where.
    """
    block, reach = block_of(window), window - 1
    first = min(queries, reach + block)
    blocks = rows * -(-(queries - first) // block)
    begin = attention_bytes(rows, heads, width, first, first + slots, mask_rows, dtype, device)
    return begin + attention_bytes(blocks, heads, width, block, block + reach, min(blocks, 1), dtype, device)


def check_attention_fits(
    rows: int,
    heads: int,
    width: int,
    queries: int,
    keys: int,
    mask_rows: int,
    dtype: torch.dtype,
    device: torch.device,
    window: int | None = None,
) -> None:
    """Raise `ShapeError` if attention cannot fit into what is free; arguments as in `attention_bytes`, and the window.

    Small work passes unseen, and so does everything under `torch.compile` and `torch.export`.
    """
    seen = keys if window is None else min(keys, window + block_of(window))
    if torch.compiler.is_compiling() or rows * heads * queries * seen * dtype.itemsize < WORTH_A_LOOK:
        return
    free = available_bytes(device)
    if free is None:
        return

    def needed(steps: int) -> int:
        if window is not None:
            return window_bytes(rows, heads, width, steps, keys - queries, window, mask_rows, dtype, device)
        return attention_bytes(rows, heads, width, steps, steps + keys - queries, mask_rows, dtype, device)

    if needed(queries) > free:
        fits = bisect_right(range(queries), free, key=needed) - 1
        cure = "set window=... or use a linear family" if window is None else "use a smaller window or fewer rows"
        raise ShapeError(
            f"attention over {queries} steps needs {needed(queries) / GIB:.1f} GiB for {rows} rows, "
            f"{free / GIB:.1f} GiB is free. Cap the length at {max(fits, 0)} (MEM1), or {cure}."
        )
