"""Batches of windows and what follows them, for forecasting.

A series is drawn in proportion to its number of windows, then an offset in it: O(log series) a window by a search in
cumulative counts. There is no index of all windows, so neither memory nor the time of a step grows with the data.
"""

from collections.abc import Sequence

import numpy as np
import torch

from advisor.data.stack import SeriesStack
from advisor.training.augment import replace_
from advisor.training.config import Batch, Batches, TrainConfig

MOST_ON_DEVICE = 2**31
"""Bytes of series that are copied to an accelerator; more stay in memory, and windows are copied a batch at a time."""


def window_batches(
    series: Sequence[np.ndarray], look_back: int, horizon: int, season: int, config: TrainConfig, device: str
) -> Batches:
    """Return a source of random windows over all series; short series repeat their first row in front.

    Args:
        series: Each (length, C), at least one row; channel 0 is the target.
        look_back: Steps of a window.
        horizon: Steps to forecast.
        season: Steps between a value and the one that replaces it, where that is asked for.
        config: Its `batch` and `replaced` are read.
        device: Where the batches go.

    Returns:
        Source of x (batch, look_back, C), lengths (batch,), y (batch, horizon).
    """
    stack = series if isinstance(series, SeriesStack) else SeriesStack.of(series)
    stack = stack.take(np.flatnonzero(stack.sizes > 0))
    need = look_back + horizon
    home = device if stack.flat.nbytes <= MOST_ON_DEVICE else "cpu"
    flat = torch.from_numpy(stack.flat).to(home)
    first, last = torch.from_numpy(stack.begin), torch.from_numpy(stack.end)
    counts = torch.cumsum((last - first - need + 1).clamp_min(1), 0)
    total, short = int(counts[-1]), bool((last - first < need).any())
    within = torch.arange(need)
    lengths = torch.full((config.batch,), look_back, device=device)

    def draw(generator: torch.Generator) -> Batch:
        at = torch.randint(total, (config.batch,), generator=generator)
        which = torch.searchsorted(counts, at, right=True)
        from_end = counts[which] - 1 - at
        start = last[which] - need - from_end
        steps = torch.maximum(start[:, None] + within, first[which, None])
        values = flat[steps.to(home)].to(device)
        past = values[:, :look_back]
        if config.replaced:
            begin = (first[which] - start).clamp_min(0) if short else None
            replace_(past, season, config.replaced, generator, begin)
        return past, lengths, values[:, look_back:, 0]

    return draw
