"""Two one-way mixers, one reading from each end, joined at every step.

    y_t = W_o [forward(x_1 .. x_t) ; backward(x_L .. x_t)] + b_o

BI1 (D2): a bidirectional layer doubles the work and is two one-way models joined. Each direction is a causal mixer of
full width D, so the work is twice that of one and a product 2 D -> D; neither half sees the other, only the product
and the layers above combine them. The first answer needs the whole sequence, so it cannot stream.

Ragged rows are turned round within their own lengths and run padded. On CPU `pack_padded_sequence` leaves the fast
kernels: training a packed `nn.LSTM(bidirectional=True)` takes 6 times as long at 256 steps, 23 times at 1024 (width 64,
8192 tokens, rows of half to full length, one thread).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.layout import Layer
from hybrids.mixer import Mixer, MixerConfig, State, reads_whole
from hybrids.scan import flip_valid
from hybrids.shapes import Lengths, Token, Tokens


class Bidirectional(Mixer):
    """Mix tokens with a causal mixer run in both directions.

    Args:
        width: D, channels in and out.
        of: Settings of the causal mixer; each direction has weights of its own.

    Raises:
        ConfigError: the mixer is not causal.

    Example:
        >>> mixer = Bidirectional(4, mixers.config("lstm")())
        >>> y, _ = mixer(torch.zeros(2, 10, 4), lengths=torch.tensor([10, 3]))
    """

    def __init__(self, width: int, of: MixerConfig) -> None:
        super().__init__()
        self.onward, self.back = of.build(width), of.build(width)
        if not self.onward.causal:
            raise ConfigError(
                f"{type(self.onward).__name__} sees both sides already. Run a causal mixer in two directions."
            )
        self.width, self.causal, self.exports_any_length = width, False, self.onward.exports_any_length
        self.out = nn.Linear(2 * width, width)
        reads_whole(self)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix whole sequences; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state."""
        self.check_width(x)
        if state:
            raise ConfigError("a bidirectional mixer takes no state. Pass the whole sequence at once.")
        after, _ = self.back(flip_valid(x, lengths), None, lengths)
        before, _ = self.onward(x, None, lengths)
        return self.out(torch.cat([before, flip_valid(after, lengths)], -1)), ()

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Raise `ConfigError`: the backward half starts at the end."""
        raise ConfigError(
            "a bidirectional mixer needs the whole sequence and cannot step. Set the layer to the mixer inside it, "
            "or to 'lc_bilstm', to stream."
        )

    def initial_state(self, batch: int) -> State:
        """Return nothing."""
        return ()

    def state_bytes(self, length: int) -> int:
        """Return 0."""
        return 0

    def flops(self, length: int) -> int:
        """Return the operations of both directions and of the product that joins them."""
        return 2 * self.onward.flops(length) + 4 * length * self.width**2


class BidirectionalConfig(MixerConfig):
    """Settings of `Bidirectional`."""

    source: ClassVar[str] = "Schuster & Paliwal 1997, doi:10.1109/78.650093"
    kind: Literal["bidirectional"] = "bidirectional"
    of: Layer = Field(default_factory=mixers.config("lstm"))
    """The causal mixer that reads from each end."""

    def build(self, width: int) -> Bidirectional:
        """Return the mixer `of` in two directions, each of width D."""
        return Bidirectional(width, self.of)
