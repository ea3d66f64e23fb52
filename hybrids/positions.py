"""Where a token stands: rotary, sinusoidal and learned positions.

    rotary       (a, b) -> (a cos p w - b sin p w, a sin p w + b cos p w)    per pair of channels; w = 10000^(-2 i / d)
    sinusoidal   e_p = (sin p w_0, cos p w_0, sin p w_1, cos p w_1, ...)     w_i = 10000^(-2 i / D); added to the token
    learned      e_p = row p of a table                                      added to the token

Products of rotary queries and keys depend on the distance alone, at any length. Sinusoids reach any length too, but
what a model learned from them need not. A table ends at its cap. Angles are float32 at least: in 8 bits, positions past
256 fall together.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hybrids.errors import ShapeError
from hybrids.scan import accumulator
from hybrids.shapes import Heads, Tokens

Positions = Int[Tensor, "b L"]
"""Steps since the start of the sequence; b is B, or 1 where all rows agree."""
Turns = Float[Tensor, "b L 1 d"]
BASE = 10_000.0
LEARNED_STD = 0.02  # as in BERT (Devlin et al. 2018, arXiv:1810.04805)


def rotate(x: Heads, positions: Positions) -> Heads:
    """Turn each pair of channels (i, i + d/2) by its angle (Su et al. 2021, arXiv:2104.09864); d is even."""
    return turn(x, *turns(positions, x.shape[-1], accumulator(x.dtype)))


def turns(positions: Positions, channels: int, dtype: torch.dtype) -> tuple[Turns, Turns]:
    """Return what `turn` multiplies the channels of a head, and their partners, with."""
    angle = _angles(positions, channels, dtype)[:, :, None]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def turn(x: Heads, own: Turns, partner: Turns) -> Heads:
    """Turn each pair of channels by the angles that `turns` was given."""
    a, b = x.to(own.dtype).chunk(2, -1)
    return torch.addcmul(x * own, torch.cat([b, a], -1), partner).to(x.dtype)


def sinusoidal(positions: Positions, width: int, dtype: torch.dtype) -> Tokens:
    """Return the embedding (b, L, width) of each position (Vaswani et al. 2017, arXiv:1706.03762)."""
    angle = _angles(positions, width, accumulator(dtype))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[..., :width].to(dtype)


def _angles(positions: Positions, width: int, dtype: torch.dtype) -> Float[Tensor, "b L half"]:
    """Return position * BASE^(-2 i / width) for every pair i of channels, the last one maybe half a pair."""
    pair = torch.arange(-(-width // 2), device=positions.device, dtype=dtype)
    return positions[..., None].to(dtype) * BASE ** (-2 * pair / width)


class LearnedPositions(nn.Module):
    """A table with one embedding a position.

    Args:
        width: D, channels of an embedding.
        cap: Number of positions; there is none beyond.

    Example:
        >>> LearnedPositions(width=8, cap=100)(torch.arange(5)[None], torch.tensor([5])).shape
        torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, cap: int) -> None:
        super().__init__()
        self.cap = cap
        self.table = nn.Parameter(torch.empty(cap, width))
        nn.init.normal_(self.table, std=LEARNED_STD)

    def forward(self, positions: Positions, ends: Int[Tensor, " b"]) -> Tokens:
        """Return the embedding (b, L, D) of each position.

        Args:
            positions: Those of padding may lie past the cap.
            ends: One more than the last position of each row that is not padding.

        Raises:
            ShapeError: an end lies past the cap. An exported graph fails at the look-up instead.
        """
        if not torch.compiler.is_compiling():
            if (length := int(ends.max())) > self.cap:
                raise ShapeError(
                    f"learned positions end at {self.cap}, got a sequence of length {length}. Set max_positions="
                    f"{length} and train anew, shorten the sequence, or use positions='rotary', which have no end."
                )
            positions = positions.clamp(max=self.cap - 1)
        return F.embedding(positions, self.table)
