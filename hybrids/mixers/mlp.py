"""Multilayer perceptron on each token alone: no mixing along time, so all mixing is within a patch.

    y = W_o gelu(W_i x + b) + c

With the whole window as one patch, a stack of these is a window MLP with residual blocks, the model that direct
multi-step forecasting is hard to beat with (Das et al. 2023, arXiv:2304.08424; Challu et al. 2022, arXiv:2201.12886).
Linear in L; it has no state.
"""

from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import nn

from hybrids.mixer import Mixer, MixerConfig, State, Tune
from hybrids.shapes import Lengths, Token, Tokens


class MLP(Mixer):
    """Map each token through one hidden layer.

    Args:
        width: D, channels in and out.
        hidden: Channels of the hidden layer.

    Example:
        >>> mixer = MLP(width=4, hidden=8)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Map every token; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        y: Tokens = self.contract(F.gelu(self.expand(x)))
        return y, ()

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Map one token."""
        return self.forward(x_t[:, None])[0][:, 0], ()

    def initial_state(self, batch: int) -> State:
        """Return nothing: a token is mapped alone."""
        return ()

    def state_bytes(self, length: int) -> int:
        """Return 0."""
        return 0

    def flops(self, length: int) -> int:
        """Return the operations of both products."""
        return 2 * length * (self.expand.weight.numel() + self.contract.weight.numel())


class MLPConfig(MixerConfig):
    """Settings of `MLP`."""

    source: ClassVar[str] = "Das et al. 2023, arXiv:2304.08424"
    kind: Literal["mlp"] = "mlp"
    expansion: Annotated[float, Field(ge=0.25, le=8), Tune(log=True)] = 2.0
    """Channels of the hidden layer over the model width."""

    def build(self, width: int) -> MLP:
        """Return a perceptron with one hidden layer."""
        return MLP(width, max(1, round(width * self.expansion)))
