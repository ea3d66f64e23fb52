"""The table of advice (scenarios.toml), the order of its tiers, and what a rule answers (`Fired`). No torch."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from advisor.errors import InputError

Tier = Literal["target", "budget", "scenario", "data", "length", "practice"]
TIERS: dict[Tier, str] = {
    "target": "what the target can run at all",
    "budget": "budget, device and streaming",
    "scenario": "the application",
    "data": "the amount of data",
    "length": "the length of the sequences",
    "practice": "how to work",
}
"""The order in which conflicts are settled, the one that stands first. `practice` favours no family.

| tier     | rules                  | why it stands there                                                    |
|----------|------------------------|------------------------------------------------------------------------|
| target   | HW1                    | a model that does not run is no answer, whatever speaks for it         |
| budget   | STR1, EDG1, MEM1, SC5  | a limit of the user is kept or broken; no gain in quality lifts it      |
|          | BI1, PRA4: some cases  | those that rest on a limit or on the device                            |
| scenario | SC1 to SC4, PRA4       | experience with the very application beats rules on sequences at large |
| data     | SML1, PRE1             | a model that cannot be trained on this data shows none of its strengths |
| length   | LEN1 to LEN3, BI1      | the most general of all                                                |
| practice | MEM2, PRE2, PRA1 to 3  | says how to work                                                       |
"""

Weight = Annotated[float, Field(ge=-1, le=1, strict=True)]


class Frozen(BaseModel):
    """Data only: comparable, JSON in and out, no unknown fields, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Case(Frozen):
    """A variant of a piece of advice: its words, weights and tier stand in for those of the row."""

    says: str
    families: dict[str, Weight] = Field(default_factory=dict)
    tier: Tier | None = None
    """None is that of the row."""


class Scenario(Frozen):
    """One piece of advice of the documents."""

    key: str
    document: str
    tier: Tier
    name: str = ""
    """A word for --scenario beside the key; SC1 to SC5 only."""
    says: str
    families: dict[str, Weight] = Field(default_factory=dict)
    """Family -> weight, -1 to 1: above 0 prefers, below 0 advises against."""
    procedure: bool = False
    """It says how to work and speaks for or against no family."""
    cases: dict[str, Case] = Field(default_factory=dict)
    numbers: dict[str, int] = Field(default_factory=dict)
    """Settings of the toolkit that the words rest on."""


class Fired(Frozen):
    """A rule that speaks to the user's facts."""

    key: str
    document: str
    says: str
    strength: float = Field(ge=0, le=1)
    """How clearly the facts are the rule's case."""
    because: str
    """The user's facts, with their numbers."""
    raises: dict[str, float]
    """Family -> weight, before the strength."""
    tier: Tier = "length"
    """Which voice stands where two fired rules contradict each other; see `TIERS`."""
    procedure: bool = False
    """It says how to work; `raises` is empty."""
    cap_length: int | None = None
    """MEM1 only: the longest sequence whose attention matrices fit."""


@cache
def scenarios() -> Mapping[str, Scenario]:
    """Return key -> advice, in the order of scenarios.toml."""
    return MappingProxyType({key: Scenario(key=key, **row) for key, row in _read("scenarios.toml").items()})


@cache
def operators() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Return family -> variant -> operators, ONNX (`Loop`) and torch (`aten::gru`), as operators.toml has them."""
    table = _read("operators.toml")
    every = frozenset(table.pop("every")["operators"])
    return MappingProxyType(
        {
            family: MappingProxyType({variant: every | frozenset(extra) for variant, extra in variants.items()})
            for family, variants in table.items()
        }
    )


def scenario_key(name: str) -> str:
    """Return the key of the scenario that the user named, by key or by word, in any case.

    Raises:
        InputError: no scenario has that name; the hint offers the nearest.
    """
    named = {row.name: key for key, row in scenarios().items() if row.name}
    asked = name.strip().upper()
    if asked in named.values():
        return asked
    if asked.lower() in named:
        return named[asked.lower()]
    choices = [*named.values(), *named]
    near = get_close_matches(asked, choices, 2, 0.5) or get_close_matches(asked.lower(), choices, 2, 0.5)
    every = ", ".join(f"{key} ({word})" for word, key in named.items())
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"no scenario is named {name!r}.", f"{hint}Choose from {every}.")


def fired(
    key: str,
    strength: float,
    because: str,
    *,
    case: str = "",
    raises: dict[str, float] | None = None,
    cap_length: int | None = None,
) -> Fired:
    """Return the answer of rule `key`, with the words and weights of scenarios.toml.

    Args:
        key: Of the rule.
        strength: Cut to 0..1.
        because: The user's facts.
        case: Which case of the row speaks; empty for the row itself.
        raises: Weights that the rule works out itself; None takes those of the table.
        cap_length: See `Fired`.
    """
    row = scenarios()[key]
    spoken = row.cases[case] if case else row
    return Fired(
        key=key,
        document=row.document,
        says=spoken.says,
        strength=round(min(1.0, max(0.0, strength)), 3),
        because=because,
        raises=spoken.families if raises is None else raises,
        tier=spoken.tier or row.tier,
        procedure=row.procedure,
        cap_length=cap_length,
    )


def _read(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("advisor.rules") / name).read_text(encoding="utf-8"))
