"""The gated delta rule: a matrix memory that fades, and corrects what it holds for a key before it writes.

    u_t = b_t (v_t - a_t S_{t-1}^T k_t)        what is missing; b_t in (0, 1), or (0, 2) for negative eigenvalues
    S_t = a_t S_{t-1} + k_t u_t^T              a_t = exp(log_decay_t)
    y_t = S_t^T q_t

In a chunk the corrections u depend on each other through a unit lower triangular matrix (Yang et al. 2024,
arXiv:2406.06484 and 2412.06464). `delta_rule` solves that system for all chunks at once; a loop carries S only.
`delta_rule_reference` is the same, one step at a time. Keys must have norm 1 or less: longer ones make S grow.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from hybrids import backends
from hybrids.scan import (
    CHUNK,
    HeadSteps,
    Memory,
    Values,
    accumulator,
    cut,
    decay_between,
    exact,
    full_precision,
    loop_in_graph,
    pad_end,
)

HeadKeys = Float[Tensor, "B L H N"]
Squares = Float[Tensor, "*rest Q Q"]


def delta_rule(
    query: HeadKeys,
    key: HeadKeys,
    value: Values,
    log_decay: HeadSteps,
    strength: HeadSteps,
    start: Memory,
    *,
    chunk: int = CHUNK,
) -> tuple[Values, Memory]:
    """Return every y_t and the last S, in float32 at least.

    A step with strength 0 and log_decay 0 leaves S as it is; that is how padding is passed over.

    Args:
        query: What S is read with.
        key: Where values are written; of norm 1.
        value: What S is to hold for the key.
        log_decay: Logarithm of the share of S that is kept, at most 0.
        strength: b_t, the share of the error that is corrected.
        start: S before the first step.
        chunk: Steps per chunk. Any is exact.
    """
    done = backends.run("delta_rule", query, key, value, (log_decay, strength), start)
    if done is not None:
        return done
    dtype = accumulator(value.dtype)
    with full_precision(value.device):
        return _chunked(*(t.to(dtype) for t in (query, key, value, log_decay, strength, start)), chunk=chunk)


def _chunked(
    query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, strength: Tensor, start: Tensor, *, chunk: int
) -> tuple[Tensor, Tensor]:
    """Compute `delta_rule`; inside, axes are batch, chunk, head, step, feature."""
    batch, length, heads, depth = value.shape
    count, span = cut(length, chunk)

    def chunked(x: Tensor) -> Tensor:
        x = pad_end(x, count * span - length)
        return x.reshape(batch, count, span, *x.shape[2:]).transpose(2, 3)

    q, k, v, b = (chunked(t) for t in (query, key, value, strength[..., None]))
    decayed = chunked(exact(log_decay)).cumsum(-1)
    between = decay_between(decayed, value.dtype)
    kept = decayed.to(value.dtype).exp()[..., None]
    to_end = (decayed[..., -1:] - decayed).to(value.dtype).exp()[..., None]

    exporting = torch.compiler.is_exporting()
    solve, carry = (_solve_by_products, _carry_by_scan) if exporting else (_solve, _carry_by_loop)
    corrections = (b * (k @ k.mT) * between).tril(-1)
    solved = solve(corrections, torch.cat([b * v, b * kept * k], -1))
    fresh, seen = solved[..., :depth], solved[..., depth:]
    key_to_end = (k * to_end).mT
    turn = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device) * kept[..., -1:, :] - key_to_end @ seen
    entering, last = carry(start, turn, key_to_end @ fresh)
    y = (q * kept) @ entering + ((q @ k.mT) * between) @ (fresh - seen @ entering)
    return y.transpose(2, 3).reshape(batch, count * span, heads, depth)[:, :length], last


def _solve(lower: Squares, right: Tensor) -> Tensor:
    """Solve (I + lower) x = right; for a wide right side by the inverse, since products are faster than solving."""
    solve = partial(torch.linalg.solve_triangular, upper=False, unitriangular=True)
    if right.shape[-1] <= lower.shape[-1]:
        solved: Tensor = solve(lower, right)
        return solved
    inverse: Tensor = solve(lower, torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device).expand_as(lower))
    return inverse @ right


def _solve_by_products(lower: Squares, right: Tensor) -> Tensor:
    """Compute the same as `_solve` from matrix products only, for formats without a solver.

    The inverse of [[A, 0], [C, B]] is [[A', 0], [-B'CA', B']]: blocks grow from 1 to Q. Every intermediate number is
    part of an inverse; the shorter sum of powers of `lower` would cancel numbers of 1e8 where keys repeat.
    """
    span = lower.shape[-1]
    row = torch.arange(span, device=lower.device)[:, None]
    inverse = torch.eye(span, dtype=lower.dtype, device=lower.device).expand_as(lower)
    size = 1
    while size < span:
        joins = (row // (2 * size) == row.mT // (2 * size)) & (row // size > row.mT // size)
        inverse = inverse - inverse @ (lower * joins) @ inverse
        size *= 2
    return inverse @ right


def _carry_by_loop(memory: Tensor, turn: Tensor, written: Tensor) -> tuple[Tensor, Tensor]:
    """Return S before each chunk and S at the end, where a chunk makes `turn` S + `written` of S."""
    entering = []
    for matrix, write in zip(turn.unbind(1), written.unbind(1), strict=True):
        entering.append(memory)
        memory = matrix @ memory + write
    return torch.stack(entering, 1), memory


def _carry_by_scan(memory: Tensor, turn: Tensor, written: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the same as `_carry_by_loop` in a graph of any length, which passes no gradient back."""

    def join(memory: Tensor, chunk: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return chunk[0] @ memory + chunk[1], memory.clone()

    last, entering = loop_in_graph(join, memory, (turn, written))
    return entering, last


def delta_step(
    query: Float[Tensor, "B H N"],
    key: Float[Tensor, "B H N"],
    value: Float[Tensor, "B H P"],
    log_decay: Float[Tensor, "B H"],
    strength: Float[Tensor, "B H"],
    start: Memory,
) -> tuple[Float[Tensor, "B H P"], Memory]:
    """Return y_t and S_t of one step of the recurrence; arguments as in `delta_rule`."""
    dtype = accumulator(value.dtype)
    with full_precision(value.device):
        q, k, v, g, b, memory = (t.to(dtype) for t in (query, key, value, log_decay, strength, start))
        memory = memory * g.exp()[..., None, None]
        missing = b[..., None] * (v - (k[..., None, :] @ memory)[..., 0, :])
        memory = memory + k[..., None] * missing[..., None, :]
        return (q[..., None, :] @ memory)[..., 0, :], memory


def delta_rule_reference(
    query: HeadKeys, key: HeadKeys, value: Values, log_decay: HeadSteps, strength: HeadSteps, start: Memory
) -> tuple[Values, Memory]:
    """Compute the same as `delta_rule`, one step at a time; the truth the tests compare with."""
    steps, memory = [], start
    for t in range(value.shape[1]):
        y, memory = delta_step(query[:, t], key[:, t], value[:, t], log_decay[:, t], strength[:, t], memory)
        steps.append(y)
    return torch.stack(steps, dim=1), memory
