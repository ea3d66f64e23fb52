"""Batches of whole series, for classification and regression."""

import torch

from advisor.data.rows import Rows
from advisor.training.augment import Spread, augmented
from advisor.training.config import Batch, Batches, TrainConfig


def row_batches(rows: Rows, config: TrainConfig, device: str) -> Batches:
    """Return a source of random batches of whole series; the data stays on the device.

    Every series is drawn once before any is drawn again. A batch ends with the longest of its series.
    """
    x, lengths = torch.from_numpy(rows.x).to(device), torch.from_numpy(rows.lengths).to(device)
    y = torch.from_numpy(rows.y).to(device)
    spread = Spread.of(x, lengths)
    order = torch.empty(0, dtype=torch.int64)

    def draw(generator: torch.Generator) -> Batch:
        nonlocal order
        if len(order) < min(config.batch, len(x)):
            order = torch.cat([order, torch.randperm(len(x), generator=generator)])
        at, order = order[: config.batch].to(device), order[config.batch :]
        sizes = lengths[at]
        part = x[at, : int(sizes.max())]
        return augmented(part, spread, generator) if config.augment else part, sizes, y[at]

    return draw
