"""Which kind of architecture was measured to train in less time at the needed length on this device; also in words."""

from typing import Literal

from advisor.rules.counts import steps
from advisor.rules.facts import Facts
from profiles.crossover import COMPARED_FROM, Crossovers

Cheaper = Literal["recurrence", "attention", "both", "unclear", "not measured"]


def cheaper(facts: Facts) -> Cheaper:
    """Return which kind trains in no more time at the needed length on this device.

    `both` where the two measured regions overlap, `unclear` between them. Where recurrence is cheaper from some length
    on, attention is below it, down to the lengths up to which recurrence is cheaper again, or to the shortest that were
    compared. Where neither region says anything of the length, nothing was measured there.
    """
    found, needed = facts.crossovers, facts.needed
    if found is None:
        return "not measured"
    recurrence = needed <= found.short_below or found.short_below >= found.longest
    attention = found.long_from is not None and needed >= found.long_from
    if found.recurrent_from is not None:
        recurrence |= needed >= found.recurrent_from
        attention |= max(COMPARED_FROM, found.short_below + 1) <= needed < found.recurrent_from
    if recurrence and attention:
        return "both"
    if recurrence or attention:
        return "recurrence" if recurrence else "attention"
    return "unclear" if found.short_below else "not measured"


def measured_words(facts: Facts, found: Crossovers) -> str:
    """Return where each kind was measured to be the cheaper one, and what that says of the needed length.

    Args:
        facts: The situation.
        found: Its crossovers.
    """
    words = f"measured on {found.device}, recurrence is as cheap to train as attention or cheaper"
    words += f" {_recurrence_where(found)}, and attention as cheap or cheaper {_attention_where(found)}."
    if facts.needed > found.longest:
        words += f" Nothing longer than {steps(found.longest)} was measured."
    said = {
        "both": " At this length the two cost the same, so the documents' bounds decide.",
        "not measured": " That says nothing of this length, so the documents' bounds decide.",
        "unclear": " This length lies between: neither is clearly the cheaper one.",
    }
    return words + said.get(cheaper(facts), "")


def at_words(facts: Facts) -> str:
    """Return the length that a measured cost is of: the needed one, or the longest measured where that is less."""
    longest = facts.needed if facts.crossovers is None else facts.crossovers.longest
    return "at this length" if facts.needed <= longest else f"at {steps(longest)}, the longest measured"


def _recurrence_where(found: Crossovers) -> str:
    if found.short_below >= found.longest:
        return f"at every length up to {found.longest}"
    where = [f"up to {steps(found.short_below)}"] if found.short_below else []
    where += [] if found.recurrent_from is None else [f"from {steps(found.recurrent_from)} on"]
    return " and ".join(where) or "at no length"


def _attention_where(found: Crossovers) -> str:
    shortest = max(COMPARED_FROM, found.short_below + 1)
    if found.long_from is not None:
        return f"from {steps(found.long_from)} on"
    if found.recurrent_from is not None and shortest < found.recurrent_from:
        return f"from {shortest} to {steps(found.recurrent_from - 1)}"
    return f"at no length up to {found.longest}"
