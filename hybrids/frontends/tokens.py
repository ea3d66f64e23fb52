"""Integer symbols to tokens: an embedding and, where asked, positions."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from hybrids.mixer import valid_steps
from hybrids.positions import LearnedPositions, sinusoidal
from hybrids.shapes import Lengths, Tokens

Ids = Int[Tensor, "B L"]


class TokensConfig(BaseModel):
    """Settings of `TokensFrontend`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["tokens"] = "tokens"
    vocabulary: Annotated[int, Field(ge=2)]
    """Number of symbols, ids 0 to vocabulary - 1, the special ones included."""
    pad: Annotated[int, Field(ge=0)] = 0
    """The id that fills up short rows; padded tokens are 0, whatever its embedding becomes."""
    positions: Literal["none", "sinusoidal", "learned"] = "sinusoidal"
    """none: for mixers that know the order themselves. learned: up to `max_positions` tokens and no further."""
    max_positions: Annotated[int, Field(ge=1)] = 512
    """Most tokens of a row with learned positions."""
    scale: bool = True
    """Start embeddings at deviation 1 / sqrt(D) and multiply them by sqrt(D): fit for sharing with an output layer."""

    @model_validator(mode="after")
    def _pad_is_a_symbol(self) -> "TokensConfig":
        if self.pad >= self.vocabulary:
            raise ValueError(f"pad id {self.pad} is no symbol of a vocabulary of {self.vocabulary}. Use a smaller id.")
        return self


class TokensFrontend(nn.Module):
    """Embed integer symbols: sqrt(D) E[id] + position (Vaswani et al. 2017, arXiv:1706.03762, sections 3.4 and 3.5).

    Example:
        >>> frontend = TokensFrontend(TokensConfig(vocabulary=10), width=8)
        >>> tokens, counts = frontend(torch.ones(2, 5, dtype=torch.int64), torch.tensor([5, 3]))
    """

    def __init__(self, config: TokensConfig, width: int) -> None:
        super().__init__()
        self.config, self.width = config, width
        self.table = nn.Embedding(config.vocabulary, width, padding_idx=config.pad)
        self.factor = math.sqrt(width) if config.scale else 1.0
        nn.init.normal_(self.table.weight, std=1 / self.factor)
        with torch.no_grad():
            self.table.weight[config.pad].zero_()
        self.learned = LearnedPositions(width, config.max_positions) if config.positions == "learned" else None

    def forward(self, ids: Ids, lengths: Lengths | None = None) -> tuple[Tokens, Lengths]:
        """Return tokens (B, L, D), 0 on padding, and how many are valid in each row."""
        first = torch.zeros(ids.shape[0], dtype=torch.int64, device=ids.device)
        if lengths is None:
            return self.embed(ids, first), first + ids.shape[1]
        x = self.embed(ids, first, lengths)
        return x.masked_fill(~valid_steps(x, lengths)[..., None], 0), lengths

    def embed(self, ids: Ids, first: Int[Tensor, " B"], lengths: Lengths | None = None) -> Tokens:
        """Return the tokens of symbols at positions first, first + 1, ... of each row.

        Raises:
            ShapeError: learned positions are not that many.
        """
        x: Tensor = self.table(ids) * self.factor
        if self.config.positions == "none":
            return x
        at = first[:, None] + torch.arange(ids.shape[1], device=ids.device)
        if self.learned is None:
            return x + sinusoidal(at, self.width, x.dtype)
        where: Tensor = self.learned(at, first + (ids.shape[1] if lengths is None else lengths))
        return x + where

    def flops(self, length: int) -> int:
        """Return 0: looking up is no arithmetic."""
        return 0
