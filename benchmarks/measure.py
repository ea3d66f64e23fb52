"""Time and peak memory of one forward and backward pass, measured so that a loaded machine harms least.

Time: CPU time of this process (on CUDA: events), one thread, the least of many rounds; what is compared takes turns.
Memory: the highest resident set of a fresh process less what it held before the pass (on CUDA: the highest allocated).
Freed blocks go back to the system at once, so that the figure is what lives and not what the C library holds back.
"""

import ctypes
import gc
import math
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MIB = 2**20
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 2**16
"""glibc's option for blocks of this size and more to be mapped one by one, and given back when freed."""


def machine() -> dict[str, str]:
    """Return what the numbers were measured on."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else _processor()
    return {"device": DEVICE.type, "name": name, "torch": version("torch"), "python": platform.python_version()}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def train_pass(run: Forward, x: Tensor) -> None:
    """Run forward and backward; the loss is the mean square."""
    run(x).square().mean().backward()


def milliseconds(work: Callable[[], None]) -> float:
    """Return the time of one call."""
    if DEVICE.type == "cuda":
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        work()
        ended.record()
        torch.cuda.synchronize()
        return began.elapsed_time(ended)
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3


def take_turns(works: Sequence[Callable[[], None]], rounds: int, seconds: float) -> list[float]:
    """Return the least time of each, in ms, over `rounds` turns, fewer when `seconds` are over; warm up before."""
    best = [math.inf] * len(works)
    gc.collect()
    began = time.process_time()
    for done in range(rounds):
        best = [min(least, milliseconds(work)) for least, work in zip(best, works, strict=True)]
        if done and time.process_time() - began > seconds:
            break
    return best


def peak_mib(work: Callable[[], None], warm_up: Callable[[], None]) -> float:
    """Return the memory that `work` adds at its highest, in MiB; call it in a fresh process."""
    warm_up()
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    if not ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES):
        raise RuntimeError("the C library keeps its own threshold for mapped blocks: no peak can be measured.")
    held = _resident_bytes()
    work()
    return max(0.0, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held) / MIB)


def _resident_bytes() -> int:
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * resource.getpagesize()


def in_fresh_process(function: Callable[..., object], *args: object, preload: str) -> object:
    """Return `function(*args)` from a new process that has only imported `preload`; raise what it raised.

    The function must be importable, its arguments and result small.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(theirs, function, args))
    child.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = RuntimeError("the process ended without an answer, perhaps out of memory")
    child.join()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _report(
    pipe: "multiprocessing.connection.Connection", function: Callable[..., object], args: tuple[object, ...]
) -> None:
    torch.set_num_threads(1)
    try:
        pipe.send(function(*args))
    except Exception as error:  # any failure of a cell is told, none ends the run
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def exponent(lengths: Sequence[int], ms: Sequence[float]) -> float:
    """Return p of time per sequence ~ length^p, from times at a constant number of tokens, by least squares in logs."""
    xs, ys = [math.log(n) for n in lengths], [math.log(t) for t in ms]
    if len(xs) < 2:
        return math.nan
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return 1 + covariance / sum((x - mean_x) ** 2 for x in xs)
