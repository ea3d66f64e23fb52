"""What a baseline promises, and the in-graph helpers they share.

A baseline is a fitted module of plain tensor operations: it predicts, saves and exports like a network.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from advisor.errors import InputError
from hybrids.shapes import Lengths, Series
from profiles.task import Task

QUANTILES = (0.1, 0.5, 0.9)
"""What a forecast holds, in order."""


class BaselineConfig(BaseModel):
    """All that `build` needs to make an empty baseline with the right buffer shapes; JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: str
    task: Task
    channels_in: int
    classes: int = 0
    """K; 0 unless classify."""
    horizon: int = 0
    """H, steps ahead; 0 unless forecast."""
    season: int = 1
    """Steps in one season; 1: none."""
    ahead: int = 0
    """How many of the last channels hold at each step what is known for H steps later (forecast)."""
    length: int
    """Longest training length, in steps."""
    square_root: bool = False
    """forecast: fitted to the square root of the target, and the forecast squared; see `hybrids.square_root`."""
    sizes: dict[str, int] = {}
    """Buffer shapes that the fit decided, such as the number of trees."""
    notes: tuple[str, ...] = ()
    """What was left out of the fit, with its count."""


@dataclass(frozen=True)
class Training:
    """What a baseline is fitted on.

    Attributes:
        x: Raw values (N, L, C), right-padded with anything.
        lengths: Valid steps of each row (N,), at least 1.
        y: Class indices (N,), numbers (N,), or raw futures (N, H).
        config: Task, channels, classes, horizon, season and length; `sizes` still empty.
        seed: Of every random draw.
    """

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray
    config: BaselineConfig
    seed: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    def capped(self, rows: int) -> "Training":
        """Return at most `rows` rows, drawn with the seed; every class keeps one; the config's notes say so."""
        if len(self) <= rows:
            return self
        order = np.random.default_rng(self.seed).permutation(len(self))
        if self.config.task == "classify":
            firsts = np.unique(self.y[order], return_index=True)[1]
            order = np.concatenate([order[firsts], np.delete(order, firsts)])
            rows = max(rows, len(firsts))
        keep = np.sort(order[:rows])
        note = f"{self.config.kind} was fitted on {rows} of {len(self)} rows, drawn at random, to bound its time."
        config = self.config.model_copy(update={"notes": (*self.config.notes, note)})
        return replace(self, x=self.x[keep], lengths=self.lengths[keep], y=self.y[keep], config=config)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return (x, lengths) as tensors."""
        return torch.from_numpy(self.x), torch.from_numpy(self.lengths)

    def batches(self, rows: int) -> list[tuple[Tensor, Tensor]]:
        """Return (x, lengths) as tensors, at most `rows` rows each."""
        x, lengths = self.tensors()
        return [(x[i : i + rows], lengths[i : i + rows]) for i in range(0, len(self), rows)]

    def check_classes(self) -> None:
        """Raise `InputError` when a classifier would see one class only."""
        if self.config.task == "classify" and len(np.unique(self.y)) < 2:
            raise InputError(
                f"{self.config.kind} needs rows of at least 2 classes, got only class {self.y[0]}.",
                "Add rows of another class to the training part.",
            )


class Baseline(nn.Module, ABC):
    """A simple model whose fitted numbers are buffers.

    Attributes:
        tasks: What the kind can be asked.
        config: Settings; with the state dict they are the whole model.
    """

    tasks: ClassVar[tuple[Task, ...]]

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def channels_in(self) -> int:
        """C, the channels of the input."""
        return self.config.channels_in

    @classmethod
    @abstractmethod
    def fit(cls, data: Training) -> Self:
        """Return the baseline fitted on `data`; the same seed gives the same numbers."""

    @abstractmethod
    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Predict.

        Args:
            x: Raw values, right-padded with anything.
            lengths: Valid steps of each row, at least 1.

        Returns:
            classify: logits (B, K). regress: (B,) in the target's unit. forecast: (B, H, 3), raw values at
            `QUANTILES`, ascending.
        """


def fill(buffer: Tensor, values: np.ndarray | Tensor) -> None:
    """Copy fitted `values` into a buffer of the same shape."""
    values = torch.as_tensor(values)
    if values.shape != buffer.shape:
        raise ValueError(f"A buffer of shape {tuple(buffer.shape)} cannot hold {tuple(values.shape)}.")
    buffer.copy_(values)


def take(x: Tensor, steps: Tensor) -> Tensor:
    """Return x (B, L, C) at the given steps (B, P) of each row, (B, P, C); steps before 0 are the first step."""
    index = steps.clamp_min(0)[..., None].expand(-1, -1, x.shape[2])
    return x.gather(1, index)


def resample(x: Series, lengths: Lengths, points: int) -> Tensor:
    """Return each row's valid steps at `points` evenly spaced places, linearly interpolated, (B, points, C)."""
    last = (lengths - 1)[:, None]
    place = torch.linspace(0.0, 1.0, points, dtype=x.dtype, device=x.device)[None] * last.to(x.dtype)
    below = place.floor()
    low = below.long()
    part = (place - below)[..., None]
    return take(x, low) * (1 - part) + take(x, torch.minimum(low + 1, last)) * part


def channel_stats(data: Training) -> tuple[Tensor, Tensor]:
    """Return mean and scale of each channel over all valid steps, two of (C,); a constant channel has scale 1."""
    valid = np.arange(data.x.shape[1])[None] < data.lengths[:, None]
    values = data.x[valid].astype(np.float64)
    mean, std = values.mean(0), values.std(0)
    scale = np.where(std > 1e-6 * (1e-6 + np.abs(mean)), std, 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(scale).float()
