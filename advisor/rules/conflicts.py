"""Settles what rules of different tiers say against each other about one family.

The order is `TIERS`: what the target can run; budget, device and streaming; the application; the amount of data; the
length. Going down it, the first tier whose shares do not cancel out gives the verdict for or against the family. A
share of a lower tier with the other sign is set aside and recorded. Within one tier, and where signs agree, shares add
up.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from advisor.rules.table import TIERS, Fired, Frozen

ORDER = {tier: place for place, tier in enumerate(TIERS)}


class Conflict(Frozen):
    """Two rules that pull one family in opposite directions."""

    family: str
    stands: str
    """Key of the rule of the higher tier."""
    set_aside: str
    """Key of the rule of the lower tier, which does not count for this family."""
    share: float
    """Weight times strength that does not count."""
    says: str
    """Who stands, and why, in words."""


class Settled(NamedTuple):
    """What is heard of one family.

    Attributes:
        heard: Rules that count, with their shares.
        conflicts: Those that do not.
    """

    heard: tuple[tuple[Fired, float], ...]
    conflicts: tuple[Conflict, ...]


def settle(family: str, fired: Sequence[Fired]) -> Settled:
    """Return which of the rules that fired count for `family`, highest tier first, and which are set aside."""
    heard: list[tuple[Fired, float]] = []
    conflicts: list[Conflict] = []
    verdict: tuple[Fired, float] | None = None
    voices = [(one, share) for one in fired if (share := one.raises.get(family, 0.0) * one.strength)]
    voices.sort(key=lambda pair: ORDER[pair[0].tier])
    for _, tier in groupby(voices, key=lambda pair: pair[0].tier):
        shares = list(tier)
        if verdict is None:
            heard += shares
            total = round(sum(share for _, share in shares), 9)
            speakers = [pair for pair in shares if total and (pair[1] > 0) == (total > 0)]
            verdict = max(speakers, key=lambda pair: abs(pair[1]), default=None)
            continue
        for pair in shares:
            if (pair[1] > 0) == (verdict[1] > 0):
                heard.append(pair)
            else:
                conflicts.append(_conflict(family, verdict, pair))
    return Settled(tuple(heard), tuple(conflicts))


def _conflict(family: str, verdict: tuple[Fired, float], other: tuple[Fired, float]) -> Conflict:
    (stands, for_it), (aside, share) = verdict, other
    way = "for" if for_it > 0 else "against"
    return Conflict(
        family=family,
        stands=stands.key,
        set_aside=aside.key,
        share=round(share, 4),
        says=f"{stands.key} stands {way} {family} ({for_it:+.2f}), {aside.key} ({share:+.2f}) is set aside: "
        f"{TIERS[stands.tier]} comes before {TIERS[aside.tier]}.",
    )
