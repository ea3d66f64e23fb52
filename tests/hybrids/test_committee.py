"""A committee answers the mean of its members."""

import pytest
import torch

from hybrids.committee import Committee, CommitteeConfig
from hybrids.errors import ConfigError
from hybrids.families import layers
from hybrids.frontends.series import SeriesConfig
from hybrids.frontends.stem import StemConfig
from hybrids.heads.forecast import ForecastConfig
from hybrids.heads.pooled import ClassifyConfig, RegressConfig
from hybrids.model import ModelConfig

HEADS = {
    "classify": ClassifyConfig(classes=3),
    "regress": RegressConfig(),
    "forecast": ForecastConfig(horizon=4, look_back=24, season=6),
}


def config(task, width=8):
    forecast = task == "forecast"
    frontend = {"normalise": "none"} if forecast else {"normalise": "both", "patch": 2, "convolution": StemConfig()}
    return ModelConfig(
        family="gru",
        channels_in=1 if forecast else 2,
        width=width,
        layers=layers("gru", 1, causal=False),
        frontend=SeriesConfig(channels_in=2, **frontend),
        head=HEADS[task],
    )


def members(task, count=3):
    """Return networks with random weights in their heads too."""
    torch.manual_seed(0)
    made = [config(task).build().eval() for _ in range(count)]
    with torch.no_grad():
        for weight in (p for one in made for p in one.head.parameters()):
            weight.add_(0.3 * torch.randn_like(weight))
    return made


def rows(task):
    return torch.randn(4, 30, 1 if task == "forecast" else 2), torch.tensor([30, 25, 26, 3])


@pytest.mark.parametrize("task", HEADS)
@torch.no_grad()
def test_it_answers_the_mean_of_its_members(task):
    one, x, lengths = members(task), *rows(task)
    answers = [member(x, lengths) for member in one]
    together = Committee.of(one)(x, lengths)
    if task == "classify":
        answers, together = [answer.softmax(-1) for answer in answers], together.exp()
    torch.testing.assert_close(together, sum(answers) / 3, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", HEADS)
def test_it_costs_what_its_members_cost(task):
    committee = Committee.of(members(task))
    assert committee.flops(30) == 3 * committee.members[0].flops(30)
    assert committee.channels_in == committee.config.channels_in == config(task).channels_in


def test_its_settings_come_back_from_json():
    settings = CommitteeConfig(member=config("classify"), count=2)
    again = CommitteeConfig.model_validate_json(settings.model_dump_json())
    assert again == settings
    assert (again.family, again.head, again.frontend) == ("gru", HEADS["classify"], settings.member.frontend)
    first, second = again.build().members
    assert not torch.equal(first.head.out.weight, second.head.out.weight)


def test_one_network_or_two_kinds_are_no_committee():
    with pytest.raises(ConfigError, match="got 1"):
        Committee.of(members("classify", 1))
    with pytest.raises(ConfigError, match="one architecture"):
        Committee.of([config("classify").build(), config("classify", width=16).build()])
