"""A pretrained encoder of the BERT kind, read from a Hugging Face folder: config.json and model.safetensors.

    x_0 = norm(word + position + type)          y = blocks(x_0)

The blocks are the toolkit's own: post-norm, exact GELU, attention with biases and without rotary positions, both
directions. `transformers` is not needed. In evaluation mode the hidden states equal those of its BertModel and
RobertaModel; in training this one has no dropout on attention probabilities. Cost as attention, O(L^2 D + L D^2); it
reads at most as many tokens as it has positions. Only right padding; pickled weights are refused.

Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hybrids.backbone import Backbone
from hybrids.block import BlockStyle
from hybrids.errors import ConfigError
from hybrids.mixers.attention import AttentionConfig
from hybrids.positions import LearnedPositions
from hybrids.shapes import Lengths, Tokens

Ids = Int[Tensor, "B L"]
Count = Annotated[int, Field(ge=1)]
PREFIXES = ("bert.", "roberta.")
"""What checkpoints of a whole task model put before the encoder's names."""
OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}
"""What norms were called in checkpoints converted from TensorFlow."""


class BertConfig(BaseModel):
    """What a `Bert` is built from: the fields of a Hugging Face config.json, under their own names."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)
    model_type: Literal["bert", "roberta", "xlm-roberta", "camembert"]
    vocab_size: Count
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    intermediate_size: Count
    max_position_embeddings: Count
    type_vocab_size: Count
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: Annotated[float, Field(ge=0, lt=1)] = 0.1
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    pad_token_id: int | None = None

    @property
    def first_position(self) -> int:
        """Return the row of the position table that belongs to the first token: RoBERTa counts on from its pad id."""
        if self.model_type == "bert":
            return 0
        return 2 if self.pad_token_id is None else self.pad_token_id + 1


class BertFrontend(nn.Module):
    """Tokens from ids: word, position and type embeddings, summed and normed."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.table = nn.Embedding(config.vocab_size, width)
        self.learned = LearnedPositions(width, config.max_position_embeddings - config.first_position)
        self.types = nn.Embedding(config.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Ids, types: Ids | None = None) -> Tokens:
        """Embed ids (B, L); `types` names the segment of each token, 0 if None.

        Raises:
            ShapeError: there are more tokens than positions.
        """
        length = ids.shape[1]
        at = self.learned(torch.arange(length, device=ids.device)[None], torch.tensor([length], device=ids.device))
        segment = self.types.weight[0] if types is None else self.types(types)
        tokens: Tokens = self.dropout(self.norm(self.table(ids) + segment + at))
        return tokens


class Bert(nn.Module):
    """The whole encoder.

    Raises:
        ConfigError: the heads do not split the width into equal parts of 4 to 64 channels.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.hidden_size, config.num_attention_heads
        try:
            layer = AttentionConfig(head_dim=width // heads, causal=False, bias=True, positions="none")
        except ValidationError as wrong:
            raise ConfigError(f"heads of {width // heads} channels: {wrong.errors()[0]['msg']}.") from wrong
        self.frontend = BertFrontend(config)
        self.backbone = Backbone(
            (layer,) * config.num_hidden_layers,
            width,
            config.intermediate_size / width,
            config.hidden_dropout_prob,
            BlockStyle(norm="post", feedforward="gelu", eps=config.layer_norm_eps),
        )
        if any(block.mixer.heads != heads for block in self.backbone.stack()):
            raise ConfigError(f"{heads} heads do not split width {width} into equal parts of 4 to 64 channels.")

    def forward(self, ids: Ids, lengths: Lengths | None = None, types: Ids | None = None) -> Tokens:
        """Return the last hidden states (B, L, D) of ids (B, L), right-padded; None: every id is valid."""
        hidden: Tensor
        hidden, _ = self.backbone(self.frontend(ids, types), None, lengths)
        return hidden


def table(layers: int) -> dict[str, tuple[str, ...]]:
    """Return, for every tensor of a `Bert`, the Hugging Face tensors it is made of, stacked along the first axis."""
    found: dict[str, tuple[str, ...]] = {
        "frontend.table.weight": ("embeddings.word_embeddings.weight",),
        "frontend.learned.table": ("embeddings.position_embeddings.weight",),
        "frontend.types.weight": ("embeddings.token_type_embeddings.weight",),
    }
    for kind in ("weight", "bias"):
        found[f"frontend.norm.{kind}"] = (f"embeddings.LayerNorm.{kind}",)
        for i in range(layers):
            here, there = f"backbone.blocks.{i}", f"encoder.layer.{i}"
            qkv = tuple(f"{there}.attention.self.{part}.{kind}" for part in ("query", "key", "value"))
            found[f"{here}.mixer.qkv.{kind}"] = qkv
            found[f"{here}.mixer.out.{kind}"] = (f"{there}.attention.output.dense.{kind}",)
            found[f"{here}.norm.{kind}"] = (f"{there}.attention.output.LayerNorm.{kind}",)
            found[f"{here}.feedforward.expand.{kind}"] = (f"{there}.intermediate.dense.{kind}",)
            found[f"{here}.feedforward.contract.{kind}"] = (f"{there}.output.dense.{kind}",)
            found[f"{here}.feedforward_norm.{kind}"] = (f"{there}.output.LayerNorm.{kind}",)
    return found


def read(folder: Path) -> tuple[Bert, tuple[str, ...]]:
    """Return the encoder in `folder`, in evaluation mode, and the names of the tensors that it has no place for.

    Left over are, for example, the pooler and the head of the task it was pretrained for.

    Raises:
        ConfigError: no such encoder, only pickled weights, a tensor is missing or has another shape.
    """
    try:
        config = BertConfig.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as wrong:
        raise ConfigError(f"{folder} has no config.json. Pass a folder that save_pretrained wrote.") from wrong
    except ValidationError as wrong:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong.errors())
        raise ConfigError(
            f"{folder / 'config.json'} is not that of a BERT or RoBERTa encoder with exact GELU: {said}. "
            "Use an encoder of that kind."
        ) from wrong
    model, tensors = Bert(config), _tensors(folder)
    wanted = table(config.num_hidden_layers)
    used = {name for names in wanted.values() for name in names}
    if missing := sorted(used - tensors.keys()):
        raise ConfigError(f"{folder} lacks {len(missing)} tensors: {', '.join(missing)}. Use a complete encoder.")
    tensors["embeddings.position_embeddings.weight"] = tensors["embeddings.position_embeddings.weight"][
        config.first_position :
    ]
    weights = {here: torch.cat([tensors[name] for name in names]) for here, names in wanted.items()}
    if wrong_shapes := [
        f"{wanted[name][0]} gives {tuple(weights[name].shape)}, not {tuple(t.shape)}"
        for name, t in model.state_dict().items()
        if weights[name].shape != t.shape
    ]:
        raise ConfigError(f"tensors of {folder} do not fit its config.json: {'; '.join(wrong_shapes)}.")
    model.load_state_dict(weights)
    return model.eval(), tuple(sorted(tensors.keys() - used))


def _tensors(folder: Path) -> dict[str, Tensor]:
    """Return the tensors in `folder` under the encoder's plain names."""
    path = folder / "model.safetensors"
    if not path.is_file():
        pickled = [p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"}]
        found = f"only {_listed(pickled)}, and pickled weights can run code" if pickled else "no weights to read"
        raise ConfigError(
            f"{folder} has no model.safetensors: {found}. "
            "Write it with transformers: model.save_pretrained(folder, safe_serialization=True)."
        )
    try:
        return {_plain(name): tensor for name, tensor in load_file(path).items()}
    except SafetensorError as wrong:
        raise ConfigError(f"{path} is not a whole safetensors file ({wrong}). Fetch it again.") from wrong


def _plain(name: str) -> str:
    """Return a tensor's name without the prefix of a task model and with today's names for the parts of a norm."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    for old, new in OLD_NAMES.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
