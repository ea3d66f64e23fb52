"""The table of families: what a user would call an architecture, and the layers it is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.mixer import MixerConfig

Layers = tuple[MixerConfig, ...]


class Family(NamedTuple):
    """One row of the table.

    Attributes:
        layers: From depth and whether the model must be causal to its layers, bottom first.
        documents: Keys of the source documents that speak of it; "beyond" where none does.
        streams: Whether it can run step by step with a state that does not grow.
        words: The name in words, for people.
    """

    layers: Callable[[int, bool], Layers]
    documents: tuple[str, ...]
    streams: bool
    words: str


def _layer(name: str, **settings: Any) -> MixerConfig:
    return mixers.config(name)(**settings)


def _stack(name: str) -> Callable[[int, bool], Layers]:
    return lambda depth, causal: (_layer(name),) * depth


def _attention(depth: int, causal: bool) -> Layers:
    return (_layer("attention", causal=causal),) * depth


def _hierarchy(depth: int, causal: bool) -> Layers:
    below = max(1, depth // 2)
    return (_layer("gru"),) * below + _attention(max(1, depth - below), causal)


def _dilated(depth: int, causal: bool) -> Layers:
    return tuple(_layer("conv", causal=causal, dilation=2**i, kernel=15) for i in range(depth))


FAMILIES: dict[str, Family] = {
    "gru": Family(_stack("gru"), ("SC3", "LEN1", "STR1", "SC5"), True, "GRU"),
    "lstm": Family(_stack("lstm"), ("LEN1", "SML1", "STR1", "EDG1", "SC5"), True, "LSTM"),
    "transformer": Family(_attention, ("LEN2", "SC2", "MEM1"), False, "Transformer"),
    "linear_attention": Family(_stack("linear_attention"), ("CL11",), True, "linear attention"),
    "ssm": Family(_stack("ssm"), ("CL12",), True, "selective state space model"),
    "rnn_transformer": Family(_hierarchy, ("LEN3",), False, "RNN below, Transformer above"),
    "conv": Family(_dilated, ("beyond",), True, "dilated convolutions"),
}


def layers(family: str, depth: int, causal: bool) -> Layers:
    """Return the layers of `family`.

    Raises:
        ConfigError: no family of that name.
    """
    if family not in FAMILIES:
        raise ConfigError(f"no family named {family!r}; known: {', '.join(FAMILIES)}.")
    return FAMILIES[family].layers(depth, causal)
