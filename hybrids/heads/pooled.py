"""One answer for a whole sequence: class logits or a number, from pooled tokens."""

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrids.mixer import valid_steps
from hybrids.shapes import Lengths, Tokens


class ClassifyConfig(BaseModel):
    """Settings of a `ClassifyHead`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["classify"] = "classify"
    classes: Annotated[int, Field(ge=2)]


class RegressConfig(BaseModel):
    """Settings of a `RegressHead`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["regress"] = "regress"


def pool(x: Tokens, lengths: Lengths) -> Tensor:
    """Return mean and maximum over the valid tokens of each row, (B, 2 D)."""
    mask = valid_steps(x, lengths)[..., None]
    mean = (x * mask).sum(1) / lengths.clamp_min(1)[:, None].to(x.dtype)
    highest = x.masked_fill(~mask, torch.finfo(x.dtype).min).amax(1)
    return torch.cat([mean, highest], dim=-1)


class ClassifyHead(nn.Module):
    """Logits (B, K) from pooled tokens."""

    def __init__(self, config: ClassifyConfig, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * width, config.classes)

    def forward(self, x: Tokens, lengths: Lengths) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.out(self.dropout(pool(x, lengths)))
        return logits


class RegressHead(nn.Module):
    """A number for each sequence, (B,), in the target's own unit."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def fit(self, mean: float, scale: float) -> None:
        """Set the unit from the training targets; an untrained head answers their mean."""
        self.mean.fill_(mean)
        self.scale.fill_(max(scale, 1e-12))

    def forward(self, x: Tokens, lengths: Lengths) -> Tensor:
        """Return the numbers."""
        scaled: Tensor = self.out(self.dropout(pool(x, lengths)))[:, 0]
        return scaled * self.scale + self.mean
