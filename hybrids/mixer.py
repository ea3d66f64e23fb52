"""What a token mixer promises, and how its settings are declared."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from hybrids.errors import ShapeError
from hybrids.shapes import Lengths, Token, Tokens

State = tuple[Tensor, ...]


class Tune(NamedTuple):
    """Marks a config field as searchable; the bounds are those of its `Field`."""

    log: bool = False


class Mixer(nn.Module, ABC):
    """Mixes information along time. `tests/hybrids/test_mixer_contract.py` holds its laws.

    Attributes:
        width: D, channels in and out.
        causal: Whether an output depends on the present and the past only. A mixer that is not causal
            takes no state, returns an empty one, and refuses `step`.
        needs_state: Whether the caller uses the returned state. A model that reads whole sequences sets False; then
            the state returned for ragged rows need not be exact.
        exports_any_length: Whether `torch.export` of `forward` keeps the length free.
    """

    width: int
    causal: bool = True
    needs_state: bool = True
    exports_any_length: bool = True

    @abstractmethod
    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk of one step or more, continuing from `state`.

        Args:
            x: Tokens.
            state: What `forward` or `step` returned for the steps before; None is the start.
            lengths: Valid steps of each row, at most L; the rest is right padding and changes no valid output
                and no state, whatever finite numbers it holds. None: every step is valid.
        """

    @abstractmethod
    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; calling it L times equals one `forward`."""

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """Return the state before the first step."""

    @abstractmethod
    def state_bytes(self, length: int) -> int:
        """Return the bytes one sequence keeps in memory after `length` steps."""

    @abstractmethod
    def flops(self, length: int) -> int:
        """Return the floating-point operations of one forward pass over one sequence.

        Matrix products only (2 per multiply-add); elementwise work is left out.
        """

    def check_width(self, x: Tensor) -> None:
        """Raise `ShapeError` unless the last axis of `x` is the model width and there is a row and a step."""
        if x.shape[-1] != self.width:
            raise ShapeError(
                f"{type(self).__name__} mixes width {self.width}, got {tuple(x.shape)}. "
                f"Project the input to width {self.width} first."
            )
        if 0 in x.shape:
            raise ShapeError(
                f"{type(self).__name__} mixes 1 row and 1 step at least, got {tuple(x.shape)}. Leave out empty chunks."
            )


class DelayedMixer(Mixer, ABC):
    """A mixer that sees a bounded number of steps ahead: not causal, but it streams with a delay.

    Attributes:
        look_ahead: Most steps past its own that an output depends on.
    """

    causal: bool = False
    look_ahead: int

    @abstractmethod
    def stream(self, x: Tokens, state: State | None = None) -> tuple[Tokens, State]:
        """Take in a chunk of one step or more and return the outputs that are now certain, in order, maybe none."""

    @abstractmethod
    def finish(self, state: State) -> Tokens:
        """Return the outputs still owed at the end of the stream; with those of `stream` they equal `forward`."""


class MixerConfig(BaseModel, ABC):
    """Settings of one mixer: data only, comparable, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    source: ClassVar[str]
    kind: str = ""
    """Name of the mixer, which every subclass sets: that of its file."""

    @abstractmethod
    def build(self, width: int) -> Mixer:
        """Return a fresh mixer for model width `width`."""


def reads_whole(module: nn.Module) -> None:
    """Tell every mixer in `module` that it is given whole sequences, so that nobody uses the state it returns."""
    for part in module.modules():
        if isinstance(part, Mixer):
            part.needs_state = False


def valid_steps(x: Tokens, lengths: Lengths) -> Tensor:
    """Return the mask (B, L) that is True on the steps before each row's length."""
    return torch.arange(x.shape[1], device=x.device)[None] < lengths[:, None]
