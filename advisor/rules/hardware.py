"""The rule on what the target can run at all; what each family needs stands in operators.toml."""

from advisor.rules.facts import Facts
from advisor.rules.table import Fired, fired, operators

MOST_NAMED = 4


def operator_support(facts: Facts) -> Fired | None:
    """HW1: operators that the target lacks, and families that failed on it, weigh on the choice.

    Fires when:
        Operators are known to be missing on the target, or families failed there when it was calibrated. Strength 1.
        A family counts -1 if it failed, or if each of its variants needs a missing operator, and nothing speaks for it
        then. Where some of its variants need one, they are named.
    Why:
        A model that needs an operator the runtime lacks does not run, or runs on a slow way around, such as copies
        between the accelerator and the processor.
    Does not apply:
        To operators that no family needs: they are named and weigh nothing.
    Evidence:
        D4 section 5. operators.toml lists what one small model of each family needs, as exported by this toolkit: to
        ONNX (`Loop`) and as captured by torch (`aten::gru`).
    """
    missing = set(facts.missing_operators)
    if not missing and not facts.failed_families:
        return None
    needed = {family: _needing(family, missing) for family in operators()}
    out = [family for family, hit in needed.items() if len(hit) == len(operators()[family])]
    words = []
    for operator in sorted(missing):
        users = [family for family in needed if _needing(family, {operator})]
        words.append(f"The target lacks {operator}: {_named(users)}.")
    words += [
        f"{family} is hit only as {', '.join(hit)} and has other variants."
        for family, hit in needed.items()
        if hit and family not in out
    ]
    for family, why in facts.failed_families.items():
        words.append(f"{family} failed on the target{f' ({why})' if why else ''}.")
    return fired("HW1", 1.0, " ".join(words), raises=dict.fromkeys([*out, *facts.failed_families], -1.0))


def _needing(family: str, missing: set[str]) -> list[str]:
    """Return the variants of `family` that need an operator of `missing`."""
    return [variant for variant, needs in operators()[family].items() if needs & missing]


def _named(users: list[str]) -> str:
    if not users:
        return "no family needs it"
    if len(users) == len(operators()):
        return "every family needs it"
    more = f" and {len(users) - MOST_NAMED} more" if len(users) > MOST_NAMED else ""
    return f"{', '.join(users[:MOST_NAMED])}{more} need{'s' if len(users) == 1 else ''} it"
