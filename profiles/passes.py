"""One training or inference pass of a family, timed once: what a calibration is made of.

A stack of the family's layers without front end and head, float32, random tokens. A training pass is forward and
backward with the mean square as its loss; an inference pass reads the whole sequence of a batch of one.
"""

import gc

import torch

from hybrids.backbone import Backbone
from hybrids.families import layers
from hybrids.mixer import reads_whole
from hybrids.shapes import Tokens
from profiles.clock import Clock, timed
from profiles.cost import peak_bytes
from profiles.device import MIB

EXPANSION = 2.0
"""Inner width of the feed-forward parts over the width: the default of a model."""


class Stack:
    """The layers of one family, ready to be timed.

    Args:
        family: In its default variant, not causal where it need not be.
        width: D.
        depth: Layers.
        batch: Sequences in a training pass.
        target: Where it runs.
        clock: What times go by.
    """

    def __init__(self, family: str, width: int, depth: int, batch: int, target: torch.device, clock: Clock) -> None:
        self.width, self.batch, self.target, self.clock = width, batch, target, clock
        self.backbone = Backbone(layers(family, depth, False), width, EXPANSION, 0.0).to(target)
        reads_whole(self.backbone)

    def training(self, length: int) -> tuple[float, float]:
        """Return the milliseconds of one training pass: by the clock of the stack, and by the wall clock."""
        x = self._tokens(self.batch, length).requires_grad_()
        self.backbone.train()
        found = timed(lambda: self._train(x), self.target, self.clock)
        self.backbone.zero_grad(set_to_none=True)
        return found

    def inference(self, length: int) -> tuple[float, float]:
        """Return the milliseconds of one inference pass, as `training` does."""
        x = self._tokens(1, length)
        self.backbone.eval()
        with torch.inference_mode():
            return timed(lambda: self.backbone(x), self.target, self.clock)

    def peak_mib(self, length: int) -> float:
        """Return the MiB that one training pass adds at its highest, gradients of the weights among them."""
        x = self._tokens(self.batch, length).requires_grad_()
        self.backbone.train()
        try:
            return peak_bytes(lambda: self._train(x), self.target) / MIB
        finally:
            self.backbone.zero_grad(set_to_none=True)

    def _tokens(self, batch: int, length: int) -> Tokens:
        return torch.randn(batch, length, self.width, generator=torch.Generator().manual_seed(0)).to(self.target)

    def _train(self, x: Tokens) -> None:
        y, _ = self.backbone(x)
        y.square().mean().backward()


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory is short: of Python, a GPU, torch on a CPU, or attention (MEM1)."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "(mem1)")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(w in str(error).lower() for w in words)


def in_words(error: BaseException) -> str:
    """Return an error in one short line."""
    if out_of_memory(error):
        return "out of memory"
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}"


def release(target: torch.device) -> None:
    """Give memory that nothing uses back to the device."""
    gc.collect()
    if target.type == "cuda":
        torch.cuda.empty_cache()
    elif target.type == "mps":
        torch.mps.empty_cache()
