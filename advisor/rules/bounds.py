"""Conditions on facts, as a user writes them in a file of own rules: NAME = VALUE, NAME_min, NAME_max."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args, get_origin

from advisor.errors import InputError
from advisor.rules.facts import Facts
from advisor.rules.table import Frozen, scenario_key, scenarios

Value = bool | int | float | str
DERIVED = ("length", "longest", "needed")
"""Properties of `Facts` that a bound can speak of."""


class Bound(Frozen):
    """One condition on a fact."""

    fact: str
    kind: Literal["is", "min", "max"]
    values: tuple[Value, ...]
    """One for min and max; for `is`, those of which the fact must be one."""

    def words(self, facts: Facts) -> str | None:
        """Return the fact beside the bound, or None where it is not met."""
        known, first = _value(facts, self.fact), self.values[0]
        if self.kind == "is":
            return f"{self.fact} is {_plain(known)}" if known in self.values else None
        if isinstance(known, str | None) or isinstance(first, str):
            return None
        met, sign = (known >= first, "at least") if self.kind == "min" else (known <= first, "at most")
        return f"{self.fact} {known:g} is {sign} {first:g}" if met else None

    def __str__(self) -> str:
        """Return the condition in words."""
        if self.kind == "is":
            return f"{self.fact} is {' or '.join(_plain(value) for value in self.values)}"
        return f"{self.fact} is {'at least' if self.kind == 'min' else 'at most'} {self.values[0]:g}"


class Kind(NamedTuple):
    """What values a fact can have: a number, true or false, or one of some words."""

    name: Literal["number", "bool", "word"]
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the values in words."""
        return {"number": "a number", "bool": "true or false"}.get(self.name) or f"one of {', '.join(self.words)}"

    def admits(self, value: object) -> bool:
        """Say whether the fact can have that value; of words, any one."""
        if self.name == "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
        return isinstance(value, bool if self.name == "bool" else str)


def bounds_of(where: str, when: Mapping[str, object]) -> tuple[Bound, ...]:
    """Return the conditions of a `when` table.

    Args:
        where: File and rule, for the messages.
        when: As TOML gives it.

    Raises:
        InputError: an unknown fact, a value that it cannot have, or two bounds that nothing meets.
    """
    found = tuple(_bound(where, name, value) for name, value in when.items())
    ends = {(one.fact, one.kind): one.values[0] for one in found if one.kind != "is"}
    for (fact, kind), low in ends.items():
        high = ends.get((fact, "max"))
        if kind == "min" and high is not None and float(low) > float(high):
            raise InputError(f"{where}: {fact}_min {low} is above {fact}_max {high}.", "nothing meets both: swap them.")
    return found


def one_of(where: str, what: str, name: object, choices: Iterable[str]) -> None:
    """Check that `name` is one of the choices.

    Raises:
        InputError: it is not; the hint offers the nearest.
    """
    every = list(choices)
    if name in every:
        return
    near = get_close_matches(str(name), every, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose from {', '.join(every)}."
    raise InputError(f"{where}: no {what} is named {name!r}.", hint)


@cache
def known_facts() -> Mapping[str, Kind]:
    """Return the facts that a bound can speak of, with the values they can have: those that are one value each."""
    found = dict.fromkeys(DERIVED, Kind("number"))
    for name, field in Facts.model_fields.items():
        options = [field.annotation, *get_args(field.annotation)]
        words = [word for one in options if get_origin(one) is Literal for word in get_args(one)]
        if name == "scenario":
            found[name] = Kind("word", tuple(key for key, row in scenarios().items() if row.name))
        elif words:
            found[name] = Kind("word", tuple(words))
        elif bool in options:
            found[name] = Kind("bool")
        elif int in options or float in options:
            found[name] = Kind("number")
    return MappingProxyType(found)


def _bound(where: str, name: str, value: object) -> Bound:
    facts = known_facts()
    fact, kind = name, "is"
    if name not in facts and name.endswith(("_min", "_max")):
        fact, kind = name[:-4], name[-3:]
    one_of(where, "fact", fact, facts)
    known = facts[fact]
    if kind != "is" and known.name != "number":
        raise InputError(f"{where}: {name} bounds {fact}, which is no number.", f"write {fact} = VALUE.")
    values = value if isinstance(value, list) and kind == "is" else [value]
    if not values:
        raise InputError(f"{where}: {name} is an empty list, which nothing meets.", "name a value, or leave it out.")
    for one in values:
        if not known.admits(one):
            raise InputError(f"{where}: {name} is {one!r}, not {known}.", f"write {name} with {known}.")
    if fact == "scenario":
        values = [_scenario(where, str(one)) for one in values]
    elif known.words:
        for one in values:
            one_of(where, fact, one, known.words)
    return Bound.model_validate({"fact": fact, "kind": kind, "values": values})


def _scenario(where: str, name: str) -> str:
    try:
        return scenario_key(name)
    except InputError as error:
        raise InputError(f"{where}: {error.message}", error.hint) from error


def _value(facts: Facts, name: str) -> Value | None:
    if name == "scenario":
        return None if facts.scenario is None else scenario_key(facts.scenario)
    values: dict[str, Value | None] = dict(facts)
    return (values | {"length": facts.length, "longest": facts.longest, "needed": facts.needed})[name]


def _plain(value: Value | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
