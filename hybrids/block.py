"""One layer of the stack: a token mixer and a feed-forward part, each on a residual path with a norm.

pre     x + f(norm(x))      the path stays open from bottom to top: trains without warm-up (Xiong et al. 2020,
                            arXiv:2002.04745)
post    norm(x + f(x))      the original Transformer and BERT (arXiv:1706.03762, 1810.04805)
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from hybrids.feedforward import FeedForward, FeedForwardKind
from hybrids.mixer import Mixer, State
from hybrids.shapes import Lengths, Token, Tokens


class BlockStyle(BaseModel):
    """How every block of a stack is put together: data only, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    norm: Literal["pre", "post"] = "pre"
    """Before each part, or after its sum with the residual path."""
    feedforward: FeedForwardKind = "swiglu"
    """Inner width: gelu has width * expansion channels, swiglu two thirds of it, gated."""
    eps: Annotated[float, Field(gt=0, le=1e-2)] = 1e-5
    """Added to the variance in every norm."""


PRE_NORM = BlockStyle()


class Block(nn.Module):
    """A token mixer and, unless `expansion` is 0, a feed-forward part, each on a residual path."""

    def __init__(self, mixer: Mixer, expansion: float, dropout: float, style: BlockStyle = PRE_NORM) -> None:
        super().__init__()
        self.style = style
        self.mixer = mixer
        self.norm = nn.LayerNorm(mixer.width, style.eps)
        self.dropout = nn.Dropout(dropout)
        self.feedforward = FeedForward(mixer.width, expansion, dropout, style.feedforward) if expansion else None
        self.feedforward_norm = nn.LayerNorm(mixer.width, style.eps) if expansion else None

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Pass a chunk through the layer; see `Mixer.forward`."""
        mixed, state = self.mixer(self._entering(x, self.norm), state, lengths)
        return self._channels(self._leaving(x, mixed, self.norm)), state

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Pass one time step through the layer."""
        mixed, state = self.mixer.step(self._entering(x_t, self.norm), state)
        return self._channels(self._leaving(x_t, mixed, self.norm)), state

    def _channels(self, x: Tokens) -> Tokens:
        if self.feedforward is None or self.feedforward_norm is None:
            return x
        mixed = self.feedforward(self._entering(x, self.feedforward_norm))
        return self._leaving(x, mixed, self.feedforward_norm)

    def _entering(self, x: Tokens, norm: nn.LayerNorm) -> Tokens:
        """Return what a part reads."""
        return norm(x) if self.style.norm == "pre" else x

    def _leaving(self, x: Tokens, mixed: Tokens, norm: nn.LayerNorm) -> Tokens:
        """Return the residual path after a part has answered `mixed`."""
        x = x + self.dropout(mixed)
        return x if self.style.norm == "pre" else norm(x)

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one sequence of `length` tokens."""
        return self.mixer.flops(length) + (self.feedforward.flops(length) if self.feedforward else 0)
