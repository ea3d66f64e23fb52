"""What the device is and how fast it is, measured in a fraction of a second. Loads torch only to measure."""

import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch

MIB, GIB = 2**20, 2**30
SECONDS = 0.1
"""Time given to each of the two speed measurements."""


class DeviceError(ValueError):
    """The device is not there. `hint` names the cure."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class DeviceProfile(BaseModel):
    """Facts about one device."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["cpu", "cuda", "mps"]
    name: str
    """Model name of the processor or the GPU."""
    cores: int
    """Processor cores this process may use: its affinity and its control group, whichever is less."""
    threads: int
    """Threads torch uses for one operation."""
    memory_mib: float
    """All memory of the device; on a CPU, that of the machine or the control group, whichever is less."""
    memory_available_mib: float
    torch: str
    cuda: str | None = None
    """CUDA version torch was built with; None unless kind is cuda."""
    matmul_gflops: float
    """Best fp32 matrix product seen, in 1e9 floating-point operations a second."""
    copy_gib_s: float
    """Best copy of a large tensor within the device's memory, in GiB copied a second."""


def measure_device(device: str = "cpu") -> DeviceProfile:
    """Measure a device: "cpu", "cuda", "cuda:1" or "mps". Takes about 0.3 s.

    Raises:
        DeviceError: torch knows no such device, or this machine has none.
    """
    import torch

    target = resolve(device)
    size = 512 if target.type == "cpu" else 4096
    a, b = (torch.randn(size, size, device=target) for _ in range(2))
    product = _best(lambda: torch.mm(a, b), target)
    source = torch.zeros((128 if target.type == "cpu" else 1024) * MIB // 4, device=target)
    goal = torch.empty_like(source)
    copied = _best(lambda: goal.copy_(source), target)
    total, available = _memory(target)
    return DeviceProfile(
        kind=target.type,
        name=_name(target),
        cores=available_cores(),
        threads=torch.get_num_threads(),
        memory_mib=round(total / MIB, 1),
        memory_available_mib=round(available / MIB, 1),
        torch=torch.__version__,
        cuda=torch.version.cuda if target.type == "cuda" else None,
        matmul_gflops=round(2 * size**3 / product / 1e9, 2),
        copy_gib_s=round(source.numel() * 4 / copied / GIB, 3),
    )


def resolve(device: str) -> "torch.device":
    """Return the torch device of that name if this machine has it.

    Raises:
        DeviceError: torch knows no such device, or this machine has none.
    """
    import torch

    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"no device is called {device!r}.", "Use cpu, cuda, cuda:0 or mps.") from error
    if target.type == "cuda":
        count = torch.cuda.device_count()
        if count == 0:
            raise DeviceError(
                f"device {device!r} was asked for, but torch sees no CUDA GPU.",
                "Use --device cpu, or install a CUDA build of torch and check that nvidia-smi lists a GPU.",
            )
        if (target.index or 0) >= count:
            raise DeviceError(f"device {device!r} was asked for, but torch sees {count} GPU.", "Use --device cuda:0.")
    elif target.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError(
                f"device {device!r} was asked for, but this machine has no Metal GPU.", "Use --device cpu."
            )
    elif target.type != "cpu":
        raise DeviceError(f"device {device!r} is not supported.", "Use cpu, cuda, cuda:0 or mps.")
    return target


def synchronize(target: "torch.device") -> None:
    """Wait until the device has done all queued work; nothing to wait for on a CPU."""
    import torch

    if target.type == "cuda":
        torch.cuda.synchronize(target)
    elif target.type == "mps":
        torch.mps.synchronize()


def available_cores() -> int:
    """Return the cores this process may use, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
        cores = min(cores, math.ceil(int(quota[0]) / int(quota[1])))
    return max(1, cores)


def _best(run: Callable[[], object], target: "torch.device") -> float:
    """Return the least seconds of one call, after one to warm up, within the time for a measurement."""
    run()
    synchronize(target)
    best, end = math.inf, time.perf_counter() + SECONDS
    while best == math.inf or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        synchronize(target)
        best = min(best, time.perf_counter() - start)
    return best


def _name(target: "torch.device") -> str:
    import torch

    if target.type == "cuda":
        return str(torch.cuda.get_device_name(target))
    names = [
        line.partition(":")[2].strip() for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def _memory(target: "torch.device") -> tuple[float, float]:
    """Return total and available bytes."""
    import torch

    if target.type == "cuda":
        seen = torch.cuda.mem_get_info(target)
        return float(seen[1]), float(seen[0])
    lines = (line.split() for line in _read("/proc/meminfo").splitlines())
    info = {words[0]: float(words[1]) * 1024 for words in lines if len(words) > 1}
    total: float = info.get("MemTotal:") or float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    free: float = info.get("MemAvailable:", total)
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        total, free = min(total, float(limit)), min(free, max(0.0, float(limit) - float(used)))
    return total, free


def _read(path: str) -> str:
    """Return the text of a system file, empty where this system has none."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
