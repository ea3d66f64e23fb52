"""Runs every rule on the facts and ranks the families; knows no rule by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from advisor.errors import InputError
from advisor.rules import length, resource, scenario
from advisor.rules.facts import Facts, Fired, Frozen, scenarios

Rule = Callable[[Facts], Fired | None]


class FamilyAdvice(Frozen):
    """What the documents say about one family in this situation."""

    family: str
    score: float
    """Sum of weight times strength over the rules that fired; 0 where none speaks of it."""
    reasons: tuple[str, ...]


class Advice(Frozen):
    """The documents' answer, before anything is measured."""

    fired: tuple[Fired, ...]
    ranking: tuple[FamilyAdvice, ...]
    """Every family asked about, best first; equal scores keep the order in which the families were given."""


@cache
def rules() -> Mapping[str, Rule]:
    """Return key -> rule, in the order of scenarios.toml.

    A rule is a public function of one of the rule modules that takes facts; its key opens its docstring.
    """
    found = {
        (inspect.getdoc(rule) or "").partition(":")[0]: rule
        for module in (scenario, length, resource)
        for name, rule in inspect.getmembers(module, inspect.isfunction)
        if rule.__module__ == module.__name__ and list(inspect.signature(rule).parameters) == ["facts"]
    }
    return MappingProxyType({key: found[key] for key in scenarios()})


def page(key: str) -> str:
    """Return the page of a rule: what it says, why, when not, on what evidence.

    Raises:
        InputError: no rule has that key; the hint offers the nearest.
    """
    rule = rules().get(key.upper())
    if rule is None:
        near = get_close_matches(key.upper(), rules(), cutoff=0.5) or list(rules())
        raise InputError(f"no rule has the key {key!r}.", f"Did you mean {' or '.join(near)}?")
    return inspect.getdoc(rule) or ""


def advise(facts: Facts, families: Sequence[str]) -> Advice:
    """Return the rules that fire and the families they prefer.

    Args:
        facts: The situation.
        families: Names of the families to rank; each appears once in the answer.
    """
    fired = tuple(answer for rule in rules().values() if (answer := rule(facts)) is not None)
    advice = [_judge(family, fired) for family in dict.fromkeys(families)]
    return Advice(fired=fired, ranking=tuple(sorted(advice, key=lambda one: -one.score)))


def _judge(family: str, fired: tuple[Fired, ...]) -> FamilyAdvice:
    heard = [(one, one.raises[family] * one.strength) for one in fired if family in one.raises]
    if not heard:
        return FamilyAdvice(family=family, score=0.0, reasons=("No rule that fired speaks for or against it.",))
    heard.sort(key=lambda pair: -abs(pair[1]))
    reasons = tuple(f"{one.key} {share:+.2f}: {one.says} {one.because}" for one, share in heard)
    return FamilyAdvice(family=family, score=round(sum(share for _, share in heard), 4), reasons=reasons)
