"""Sequence to sequence: an encoder reads the source, a decoder writes the target and looks at what was read.

    memory = encoder(source)          log p(y_t | y_<t, source) = log_softmax(E decoder(y_<t, memory))

The encoder is any stack of mixers, the decoder any stack of causal ones, so the two families here are rows of a table:
`encoder_decoder` (Transformer both ways, Vaswani et al. 2017, arXiv:1706.03762) and `transformer_rnn` (Transformer
encoder, LSTM decoder with attention after the recurrence, Luong et al. 2015, arXiv:1508.04025). Training gives the
whole target at once; decoding keeps a state and computes the memory's keys and values once.
"""

import math
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from hybrids import mixers
from hybrids.backbone import Backbone
from hybrids.decoder import Decoder
from hybrids.decoding import Hypotheses, beam, greedy
from hybrids.errors import ConfigError
from hybrids.frontends.series import SeriesConfig, SeriesFrontend
from hybrids.frontends.tokens import Ids, TokensConfig, TokensFrontend
from hybrids.layout import Layer
from hybrids.mixer import State, reads_whole
from hybrids.shapes import Lengths, Series, Tokens

Logits = Float[Tensor, "B T V"]


class EncoderDecoderConfig(BaseModel):
    """Everything that `EncoderDecoder` is built from: data only, JSON in and out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: Literal["encoder_decoder"] = "encoder_decoder"
    family: str = "encoder_decoder"
    width: Annotated[int, Field(ge=4)]
    source: TokensConfig | SeriesConfig | None
    """The front end of the source; None: the caller of `EncoderDecoder` passes one."""
    target: TokensConfig
    encoder: tuple[Layer, ...]
    decoder: Annotated[tuple[Layer, ...], Field(min_length=1)]
    """Causal mixers, bottom first; each is followed by cross-attention."""
    head_dim: Annotated[int, Field(ge=1)] = 16
    """Wanted channels per head of cross-attention; the nearest divisor of the width is taken."""
    expansion: Annotated[float, Field(ge=0, le=8)] = 2.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    tied: bool = True
    """Score symbols with the embeddings of the target (Press & Wolf 2016, arXiv:1608.05859)."""
    bos: Annotated[int, Field(ge=0)] = 1
    """The symbol that starts every target."""
    eos: Annotated[int, Field(ge=0)] = 2
    """The symbol that ends every target."""

    @model_validator(mode="after")
    def _symbols_differ(self) -> "EncoderDecoderConfig":
        ids = (self.target.pad, self.bos, self.eos)
        if len(set(ids)) < len(ids) or max(ids) >= self.target.vocabulary:
            raise ValueError(
                f"pad, bos and eos {ids} must be three symbols of a vocabulary of {self.target.vocabulary}. "
                "Reserve three ids."
            )
        return self

    def build(self) -> "EncoderDecoder":
        """Return a freshly initialised model."""
        return EncoderDecoder(self)


class EncoderDecoder(nn.Module):
    """Maps a source, and the target so far, to the next symbol.

    The source is integers (B, L) or a series (B, L, C), as `config.source` says, right-padded.

    Args:
        config: Settings.
        frontend: What makes tokens of the source where `config.source` is None: called with (source, lengths), it
            returns tokens (B, L', D) and lengths (B,).

    Raises:
        ConfigError: `config.source` and `frontend` are both given or both missing; a decoder layer is not causal.

    Example:
        >>> config = family("transformer_rnn", TokensConfig(vocabulary=9), TokensConfig(vocabulary=7), 16, depth=1)
        >>> model = config.build().eval()
        >>> source, lengths = torch.ones(2, 5, dtype=torch.int64), torch.tensor([5, 3])
        >>> logits = model(source, lengths, torch.full((2, 4), config.bos))
        >>> found = model.generate(source, lengths, longest=6, beams=3)
    """

    def __init__(self, config: EncoderDecoderConfig, frontend: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        if (config.source is None) == (frontend is None):
            raise ConfigError("a source has one front end. Set config.source or pass frontend, not both.")
        match config.source:
            case TokensConfig():
                frontend = TokensFrontend(config.source, config.width)
            case SeriesConfig():
                frontend = SeriesFrontend(config.source, config.width)
        self.frontend = frontend
        self.encoder = Backbone(config.encoder, config.width, config.expansion, config.dropout)
        reads_whole(self.encoder)
        self.embedding = TokensFrontend(config.target, config.width)
        self.decoder = Decoder(
            config.decoder, config.width, config.width, config.head_dim, config.expansion, config.dropout
        )
        self.dropout = nn.Dropout(config.dropout)
        self.output = None if config.tied else nn.Linear(config.width, config.target.vocabulary, bias=False)

    def forward(self, source: Ids | Series, source_lengths: Lengths, target: Ids) -> Logits:
        """Return the logits of the symbol after each of `target`, which starts with bos; see `shifted`.

        No lengths of the target are asked for: what stands right of a symbol cannot reach it.
        """
        _, *state = self.start(source, source_lengths)
        x = self.embedding.embed(target, torch.zeros_like(source_lengths))
        y, _ = self.decoder(self.dropout(x), tuple(state))
        return self._score(y)

    def encode(self, source: Ids | Series, lengths: Lengths) -> tuple[Tokens, Lengths]:
        """Return the memory (B, S, D) and how many of its tokens are valid in each row."""
        if self.frontend is None:
            raise ConfigError("the model has no front end. Pass one to EncoderDecoder.")
        tokens, counts = self.frontend(source, lengths)
        memory, _ = self.encoder(self.dropout(tokens), None, counts)
        return memory, counts

    def start(self, source: Ids | Series, lengths: Lengths) -> State:
        """Return the state before the first symbol: the number of symbols so far (B,), then the decoder's."""
        memory, counts = self.encode(source, lengths)
        return torch.zeros_like(counts), *self.decoder.start(memory, counts)

    def step(self, last: Int[Tensor, " B"], state: State) -> tuple[Float[Tensor, "B V"], State]:
        """Return the log-probabilities of the symbol after `last`, and the state after it; pad and bos have none."""
        count, *past = state
        x = self.embedding.embed(last[:, None], count)[:, 0]
        y, after = self.decoder.step(self.dropout(x), tuple(past))
        never = torch.tensor([self.config.target.pad, self.config.bos], device=y.device)
        scores = self._score(y).index_fill(-1, never, -math.inf)
        return scores.log_softmax(-1), (count + 1, *after)

    def generate(
        self,
        source: Ids | Series,
        lengths: Lengths,
        longest: int,
        beams: int = 1,
        penalty: float = 0.0,
        best: int = 1,
    ) -> Hypotheses:
        """Return the `best` targets of every row; greedy with one beam, else `hybrids.decoding.beam`.

        Raises:
            ConfigError: the model is in training mode, where dropout would choose.
        """
        if self.training:
            raise ConfigError("a model in training mode drops out what it writes with. Call eval() first.")
        with torch.no_grad():
            state = self.start(source, lengths)
        bos = torch.full_like(lengths, self.config.bos)
        if beams == best == 1:
            return greedy(self.step, state, bos, self.config.eos, longest, penalty)
        return beam(self.step, state, bos, self.config.eos, longest, beams, penalty, best)

    def _score(self, y: Tensor) -> Tensor:
        weight = self.embedding.table.weight if self.output is None else self.output.weight
        return F.linear(self.dropout(y), weight)

    def flops(self, source_length: int, target_length: int) -> int:
        """Return the floating-point operations (matrix products) for one teacher-forced pair.

        A front end of the caller's own is left out.
        """
        match self.frontend:
            case SeriesFrontend(config=config):
                tokens, embedding = -(-source_length // config.patch), self.frontend.flops(source_length)
            case _:
                tokens, embedding = source_length, 0
        scores = 2 * target_length * self.config.width * self.config.target.vocabulary
        return embedding + self.encoder.flops(tokens) + self.decoder.flops(target_length, tokens) + scores


def shifted(target: Ids, lengths: Lengths, config: EncoderDecoderConfig) -> tuple[Ids, Ids]:
    """Return what the decoder is given and what it is to answer, each (B, T + 1).

    Given: bos and the target. To answer: the target and eos; the rest is pad, which the loss leaves out with
    `cross_entropy(..., ignore_index=config.target.pad)`.
    """
    pad, at = config.target.pad, torch.arange(target.shape[1] + 1, device=target.device)[None]
    padded = F.pad(target, (0, 1), value=pad)
    answer = padded.masked_fill(at >= lengths[:, None], pad).masked_fill(at == lengths[:, None], config.eos)
    given = F.pad(target, (1, 0), value=config.bos).masked_fill(at > lengths[:, None], pad)
    return given, answer


DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder_decoder": ("attention", {"causal": True}),
    "transformer_rnn": ("lstm", {}),
    "transformer_gru": ("gru", {}),
}
"""Decoder mixer and its settings by family; the encoder of each is a Transformer."""


def family(
    name: str, source: TokensConfig | SeriesConfig | None, target: TokensConfig, width: int, depth: int
) -> EncoderDecoderConfig:
    """Return the settings of a family of `DECODERS`, `depth` layers on each side.

    Raises:
        ConfigError: no family of that name.
    """
    if name not in DECODERS:
        raise ConfigError(f"no family named {name!r} writes sequences; known: {', '.join(DECODERS)}.")
    mixer, settings = DECODERS[name]
    return EncoderDecoderConfig(
        family=name,
        width=width,
        source=source,
        target=target,
        encoder=(mixers.config("attention")(),) * depth,
        decoder=(mixers.config(mixer)(**settings),) * depth,
    )
