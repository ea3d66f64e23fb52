"""Batches of windows and what follows them, for forecasting."""

import numpy as np
import torch

from advisor.training.config import Batch, Batches, TrainConfig


def window_batches(
    series: tuple[np.ndarray, ...], look_back: int, horizon: int, config: TrainConfig, device: str
) -> Batches:
    """Return a source of random windows over all series; short series repeat their first value in front."""
    need = look_back + horizon
    padded = [np.concatenate([np.full(max(0, need - len(s)), s[0], np.float32), s]) for s in series]
    sizes = np.array([len(s) for s in padded])
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    starts = np.concatenate([o + np.arange(n - need + 1) for o, n in zip(offsets, sizes, strict=True)])
    flat, begin = torch.from_numpy(np.concatenate(padded)).to(device), torch.from_numpy(starts).to(device)
    within = torch.arange(need, device=device)

    def draw(generator: torch.Generator) -> Batch:
        at = begin[torch.randint(len(begin), (config.batch,), generator=generator).to(device)]
        values = flat[at[:, None] + within]
        lengths = torch.full((len(at),), look_back, device=device)
        return values[:, :look_back, None], lengths, values[:, look_back:]

    return draw
