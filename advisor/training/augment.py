"""Small changes of whole series that leave the answer as it is: the only extra data there are.

    m + (x - m) (1 + 0.1 e) + 0.03 s e'       m, s: mean and deviation of the channel over the training part
                                              e, e' normal; e one a series and channel, e' one a value

Sizes change about the channel's mean: a large offset, as sensors have, is no size. Nothing resamples the time axis:
cutting or warping takes away the fine structure that some classes consist of.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Series

SCALE, JITTER = 0.1, 0.03


class Spread(NamedTuple):
    """Mean and deviation of every channel, (C,) each, in the unit of the series."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Series, lengths: Lengths) -> "Spread":
        """Return those of the valid steps."""
        steps = x[valid_steps(x, lengths)]
        return cls(steps.mean(0), steps.std(0, correction=0))


def augmented(x: Series, spread: Spread, generator: torch.Generator) -> Series:
    """Return changed copies of a batch of raw series; the generator is on the CPU, whatever the device of `x`."""
    factor = 1 + SCALE * torch.randn(len(x), 1, x.shape[2], generator=generator).to(x.device)
    noise = JITTER * torch.randn(x.shape, generator=generator).to(x.device)
    return spread.mean + (x - spread.mean) * factor + spread.deviation * noise
