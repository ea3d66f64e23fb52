"""Settings of one training, and what a source of batches is."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

Batch = tuple[Tensor, Tensor, Tensor]
"""Inputs (B, L, C), valid steps (B,), targets."""
Batches = Callable[[torch.Generator], Batch]
"""Draws the next batch with the generator's randomness."""


class TrainConfig(BaseModel):
    """Settings of one training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    batch: Annotated[int, Field(ge=1)] = 64
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the training in which the learning rate rises."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    augment: bool = True
    """classify, regress: scale and jitter the inputs a little."""
    replaced: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """forecast: share of the target's past that is replaced by values one season away; see `augment.replace_`."""
    max_steps: Annotated[int, Field(ge=1)] = 300
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Of the whole training, with all its rungs; None: steps alone count, as they do for `max_steps`."""
    until: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the whole at which this rung ends; the learning rate follows the whole."""
    looks: Annotated[int, Field(ge=1)] = 12
    """How often the validation part is scored."""
    early_looks: bool = False
    """Look more often at first, and end sooner where the best came very early: see `looks`. For scores without ties."""
    patience: Annotated[int, Field(ge=1)] = 6
    """Looks of a rung without a better score after which training ends; with early looks, the time of so many."""
