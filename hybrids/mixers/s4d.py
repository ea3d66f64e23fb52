"""Diagonal state space model (S4D): every channel drives N damped oscillators and reads them out.

    s_t = exp(dt A) s_{t-1} + u_t                    A complex, diagonal, Re A < 0: N numbers per channel
    v_t = 2 Re(C' s_t) + d u_t                       C' = C (exp(dt A) - 1) / A: zero-order hold
    y_t = a * sigmoid(b),  (a, b) = W GELU(v_t)

A, dt and C do not depend on the token, so the way from u to v is one convolution per channel, with the kernel
K_j = 2 Re(C' exp(j dt A)). `oscillate` computes it in chunks of Q steps: inside a chunk a product with the lower
Toeplitz matrix of K, between chunks the states. O(L D (Q + N)) work, linear in L, where the convolution by Fourier
transform needs K, and so N L D numbers, at full length. O(N D) per step; a state of 2 N D numbers.

It forgets by time only: what a token says does not decide how long it is kept. Complex numbers are pairs of real ones
throughout. `A_log`, `A_imag`, `log_dt` and `D` must not be decayed by the optimiser (`no_weight_decay`).
"""

import math
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.scan import accumulator, delayed, full_precision, log_step_sizes
from hybrids.shapes import Lengths, Token, Tokens

CHUNK = 64
LEVELS = 10
"""Doublings between chunks in an exported graph whose length is free: exact up to CHUNK * 2^LEVELS = 65536 steps."""

Modes = Float[Tensor, "D 2N"]
"""N real parts, then N imaginary parts; so are the last axes of all tensors with 2 N numbers here."""
Oscillators = Float[Tensor, "B D 2N"]
Chunks = Float[Tensor, "D count B 2N"]


class S4D(Mixer):
    """Mix tokens with a diagonal state space model.

    At the start A_n = -1/2 + i pi n (S4D-Lin) and dt is log-uniform in 0.001 to 0.1. The state of ragged rows costs a
    little more; a model that does not use it sets `needs_state = False`.

    Args:
        width: D, channels in and out.
        states: N, oscillators per channel; each stands for itself and its complex conjugate.

    Example:
        >>> mixer = S4D(width=8, states=4)
        >>> y, state = mixer(torch.zeros(2, 10, 8))
        >>> y_t, state = mixer.step(torch.zeros(2, 8), state)
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ("A_log", "A_imag", "log_dt", "D")

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        self.width, self.states = width, states
        self.A_log = nn.Parameter(torch.full((width, states), math.log(0.5)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(float(states)).repeat(width, 1))
        self.log_dt = nn.Parameter(log_step_sizes(width))
        self.C = nn.Parameter(torch.randn(width, 2 * states) * math.sqrt(0.5))
        self.D = nn.Parameter(torch.randn(width))
        self.out = nn.Linear(width, 2 * width)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk in linear time; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        dtype = accumulator(x.dtype)
        if lengths is not None:
            x = x.masked_fill(~valid_steps(x, lengths)[..., None], 0)
        with full_precision(x.device):
            start = state[0].to(dtype) if state else None
            v, last = oscillate(x.to(dtype), *self._system(dtype), start, lengths if self.needs_state else None)
        return self._read(v.to(x.dtype)), (last,)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step."""
        self.check_width(x_t)
        dtype = accumulator(x_t.dtype)
        with full_precision(x_t.device):
            v, last = oscillate_step(x_t.to(dtype), *self._system(dtype), state[0].to(dtype))
        return self._read(v.to(x_t.dtype)), (last,)

    def _system(self, dtype: torch.dtype) -> tuple[Modes, Modes, Float[Tensor, " D"]]:
        """Return dt A, the weights of the output (2 Re C', -2 Im C') and the direct path."""
        dt = self.log_dt.to(dtype).exp()[:, None]
        a = torch.cat([-self.A_log.to(dtype).exp(), self.A_imag.to(dtype)], -1)
        real, turn = _halves(dt * a)
        less_one = torch.cat(
            [torch.expm1(real) * turn.cos() - 2 * (turn / 2).sin().square(), real.exp() * turn.sin()], -1
        )  # exp(dt A) - 1 without cancellation where dt A is small
        real, turn = _halves(a)
        held = _product(less_one, _conjugate(a)) / (real.square() + turn.square()).repeat(1, 2)
        return dt * a, 2 * _conjugate(_product(self.C.to(dtype), held)), self.D.to(dtype)

    def _read(self, v: Tensor) -> Tensor:
        """Return the gated projection."""
        return F.glu(self.out(F.gelu(v)), -1)

    def initial_state(self, batch: int) -> State:
        """Return oscillators at rest (B, D, 2 N), float32 at least."""
        return (self.C.new_zeros(batch, *self.C.shape, dtype=accumulator(self.C.dtype)),)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of 2 N D numbers, whatever the length."""
        return sum(t.element_size() * t.numel() for t in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the chunks and of the projection."""
        return 2 * length * self.width * (min(CHUNK, length) + 4 * self.states + 2 * self.width)


class S4DConfig(MixerConfig):
    """Settings of `S4D`."""

    source: ClassVar[str] = "Gu et al. 2022, arXiv:2206.11893"
    kind: Literal["s4d"] = "s4d"
    states: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 32
    """N, oscillators per channel."""

    def build(self, width: int) -> S4D:
        """Return a diagonal state space model."""
        return S4D(width, self.states)


def oscillate(
    u: Tokens,
    rate: Modes,
    read: Modes,
    direct: Float[Tensor, " D"],
    start: Oscillators | None = None,
    lengths: Lengths | None = None,
) -> tuple[Tokens, Oscillators]:
    """Return v_t = read . s_t + direct * u_t, where s_t = exp(rate) s_{t-1} + u_t, and the last s of every row.

    Under `torch.export` no loop depends on the length; if it is free, each output forgets what lies CHUNK * 2^LEVELS
    steps back or further.

    Args:
        u: What is added to the real part of every oscillator.
        rate: Logarithm of the factor of one step, dt A.
        read: Weights of the real and the imaginary parts in the output.
        direct: Weight of the present input in the output.
        start: s before the first step; None: at rest.
        lengths: Valid steps of each row; the s returned is the one after them. None: every step is valid.
    """
    batch, length, width = u.shape
    count, span = _layout(length)
    powers = _powers(rate, span)
    response = _product(read[:, None], _conjugate(powers))
    kernel = _halves(response)[0][:, :span].sum(-1)
    kernel = torch.cat([kernel[:, :1] + direct[:, None], kernel[:, 1:]], 1)
    write = powers[:, :span].flip(1)

    padded = u if isinstance(length, int) and count * span == length else _extended(u, count * span)
    columns = padded.reshape(batch, count, span, width).permute(3, 1, 0, 2).contiguous().flatten(1, 2)
    v = torch.bmm(columns, _toeplitz(kernel))
    entering = None if start is None else start.transpose(0, 1)[:, None]
    if count > 1:
        written = torch.bmm(columns, write).reshape(width, count, batch, -1)
        first = u.new_zeros(width, batch, rate.shape[1]) if start is None else start.transpose(0, 1)
        entering = _entering(written, powers[:, span, None], first)
    if entering is not None:
        v = torch.baddbmm(v, entering.flatten(1, 2), response[:, 1:].mT)
    v = v.reshape(width, count, batch, span).permute(2, 1, 3, 0).reshape(batch, count * span, width)[:, :length]

    if lengths is None and isinstance(length, int):
        rest = length - (count - 1) * span
        last = torch.bmm(columns[:, (count - 1) * batch :, :rest], write[:, span - rest :])
        if entering is not None:
            last = last + _product(entering[:, -1], powers[:, rest, None])
        return v, last.transpose(0, 1)
    ends = torch.full((batch,), length, device=u.device) if lengths is None else lengths
    return v, _state_at(ends, u, entering, write, powers)


def _state_at(
    ends: Lengths, u: Tokens, entering: Chunks | None, write: Float[Tensor, "D Q 2N"], powers: Tensor
) -> Oscillators:
    """Return s after the first `ends` steps of each row: from the s its chunk starts with and the inputs since."""
    span = write.shape[1]
    chunk = (ends - 1).clamp(min=0) // span
    at = ends[:, None] - span + torch.arange(span, device=u.device)
    since = u.gather(1, at.clamp(min=0)[..., None].expand(-1, -1, u.shape[2]))
    since = since.masked_fill((at < chunk[:, None] * span)[..., None], 0)
    last = torch.bmm(since.permute(2, 0, 1), write)
    if entering is not None:
        rows = torch.arange(u.shape[0], device=u.device)
        last = last + _product(entering[:, chunk, rows], powers[:, ends - chunk * span])
    return last.transpose(0, 1)


def oscillate_step(
    u: Token, rate: Modes, read: Modes, direct: Float[Tensor, " D"], start: Oscillators
) -> tuple[Token, Oscillators]:
    """Return v_t and s_t of one step; arguments as in `oscillate`."""
    real, imag = _halves(_product(start, _powers(rate, 1)[:, 1]))
    s = torch.cat([real + u[..., None], imag], -1)
    return (read * s).sum(-1) + direct * u, s


def oscillate_reference(
    u: Tokens, rate: Modes, read: Modes, direct: Float[Tensor, " D"], start: Oscillators
) -> tuple[Tokens, Oscillators]:
    """Compute the same as `oscillate`, one step at a time; the truth the tests compare with."""
    steps, s = [], start
    for u_t in u.unbind(1):
        v, s = oscillate_step(u_t, rate, read, direct, s)
        steps.append(v)
    return torch.stack(steps, 1), s


def _layout(length: int) -> tuple[int, int]:
    """Return how many chunks of how many steps; if the length is free always two or more, so that no graph fits one."""
    if isinstance(length, int):
        return -(-length // CHUNK), min(CHUNK, length)
    return (length + 2 * CHUNK - 1) // CHUNK, CHUNK


def _extended(u: Tokens, length: int) -> Tokens:
    """Return `u` with zeros behind it, `length` steps in all, fewer than two chunks more."""
    return F.pad(u, (0, 0, 0, 2 * CHUNK)).narrow(1, 0, length)


def _entering(written: Chunks, factor: Float[Tensor, "D 1 2N"], start: Float[Tensor, "D B 2N"]) -> Chunks:
    """Return the s each chunk starts with: e_{c+1} = factor e_c + written_c, from e_0 = start."""
    if not torch.compiler.is_exporting():
        entering: Tensor = _Carry.apply(written, factor, start)  # type: ignore[no-untyped-call]
        return entering
    count = written.shape[1]
    first = (torch.arange(count, device=written.device) == 0)[:, None, None]
    e, factor = torch.where(first, start[:, None], delayed(written, 1)), factor[:, None]
    for back in (2**k for k in range((count - 1).bit_length() if isinstance(count, int) else LEVELS)):
        e = e + _product(delayed(e, back), factor)
        factor = _product(factor, factor)
    return e


class _Carry(torch.autograd.Function):
    """The loop over chunks of `_entering`, and its derivative: the same loop from the other end."""

    @staticmethod
    def forward(ctx: FunctionCtx, written: Tensor, factor: Tensor, start: Tensor) -> Tensor:
        entering = torch.empty_like(written)
        entering[:, 0] = start
        _carry(_steps(entering), _steps(written), factor)
        ctx.save_for_backward(entering, factor)
        return entering

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        entering, factor = ctx.saved_tensors  # type: ignore[attr-defined]
        total = torch.empty_like(entering)
        total[:, -1] = grad[:, -1]
        _carry(_steps(total)[::-1], _steps(grad)[-2::-1], _conjugate(factor))
        grad_factor = _product(total[:, 1:], _conjugate(entering[:, :-1])).sum((1, 2))[:, None]
        return F.pad(total[:, 1:], (0, 0, 0, 0, 0, 1)), grad_factor, total[:, 0]


def _steps(x: Chunks) -> list[tuple[Tensor, Tensor]]:
    """Return real and imaginary parts (D, B, N) of every chunk."""
    real, imag = _halves(x)
    return list(zip(real.unbind(1), imag.unbind(1), strict=True))


def _carry(reached: list[tuple[Tensor, Tensor]], added: list[tuple[Tensor, Tensor]], factor: Tensor) -> None:
    """Write reached_{c+1} = factor reached_c + added_c, from the first one on."""
    real, turn = _halves(factor)
    for (x, y), (add_x, add_y), (to_x, to_y) in zip(reached, added, reached[1:], strict=False):
        torch.addcmul(add_x, real, x, out=to_x).addcmul_(turn, y, value=-1)
        torch.addcmul(add_y, real, y, out=to_y).addcmul_(turn, x)


def _halves(x: Float[Tensor, "*B 2N"]) -> tuple[Float[Tensor, "*B N"], Float[Tensor, "*B N"]]:
    """Return real and imaginary parts."""
    real, imag = x.chunk(2, -1)
    return real, imag


def _conjugate(x: Float[Tensor, "*B 2N"]) -> Float[Tensor, "*B 2N"]:
    """Return `x` with the other sign of the imaginary parts."""
    real, imag = _halves(x)
    return torch.cat([real, -imag], -1)


def _product(x: Float[Tensor, "*B 2N"], y: Float[Tensor, "*B 2N"]) -> Float[Tensor, "*B 2N"]:
    """Return the complex product."""
    (a, b), (c, d) = _halves(x), _halves(y)
    return torch.cat([a * c - b * d, a * d + b * c], -1)


def _powers(rate: Modes, highest: int) -> Float[Tensor, "D highest+1 2N"]:
    """Return exp(j rate) for j = 0 to `highest`."""
    j = torch.arange(highest + 1, device=rate.device, dtype=rate.dtype)[:, None]
    real, turn = _halves(rate[:, None])
    size, turn = torch.exp(j * real), j * turn
    return torch.cat([size * turn.cos(), size * turn.sin()], -1)


def _toeplitz(kernel: Float[Tensor, "D Q"]) -> Float[Tensor, "D Q Q"]:
    """Return the matrices M_ij = kernel_{j-i}, zero where j < i: a row of inputs times M is their convolution."""
    span = kernel.shape[1]
    return F.pad(kernel, (span - 1, 0)).unfold(1, span, 1).flip(1)
