"""Who starts first: what is strongest in short trainings, then the documents' order in turns over the kinds."""

from collections.abc import Sequence

from hybrids.families import FAMILIES, Kind
from profiles.task import Task

STRONGEST: dict[Task, Kind] = {"forecast": "feedforward", "classify": "convolution", "regress": "convolution"}
"""The kind whose default was best after seconds of training on most development sets (docs/LOG.md)."""


def in_turns(ranked: Sequence[str], task: Task) -> tuple[str, ...]:
    """Return `ranked` so that the best of every kind comes first, then the second of every kind, and so on.

    Where the time is too short for all, like is then still compared with unlike, as PRA1 (D4, practice) asks: an order
    by the advice alone would start eight recurrent networks on every short series. The kind that was measured to be
    strongest in short trainings has the first turn, so that no time is too short for it.

    Args:
        ranked: Names of families, the one that the advice prefers first.
        task: Which kind is strongest depends on it.

    Example:
        >>> in_turns(["gru", "lstm", "transformer", "mlp"], "forecast")
        ('mlp', 'gru', 'transformer', 'lstm')
    """
    place: dict[str, tuple[int, bool, int]] = {}
    seen: dict[str, int] = {}
    for at, family in enumerate(ranked):
        kind = FAMILIES[family].kind
        place[family] = (seen.get(kind, 0), kind != STRONGEST[task], at)
        seen[kind] = seen.get(kind, 0) + 1
    return tuple(sorted(ranked, key=place.__getitem__))
