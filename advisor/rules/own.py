"""The user's own rules: a TOML file in the form of scenarios.toml, with bounds on the facts.

    [MINE1]
    says = "Our sensors are answered by a GRU."
    families = { gru = 1.0, transformer = -0.5 }
    when = { task = "forecast", length_max = 900, samples_min = 20000, streaming = true }
    tier = "scenario"
    strength = 0.8
    document = "benchmark of 2025"

`when` takes every fact of `Facts` that is one value, and `length`, `longest`, `needed`. NAME = VALUE asks for equality,
NAME = [..] for one of several, NAME_min and NAME_max bound a number, ends included. A fact that is not known meets no
condition; `scenario`, by key or word, is known where the user names one. All conditions must be met; a rule without
`when` always fires. Left out, `tier` is "scenario", `strength` 1 and `document` the file's name.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from advisor.errors import InputError
from advisor.rules.bounds import Bound, bounds_of, one_of
from advisor.rules.facts import Facts
from advisor.rules.table import TIERS, Fired, Frozen, Tier, Weight, operators, scenarios

FORM = 'write [KEY] with says = "...", families = { gru = 1.0 } and when = { length_max = 900 }.'


class OwnRule(Frozen):
    """A rule of the user."""

    key: str
    document: str
    says: str = Field(min_length=1)
    families: dict[str, Weight] = Field(min_length=1)
    """Family -> weight, -1 to 1."""
    when: tuple[Bound, ...] = ()
    tier: Tier = "scenario"
    strength: float = Field(default=1.0, gt=0, le=1, strict=True)

    def answer(self, facts: Facts) -> Fired | None:
        """Return what the rule says to these facts; None where a condition is not met."""
        met = [words for bound in self.when if (words := bound.words(facts)) is not None]
        if len(met) < len(self.when):
            return None
        return Fired(
            key=self.key,
            document=self.document,
            says=self.says,
            strength=self.strength,
            because=f"Your rule: {', '.join(met) or 'it holds always'}.",
            raises=self.families,
            tier=self.tier,
        )

    def page(self) -> str:
        """Return a page in the form of the documents' rules."""
        when = ", and ".join(str(bound) for bound in self.when) or "always"
        prefers = ", ".join(f"{family} {weight:+g}" for family, weight in self.families.items())
        return (
            f"{self.key}: {self.says}\n\nFires when:\n    {when[0].upper()}{when[1:]}. Strength {self.strength:g}.\n"
            f"Why:\n    It is a rule of yours, of the tier {self.tier} ({TIERS[self.tier]}): {prefers}.\n"
            f"Does not apply:\n    Where a condition is not met, or its fact is not known.\n"
            f"Evidence:\n    {self.document}."
        )


def own_rules(path: Path) -> tuple[OwnRule, ...]:
    """Return the rules of a TOML file, in its order.

    Raises:
        InputError: the file cannot be read, is not TOML, or a rule is not valid; the message names file and key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror}.", "name a TOML file of rules.") from error
    except ValueError as error:
        raise InputError(f"{path}: it is not TOML: {error}.", FORM) from error
    if not table:
        raise InputError(f"{path}: it holds no rule.", FORM)
    taken = {key.upper() for key in scenarios()}
    found = []
    for key, row in table.items():
        where = f"{path}, rule {key!r}"
        if not key.strip():
            raise InputError(f"{where}: the key is empty.", FORM)
        if key.upper() in taken:
            hint = "give each rule a key of its own, other than the documents' keys."
            raise InputError(f"{where}: the key is taken.", hint)
        taken.add(key.upper())
        if not isinstance(row, dict):
            raise InputError(f"{where}: it is {row!r}, not a table.", FORM)
        found.append(_rule(where, key, row, path.name))
    return tuple(found)


def _rule(where: str, key: str, row: dict[str, Any], file: str) -> OwnRule:
    fields = [name for name in OwnRule.model_fields if name != "key"]
    for name in row:
        one_of(where, "field", name, fields)
    families, when = row.get("families"), row.get("when", {})
    for family in families if isinstance(families, dict) else ():
        one_of(where, "family", family, operators())
    if "tier" in row:
        one_of(where, "tier", row["tier"], [tier for tier in TIERS if tier != "practice"])
    if not isinstance(when, dict):
        raise InputError(f"{where}: when is {when!r}, not a table of bounds.", "write when = { length_max = 900 }.")
    bounds = bounds_of(where, when)
    try:
        return OwnRule(**({"document": file} | row | {"key": key, "when": bounds}))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        got = "" if first["type"] == "missing" else f", got {first['input']!r}"
        raise InputError(f"{where}: {field}: {first['msg'].lower()}{got}.", FORM) from error
