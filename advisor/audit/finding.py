"""What an audit finds: one counted fact about the data, how bad it is, and what to do about it."""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
SHOWN = 5


class Finding(BaseModel):
    """One fact that a user should know before training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    code: str
    """What kind of fact it is, such as "test_series_in_training"; stable, for programs."""
    severity: Severity
    """error: training is meaningless. warning: scores or forecasts would mislead. note: worth knowing."""
    counted: int
    of: int
    """How many were looked at; `counted` of them are concerned."""
    says: str
    """One sentence with its numbers."""
    do: str
    """What the user can do, and what the tool does by itself."""
    examples: tuple[str, ...] = ()
    """Names of at most five of those concerned: ids, columns, classes."""


def some(names: Iterable[str]) -> tuple[str, ...]:
    """Return the first names, as many as a finding shows."""
    return tuple(names)[:SHOWN]


def share(counted: int, of: int) -> str:
    """Return a percentage that never rounds something to nothing or a part to the whole."""
    percent = 100 * counted / of
    if counted and percent < 0.1:
        return "below 0.1 %"
    return f"{min(percent, 99.9) if counted < of else percent:.{0 if percent >= 10 and counted == of else 1}f} %"


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the findings for people, one line each, in the order given."""
    out = []
    for one in findings:
        shown = f" ({', '.join(map(repr, one.examples))}{' ...' if one.counted > len(one.examples) else ''})"
        out.append(f"{one.severity}: {one.says.rstrip('.')}{shown if one.examples else ''}. {one.do}")
    return out
