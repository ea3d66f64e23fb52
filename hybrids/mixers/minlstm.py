"""Minimal LSTM: a recurrence whose two gates see only the present input and add up to one.

    f_t = sigmoid(W_f u_t + b_f)        i_t = sigmoid(W_i u_t + b_i)
    h_t = (f_t * h_{t-1} + i_t * (W_v u_t + b_v)) / (f_t + i_t)
    y_t = W_o h_t                                u: x after a short causal convolution

Forgetting and writing are judged apart, yet h stays an average of values: f / (f + i) is a decay in (0, 1). It trains
in parallel, in linear space: values may have either sign. O(L D E) work, about 5 sqrt(L) small kernels; O(D E) per
step; a state of E numbers. The decays are positive, so it cannot track parity (Grazzi et al. 2024, arXiv:2411.12537),
and it keeps no exact copy of an old token: pair it with attention where the task needs recall.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from hybrids.diagonal import DiagonalMixer, spread_logits
from hybrids.mixer import MixerConfig, Tune


class MinLSTM(DiagonalMixer):
    """Mix tokens with a minimal LSTM with normalised gates.

    At the start f + i = 1 and the hidden numbers remember over 10 to 1000 steps, evenly in logarithms.

    Args:
        width: D, channels in and out.
        inner: E, numbers in the hidden state.
        kernel: Taps of the short convolution; 1 leaves it out.

    Example:
        >>> mixer = MinLSTM(width=4, inner=8, kernel=4)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, inner: int, kernel: int) -> None:
        super().__init__(width, inner, parts=3, kernel=kernel)
        self.project.bias.data[:inner] = spread_logits(inner)
        self.project.bias.data[inner : 2 * inner] = -spread_logits(inner)

    def gates(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return f / (f + i) and i / (f + i) * value; both shares come from log i - log f, which cannot underflow."""
        forget, write, value = projected.chunk(3, -1)
        share = torch.sigmoid(F.logsigmoid(write) - F.logsigmoid(forget))
        return 1 - share, share * value


class MinLSTMConfig(MixerConfig):
    """Settings of `MinLSTM`."""

    source: ClassVar[str] = "Feng et al. 2024, arXiv:2410.01201"
    kind: Literal["minlstm"] = "minlstm"
    expansion: Annotated[int, Field(ge=1, le=4), Tune()] = 1
    """E / D, hidden numbers per channel."""
    kernel: Annotated[int, Field(ge=1, le=8)] = 4
    """Taps of the short convolution; 1 leaves it out."""

    def build(self, width: int) -> MinLSTM:
        """Return a minimal LSTM with E = expansion * D."""
        return MinLSTM(width, self.expansion * width, self.kernel)
