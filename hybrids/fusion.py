"""Several streams of different rate, width and length into one sequence.

    h_s = encoder_s(W_s x_s)                                                    one stack of mixers a stream
    cross:   h_0 <- h_0 + tanh(a_s) attention(LN h_0 + c_0; h_s + c_s)          for every other stream s in turn
    concat:  W [pool(h_0), pool(h_1), ...]                                      late fusion, the baseline

Cross fusion keeps the sequence of stream 0, the primary. c are sines and cosines of the time of each token on one
shared clock; they enter queries and keys, not values. a_s starts at 0 (Alayrac et al. 2022, arXiv:2204.14198), so
fusion starts as the encoder of the primary; until a_s has moved, in the first step of the optimiser, the other streams'
weights get no gradient. A missing stream is replaced by a learned token. O(sum_s L_0 L_s D). No step by step form.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrids.backbone import Backbone
from hybrids.cross_attention import CrossAttention, Visible
from hybrids.errors import ConfigError, ShapeError
from hybrids.heads.pooled import pool
from hybrids.layout import Layer
from hybrids.mixer import reads_whole, valid_steps
from hybrids.positions import sinusoidal
from hybrids.scan import accumulator, head_width
from hybrids.shapes import Lengths, Series, Tokens

Present = Bool[Tensor, "B S"]
Times = Float[Tensor, "B L"]
NYQUIST = 2.0
"""Tokens in the shortest period that the clock shows."""


class StreamConfig(BaseModel):
    """Settings of one stream."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    channels_in: Annotated[int, Field(ge=1)]
    layers: tuple[Layer, ...] = ()
    """The encoder, bottom first."""
    rate: Annotated[float, Field(gt=0)] = 1.0
    """Tokens per second, or relative to the other streams; token i ends at (i + 1) / rate where no times are given."""


class FusionConfig(BaseModel):
    """Everything that `CrossFusion` or `ConcatFusion` is built from: data only, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["cross", "concat"] = "cross"
    width: Annotated[int, Field(ge=2)]
    streams: Annotated[tuple[StreamConfig, ...], Field(min_length=2)]
    """The first is the primary."""
    head_dim: Annotated[int, Field(ge=1)] = 16
    """Wanted channels per head of cross-attention; the nearest divisor of the width is taken."""
    expansion: Annotated[float, Field(ge=0, le=8)] = 2.0
    """Of the feed-forward parts of the encoders; 0 leaves them out."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    causal: bool = False
    """A token sees its own stream's past and the other streams' tokens up to its own time; cross fusion only."""

    def build(self) -> "Fusion":
        """Return a freshly initialised fusion."""
        return CrossFusion(self) if self.kind == "cross" else ConcatFusion(self)


class Encoded(NamedTuple):
    """One stream after its encoder.

    Attributes:
        tokens: (B, L, D).
        steps: How many tokens are real in each row, at least 1 (B,).
        missing: Rows whose tokens are the learned stand-in (B,).
        times: When each token ends (B, L); 0 in padding.
    """

    tokens: Tokens
    steps: Lengths
    missing: Bool[Tensor, " B"]
    times: Times


class StreamEncoder(nn.Module):
    """Project a stream to width D and pass it through its own stack of mixers."""

    def __init__(self, config: StreamConfig, fusion: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(config.channels_in, fusion.width)
        self.stand_in = nn.Parameter(torch.randn(fusion.width) * 0.02)
        self.backbone = Backbone(config.layers, fusion.width, fusion.expansion, fusion.dropout)
        reads_whole(self.backbone)

    def forward(self, x: Series, lengths: Lengths, present: Bool[Tensor, " B"], times: Times | None) -> Encoded:
        """Encode the rows that are present, and the stand-in for the others.

        A row that is not present has the stand-in at every step, or at one step where its length is 0. What lies past
        the length of a row, and the content of a row that is not present, is not looked at, be it nan.
        """
        if x.shape[-1] != self.config.channels_in:
            raise ShapeError(
                f"a stream must have {self.config.channels_in} channels, got {tuple(x.shape)}. "
                f"Set channels_in={x.shape[-1]}."
            )
        if times is None:
            ends = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=accumulator(x.dtype)) / self.config.rate
            times = ends.expand(x.shape[:2])
        if x.shape[1] == 0:
            x, times = F.pad(x, (0, 0, 0, 1)), F.pad(times, (0, 1))
        missing, valid = ~present | (lengths == 0), valid_steps(x, lengths)
        content = (valid & ~missing[:, None])[..., None]
        h = self.project(torch.where(content, x, torch.zeros_like(x)))
        h = torch.where(content, h, self.stand_in.to(h.dtype))
        steps = lengths.clamp(min=1)  # no mixer meets a row without a step
        tokens, _ = self.backbone(h, None, steps)
        return Encoded(tokens, steps, missing, torch.where(valid, times, torch.zeros_like(times)))


class Fusion(nn.Module, ABC):
    """Streams in, one sequence out.

    Args:
        config: Settings.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleList(StreamEncoder(stream, config) for stream in config.streams)

    def forward(
        self,
        streams: Sequence[Series],
        lengths: Sequence[Lengths],
        present: Present | None = None,
        times: Sequence[Times] | None = None,
    ) -> tuple[Tokens, Lengths]:
        """Return one sequence and how many of its tokens are valid in each row.

        Args:
            streams: One tensor (B, L_s, C_s) a stream, right-padded.
            lengths: Valid steps of each row, for each stream.
            present: False where a stream is missing in a row; a length of 0 says the same. None: all are present.
            times: When each token ends, in seconds since the start of the row, never falling along L_s; None: as the
                rates say.

        Raises:
            ShapeError: there are more or fewer streams than in the settings, or one has other channels.
        """
        count = len(self.config.streams)
        if len(streams) != count or len(lengths) != count or (times is not None and len(times) != count):
            raise ShapeError(f"the settings name {count} streams, got {len(streams)}. Pass all, present or not.")
        if present is None:
            present = torch.ones(streams[0].shape[0], count, dtype=torch.bool, device=streams[0].device)
        spans = [lengths[0], *(n * present[:, s] for s, n in enumerate(lengths[1:], start=1))]
        encoded = [
            encoder(streams[s], spans[s], present[:, s], None if times is None else times[s])
            for s, encoder in enumerate(self._encoders())
        ]
        return self.fuse(encoded)

    def _encoders(self) -> list[StreamEncoder]:
        return [encoder for encoder in self.encoders if isinstance(encoder, StreamEncoder)]

    @abstractmethod
    def fuse(self, streams: Sequence[Encoded]) -> tuple[Tokens, Lengths]:
        """Return one sequence and its lengths."""


class CrossFusion(Fusion):
    """The primary's tokens (B, L_0, D) with what they read from the other streams.

    A row whose primary is missing has as many tokens as the primary's length says, at its times, or one token at time 0
    where the length is 0; so with `causal`, give a missing primary its length and times. With `causal`, a token that
    comes before everything of another stream reads exactly 0 from it.

    Raises:
        ConfigError: `causal` with an encoder that sees the future.

    Example:
        >>> from hybrids.layout import parse
        >>> motion, level = StreamConfig(channels_in=3, layers=parse("gru"), rate=50), StreamConfig(channels_in=1)
        >>> fusion = FusionConfig(width=8, streams=(motion, level)).build()
        >>> x, lengths = (torch.zeros(2, 100, 3), torch.zeros(2, 2, 1)), (torch.tensor([100, 70]), torch.tensor([2, 0]))
        >>> tokens, counts = fusion(x, lengths)
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        for s, stream in enumerate(self._encoders()):
            if config.causal and not stream.backbone.causal:
                raise ConfigError(f"stream {s} sees the future. Use causal layers or set causal=False.")
        others, heads = len(config.streams) - 1, config.width // head_width(config.width, config.head_dim)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(others))
        self.reads = nn.ModuleList(CrossAttention(config.width, config.width, heads) for _ in range(others))
        self.alphas = nn.Parameter(torch.zeros(others))
        self.dropout = nn.Dropout(config.dropout)

    def _reads(self) -> list[CrossAttention]:
        return [read for read in self.reads if isinstance(read, CrossAttention)]

    def fuse(self, streams: Sequence[Encoded]) -> tuple[Tokens, Lengths]:
        """Add to the primary what it reads from each other stream in turn."""
        primary, *others = streams
        x, now = primary.tokens, self._clock(primary)
        for read, norm, alpha, other in zip(self._reads(), self.norms, self.alphas, others, strict=True):
            keys, values = read.project(other.tokens, self._clock(other))
            x = x + alpha.tanh() * self.dropout(read(norm(x) + now, keys, values, self._visible(primary, other)))
        return x, primary.steps

    def _clock(self, stream: Encoded) -> Tokens:
        """Return the features of the time of each token; the shortest period spans two tokens of the fastest stream."""
        turns = max(s.rate for s in self.config.streams) / NYQUIST  # of the fastest wave, a second
        return sinusoidal(2 * math.pi * turns * stream.times, self.config.width, stream.tokens.dtype)

    def _visible(self, primary: Encoded, other: Encoded) -> Visible:
        """Return which tokens of `other` each token of `primary` sees; a stand-in is there from the start."""
        real = valid_steps(other.tokens, other.steps)[:, None]
        if not self.config.causal:
            return real
        in_time = other.times[:, None] <= primary.times[..., None]
        alone = torch.arange(other.tokens.shape[1], device=real.device) == 0
        return torch.where(other.missing[:, None, None], alone, real & in_time)

    def flops(self, lengths: Sequence[int]) -> int:
        """Return the floating-point operations for one row with these lengths of its streams."""
        total = 0
        for encoder, length in zip(self._encoders(), lengths, strict=True):
            total += 2 * length * encoder.project.weight.numel() + encoder.backbone.flops(length)
        return total + sum(read.flops(lengths[0], n) for read, n in zip(self._reads(), lengths[1:], strict=True))


class ConcatFusion(Fusion):
    """One token (B, 1, D): a linear map of the mean and the maximum of every stream.

    Raises:
        ConfigError: `causal`, which a summary of whole streams cannot be.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        if config.causal:
            raise ConfigError("late fusion summarises whole streams. Set causal=False or kind='cross'.")
        self.out = nn.Linear(2 * config.width * len(config.streams), config.width)

    def fuse(self, streams: Sequence[Encoded]) -> tuple[Tokens, Lengths]:
        """Join the summaries."""
        summaries = torch.cat([pool(s.tokens, s.steps) for s in streams], -1)
        return self.out(summaries)[:, None], torch.ones_like(streams[0].steps)
