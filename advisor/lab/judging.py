"""How a claim comes to its verdict: it is cut into parts, each of which its numbers make true or false."""

from collections.abc import Mapping, Sequence
from typing import Literal

from profiles.curves import exponent

Verdict = Literal["holds here", "does not hold", "depends"]


def judge(parts: Mapping[str, bool]) -> Verdict:
    """Return "holds here" where every part is true, "does not hold" where none is, else "depends"."""
    if not parts:
        raise ValueError("a claim without parts cannot be judged.")
    if all(parts.values()):
        return "holds here"
    return "depends" if any(parts.values()) else "does not hold"


def told(parts: Mapping[str, bool]) -> str:
    """Return in one or two sentences which parts of the claim are not so here and which are."""
    so, not_so = ([part for part, true in parts.items() if true is wanted] for wanted in (True, False))
    if not so or not not_so:
        return f"{'No' if not_so else 'Every'} part of the claim is so here."
    return f"Not so here: {'; '.join(not_so)}. So here: {'; '.join(so)}."


def growth(lengths: Sequence[int], values: Sequence[float]) -> float:
    """Return the exponent over the longer half of two lengths or more; `profiles.curves` says how."""
    power = exponent(lengths, values)
    if power is None:
        raise ValueError("growth needs two lengths at least.")
    return power
