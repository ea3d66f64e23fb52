"""What one forward pass of a model costs: latency, peak memory, size, operations. Measured, never trained."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from profiles.budget import LatencyStat
from profiles.device import MIB, resolve, synchronize

WARM_UPS, MIN_RUNS, MAX_RUNS = 3, 20, 2000


class Cost(BaseModel):
    """The cost of answering one batch."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    runs: int
    """Timed runs behind the percentiles; below 20 only where one run takes longer than the whole time given."""
    peak_memory_mib: float
    """Weights and buffers, the input, and the most that one forward pass holds at once beside them."""
    parameter_bytes: int
    """Weights and buffers as they are in memory."""
    size_mib: float
    """Weights and buffers as stored: 4 bytes for each floating-point number, other types as they are."""
    flops: int
    """Of the whole batch: two for each multiply-add of a matrix product."""
    batch: int
    length: int
    device: str
    threads: int
    predicted: bool = False
    """The latencies are predicted for another device, whose name `device` then is; not measured there."""
    error: float | None = None
    """Relative error of predicted latencies, by the fits they rest on, such as 0.1; None where they are measured."""

    def latency_ms(self, stat: LatencyStat) -> float:
        """Return a percentile of the latency in milliseconds."""
        return {"p50": self.latency_p50_ms, "p95": self.latency_p95_ms, "p99": self.latency_p99_ms}[stat]


def measure(
    model: nn.Module,
    batch: int,
    length: int,
    *,
    device: str = "cpu",
    channels: int | None = None,
    seconds: float = 0.15,
    threads: int | None = 1,
) -> Cost:
    """Measure one forward pass in evaluation mode; the model's mode and place are put back afterwards.

    Args:
        model: Called as `model(x, lengths)` with x (B, L, C) float32 and lengths (B,) int64.
        batch: B, series at once.
        length: L, steps of each.
        device: Where to measure; the model is moved there and back.
        channels: C; None reads `model.channels_in`.
        seconds: Time for the timed runs; 0.05 is enough to refuse what is far too slow. At least 20 runs are made
            unless one alone takes longer than `seconds`.
        threads: Threads of torch while measuring (1 is steadiest and, for small models, fastest); None keeps them.

    Raises:
        DeviceError: the device is not there.
        ValueError: batch or length below 1, or no channel count is known.
    """
    wide = channels if channels is not None else getattr(model, "channels_in", None)
    if batch < 1 or length < 1 or not isinstance(wide, int):
        raise ValueError(f"batch and length must be at least 1 and channels known, got {batch}, {length}, {wide}.")
    target = resolve(device)
    x = torch.randn(batch, length, wide, generator=torch.Generator().manual_seed(0)).to(target)
    lengths = torch.full((batch,), length, dtype=torch.int64, device=target)
    with _set_up(model, target, threads):
        with torch.inference_mode():
            times = _times(model, x, lengths, seconds)
            peak = peak_bytes(lambda: model(x, lengths), target)
        flops = count_flops(model, x, lengths)
        used = torch.get_num_threads()
    p50, p95, p99 = (float(p) * 1e3 for p in np.percentile(times, [50, 95, 99]))
    weights = parameter_bytes(model)
    return Cost(
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        runs=len(times),
        peak_memory_mib=(weights + _bytes(x) + _bytes(lengths) + peak) / MIB,
        parameter_bytes=weights,
        size_mib=stored_bytes(model) / MIB,
        flops=flops,
        batch=batch,
        length=length,
        device=device,
        threads=used,
    )


def parameter_bytes(model: nn.Module) -> int:
    """Return the bytes of weights and buffers by formula, numbers times bytes each; a shared tensor counts once."""
    return sum(_bytes(tensor) for tensor in _tensors(model))


def stored_bytes(model: nn.Module) -> int:
    """Return the bytes of weights and buffers in a float32 file; a shared tensor counts once."""
    return sum(t.numel() * 4 if t.is_floating_point() else _bytes(t) for t in _tensors(model))


def count_flops(model: nn.Module, x: Tensor, lengths: Tensor) -> int:
    """Return the operations of one forward pass: B times `model.flops(L)` where the model has it, else counted.

    Counting sees matrix products, convolutions and attention; a fused kernel (nn.LSTM on a CPU) hides its own.
    """
    formula = getattr(model, "flops", None)
    if callable(formula):
        return int(formula(x.shape[1])) * x.shape[0]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, lengths)
    return int(counter.get_total_flops())


def peak_bytes(run: Callable[[], object], target: torch.device) -> int:
    """Return the most bytes of tensors alive at once during one call of `run`, beyond those alive before it.

    CUDA: the allocator's peak less what it held before. CPU: the running sum of the profiler's `[memory]` events,
    which sees every temporary inside an operation. Metal has no peak counter: the growth of the driver's pool.
    """
    if target.type == "cuda":
        synchronize(target)
        torch.cuda.reset_peak_memory_stats(target)
        before = torch.cuda.memory_allocated(target)
        run()
        synchronize(target)
        return int(torch.cuda.max_memory_allocated(target) - before)
    if target.type == "mps":
        torch.mps.empty_cache()
        before = torch.mps.driver_allocated_memory()
        run()
        synchronize(target)
        return int(max(0, torch.mps.driver_allocated_memory() - before))
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler library writes two lines to stderr each time
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        run()
    events = profile.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return int(max(accumulate((change for _, change in changes), initial=0)))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@contextmanager
def _set_up(model: nn.Module, target: torch.device, threads: int | None) -> Iterator[None]:
    """Hold the model on the device, in evaluation mode, with the threads; put all of it back."""
    first = next(_tensors(model), None)
    home = target if first is None else first.device
    modes = [(module, module.training) for module in model.modules()]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        model.to(target).eval()
        yield
    finally:
        torch.set_num_threads(before)
        model.to(home)
        for module, training in modes:
            module.training = training


def _times(model: nn.Module, x: Tensor, lengths: Tensor, seconds: float) -> list[float]:
    """Return the seconds of each timed run, after the warm-up."""
    begin = time.perf_counter()
    for _ in range(WARM_UPS):
        model(x, lengths)
        synchronize(x.device)
        if time.perf_counter() - begin > seconds:
            break
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < MAX_RUNS:
        start = time.perf_counter()
        model(x, lengths)
        synchronize(x.device)
        end = time.perf_counter()
        times.append(end - start)
        if end - begin > seconds and (len(times) >= MIN_RUNS or min(times) > seconds):
            break
    return times
