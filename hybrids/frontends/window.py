"""The window of a forecaster to tokens: scaling, seasonal differences, covariates and calendar, in patches.

    z = (y - mean(y)) / deviation(y)                    target, by its own window; after its square root if so set
    d_t = z_t - z_{t - season}, 0 before                for each season shorter than the window
    v = (x - mean) / deviation                          covariates, by the training data
    token = W [z, d over the steps of a patch; v and calendar at the last of them; mean of v over them] + b
    every token += U [a_t, a_t - a_{t - season}]        over the last H steps t; a_t is known H steps ahead
                                                        (the difference where a season more fits into the window)

The last token ends with the window; the first is filled with zeros in front. The calendar is taken once a token, since
its other steps follow from it; covariates in full were measured to cost more by overfitting than they tell
(docs/LOG.md). One matrix product of L / patch rows; no convolution.
Patches: Nie et al. 2023, arXiv:2211.14730. Scaling by the window: Kim et al. 2022 (RevIN).
"""

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from hybrids.heads.forecast import scale_of
from hybrids.shapes import Series, Tokens
from hybrids.square_root import signed_root, signed_square

TINY = 1e-6
"""Of its mean: a covariate whose deviation is no more than this never changes."""


class WindowConfig(BaseModel):
    """Settings of `WindowFrontend`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["window"] = "window"
    channels_in: Annotated[int, Field(ge=1)] = 1
    """C: the target, then covariates, calendar, and what is known ahead."""
    calendar: Annotated[int, Field(ge=0)] = 0
    """How many channels are calendar, which is not scaled."""
    ahead: Annotated[int, Field(ge=0)] = 0
    """How many of the last channels hold at each step what is known for a horizon later."""
    patch: Annotated[int, Field(ge=1)] = 1
    """Steps of a token."""
    seasons: tuple[Annotated[int, Field(ge=2)], ...] = ()
    """Lags at which the target is differenced, each a channel of its own."""
    square_root: bool = False
    """Take the square root of the target first and square the forecast; for targets that are never negative."""

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        """Refuse a calendar, and channels known ahead, that leave none for the target."""
        if self.calendar + self.ahead >= self.channels_in:
            taken = f"{self.calendar} calendar channels and {self.ahead} known ahead"
            raise ValueError(f"{taken} of {self.channels_in} leave no target.")
        return self


class WindowFrontend(nn.Module):
    """Embed a standardised window as tokens.

    Args:
        config: Settings.
        width: D, width of a token.
        look_back: L, steps of every window.
        horizon: H, steps to forecast.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: WindowConfig, width: int, look_back: int, horizon: int) -> None:
        super().__init__()
        self.config = config
        self.look_back = look_back
        self.tokens = -(-look_back // config.patch)
        self.seasons = tuple(season for season in config.seasons if season < look_back)
        self.register_buffer("mean", torch.zeros(config.channels_in))
        self.register_buffer("scale", torch.ones(config.channels_in))
        self.varying = config.channels_in - config.calendar - config.ahead
        steps = config.patch * (1 + len(self.seasons))
        self.embed = nn.Linear(steps + config.calendar + 2 * (self.varying - 1), width)
        self.steps_known = min(horizon, look_back)
        self.back = next((season for season in self.seasons if season + self.steps_known <= look_back), None)
        self.known = config.ahead * self.steps_known * (1 if self.back is None else 2)
        """Numbers that are known of the steps to forecast."""
        self.embed_ahead = nn.Linear(self.known, width, bias=False) if config.ahead else None
        if self.embed_ahead is not None:
            nn.init.zeros_(self.embed_ahead.weight)  # what never changes in training then never counts

    def fit(self, mean: Tensor, scale: Tensor) -> None:
        """Set the scaling of the covariates from the training data, each (C,); target and calendar are left alone."""
        for part in (slice(1, self.varying), slice(self.varying + self.config.calendar, None)):
            moves = scale[part] > TINY * (TINY + mean[part].abs())  # what never changed is not blown up when it does
            self.mean[part].copy_(mean[part])
            self.scale[part].copy_(torch.where(moves, scale[part], scale[part].clamp_min(1.0)))

    def standardise(self, window: Series) -> tuple[Series, Tensor, Tensor]:
        """Return the scaled window (B, L, C), and mean and deviation of its target, (B, 1, 1)."""
        target = self.transformed(window[..., :1])
        mean, scale = scale_of(target)
        others = (window[..., 1:] - self.mean[1:]) / self.scale[1:]
        return torch.cat([(target - mean) / scale, others], dim=-1), mean, scale

    def transformed(self, target: Tensor) -> Tensor:
        """Return the target, of any shape, as it is before it is scaled."""
        return signed_root(target) if self.config.square_root else target

    def restored(self, forecast: Tensor) -> Tensor:
        """Return the forecast of a transformed target in the target's own unit, the inverse of `transformed`."""
        return signed_square(forecast) if self.config.square_root else forecast

    def forward(self, z: Series, ahead: Tensor | None = None) -> Tokens:
        """Return the tokens (B, ceil(L / patch), D) of a scaled window (B, L, C); `ahead` is its own, if at hand."""
        differences = [F.pad(z[:, season:, :1] - z[:, :-season, :1], (0, 0, season, 0)) for season in self.seasons]
        patch = self.config.patch
        steps = torch.cat([z, *differences], dim=-1)
        steps = F.pad(steps, (0, 0, self.tokens * patch - self.look_back, 0))
        steps = steps.reshape(z.shape[0], self.tokens, patch, -1)
        sizes = [1, self.varying - 1, self.config.calendar, self.config.ahead, len(self.seasons)]
        target, covariates, calendar, _, lagged = torch.split(steps, sizes, dim=-1)
        inputs = torch.cat([target, lagged], dim=-1).flatten(2)
        if self.config.channels_in > 1:
            inputs = torch.cat([inputs, covariates[:, :, -1], calendar[:, :, -1], covariates.mean(2)], dim=-1)
        tokens: Tokens = self.embed(inputs)
        if self.embed_ahead is not None:
            tokens = tokens + self.embed_ahead(self.ahead(z) if ahead is None else ahead)[:, None]
        return tokens

    def ahead(self, z: Series) -> Tensor | None:
        """Return what a scaled window (B, L, C) knows of the steps to forecast, (B, known); None: nothing."""
        if not self.config.ahead:
            return None
        channels = z[..., z.shape[2] - self.config.ahead :]
        later = channels[:, -self.steps_known :]
        if self.back is None:
            return later.flatten(1)
        before = channels[:, z.shape[1] - self.steps_known - self.back : z.shape[1] - self.back]
        return torch.cat([later, later - before], dim=-1).flatten(1)

    def flops(self, length: int) -> int:
        """Return the floating-point operations for one window, whatever the `length` of the series."""
        ahead = 0 if self.embed_ahead is None else self.embed_ahead.weight.numel()
        return 2 * (self.tokens * self.embed.weight.numel() + ahead)
