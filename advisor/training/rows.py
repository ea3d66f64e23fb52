"""Batches of whole series, for classification and regression."""

import torch

from advisor.search.problem import Rows
from advisor.training.config import Batch, Batches, TrainConfig


def row_batches(rows: Rows, config: TrainConfig, device: str) -> Batches:
    """Return a source of random batches of whole series; the data stays on the device."""
    x, lengths = torch.from_numpy(rows.x).to(device), torch.from_numpy(rows.lengths).to(device)
    y = torch.from_numpy(rows.y).to(device)
    deviation = x.std(dim=(0, 1), keepdim=True)
    order = torch.empty(0, dtype=torch.int64)

    def draw(generator: torch.Generator) -> Batch:
        nonlocal order
        if len(order) < min(config.batch, len(x)):
            order = torch.cat([order, torch.randperm(len(x), generator=generator)])
        at, order = order[: config.batch].to(device), order[config.batch :]
        sizes = lengths[at]
        part = x[at, : int(sizes.max())]
        if config.augment:
            factor = 1 + 0.1 * torch.randn(len(at), 1, part.shape[2], generator=generator).to(device)
            part = part * factor + 0.03 * deviation * torch.randn(part.shape, generator=generator).to(device)
        return part, sizes, y[at]

    return draw
