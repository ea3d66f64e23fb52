"""Exponential smoothing, theta, drift and seasonal means, weighted by how well each did inside the window.

Every method of `bank` forecasts, also on logarithms where all values are positive, from the end of the window and from
some earlier origins in it. The weight of method k at step h, scaled to -1 to 1, is

    softmax over k of bias_k + slope_k h - trust log error_k

with error_k its mean absolute error after the earlier origins. Bias, slope and trust are learnt over the training
windows (the idea of FFORMA, Montero-Manso et al. 2020, IJF 36(1)): one long series learns which methods suit it, many
short ones what their own past says about each. O(K L H) a window and origin.
"""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from advisor.baselines.bank import bank, theta
from advisor.baselines.base import BaselineConfig, Training, fill, take
from advisor.baselines.forecaster import Forecaster, level_and_unit, recent, seasonal_scale
from hybrids.shapes import Lengths, Series

ORIGINS = 5
LONGEST, METHODS, MOST_NUMBERS = 1024, 46, 1_500_000  # bounds of the window, through the size of the maps (6 MB)
WORK = 2e6  # windows x methods x steps that the weights are learnt on: 2 seconds on one core
STEPS, RATE = 60, 0.1
TRUST = 2.0
PRIOR = 0.1  # pull of equal weights, over the number of separate futures seen
ABSENT = -1e4  # logit of a logarithm that a window does not have


class Smoothing(Forecaster):
    """The weighted mean of a bank of smoothing methods; see the module."""

    maps: Tensor
    bias: Tensor
    slope: Tensor
    trust: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.window, self.methods = config.sizes["window"], config.sizes["methods"]
        self.register_buffer("maps", torch.zeros(self.window, self.methods * config.horizon))
        self.register_buffer("bias", torch.zeros(2 * self.methods))
        self.register_buffer("slope", torch.zeros(2 * self.methods))
        self.register_buffer("trust", torch.tensor(TRUST))
        most = max(1, min(2 * max(config.horizon, self.season), self.window // 2))
        self.offsets = sorted({max(1, round(most * (i + 1) / ORIGINS)) for i in range(ORIGINS)})

    def forecasts(self, x: Series, lengths: Lengths) -> tuple[Tensor, Tensor]:
        """Return what each method says of the values and of their logarithms, (B, 2 K, H), and which count (B, 2 K)."""
        values, _ = recent(x, lengths, self.config.length)
        last = values[:, -1:]
        positive = values.amin(1, keepdim=True) > 0
        unit = torch.where(positive, last, 1.0)
        logs = torch.where(positive, torch.log(torch.where(positive, x[..., 0] / unit, 1.0)), 0.0)[..., None]
        plain, logs = history(x, lengths, self.window, self.season), history(logs, lengths, self.window, self.season)
        out = torch.stack([plain - last, logs], 1) @ self.maps
        out = out.reshape(-1, 2, self.methods, self.config.horizon)
        low, high = logs.amin(1)[:, None, None], logs.amax(1)[:, None, None]
        reach = high - low  # a trend of logarithms may leave the window's range by no more than that range
        grown = torch.exp(torch.minimum(torch.maximum(out[:, 1], low - reach), high + reach)) * unit[..., None]
        both = torch.cat([out[:, 0] + last[..., None], grown], 1)
        counts = torch.cat([torch.ones_like(positive), positive], 1).repeat_interleave(self.methods, 1)
        return both, counts

    def log_errors(self, x: Series, lengths: Lengths) -> Tensor:
        """Return each method's log mean absolute error after earlier origins in the window, less the mean, (B, 2 K)."""
        total, count = torch.zeros_like(x[:, :1, 0]), torch.zeros_like(x[:, :1, 0])
        end = lengths[:, None]
        for offset in self.offsets:
            known = end - offset
            steps = known + torch.arange(min(offset, self.config.horizon), device=x.device)[None]
            truth = take(x, steps)[..., 0][:, None]
            then = self.forecasts(x, known[:, 0].clamp_min(1))[0][..., : steps.shape[1]]
            judged = (known >= 2).to(x.dtype)
            total = total + (then - truth).abs().sum(2) * judged
            count = count + judged * steps.shape[1]
        values, valid = recent(x, lengths, self.config.length)
        unit = level_and_unit(values, valid)[1]
        error = torch.log(total / count.clamp_min(1.0) / torch.where(unit > 0, unit, 1.0) + 1e-3)
        return error - error.mean(1, keepdim=True)

    def weights(self, errors: Tensor, counts: Tensor, bias: Tensor, slope: Tensor, trust: Tensor) -> Tensor:
        """Return the weights of the methods at each step, (B, 2 K, H)."""
        place = torch.linspace(-1.0, 1.0, self.config.horizon, device=errors.device)
        logits = (bias - trust * errors)[..., None] + slope[:, None] * place
        return torch.where(counts[..., None], logits, ABSENT).softmax(1)

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        x = x[..., :1]
        said, counts = self.forecasts(x, lengths)
        weights = self.weights(self.log_errors(x, lengths), counts, self.bias, self.slope, self.trust)
        return (said * weights).sum(1)

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Learn the weights and the spread on as many windows as the work allows, a few thousand at most."""
        config = data.config
        window = min(config.length, LONGEST, max(3 * config.season, 32, MOST_NUMBERS // (METHODS * config.horizon)))
        maps = bank(window, config.horizon, config.season)
        data = data.capped(max(50, int(WORK / (len(maps) * config.horizon))))
        notes = data.config.notes
        if window < config.length:
            notes += (f"{config.kind} reads the last {window} of {config.length} steps, to bound its size.",)
        sizes = {"window": window, "methods": len(maps)}
        model = cls(data.config.model_copy(update={"sizes": sizes, "notes": notes}))
        fill(model.maps, maps.transpose(1, 0, 2).reshape(window, -1))
        x, lengths = data.tensors()
        future = torch.from_numpy(data.y).float()
        model.learn_weights(x[..., :1], lengths, future)
        model.learn_spread(x, lengths, future)
        return model

    def learn_weights(self, x: Series, lengths: Lengths, future: Tensor) -> None:
        """Set bias, slope and trust to what gives the smallest mean absolute error, in units of `seasonal_scale`."""
        unit = seasonal_scale(x, lengths, self.config.length, self.season)
        moving = unit > 0
        if not bool(moving.any()):
            return
        x, lengths, future, unit = x[moving], lengths[moving], future[moving], unit[moving][:, None]
        batches = [slice(i, i + 256) for i in range(0, len(x), 256)]
        said, counts = (torch.cat(p) for p in zip(*(self.forecasts(x[b], lengths[b]) for b in batches), strict=True))
        errors = torch.cat([self.log_errors(x[b], lengths[b]) for b in batches])
        prior = PRIOR / max(len(future) / self.config.horizon, 1.0)
        free = [buffer.clone().requires_grad_() for buffer in (self.bias, self.slope, self.trust)]
        optimiser = torch.optim.Adam(free, lr=RATE)
        start = 0.0
        with torch.enable_grad():
            for _ in range(STEPS):
                middle = (said * self.weights(errors, counts, *free)).sum(1)
                loss = ((middle - future).abs() / unit).mean()
                start = start or max(float(loss.detach()), 1e-12)
                pull = free[0].square().mean() + free[1].square().mean() + (free[2] - TRUST) ** 2 / len(free[0])
                optimiser.zero_grad()
                (loss / start + prior * pull).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        for buffer, value in zip((self.bias, self.slope, self.trust), free, strict=True):
            fill(buffer, value.detach())


class Theta(Forecaster):
    """The theta method on the seasonally adjusted window; how fast its level follows is chosen on training windows."""

    maps: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.register_buffer("maps", torch.zeros(config.sizes["window"], config.horizon))

    def median(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the middle forecast (B, H)."""
        x = x[..., :1]
        window = history(x, lengths, self.config.sizes["window"], self.season)
        return (window - window[:, -1:]) @ self.maps + window[:, -1:]

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Choose among four rates by the mean absolute error on at most 5000 windows."""
        data = data.capped(5000)
        window = min(data.config.length, LONGEST)
        model = cls(data.config.model_copy(update={"sizes": {"window": window}}))
        x, lengths = data.tensors()
        future = torch.from_numpy(data.y).float()
        unit = model.scale(x, lengths)
        each = torch.where(unit > 0, 1 / unit, 0.0)[:, None]
        errors = []
        candidates = theta(window, data.config.horizon, data.config.season)
        for maps in candidates:
            fill(model.maps, maps)
            errors.append(float(((model.median(x, lengths) - future).abs() * each).mean()))
        fill(model.maps, candidates[int(np.argmin(errors))])
        model.learn_spread(x, lengths, future)
        return model


def history(x: Series, lengths: Lengths, window: int, season: int) -> Tensor:
    """Return the last values (B, window) of each row, continued before its start.

    Back in time a row repeats its first season, moved by its mean change per season; a row shorter than two seasons
    repeats its first value in the same way.
    """
    end = lengths[:, None]
    steps = end - window + torch.arange(window, device=x.device)[None]
    period = torch.where(end >= 2 * season, torch.full_like(end, season), torch.ones_like(end))
    back = torch.where(steps < 0, (period - 1 - steps) // period, torch.zeros_like(steps))
    ends = take(x, torch.cat([(end - 1) % period, end - 1], 1))[..., 0]
    change = (ends[:, 1:] - ends[:, :1]) / ((end - 1) // period).clamp_min(1)
    moved = torch.where(back > 0, back * change, 0.0)  # a long row's first value, not in the window, may be infinite
    return take(x, steps + back * period)[..., 0] - moved
