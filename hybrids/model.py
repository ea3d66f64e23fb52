"""A whole model: front end, backbone, head; its settings as JSON and its weights as safetensors."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hybrids.backbone import Backbone
from hybrids.block import BlockStyle
from hybrids.frontends.series import SeriesConfig, SeriesFrontend
from hybrids.frontends.window import WindowConfig, WindowFrontend
from hybrids.heads.forecast import ForecastConfig, ForecastHead, last_window, scale_of
from hybrids.heads.pooled import ClassifyConfig, ClassifyHead, RegressConfig, RegressHead
from hybrids.layout import Layer
from hybrids.mixer import reads_whole
from hybrids.shapes import Lengths, Series, Tokens

Head = Annotated[ClassifyConfig | RegressConfig | ForecastConfig, Field(discriminator="kind")]


class ModelConfig(BaseModel):
    """Everything that `SequenceModel` is built from: data only, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["network"] = "network"
    family: str
    channels_in: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=4)]
    layers: tuple[Layer, ...]
    expansion: Annotated[float, Field(ge=0, le=8)] = 2.0
    """Inner width of the feed-forward part over the model width, before gating; 0 leaves the part out."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    block: BlockStyle = BlockStyle()
    frontend: SeriesConfig | WindowConfig
    """window: forecasting only."""
    head: Head

    @model_validator(mode="after")
    def _windows_are_for_forecasts(self) -> Self:
        """Refuse a window of the past where the whole series is to be read."""
        if isinstance(self.frontend, WindowConfig) and not isinstance(self.head, ForecastConfig):
            raise ValueError(f"a window front end forecasts; to {self.head.kind}, use a series front end.")
        return self

    def build(self) -> "SequenceModel":
        """Return a freshly initialised model."""
        return SequenceModel(self)


class SequenceModel(nn.Module):
    """Maps raw series to the answer of the task; scaling is inside.

    `forward(x, lengths)`: x (B, L, C) raw values, right-padded; lengths (B,) valid steps.
    Returns logits (B, K) for classify, numbers (B,) for regress, quantiles (B, horizon, 3) for forecast.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.channels_in = config.channels_in
        self.frontend: SeriesFrontend | WindowFrontend
        if isinstance(config.frontend, WindowConfig):
            assert isinstance(config.head, ForecastConfig)
            self.frontend = WindowFrontend(config.frontend, config.width, config.head.look_back, config.head.horizon)
        else:
            self.frontend = SeriesFrontend(config.frontend, config.width)
        self.backbone = Backbone(config.layers, config.width, config.expansion, config.dropout, config.block)
        self.head: ClassifyHead | RegressHead | ForecastHead
        match config.head:
            case ClassifyConfig():
                self.head = ClassifyHead(config.head, config.width, config.dropout)
            case RegressConfig():
                self.head = RegressHead(config.width, config.dropout)
            case ForecastConfig():
                tokens = -(-config.head.look_back // config.frontend.patch)
                ahead = self.frontend.known if isinstance(self.frontend, WindowFrontend) else 0
                self.head = ForecastHead(config.head, config.width, tokens, config.dropout, ahead)
        reads_whole(self)

    def forward(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the answer; see the class."""
        if isinstance(self.head, ForecastHead):
            z, mean, scale = self.standardise(last_window(x, lengths, self.head.config.look_back))
            _, quantiles = self.forecast_scaled(z)
            return self.restored(quantiles * scale + mean)
        tokens, counts = self.frontend(x, lengths)
        tokens, _ = self.backbone(tokens, None, counts)
        answer: Tensor = self.head(tokens, counts)
        return answer

    def standardise(self, window: Series) -> tuple[Series, Tensor, Tensor]:
        """Return a forecaster's window (B, look_back, C), scaled, and mean and deviation of its target, (B, 1, 1).

        The target is `transformed` first.
        """
        if isinstance(self.frontend, WindowFrontend):
            return self.frontend.standardise(window)
        mean, scale = scale_of(window)
        return (window - mean) / scale, mean, scale

    def transformed(self, target: Tensor) -> Tensor:
        """Return a forecaster's target, of any shape, as it is before it is scaled."""
        return self.frontend.transformed(target) if isinstance(self.frontend, WindowFrontend) else target

    def restored(self, forecast: Tensor) -> Tensor:
        """Return the forecast of a transformed target in the target's own unit."""
        return self.frontend.restored(forecast) if isinstance(self.frontend, WindowFrontend) else forecast

    def forecast_scaled(self, z: Series) -> tuple[Tokens, Tensor]:
        """Return the last tokens of the backbone, and the scaled quantiles (B, H, 3), for a scaled window."""
        assert isinstance(self.head, ForecastHead)
        ahead: Tensor | None = None
        if isinstance(self.frontend, WindowFrontend):
            ahead = self.frontend.ahead(z)
            tokens = self.frontend(z, ahead)
        else:
            tokens, _ = self.frontend(with_seasonal_difference(z, self.head.config.season), full_lengths(z))
        tokens, _ = self.backbone(tokens)
        return tokens, self.head(z, tokens, ahead)

    def flops(self, length: int) -> int:
        """Return the floating-point operations (matrix products) for one series of `length` steps."""
        head = sum(p.numel() for p in self.head.parameters())
        if isinstance(self.head, ForecastHead):
            length = self.head.config.look_back
        tokens = -(-length // self.config.frontend.patch)
        return self.frontend.flops(length) + self.backbone.flops(tokens) + 2 * head


def with_seasonal_difference(z: Series, season: int) -> Series:
    """Return z (B, L, 1) with z_t - z_{t-season} as a second channel; 0 where there is no such past."""
    if not 1 < season < z.shape[1]:
        return torch.cat([z, torch.zeros_like(z)], dim=-1)
    difference = torch.cat([torch.zeros_like(z[:, :season]), z[:, season:] - z[:, :-season]], dim=1)
    return torch.cat([z, difference], dim=-1)


def full_lengths(x: Series) -> Lengths:
    """Return the lengths of rows without padding."""
    return torch.full((x.shape[0],), x.shape[1], dtype=torch.int64, device=x.device)


def save(model: SequenceModel, folder: Path) -> None:
    """Write `config.json` and `weights.safetensors` into `folder`, each replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    save_file(weights, folder / "weights.tmp", metadata={"config": model.config.model_dump_json()})
    os.replace(folder / "weights.tmp", folder / "weights.safetensors")
    (folder / "config.tmp").write_text(json.dumps(model.config.model_dump(mode="json"), indent=1))
    os.replace(folder / "config.tmp", folder / "config.json")


def load(folder: Path) -> SequenceModel:
    """Return the model that `save` wrote, in evaluation mode."""
    model = ModelConfig.model_validate_json((folder / "config.json").read_text()).build()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return model.eval()
