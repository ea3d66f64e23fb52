"""Small changes of the inputs that leave the answer as it is: the only extra data there are.

Series that are classified or give a number change in size, and a little in every value:

    m + (x - m) (1 + 0.1 e) + 0.03 s e'       m, s: mean and deviation of the channel over the training part
                                              e, e' normal; e one a series and channel, e' one a value

Sizes change about the channel's mean: a large offset, as sensors have, is no size. Nothing resamples the time axis:
cutting or warping takes away the fine structure that some classes consist of.

Of a series that is forecast some values become those of a season before. Where seasons are alike that changes little;
where they are not, the noise is of the size that the series itself has.
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


def replaced(x: Series, season: int, share: float, generator: torch.Generator) -> Series:
    """Return windows of which a share of channel 0 holds the values a season before, in the first season after.

    Args:
        x: Raw windows (B, L, C); the target is channel 0.
        season: Steps; half a window where that is shorter.
        share: Of the values, each drawn for itself.
        generator: On the CPU, whatever the device of `x`.
    """
    target = x[..., 0]
    season = min(season, target.shape[1] // 2)
    if season == 0:
        return x
    other = torch.cat([target[:, season : 2 * season], target[:, :-season]], 1)
    drawn = (torch.rand(target.shape, generator=generator) < share).to(x.device)
    return torch.cat([torch.where(drawn, other, target)[..., None], x[..., 1:]], 2)
