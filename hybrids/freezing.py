"""Train one part of a hybrid and hold the rest still, for example its recurrent layers after `initialise`.

A frozen weight gets no gradient, so no optimiser and no weight decay moves it. A frozen part also computes as in
evaluation, dropout off, however often a trainer calls `model.train()`: before every forward pass of the model the
parts that have weights, but none to train, are put into evaluation mode. `nn.GRU` and `nn.LSTM` are left out of that:
cuDNN passes no gradient through one in evaluation mode, and with one layer they have no dropout.

Dropout on the residual path of a block of which any part is trained stays on. A compiled model does not see the mode
change: train it uncompiled.
"""

import re
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch
from torch import nn

from hybrids.backbone import Backbone
from hybrids.decoder import Decoder
from hybrids.errors import ConfigError

RECURRENT = ("rnn", "gru", "lstm", "mingru", "minlstm", "bidirectional", "lc_bilstm", "attention_rnn", "moe_rnn")
"""Kinds of mixers that are recurrent networks, or are made of them."""
NORM = re.compile(r"(blocks\.\d+\.(feedforward_)?)?norm\.\w+")
"""Names of a stack's norms inside it."""


class Frozen:
    """What `freeze_all_but` did, to be undone by `unfreeze` or by leaving a `with` block.

    Attributes:
        trainable: Names of the weights that still learn.
    """

    def __init__(self, model: nn.Module, trainable: set[str]) -> None:
        self.model, self.trainable = model, tuple(sorted(trainable))
        self._before = {name: p.requires_grad for name, p in model.named_parameters()}
        self._modes = {name: part.training for name, part in model.named_modules()}
        for name, p in model.named_parameters():
            p.requires_grad_(name in trainable)
            if name not in trainable:
                p.grad = None  # an optimiser would use up what an earlier backward pass left
        self._hook = model.register_forward_pre_hook(_quieten)

    def unfreeze(self) -> None:
        """Let every weight learn that did before, and a model in training mode train every part that did before."""
        self._hook.remove()
        for name, p in self.model.named_parameters():
            p.requires_grad_(self._before[name])
        for name, part in self.model.named_modules():
            part.training = self.model.training and self._modes[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.unfreeze()


def freeze_all_but(
    model: nn.Module, kinds: Sequence[str] = RECURRENT, *, norms: bool = False, also: Sequence[str] = ("head",)
) -> Frozen:
    """Freeze everything but the mixers of these kinds and what the caller adds.

    Args:
        model: Holds one `Backbone` or `Decoder` or several; its forward pass must be called through `model(...)`.
        kinds: Names of mixers, as in a layout.
        norms: Train the norms of the stack as well, those of its frozen layers too.
        also: Attributes of `model` that stay trainable where it has them, such as its head.

    Raises:
        ConfigError: the model has no mixer of these kinds.

    Example:
        >>> with freeze_all_but(model, ("gru",)) as frozen:  # doctest: +SKIP
        ...     train(model)
    """
    names = recurrent_part(model, kinds)
    for name, part in model.named_modules():
        if name in also:
            names |= _weights(name, part)
        if norms and isinstance(part, Backbone):
            names |= {f"{name}.{n}".lstrip(".") for n, _ in part.named_parameters() if NORM.fullmatch(n)}
    return Frozen(model, names)


def recurrent_part(model: nn.Module, kinds: Sequence[str] = RECURRENT) -> set[str]:
    """Return the names of the weights of every mixer of these kinds; raise `ConfigError` if there is none."""
    found: set[str] = set()
    present: set[str] = set()
    for path, part in model.named_modules():
        if isinstance(part, Backbone | Decoder):
            inside = "mixer" if isinstance(part, Backbone) else "past.mixer"
            present |= set(part.kinds)
            for i, kind in enumerate(part.kinds):
                if kind in kinds:
                    name = f"blocks.{i}.{inside}"
                    found |= _weights(f"{path}.{name}", part.get_submodule(name))
    if not found:
        has = ", ".join(sorted(present)) or "no backbone"
        raise ConfigError(f"no layer of kind {' or '.join(kinds)} to train; the model has {has}. Name one it has.")
    return found


def _weights(path: str, part: nn.Module) -> set[str]:
    return {f"{path}.{name}".lstrip(".") for name, _ in part.named_parameters()}


def _quieten(model: nn.Module, _: object) -> None:
    """Put the parts of `model` that hold weights, but none to train, into evaluation mode."""
    if model.training and not torch.compiler.is_compiling():
        _rest(model)


def _rest(part: nn.Module) -> None:
    weights = list(part.parameters())
    if weights and not any(p.requires_grad for p in weights):
        part.eval()
        for inner in part.modules():
            if isinstance(inner, nn.RNNBase):
                inner.train()
        return
    for child in part.children():
        _rest(child)
