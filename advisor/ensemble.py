"""An ensemble: unlike models, networks and baselines, answering as one with the mean of their answers.

    classify    log of the mean of the parts' class probabilities
    regress     mean of the numbers
    forecast    mean of the quantiles

Models of different kinds err differently, and the error of the mean is less than the mean of the errors by what they
differ (Krogh and Vedelsby 1995, NIPS 7; of forecasts: Bates and Granger 1969, OR 20(4)). The weights are equal: those
that are fitted on few judged parts are worse (the forecast combination puzzle, Smith and Wallis 2009, OBES 71(3)). The
mean is inside the graph, so that an ensemble is saved, measured and exported as one model.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from advisor.baselines import Baseline, BaselineConfig, build
from hybrids.committee import Committee, CommitteeConfig, mean_answer
from hybrids.model import ModelConfig, SequenceModel
from hybrids.shapes import Lengths, Series
from profiles.cost import count_flops
from profiles.task import Task

Part = SequenceModel | Committee | Baseline
PartConfig = ModelConfig | CommitteeConfig | BaselineConfig


class EnsembleConfig(BaseModel):
    """Everything that an `Ensemble` is built from: data only, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["ensemble"] = "ensemble"
    task: Task
    parts: Annotated[tuple[PartConfig, ...], Field(min_length=2)]
    """Settings of the models; all read the same channels."""

    @property
    def channels_in(self) -> int:
        """Return the channels of the input."""
        return self.parts[0].channels_in

    def build(self) -> "Ensemble":
        """Return an ensemble of unfitted baselines and freshly initialised networks."""
        return Ensemble(self)


class Ensemble(nn.Module):
    """Maps raw series to the mean answer of its parts; see `SequenceModel` for inputs and answers."""

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.channels_in = config.channels_in
        self.parts = nn.ModuleList(_build(part) for part in config.parts)

    @classmethod
    def of(cls, task: Task, parts: Sequence[Part]) -> Self:
        """Return the ensemble of trained models, which it takes over; in evaluation mode."""
        ensemble = cls(EnsembleConfig(task=task, parts=tuple(part.config for part in parts)))
        ensemble.parts = nn.ModuleList(parts)
        return ensemble.eval()

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the mean answer: logits (B, K) for classify, numbers (B,) for regress, quantiles for forecast."""
        answers = torch.stack([part(x, lengths) for part in self.parts])
        return mean_answer(answers, logits=self.config.task == "classify")

    def flops(self, length: int) -> int:
        """Return the floating-point operations (matrix products) for one series of `length` steps."""
        device = next((t.device for t in (*self.parameters(), *self.buffers())), None)
        x, lengths = torch.zeros(1, length, self.channels_in, device=device), torch.full((1,), length, device=device)
        return sum(count_flops(part, x, lengths) for part in self.parts)


def _build(config: PartConfig) -> nn.Module:
    return build(config) if isinstance(config, BaselineConfig) else config.build()
