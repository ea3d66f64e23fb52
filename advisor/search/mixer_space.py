"""The searched settings of a family's mixers: declared beside each mixer as marks on its fields (`hybrids.mixer.Tune`).

A setting is named "mixer.field", such as "ssm.states". Only what the family's pattern leaves at the mixer's default is
searched: where the pattern sets a field itself, as the dilations of stacked convolutions, it means something by it.
"""

from collections.abc import Iterator, Mapping

from pydantic.fields import FieldInfo

from hybrids.families import FAMILIES, Layers, layers
from hybrids.mixer import MixerConfig, Tune

DEPTH = 2
"""Layers at which a pattern is looked at; every pattern shows all its mixers by then."""


def settings(family: str, variant: str) -> dict[str, tuple[FieldInfo, int | float]]:
    """Return name -> field and default of every setting that a search of this variant may turn."""
    found: dict[str, tuple[FieldInfo, int | float]] = {}
    fixed = set()
    for one in _all(layers(family, DEPTH, False, variant)):
        for field, info in type(one).model_fields.items():
            if any(isinstance(mark, Tune) for mark in info.metadata):
                name, value = f"{one.kind}.{field}", getattr(one, field)
                found[name] = (info, value)
                if value != info.default:
                    fixed.add(name)
    return {name: one for name, one in found.items() if name not in fixed}


def every_setting(family: str) -> dict[str, tuple[FieldInfo, int | float]]:
    """Return the settings of all variants of a family together."""
    return {name: one for variant in FAMILIES[family].variants for name, one in settings(family, variant).items()}


def applied(to: Layers, values: Mapping[str, int | float]) -> Layers:
    """Return the layers with these settings; what they do not have is left out."""
    return tuple(_with(one, values) for one in to) if values else to


def _with(one: MixerConfig, values: Mapping[str, int | float]) -> MixerConfig:
    changed: dict[str, object] = {
        field: values[f"{one.kind}.{field}"] for field in type(one).model_fields if f"{one.kind}.{field}" in values
    }
    inner = getattr(one, "of", None)
    if isinstance(inner, MixerConfig):
        changed["of"] = _with(inner, values)
    elif inner is not None:
        changed["of"] = applied(inner, values)
    return one.model_copy(update=changed)


def _all(of: Layers) -> Iterator[MixerConfig]:
    for one in of:
        yield one
        inner = getattr(one, "of", ())
        yield from _all((inner,) if isinstance(inner, MixerConfig) else inner)
