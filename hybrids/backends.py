"""Optional Triton kernels for the linear recurrences on CUDA, from flash-linear-attention (`pip install fla-core`).

A recurrence asks here first, at one place, and computes in PyTorch itself when the answer is None. A kernel is used
only if the package is installed, the tensors are on CUDA, nothing is being exported or compiled, and the kernel is as
exact as the caller asked for: 16-bit numbers, or float32 where TensorFloat-32 is allowed. If a kernel fails in the
forward pass, one warning names the error and PyTorch computes for the rest of the process; in the backward pass the
error is raised. Set the environment variable
HYBRIDS_BACKEND=torch to never use one. Kernels give first derivatives only.

The kernel of mamba_ssm is not offered: it takes one step size for both decay and input, and the recurrence here has the
two apart. `chunk_simple_gla` computes the same state space duality.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SWITCH = "HYBRIDS_BACKEND"
LARGEST_HEAD = 256  # channels; asserted in fla.ops.common.chunk_delta_h
BLOCK = 16  # smallest side of a Triton matrix product: head sizes are padded to multiples


class Kernel(NamedTuple):
    """Where a kernel lives, and the names of its arguments beside q, k and v."""

    module: str
    function: str
    gates: tuple[str, ...]


KERNELS = {
    "decayed_attention": Kernel("fla.ops.simple_gla", "chunk_simple_gla", ("g",)),
    "delta_rule": Kernel("fla.ops.gated_delta_rule", "chunk_gated_delta_rule", ("g", "beta")),
}
_failed: set[str] = set()


def run(
    name: str, query: Tensor, key: Tensor, value: Tensor, gates: Sequence[Tensor], start: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Return the outputs and the last memory as the kernel computes them, or None where PyTorch must.

    Args:
        name: Which recurrence, a key of `KERNELS`.
        query: (B, L, G, N); G divides H.
        key: (B, L, G, N).
        value: (B, L, H, P).
        gates: Log decay, and for the delta rule the strength, each (B, L, H).
        start: Memory before the first step, (B, H, N, P).
    """
    if not on_cuda(value) or not _usable(name, key, value):
        return None
    try:
        return _call(name, query, key, value, gates, start)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        _failed.add(name)
        warnings.warn(
            f"the kernel for {name} failed, PyTorch computes from now on: {type(error).__name__}: {error}. "
            f"Set {SWITCH}=torch to not try it.",
            RuntimeWarning,
            stacklevel=3,
        )
        return None


def on_cuda(x: Tensor) -> bool:
    """Return whether kernels could run where `x` lies."""
    return x.is_cuda


def tf32_allowed() -> bool:
    """Return whether the caller lets CUDA multiply float32 matrices in TensorFloat-32, by the old settings or the new.

    `torch.get_float32_matmul_precision` would raise once the new one has been used.
    """
    return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")


@cache
def installed() -> bool:
    """Return whether flash-linear-attention can be found; nothing is imported yet."""
    return find_spec("fla") is not None


def _usable(name: str, key: Tensor, value: Tensor) -> bool:
    """Return whether this call meets the conditions of the kernels."""
    if torch.compiler.is_exporting() or torch.compiler.is_compiling() or name in _failed:
        return False
    if os.environ.get(SWITCH) == "torch" or not installed():
        return False
    dtype = _precision(value)
    exact = dtype in (torch.bfloat16, torch.float16) or (dtype == torch.float32 and tf32_allowed())
    return exact and value.shape[1] > 0 and max(key.shape[-1], value.shape[-1]) <= LARGEST_HEAD


def _precision(value: Tensor) -> torch.dtype:
    """Return the precision of matrix products here: that of autocast where it is on."""
    device = value.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype


def _call(
    name: str, query: Tensor, key: Tensor, value: Tensor, gates: Sequence[Tensor], start: Tensor
) -> tuple[Tensor, Tensor]:
    """Call the kernel on padded heads, one query and key head for each value head, and cut the padding off."""
    kernel = KERNELS[name]
    function: Callable[..., tuple[Tensor, Tensor]] = getattr(import_module(kernel.module), kernel.function)
    size, depth, shared = key.shape[-1], value.shape[-1], value.shape[2] // key.shape[2]
    dtype, sums = _precision(value), torch.promote_types(value.dtype, torch.float32)
    wider, deeper = -size % BLOCK, -depth % BLOCK
    q, k = (F.pad(t.to(dtype).repeat_interleave(shared, 2), (0, wider)) for t in (query, key))
    y, last = function(
        q,
        k,
        F.pad(value.to(dtype), (0, deeper)),
        **{gate: t.to(sums) for gate, t in zip(kernel.gates, gates, strict=True)},
        scale=1.0,
        initial_state=F.pad(start.to(sums), (0, deeper, 0, wider)),
        output_final_state=True,
    )
    return y[..., :depth].to(sums), last[..., :size, :depth].to(sums)
