"""Minimal GRU: a recurrence whose gate sees only the present input.

    z_t = sigmoid(W_z u_t + b_z)                 share of the new value
    h_t = (1 - z_t) * h_{t-1} + z_t * (W_v u_t + b_v)
    y_t = W_o h_t                                u: x after a short causal convolution

Because z_t does not read h_{t-1} the recurrence is linear in h and trains in parallel, in linear space: values may have
either sign. O(L D E) work, about 5 sqrt(L) small kernels; O(D E) per step; a state of E numbers. The decays are
positive, so it cannot track parity (Grazzi et al. 2024, arXiv:2411.12537), and it keeps no exact copy of an old token:
pair it with attention where the task needs recall.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from hybrids.diagonal import DiagonalMixer, spread_logits
from hybrids.mixer import MixerConfig, Tune


class MinGRU(DiagonalMixer):
    """Mix tokens with a minimal GRU.

    At the start the hidden numbers remember over 10 to 1000 steps, evenly in logarithms.

    Args:
        width: D, channels in and out.
        inner: E, numbers in the hidden state.
        kernel: Taps of the short convolution; 1 leaves it out.

    Example:
        >>> mixer = MinGRU(width=4, inner=8, kernel=4)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, inner: int, kernel: int) -> None:
        super().__init__(width, inner, parts=2, kernel=kernel)
        self.project.bias.data[:inner] = -spread_logits(inner)

    def gates(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 - z and z * value."""
        gate, value = projected.chunk(2, -1)
        z = torch.sigmoid(gate)
        return 1 - z, z * value


class MinGRUConfig(MixerConfig):
    """Settings of `MinGRU`."""

    source: ClassVar[str] = "Feng et al. 2024, arXiv:2410.01201"
    kind: Literal["mingru"] = "mingru"
    expansion: Annotated[int, Field(ge=1, le=4), Tune()] = 1
    """E / D, hidden numbers per channel."""
    kernel: Annotated[int, Field(ge=1, le=8)] = 4
    """Taps of the short convolution; 1 leaves it out."""

    def build(self, width: int) -> MinGRU:
        """Return a minimal GRU with E = expansion * D."""
        return MinGRU(width, self.expansion * width, self.kernel)
