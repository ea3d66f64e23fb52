"""A committee: several networks of one architecture, trained from different seeds, answering as one.

    classify    log of the mean of the members' class probabilities
    regress     mean of the numbers
    forecast    mean of the quantiles

The mean is inside the graph, so that a committee is saved, measured and exported as one model. Time, memory and size
are those of a member times their number (Lakshminarayanan et al. 2017, arXiv:1612.01474).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrids.errors import ConfigError
from hybrids.frontends.series import SeriesConfig
from hybrids.frontends.window import WindowConfig
from hybrids.heads.pooled import ClassifyConfig
from hybrids.model import Head, ModelConfig, SequenceModel
from hybrids.shapes import Lengths, Series


class CommitteeConfig(BaseModel):
    """Everything that a `Committee` is built from: data only, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["committee"] = "committee"
    member: ModelConfig
    """Settings that all members share."""
    count: Annotated[int, Field(ge=2, le=16)]
    """How many members."""

    @property
    def family(self) -> str:
        """Return the family of the members."""
        return self.member.family

    @property
    def channels_in(self) -> int:
        """Return the channels of the input."""
        return self.member.channels_in

    @property
    def frontend(self) -> SeriesConfig | WindowConfig:
        """Return the front end of the members."""
        return self.member.frontend

    @property
    def head(self) -> Head:
        """Return the head of the members."""
        return self.member.head

    def build(self) -> "Committee":
        """Return a committee of freshly initialised members, no two alike."""
        return Committee(self)


class Committee(nn.Module):
    """Maps raw series to the mean answer of its members; see `SequenceModel` for inputs and answers."""

    def __init__(self, config: CommitteeConfig) -> None:
        super().__init__()
        self.config = config
        self.channels_in = config.channels_in
        self.members = nn.ModuleList(config.member.build() for _ in range(config.count))

    @classmethod
    def of(cls, members: Sequence[SequenceModel]) -> Self:
        """Return the committee of trained networks, which it takes over; in evaluation mode.

        Raises:
            ConfigError: fewer than two, or they are not of one architecture.
        """
        if len(members) < 2 or any(member.config != members[0].config for member in members):
            raise ConfigError(f"a committee needs 2 networks or more of one architecture, got {len(members)}.")
        committee = cls(CommitteeConfig(member=members[0].config, count=len(members)))
        committee.members = nn.ModuleList(members)
        return committee.eval()

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the mean answer: logits (B, K) for classify, numbers (B,) for regress, quantiles for forecast."""
        answers = torch.stack([member(x, lengths) for member in self.members])
        return mean_answer(answers, logits=isinstance(self.config.head, ClassifyConfig))

    def flops(self, length: int) -> int:
        """Return the floating-point operations (matrix products) for one series of `length` steps."""
        member = self.members[0]
        assert isinstance(member, SequenceModel)
        return self.config.count * member.flops(length)


def mean_answer(answers: Tensor, *, logits: bool) -> Tensor:
    """Return the mean over M of (M, ...): of logits the log of the mean probabilities, else of the numbers."""
    return answers.log_softmax(-1).logsumexp(0) - math.log(len(answers)) if logits else answers.mean(0)
