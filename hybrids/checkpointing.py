"""Gradient checkpointing of a backbone: keep less in memory for the backward pass, compute it again when needed.

Over depth, only the input of every block is kept (Chen et al. 2016, arXiv:1604.06174). Over time, the sequence is cut
into segments and only the states between them are kept (Gruslys et al. 2016, arXiv:1606.03401):

    (y_i, s_i) = backbone(x_i, s_{i-1})         kept: x_i and s_{i-1}; recomputed: all that lies inside

So training holds the activations of one segment instead of L / segment of them, for one more forward pass. Gradients
are exact, through the carried states too; nothing is truncated.

What it cannot do: time segments need a causal backbone, and attention hands its whole cache from one segment to the
next, O(L^2 D / segment) numbers, so it gains only over depth. Dropout over time segments draws one mask a segment;
the distribution is that of the whole sequence, the masks of one seed are not. What a layer keeps of its last call, as a
router keeps its losses, is that of the last segment: checkpoint over depth only where these losses are trained on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hybrids.backbone import Backbone, States, outermost
from hybrids.errors import ConfigError
from hybrids.mixer import State
from hybrids.shapes import Lengths, Tokens


def checkpointed(
    backbone: Backbone,
    x: Tokens,
    states: States | None = None,
    lengths: Lengths | None = None,
    *,
    segment: int | None = None,
    depth: bool = True,
) -> tuple[Tokens, States]:
    """Return what `backbone(x, states, lengths)` returns, with the same gradients, and recompute in the backward pass.

    Without gradients, or under `torch.export`, it is the plain call.

    Args:
        backbone: The stack of blocks.
        x: Tokens.
        states: As `Backbone.forward` takes them.
        lengths: Valid steps of each row.
        segment: Steps between two kept states; about sqrt(L) keeps least, longer is faster. None: do not cut time.
        depth: Recompute block by block. False recomputes the whole stack of a segment at once, which keeps only the
            input of the lowest block.

    Raises:
        ConfigError: the segment is not positive, the backbone is not causal but time is cut, or nothing would be
            recomputed.
    """
    check(backbone, segment, depth)
    if not torch.is_grad_enabled() or torch.compiler.is_exporting():
        return Backbone.forward(backbone, x, states, lengths)
    run = partial(checkpoint, use_reentrant=False, preserve_rng_state=draws_random_numbers(backbone))
    if segment is None:
        return _stack(backbone, run, x, states, lengths)
    if depth:
        return _in_segments(partial(_stack, backbone, run), segment, x, states, lengths)
    return _in_segments(partial(run, partial(Backbone.forward, backbone)), segment, x, states, lengths)


@contextmanager
def checkpointing(model: nn.Module, *, segment: int | None = None, depth: bool = True) -> Iterator[None]:
    """Run every backbone inside `model`, but not those inside its mixers, through `checkpointed` in this context.

    Weights and `state_dict` do not change. Do not copy or pickle the model inside the context.

    Raises:
        ConfigError: as `checkpointed`, or the model has no backbone.

    Example:
        >>> with checkpointing(model, segment=256):
        ...     loss(model(x, lengths), target).backward()
    """
    backbones = outermost(model)
    if not backbones:
        raise ConfigError(f"{type(model).__name__} has no backbone to checkpoint. Pass a SequenceModel or a Backbone.")
    for backbone in backbones:
        check(backbone, segment, depth)
    for backbone in backbones:
        vars(backbone)["forward"] = partial(checkpointed, backbone, segment=segment, depth=depth)
    try:
        yield
    finally:
        for backbone in backbones:
            del vars(backbone)["forward"]


def check(backbone: Backbone, segment: int | None, depth: bool) -> None:
    """Raise `ConfigError` unless `checkpointed` can do this."""
    if segment is None:
        if not depth:
            raise ConfigError("depth=False without a segment recomputes nothing. Set depth=True or segment=256.")
        return
    if segment < 1:
        raise ConfigError(f"a segment of {segment} steps is not positive. Use segment=256, or None for all steps.")
    if not backbone.causal:
        raise ConfigError(
            f"a backbone that sees the future cannot be cut into segments of {segment} steps. "
            "Set segment=None to checkpoint over depth."
        )


def draws_random_numbers(module: nn.Module) -> bool:
    """Return whether a forward pass uses dropout, so that a second one must restore the random state."""
    return any(isinstance(part, nn.Dropout) and part.p > 0 and part.training for part in module.modules())


def _stack(
    backbone: Backbone, run: Callable[..., Any], x: Tokens, states: States | None, lengths: Lengths | None
) -> tuple[Tokens, States]:
    """Pass a chunk through all blocks, each one under `run`."""
    after: list[State] = []
    for i, block in enumerate(backbone.stack()):
        x, state = run(block, x, None if states is None else states[i], lengths)
        after.append(state)
    return backbone.norm(x), tuple(after)


def _in_segments(
    forward: Callable[[Tokens, States | None, Lengths | None], tuple[Tokens, States]],
    segment: int,
    x: Tokens,
    states: States | None,
    lengths: Lengths | None,
) -> tuple[Tokens, States]:
    """Pass the segments of `x` in order and carry the states; a row that ended has length 0 from there on."""
    pieces: list[Tokens] = []
    after: States = () if states is None else states
    for i, piece in enumerate(torch.split(x, segment, 1)):  # slices would each get a gradient of full length
        valid = None if lengths is None else (lengths - i * segment).clamp(0, piece.shape[1])
        y, after = forward(piece, after if i else states, valid)
        pieces.append(y)
    return torch.cat(pieces, 1), after
