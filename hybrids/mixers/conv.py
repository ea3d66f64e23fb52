"""Convolution at several scales: channels share out kernels of different size, then mix.

    u = W_i x          c = depthwise convolution of u, one kernel size a third of the channels
    y = W_o silu(c + b)

The kernel sizes are K, K/2 and K/4, as in InceptionTime (39, 19, 9). The centred form sees both sides; the causal form
looks back only and streams with the last (K - 1) * dilation inputs. Linear in L; sees no further than that.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from hybrids.convolution import convolve, fresh_taps, next_tail
from hybrids.errors import ConfigError
from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.scan import accumulator
from hybrids.shapes import Lengths, Token, Tokens


class Conv(Mixer):
    """Mix tokens with depthwise convolutions between two channel projections.

    Args:
        width: D, channels in and out.
        kernel: K, taps of the longest kernel.
        dilation: Steps between two taps.
        scales: Kernel sizes in use: K, then half as long each time.
        causal: Look at the present and the past only; can stream.

    Raises:
        ConfigError: more scales than channels.

    Example:
        >>> mixer = Conv(width=4, kernel=9, causal=True)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, kernel: int, dilation: int = 1, scales: int = 3, causal: bool = False) -> None:
        super().__init__()
        if scales > width:
            raise ConfigError(f"{scales} kernel sizes cannot share width {width}. Use at most {width} scales.")
        self.width, self.kernel, self.dilation, self.causal = width, kernel, dilation, causal
        self.reach = (kernel - 1) * dilation
        self.project = nn.Linear(width, width)
        sizes = [max(1, kernel >> s) for s in range(scales)]
        shares = [width // scales + (s < width % scales) for s in range(scales)]
        self.taps = nn.ParameterList(fresh_taps(share, size) for share, size in zip(shares, sizes, strict=True))
        self.bias = nn.Parameter(torch.zeros(width))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state it cannot use."""
        self.check_width(x)
        u = self.project(x)
        u = u.to(torch.promote_types(u.dtype, self.bias.dtype))
        if self.causal:
            (tail,) = self.initial_state(x.shape[0]) if state is None else state
            seen = torch.cat([tail.to(u.dtype), u], 1)
            return self._mix(self._convolve(seen)), (next_tail(seen, tail, lengths),)
        if state:
            raise ConfigError("a centred convolution takes no state. Set causal=True to work in chunks.")
        if lengths is not None:
            u = u.masked_fill(~valid_steps(x, lengths)[..., None], 0)
        return self._mix(self._convolve(u)), ()

    def _convolve(self, seen: Tokens) -> Tokens:
        """Return what each scale makes of its share of the channels.

        If causal, `seen` begins with the tail, and short kernels end where the long ones do, so that the last tap meets
        the present step; else they sit in the middle of them.
        """
        parts = []
        for part, taps in zip(torch.split(seen, [len(taps) for taps in self.taps], -1), self.taps, strict=True):
            room = self.kernel - taps.shape[1]
            if self.causal:
                met = part[:, room * self.dilation :]
            else:
                after = self.reach // 2 - room // 2 * self.dilation
                met = F.pad(part, (0, 0, (taps.shape[1] - 1) * self.dilation - after, after))
            parts.append(convolve(met, taps.to(met.dtype), self.dilation))
        return torch.cat(parts, -1)

    def _mix(self, c: Tensor) -> Tensor:
        projected: Tensor = self.out(F.silu(c + self.bias))
        return projected

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; raise `ConfigError` if not causal."""
        if not self.causal:
            raise ConfigError("a centred convolution sees the future and cannot step. Set causal=True to stream.")
        y, state = self.forward(x_t[:, None], state)
        return y[:, 0], state

    def initial_state(self, batch: int) -> State:
        """Return a tail of zeros (B, (K - 1) * dilation, D), float32 at least; nothing if not causal."""
        dtype = accumulator(self.bias.dtype)
        return (self.bias.new_zeros(batch, self.reach, self.width, dtype=dtype),) if self.causal else ()

    def state_bytes(self, length: int) -> int:
        """Return the bytes of the tail, whatever the length; 0 if not causal."""
        return sum(t.element_size() * t.numel() for t in self.initial_state(1))

    def flops(self, length: int) -> int:
        """Return the operations of the projections and of the convolution, every kernel at its own size."""
        convolution: int = sum(taps.numel() for taps in self.taps)
        return 2 * length * (2 * self.width**2 + convolution)


class ConvConfig(MixerConfig):
    """Settings of `Conv`."""

    source: ClassVar[str] = "Bai et al. 2018, arXiv:1803.01271; Ismail Fawaz et al. 2020, arXiv:1909.04939"
    kind: Literal["conv"] = "conv"
    kernel: Annotated[int, Field(ge=3, le=63), Tune(log=True)] = 39
    """K, taps of the longest kernel."""
    dilation: Annotated[int, Field(ge=1, le=64), Tune(log=True)] = 1
    """Steps between two taps."""
    scales: Annotated[int, Field(ge=1, le=3)] = 3
    """Kernel sizes in use: K, K/2, K/4."""
    causal: bool = False
    """Look back only; needed to stream."""

    def build(self, width: int) -> Conv:
        """Return a convolution mixer; narrower than `scales` it uses as many scales as channels."""
        return Conv(width, self.kernel, self.dilation, min(self.scales, width), self.causal)
