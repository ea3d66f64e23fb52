"""Runs every rule on the facts and ranks the families; knows no rule by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from advisor.errors import InputError
from advisor.rules import hardware, length, practice, resource, scenario
from advisor.rules.conflicts import Conflict, Settled, settle
from advisor.rules.facts import Facts
from advisor.rules.own import OwnRule
from advisor.rules.table import Fired, Frozen, scenario_key, scenarios

Rule = Callable[[Facts], Fired | None]
SIGNATURE = {"facts": Facts, "return": Fired | None}


class FamilyAdvice(Frozen):
    """What the documents say about one family in this situation."""

    family: str
    score: float
    """Sum of weight times strength over the rules that fired and were not set aside; 0 where none speaks of it."""
    reasons: tuple[str, ...]


class Advice(Frozen):
    """The documents' answer, before anything is measured."""

    fired: tuple[Fired, ...]
    ranking: tuple[FamilyAdvice, ...]
    """Every family asked about, best first; equal scores keep the order in which the families were given."""
    conflicts: tuple[Conflict, ...] = ()
    """Where rules of different tiers contradicted each other, family by family in the order of the ranking."""


@cache
def rules() -> Mapping[str, Rule]:
    """Return key -> rule, in the order of scenarios.toml.

    A rule is a function of one of the rule modules with that signature; its key opens its docstring.
    """
    found = {
        (inspect.getdoc(rule) or "").partition(":")[0]: rule
        for module in (scenario, length, resource, practice, hardware)
        for name, rule in inspect.getmembers(module, inspect.isfunction)
        if rule.__module__ == module.__name__ and inspect.get_annotations(rule) == SIGNATURE
    }
    return MappingProxyType({key: found[key] for key in scenarios()})


def page(key: str, own: Sequence[OwnRule] = ()) -> str:
    """Return the page of a rule: when it fires, what it says, why, when not, on what evidence.

    Args:
        key: Of the rule, in any case.
        own: The user's rules, which have a short page.

    Raises:
        InputError: no rule has that key; the hint offers the nearest.
    """
    pages = {one.key.upper(): one.page() for one in own}
    pages |= {name: inspect.getdoc(rule) or "" for name, rule in rules().items()}
    if key.upper() in pages:
        return pages[key.upper()]
    near = get_close_matches(key.upper(), pages, cutoff=0.5) or list(pages)
    raise InputError(f"no rule has the key {key!r}.", f"Did you mean {' or '.join(near)}?")


def advise(facts: Facts, families: Sequence[str], own: Sequence[OwnRule] = ()) -> Advice:
    """Return the rules that fire, the families they prefer, and where they contradict each other.

    Args:
        facts: The situation.
        families: Names of the families to rank; each appears once in the answer.
        own: The user's rules, heard like the documents'; see `own_rules`.

    Raises:
        InputError: the facts name a scenario that does not exist.
    """
    if facts.scenario is not None:
        scenario_key(facts.scenario)
    answers = [*(rule(facts) for rule in rules().values()), *(rule.answer(facts) for rule in own)]
    fired = tuple(answer for answer in answers if answer is not None)
    settled = {family: settle(family, fired) for family in families}
    ranking = sorted((_judge(family, found) for family, found in settled.items()), key=lambda one: -one.score)
    conflicts = tuple(one for judged in ranking for one in settled[judged.family].conflicts)
    return Advice(fired=fired, ranking=tuple(ranking), conflicts=conflicts)


def _judge(family: str, settled: Settled) -> FamilyAdvice:
    heard = sorted(settled.heard, key=lambda pair: -abs(pair[1]))
    reasons = [f"{one.key} {share:+.2f}: {one.says} {one.because}" for one, share in heard]
    reasons += [one.says for one in settled.conflicts]
    score = round(sum(share for _, share in heard), 4)
    return FamilyAdvice(
        family=family, score=score, reasons=tuple(reasons) or ("No rule that fired speaks for or against it.",)
    )
