"""The stack of blocks between a front end and a head."""

from collections.abc import Sequence

from torch import nn

from hybrids.block import Block
from hybrids.mixer import MixerConfig, State
from hybrids.shapes import Lengths, Token, Tokens

States = tuple[State, ...]


class Backbone(nn.Module):
    """Blocks bottom to top and a last norm; state in, state out.

    Attributes:
        causal: Whether every mixer is, so that the stack can stream.
    """

    def __init__(self, layers: Sequence[MixerConfig], width: int, expansion: float, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(layer.build(width), expansion, dropout) for layer in layers)
        self.norm = nn.LayerNorm(width)

    @property
    def causal(self) -> bool:
        """Return whether no output depends on the future."""
        return all(block.mixer.causal for block in self._blocks())

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(self, x: Tokens, states: States | None = None, lengths: Lengths | None = None) -> tuple[Tokens, States]:
        """Pass a chunk through all blocks; `states` as returned before, None at the start."""
        after: list[State] = []
        for i, block in enumerate(self._blocks()):
            x, state = block(x, None if states is None else states[i], lengths)
            after.append(state)
        return self.norm(x), tuple(after)

    def step(self, x_t: Token, states: States) -> tuple[Token, States]:
        """Pass one time step through all blocks."""
        after: list[State] = []
        for block, state in zip(self._blocks(), states, strict=True):
            x_t, new = block.step(x_t, state)
            after.append(new)
        return self.norm(x_t), tuple(after)

    def initial_state(self, batch: int) -> States:
        """Return the states before the first step."""
        return tuple(block.mixer.initial_state(batch) for block in self._blocks())

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one sequence of `length` tokens."""
        return sum(block.flops(length) for block in self._blocks())
