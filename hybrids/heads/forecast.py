"""Quantile forecasts of all horizon steps at once, on a naive-initialised linear path.

The window is centred and scaled by its own mean and deviation, so one model serves series of any level. A linear
map of the window starts as the seasonal naive forecast (last value where there is no season); the network adds to
it and starts at zero, as does a linear map of what is known ahead. Direct multi-step output (research: linear models of
this kind are hard to beat, Zeng et al. 2022, arXiv:2205.13504; instance normalisation, Kim et al. 2022).
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrids.shapes import Lengths, Series, Tokens

QUANTILES = (0.1, 0.5, 0.9)


class ForecastConfig(BaseModel):
    """Settings of a `ForecastHead`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["forecast"] = "forecast"
    horizon: Annotated[int, Field(ge=1)]
    look_back: Annotated[int, Field(ge=1)]
    """Steps of the past that the model reads; shorter series repeat their first value."""
    season: Annotated[int, Field(ge=1)] = 1
    readout: Literal["last", "all"] = "last"
    """Which tokens the network's answer is read from."""


def last_window(x: Series, lengths: Lengths, look_back: int) -> Series:
    """Return the last `look_back` valid steps of each row; a shorter row repeats its first value."""
    at = (lengths[:, None] - look_back + torch.arange(look_back, device=x.device)[None]).clamp_min(0)
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[2]))


def scale_of(window: Series) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each window, (B, 1, C), the deviation never 0.

    Both are sums of differences from the last value: the order of a sum then hardly shows at a high level, and a
    constant window has exactly deviation 0 before the floor, in every runtime.
    """
    last = window[:, -1:]
    difference = window - last
    offset = difference.mean(1, keepdim=True)
    deviation = (difference - offset).square().mean(1, keepdim=True).sqrt()
    mean = last + offset
    return mean, deviation + 1e-5 * (1 + mean.abs())


class ForecastHead(nn.Module):
    """Quantiles (B, horizon, 3) in window-scaled units; see `QUANTILES`.

    Args:
        config: Settings.
        width: D, of the tokens.
        tokens: How many there are.
        dropout: Of what is read from them.
        ahead: Numbers that are known of the steps to forecast.
    """

    def __init__(self, config: ForecastConfig, width: int, tokens: int, dropout: float, ahead: int = 0) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.look_back, config.horizon)
        self.linear_ahead = nn.Linear(ahead, config.horizon, bias=False) if ahead else None
        self.dropout = nn.Dropout(dropout)
        inputs = width * (tokens if config.readout == "all" else 1)
        self.out = nn.Linear(inputs, config.horizon * len(QUANTILES))
        self._start_naive()

    @torch.no_grad()
    def _start_naive(self) -> None:
        for part in (self.linear, self.out):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        if self.linear_ahead is not None:
            nn.init.zeros_(self.linear_ahead.weight)
        look_back, season = self.config.look_back, self.config.season
        if season > look_back:
            season = 1
        for step in range(self.config.horizon):
            self.linear.weight[step, look_back - season + step % season] = 1

    def forward(self, window: Series, tokens: Tokens, ahead: Tensor | None = None) -> Tensor:
        """Return the quantiles, in order, of the scaled future of the scaled `window`; `ahead` (B, A): known of it."""
        seen = tokens.flatten(1) if self.config.readout == "all" else tokens[:, -1]
        low, middle, high = self.out(self.dropout(seen)).unflatten(1, (self.config.horizon, len(QUANTILES))).unbind(-1)
        middle = middle + self.linear(window[..., 0])
        if self.linear_ahead is not None:
            middle = middle + self.linear_ahead(ahead)
        return torch.stack([middle - F.softplus(low), middle, middle + F.softplus(high)], dim=-1)


def pinball(quantiles: Tensor, truth: Tensor) -> Tensor:
    """Return the mean pinball loss, with the median counted as absolute error.

    Args:
        quantiles: (B, H, 3), at `QUANTILES`.
        truth: (B, H).
    """
    error = truth[..., None] - quantiles
    level = error.new_tensor(QUANTILES)
    loss = torch.maximum(level * error, (level - 1) * error)
    return (loss * error.new_tensor((0.5, 2.0, 0.5))).sum(-1).mean()
