"""The stack of blocks between a front end and a head."""

from collections.abc import Sequence

from torch import nn

from hybrids.block import PRE_NORM, Block, BlockStyle
from hybrids.errors import ConfigError
from hybrids.mixer import Mixer, MixerConfig, State, reads_whole
from hybrids.shapes import Lengths, Token, Tokens

States = tuple[State, ...]


class Backbone(nn.Module):
    """Blocks bottom to top and a last norm; state in, state out.

    Post-norm blocks end in a norm of their own, so the last norm is then the identity.

    Attributes:
        layers: Settings of each block's mixer, bottom first.
        style: How the blocks are put together.
    """

    def __init__(
        self,
        layers: Sequence[MixerConfig],
        width: int,
        expansion: float,
        dropout: float,
        style: BlockStyle = PRE_NORM,
    ) -> None:
        super().__init__()
        self.layers, self.style, self.width = tuple(layers), style, width
        self.blocks = nn.ModuleList(Block(layer.build(width), expansion, dropout, style) for layer in layers)
        self.norm = nn.LayerNorm(width, style.eps) if style.norm == "pre" else nn.Identity()

    @property
    def causal(self) -> bool:
        """Return whether no output depends on the future."""
        return all(block.mixer.causal for block in self.stack())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the name of each block's mixer, bottom first."""
        return tuple(layer.kind for layer in self.layers)

    def replace(self, at: int, layer: MixerConfig) -> Mixer:
        """Put a fresh mixer into block `at`, on the old one's device, in its precision and mode; return the old one."""
        block = self.stack()[at]
        old, weight = block.mixer, next(block.parameters())
        block.mixer = layer.build(self.width).to(weight.device, weight.dtype).train(old.training)
        if not old.needs_state:
            reads_whole(block.mixer)
        self.layers = (*self.layers[:at], layer, *self.layers[at + 1 :])
        return old

    def stack(self) -> list[Block]:
        """Return the blocks, bottom first."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(self, x: Tokens, states: States | None = None, lengths: Lengths | None = None) -> tuple[Tokens, States]:
        """Pass a chunk through all blocks; `states` as returned before, None at the start."""
        after: list[State] = []
        for i, block in enumerate(self.stack()):
            x, state = block(x, None if states is None else states[i], lengths)
            after.append(state)
        return self.norm(x), tuple(after)

    def step(self, x_t: Token, states: States) -> tuple[Token, States]:
        """Pass one time step through all blocks."""
        after: list[State] = []
        for block, state in zip(self.stack(), states, strict=True):
            x_t, new = block.step(x_t, state)
            after.append(new)
        return self.norm(x_t), tuple(after)

    def initial_state(self, batch: int) -> States:
        """Return the states before the first step."""
        return tuple(block.mixer.initial_state(batch) for block in self.stack())

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one sequence of `length` tokens."""
        return sum(block.flops(length) for block in self.stack())


def outermost(model: nn.Module) -> list[Backbone]:
    """Return the stacks inside `model` that are not inside another, as those of a mixer are."""
    stacks = [part for part in model.modules() if isinstance(part, Backbone)]
    inner = {id(part) for stack in stacks for part in stack.modules() if part is not stack}
    return [stack for stack in stacks if id(stack) not in inner]


def the_backbone(model: nn.Module) -> Backbone:
    """Return the one stack of `model`; stacks inside its mixers do not count.

    Raises:
        ConfigError: `model` holds none, or several.
    """
    found = outermost(model)
    if len(found) != 1:
        raise ConfigError(f"{type(model).__name__} holds {len(found)} backbones, not 1. Pass the part that is meant.")
    return found[0]
