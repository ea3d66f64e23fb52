"""Advice as lines of text, for a terminal."""

from advisor.rules.engine import Advice
from advisor.rules.table import TIERS


def explain_advice(advice: Advice) -> list[str]:
    """Return the rules that fired, the conflicts and the ranking, one line each under a heading."""
    lines = ["Rules that fire:"]
    for one in advice.fired:
        kind = "how to work" if one.procedure else f"strength {one.strength:.2f}"
        lines.append(f"  {one.key:5} {kind} ({one.document}): {one.says} {one.because}")
    if advice.conflicts:
        lines.append(
            f"Conflicts, settled in this order: {' > '.join(TIERS[tier] for tier in TIERS if tier != 'practice')}"
        )
        together: dict[tuple[str, str], list[str]] = {}
        for found in advice.conflicts:
            together.setdefault((found.stands, found.set_aside), []).append(f"{found.family} ({found.share:+.2f})")
        for (stands, aside), families in together.items():
            lines.append(f"  {stands:5} stands, {aside} is set aside for {', '.join(families)}")
    lines.append("Families, as the documents rank them before anything is measured:")
    for family in advice.ranking:
        lines.append(f"  {family.score:+.2f} {family.family}")
    return lines
