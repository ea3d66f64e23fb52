"""The table of families: what a user would call an architecture, and the layers it is made of."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.mixer import MixerConfig

Layers = tuple[MixerConfig, ...]
Pattern = Callable[[int, bool], Layers]
Kind = Literal["recurrent", "attention", "linear", "hybrid", "convolution", "feedforward"]

POOLING = 4
"""Steps that the pooled hierarchy joins to one before its Transformer part."""
RATIO = 4
"""One attention layer in so many of `ssm_attention` (research: recall improves up to 3:1, arXiv:2507.06457)."""


class Family(NamedTuple):
    """One row of the table.

    Attributes:
        words: The name in words, for people.
        kind: What it is at heart, to compare like with unlike.
        documents: Keys of the source documents that speak of it; "beyond" where none does.
        variants: By name, the default first: from depth and whether the model must be causal to its layers, bottom
            first. Empty for a model that is not one stack of layers.
        streams: Whether it can run step by step with a state that does not grow.
        reads_last: Whether its last token has seen the whole sequence through a state; a head may then read it alone.
        needs: What the task must offer beyond one sequence in and one answer out.
    """

    words: str
    kind: Kind
    documents: tuple[str, ...]
    variants: dict[str, Pattern]
    streams: bool = False
    reads_last: bool = False
    needs: str = ""


def _layer(name: str, **settings: Any) -> MixerConfig:
    return mixers.config(name)(**settings)


def _stack(name: str, **settings: Any) -> Pattern:
    return lambda depth, causal: (_layer(name, **settings),) * depth


def _attention(depth: int, causal: bool) -> Layers:
    return (_layer("attention", causal=causal),) * depth


def _both_ways(name: str) -> Pattern:
    def layers(depth: int, causal: bool) -> Layers:
        return (_layer("bidirectional", of=_layer(name)),) * depth

    return layers


def _hierarchy(depth: int, causal: bool) -> Layers:
    below = max(1, depth // 2)
    return (_layer("gru"),) * below + _attention(max(1, depth - below), causal)


def _pooled_hierarchy(depth: int, causal: bool) -> Layers:
    below = max(1, depth // 2)
    above = _attention(max(1, depth - below), causal)
    return (*(_layer("gru"),) * below, _layer("pooled", of=above, stride=POOLING, causal=causal))


def _encoder_then_rnn(depth: int, causal: bool) -> Layers:
    return (*_attention(max(1, depth - 1), causal), _layer("lstm"))


def _mostly(name: str) -> Pattern:
    def layers(depth: int, causal: bool) -> Layers:
        """Every fourth layer is attention, the last one at least, the first one never."""
        places = range(1, max(2, depth) + 1)
        last = places[-1]
        return tuple(
            _layer("attention", causal=causal) if i == last or i % RATIO == 0 else _layer(name) for i in places
        )

    return layers


def _experts(depth: int, causal: bool) -> Layers:
    return tuple(_layer("moe_rnn") if i % 2 else _layer("attention", causal=causal) for i in range(max(2, depth)))


def _dilated(depth: int, causal: bool) -> Layers:
    return tuple(_layer("conv", causal=causal, dilation=2**i, kernel=15) for i in range(depth))


def _inception(depth: int, causal: bool) -> Layers:
    return (_layer("conv", causal=causal),) * depth


FAMILIES: dict[str, Family] = {
    "gru": Family("GRU", "recurrent", ("SC3", "LEN1", "STR1", "SC5"), {"gru": _stack("gru")}, True, True),
    "lstm": Family("LSTM", "recurrent", ("LEN1", "SML1", "STR1", "EDG1", "SC5"), {"lstm": _stack("lstm")}, True, True),
    "transformer": Family("Transformer", "attention", ("LEN2", "SC2", "MEM1"), {"attention": _attention}),
    "linear_attention": Family(
        "linear attention",
        "linear",
        ("CL11",),
        {
            "gated": _stack("linear_attention"),
            "gated_delta": _stack("gated_delta"),
            "kernel": _stack("kernel_attention"),
        },
        True,
        True,
    ),
    "ssm": Family(
        "state space model",
        "linear",
        ("CL12",),
        {"selective": _stack("ssm"), "diagonal": _stack("s4d")},
        True,
        True,
    ),
    "rnn_transformer": Family(
        "RNN below, Transformer above",
        "hybrid",
        ("D4 3.1", "LEN3"),
        {"every_step": _hierarchy, "pooled": _pooled_hierarchy},
    ),
    "conv": Family("convolutions", "convolution", ("beyond",), {"dilated": _dilated, "inception": _inception}, True),
    "mingru": Family(
        "minimal GRU (parallel scan)",
        "linear",
        ("CL1",),
        {"mingru": _stack("mingru"), "minlstm": _stack("minlstm")},
        True,
        True,
    ),
    "attention_rnn": Family(
        "RNN with attention in every step", "hybrid", ("D4 3.1", "LEN3"), {"lstm": _stack("attention_rnn")}, True, True
    ),
    "transformer_rnn": Family(
        "Transformer encoder, RNN on top", "hybrid", ("D4 3.1", "LEN3"), {"lstm": _encoder_then_rnn}, False, True
    ),
    "ssm_attention": Family(
        "mostly state space, some attention",
        "hybrid",
        ("CL12", "LEN3"),
        {"selective": _mostly("ssm"), "gated_delta": _mostly("gated_delta")},
    ),
    "moe_rnn": Family(
        "Transformer with routed recurrent experts", "hybrid", ("D4 section 5",), {"gru_experts": _experts}
    ),
    "low_rank_attention": Family(
        "low-rank attention", "attention", ("CL11",), {"projected": _stack("low_rank_attention")}
    ),
    "bilstm": Family("bidirectional LSTM", "recurrent", ("SC1", "BI1"), {"bilstm": _both_ways("lstm")}),
    "bigru": Family("bidirectional GRU", "recurrent", ("BI1",), {"bigru": _both_ways("gru")}),
    "lc_bilstm": Family("latency-controlled bidirectional LSTM", "recurrent", ("SC1",), {"lstm": _stack("lc_bilstm")}),
    "rnn": Family("plain RNN", "recurrent", ("SC3", "STR1"), {"rnn": _stack("rnn")}, True, True),
    "mlp": Family("MLP on patches", "feedforward", ("beyond",), {"mlp": _stack("mlp")}),
    "encoder_decoder": Family(
        "encoder-decoder Transformer", "attention", ("SC2",), {}, needs="a sequence to write as the answer"
    ),
    "cross_fusion": Family(
        "streams joined by cross-attention", "hybrid", ("SC4",), {}, needs="several streams a sample"
    ),
}


def family(name: str) -> Family:
    """Return the row of family `name`.

    Raises:
        ConfigError: no family of that name.
    """
    if name not in FAMILIES:
        raise ConfigError(f"no family named {name!r}; known: {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def layers(name: str, depth: int, causal: bool, variant: str = "") -> Layers:
    """Return the layers of family `name`.

    Args:
        name: Of the family.
        depth: How many layers; a pattern that needs two has at least two.
        causal: No layer may look ahead, where the family can do so.
        variant: Which pattern of the family; empty for its first.

    Raises:
        ConfigError: no family or no variant of that name, or the family is not one stack of layers.
    """
    patterns = family(name).variants
    if not patterns:
        raise ConfigError(f"{name} is not one stack of layers: it needs {family(name).needs}.")
    if variant and variant not in patterns:
        raise ConfigError(f"{name} has no variant {variant!r}; known: {', '.join(patterns)}.")
    return patterns[variant or next(iter(patterns))](depth, causal)
