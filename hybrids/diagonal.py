"""Diagonal linear recurrence, and the mixer around it: every channel keeps a share of what it holds and adds an input.

    h_t = a_t * h_{t-1} + b_t

`linear_scan` computes it in linear space with about 5 sqrt(L) small kernels (Blelloch 1990, "Prefix sums and their
applications", in two levels): the sequence is cut into blocks of about sqrt(L) steps; all blocks at once find what they
add and what they keep, a short loop carries the state from block to block, and all blocks at once replay the recurrence
from the state they start with. Every number is a result of the recurrence itself, so nothing is divided by a vanishing
product of decays, as happens in logarithmic space. `linear_scan_reference` is the same, one step at a time.

Cost: O(L D) work in three passes over the data; the backward pass is the same scan from the other end, and keeps decay
and h only.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from hybrids.convolution import causal_conv, fresh_taps
from hybrids.mixer import Mixer, State, valid_steps
from hybrids.scan import accumulator, delayed, full_precision
from hybrids.shapes import Lengths, Token, Tokens

SEQUENTIAL = 64
"""Up to this many steps a plain loop is used.

Milliseconds of one pass, 8192 tokens, D = 64, 1 thread:

    L              16     64    256   1024   8192
    plain loop    0.2    0.3    1.1    4.1     29
    two levels    1.6    0.4    0.5    0.7    1.2
    doubling      7.7    9.6     16     23     24
"""

LEVELS = 16
"""Doublings in an exported graph whose length is free: exact up to 2^LEVELS = 65536 steps."""

SHORTEST_MEMORY, LONGEST_MEMORY = 10.0, 1000.0


def linear_scan(decay: Tokens, drive: Tokens, start: Token) -> Tokens:
    """Return every h_t, in float32 at least.

    A step with decay 1 and drive 0 leaves h as it is; that is how padding is passed over. There is no second
    derivative. Under `torch.export` the scan is a doubling without a loop over the length: log2(L) levels if the length
    is fixed, `LEVELS` if it is free: then each output forgets what lies 2^LEVELS steps back or further.

    Args:
        decay: a_t, the share that is kept.
        drive: b_t, what is added.
        start: h before the first step.
    """
    dtype = accumulator(drive.dtype)
    with full_precision(drive.device):
        decay, drive, start = decay.to(dtype), drive.to(dtype), start.to(dtype)
        if torch.compiler.is_exporting():
            return _doubling(decay, drive, start)
        h: Tensor = _Scan.apply(decay, drive, start)  # type: ignore[no-untyped-call]
        return h


def linear_scan_reference(decay: Tokens, drive: Tokens, start: Token) -> Tokens:
    """Compute the same as `linear_scan`, one step at a time; the truth the tests compare with."""
    steps = [start]
    for a, b in zip(decay.unbind(1), drive.unbind(1), strict=True):
        steps.append(a * steps[-1] + b)
    return torch.stack(steps[1:], 1)


class _Scan(torch.autograd.Function):
    """The scan and its derivative: g_t = dy_t + a_{t+1} g_{t+1}, db = g, da_t = g_t h_{t-1}, dstart = a_1 g_1."""

    @staticmethod
    def forward(ctx: FunctionCtx, decay: Tensor, drive: Tensor, start: Tensor) -> Tensor:
        h = torch.empty_like(drive)
        _blocked(decay, drive, start, h, backwards=False)
        ctx.save_for_backward(decay, h, start)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, h, start = ctx.saved_tensors  # type: ignore[attr-defined]
        g = torch.empty_like(h)
        g[:, -1] = grad[:, -1]
        _blocked(decay[:, 1:], grad[:, :-1], grad[:, -1], g[:, :-1], backwards=True)
        grad_decay = torch.empty_like(h)
        torch.mul(g[:, 1:], h[:, :-1], out=grad_decay[:, 1:])
        torch.mul(g[:, 0], start, out=grad_decay[:, 0])
        return grad_decay, g, g[:, 0] * decay[:, 0]


def _blocked(decay: Tensor, drive: Tensor, start: Tensor, out: Tensor, *, backwards: bool) -> None:
    """Write every h_t to `out`; backwards, the last step is the first one. No step at all is fine."""
    length = drive.shape[1]
    span = math.isqrt(length)
    if length <= SEQUENTIAL:
        _replay(decay, drive, start, out, backwards=backwards)
        return
    rest = length % span
    blocks = slice(rest, length) if backwards else slice(0, length - rest)
    a, b, h = (t[:, blocks].view(t.shape[0], length // span, span, t.shape[2]) for t in (decay, drive, out))
    entering = _entering(a, b, start, backwards=backwards)
    _replay(a, b, entering, h, backwards=backwards)
    if rest:
        after = slice(0, rest) if backwards else slice(length - rest, length)
        reached = out[:, rest] if backwards else out[:, length - rest - 1]
        _replay(decay[:, after], drive[:, after], reached, out[:, after], backwards=backwards)


def _entering(decay: Tensor, drive: Tensor, start: Tensor, *, backwards: bool) -> Tensor:
    """Return the state (B, blocks, D) that each block (B, blocks, span, D) starts with."""
    kept = decay.prod(2)
    steps = _ordered(2, backwards, decay, drive)
    added = torch.empty_like(kept).copy_(steps[0][1])
    for a, b in steps[1:]:
        torch.addcmul(b, a, added, out=added)
    entering = torch.empty_like(added)
    state = start
    for a, b, before in _ordered(1, backwards, kept, added, entering):
        before.copy_(state)
        state = torch.addcmul(b, a, state)
    return entering


def _replay(decay: Tensor, drive: Tensor, state: Tensor, out: Tensor, *, backwards: bool) -> None:
    """Run the recurrence along the axis before the last, one step at a time."""
    for a, b, h in _ordered(-2, backwards, decay, drive, out):
        state = torch.addcmul(b, a, state, out=h)


def _ordered(axis: int, backwards: bool, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the slices of `tensors` along `axis`, the last one first if `backwards`."""
    slices = list(zip(*(t.unbind(axis) for t in tensors), strict=True))
    return slices[::-1] if backwards else slices


def _doubling(decay: Tensor, drive: Tensor, start: Tensor) -> Tensor:
    """Compute the scan by adding, level after level, what lies 1, 2, 4, ... steps back (Hillis & Steele 1986)."""
    length = drive.shape[1]
    levels = (length - 1).bit_length() if isinstance(length, int) else LEVELS
    h, kept = drive, decay
    for back in (2**k for k in range(levels)):
        h = torch.addcmul(h, kept, delayed(h, back))
        kept = kept * delayed(kept, back, first=1.0)
    return torch.addcmul(h, kept, start[:, None])


class DiagonalMixer(Mixer, ABC):
    """Mix tokens with a diagonal recurrence whose decay and drive depend on the present token only.

        u_t = short causal convolution of x        a_t, b_t = gates(W u_t + c)        y_t = W_o h_t

    The subclass says what the gates are.

    Args:
        width: D, channels in and out.
        inner: E, numbers in the hidden state.
        parts: Projected numbers per hidden number.
        kernel: Taps of the short convolution, started as in `nn.Conv1d`; 1 leaves it out.
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("project.bias",)

    def __init__(self, width: int, inner: int, parts: int, kernel: int) -> None:
        super().__init__()
        self.width, self.inner, self.kernel = width, inner, kernel
        self.taps = nn.Parameter(fresh_taps(width, kernel)) if kernel > 1 else None
        self.project = nn.Linear(width, parts * inner)
        self.out = nn.Linear(inner, width)
        nn.init.zeros_(self.project.bias)

    @abstractmethod
    def gates(self, projected: Float[Tensor, "*B E_parts"]) -> tuple[Float[Tensor, "*B E"], Float[Tensor, "*B E"]]:
        """Return decay and drive; `projected` is in float32 at least."""

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk in linear time; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        start, *tail = self.initial_state(x.shape[0]) if state is None else state
        if not self.needs_state:
            lengths = None  # right padding comes after every valid output and can only change the state
        decay, drive, tail = self._drive(x, tail, lengths)
        if lengths is not None:
            padding = ~valid_steps(x, lengths)[..., None]
            decay, drive = decay.masked_fill(padding, 1), drive.masked_fill(padding, 0)
        h = linear_scan(decay, drive, start)
        return self.out(h.to(x.dtype)), (h[:, -1].clone(), *tail)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        start, *tail = state
        decay, drive, tail = self._drive(x_t[:, None], tail, None)
        h = decay[:, 0] * start.to(decay.dtype) + drive[:, 0]
        return self.out(h.to(x_t.dtype)), (h, *tail)

    def _drive(self, x: Tokens, tail: list[Tensor], lengths: Lengths | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return decay, drive and the next tail of the convolution."""
        if self.taps is not None:
            x, reached = causal_conv(x, self.taps, tail[0], lengths)
            tail = [reached.to(accumulator(reached.dtype))]
        projected = self.project(x)
        return *self.gates(projected.to(accumulator(projected.dtype))), tail

    def initial_state(self, batch: int) -> State:
        """Return h_0 = 0 (B, E) and, if there is a convolution, a tail of zeros (B, kernel - 1, D)."""
        weight = self.out.weight
        dtype = accumulator(weight.dtype)
        h = weight.new_zeros(batch, self.inner, dtype=dtype)
        return (h,) if self.taps is None else (h, weight.new_zeros(batch, self.kernel - 1, self.width, dtype=dtype))

    def state_bytes(self, length: int) -> int:
        """Return the bytes of h and tail, whatever the length."""
        return sum(t.element_size() * t.numel() for t in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the projections and the convolution."""
        taps = 0 if self.taps is None else self.taps.numel()
        return 2 * length * (self.project.weight.numel() + self.out.weight.numel() + taps)


def spread_logits(count: int) -> Float[Tensor, " E"]:
    """Return logits of decays whose memory times 1 / (1 - a) lie evenly in logarithms, a in 0.9 to 0.999.

    The range is that of De et al. 2024, arXiv:2402.19427.
    """
    memory = torch.logspace(math.log10(SHORTEST_MEMORY), math.log10(LONGEST_MEMORY), count)
    return torch.log(memory - 1)
