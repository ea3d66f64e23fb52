"""From "2*gru + attention" to a tuple of mixer configs and back."""

import re
from itertools import groupby
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.mixer import MixerConfig

TERM = re.compile(r"(?:(\d+)\s*\*\s*)?([a-z][a-z0-9_]*)")


def parse(text: str, settings: dict[str, dict[str, Any]] | None = None) -> tuple[MixerConfig, ...]:
    """Return one config a layer, bottom first.

    Args:
        text: Terms `name` or `n*name`, joined by `+`.
        settings: Fields of the configs, by mixer name.

    Raises:
        ConfigError: a term is not of that form, or names no mixer.
    """
    layers: list[MixerConfig] = []
    for term in text.split("+"):
        found = TERM.fullmatch(term.strip())
        if not found:
            raise ConfigError(f"layout term {term.strip()!r} is not NAME or N*NAME, as in '2*gru + attention'.")
        count, name = int(found[1] or 1), found[2]
        layers += [mixers.config(name)(**(settings or {}).get(name, {}))] * count
    return tuple(layers)


def render(layers: tuple[MixerConfig, ...]) -> str:
    """Return the layout string of `layers`; settings are left out."""
    runs = [(name, len(list(run))) for name, run in groupby(layer.kind for layer in layers)]
    return " + ".join(name if count == 1 else f"{count}*{name}" for name, count in runs)


def _as_config(value: Any) -> MixerConfig:
    if isinstance(value, MixerConfig):
        return value
    return mixers.config(value["kind"])(**value)


Layer = Annotated[SerializeAsAny[MixerConfig], BeforeValidator(_as_config)]
