"""One layer of the stack: norm, mixer, residual; norm, feed-forward, residual (pre-norm)."""

from torch import nn

from hybrids.feedforward import FeedForward
from hybrids.mixer import Mixer, State
from hybrids.shapes import Lengths, Token, Tokens


class Block(nn.Module):
    """A token mixer and, unless `expansion` is 0, a feed-forward part, each on a residual path."""

    def __init__(self, mixer: Mixer, expansion: float, dropout: float) -> None:
        super().__init__()
        self.mixer = mixer
        self.norm = nn.LayerNorm(mixer.width)
        self.dropout = nn.Dropout(dropout)
        self.feedforward = FeedForward(mixer.width, expansion, dropout) if expansion else None
        self.feedforward_norm = nn.LayerNorm(mixer.width) if expansion else None

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Pass a chunk through the layer; see `Mixer.forward`."""
        mixed, state = self.mixer(self.norm(x), state, lengths)
        return self._channels(x + self.dropout(mixed)), state

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Pass one time step through the layer."""
        mixed, state = self.mixer.step(self.norm(x_t), state)
        return self._channels(x_t + self.dropout(mixed)), state

    def _channels(self, x: Tokens) -> Tokens:
        if self.feedforward is None or self.feedforward_norm is None:
            return x
        mixed: Tokens = self.dropout(self.feedforward(self.feedforward_norm(x)))
        return x + mixed

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one sequence of `length` tokens."""
        return self.mixer.flops(length) + (self.feedforward.flops(length) if self.feedforward else 0)
