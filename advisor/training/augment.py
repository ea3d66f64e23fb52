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


def replace_(x: Series, season: int, share: float, generator: torch.Generator, begin: Lengths | None = None) -> None:
    """Let about a share of channel 0 hold the values a season before, in the first season after; in place.

    A window of less than two seasons takes the values of the steps beside, since half a season away the opposite is
    usual. A window whose target would become constant is left as it is: it has no unit.

    Args:
        x: Raw windows (B, L, C); the target is channel 0.
        season: Steps; 1 where there is none.
        share: Of the values; as many are drawn, some of them twice.
        generator: On the CPU, whatever the device of `x`.
        begin: Steps (B,) at the front of each window that are before its series; they are left alone. None: 0.
    """
    target = x[..., 0]
    steps = target.shape[1]
    season = season if 2 * season <= steps else 1
    drawn = torch.randint(target.numel(), (round(share * target.numel()),), generator=generator)
    window = drawn // steps
    at = drawn - window * steps
    first = torch.zeros((), dtype=torch.int64) if begin is None else begin[window]
    other = torch.where(at - season >= first, at - season, at + season)
    other = torch.where((at >= first) & (other < steps), other, at)
    window, at, other = window.to(x.device), at.to(x.device), other.to(x.device)
    before, after = target[window, at], target[window, other]
    target[window, at] = after
    lowest, highest = torch.aminmax(target, dim=1)
    target[window, at] = torch.where((lowest == highest)[window], before, after)
