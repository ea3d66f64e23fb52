"""Facts that can be moved: which values to try, and what moves with them."""

import math
from collections.abc import Callable, Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from advisor.counterfactual.model import Value
from advisor.rules import Facts

STEP = 1.15
"""Ratio of two neighbours on the grid of values; a window of values narrower than this can be missed."""
FAR = 1000
"""Values further off than this ratio are not looked at."""
NO_LIMIT_FROM = {"ms": 1e5, "mib": 2.0**20}
"""Where the search of a limit that is not set begins, by unit: 100 s, 1 TiB; no rule's limit is as wide."""
NO_LIMIT_FAR = 1e7
FIXED = frozenset({"task", "length_p99", "reach_high", "reach_kind", "realtime"})
"""The question itself, and what follows from other facts or is moved with them."""
SUBJECTS = {
    "samples": ("the number of series", ""),
    "length_p50": ("the length", " steps"),
    "total_steps": ("the number of steps observed", ""),
    "horizon": ("the horizon", " steps"),
    "season": ("the season", " steps"),
    "context": ("the part that a model reads", " steps"),
    "channels": ("the number of channels", ""),
    "batch_size": ("the batch", " series"),
    "max_latency_ms": ("the latency limit", " ms"),
    "max_memory_mib": ("the memory limit", " MiB"),
    "max_model_mib": ("the model size limit", " MiB"),
    "device_memory_mib": ("the memory of the device", " MiB"),
    "device_kind": ("the device", ""),
    "modality": ("the modality", ""),
    "edge": ("an embedded device", ""),
    "cloud": ("answers from a data centre", ""),
    "pretrained": ("pretrained weights", ""),
    "reach": ("the reach of the data", " steps"),
    "step_ms": ("the time between two steps", " ms"),
}
UNITS = {"ms": " ms", "mib": " MiB", "steps": " steps", "s": " s"}


class Numbers(NamedTuple):
    """A fact that is a number.

    Attributes:
        name: Field of `Facts`.
        whole: Whether it is an integer.
        limit: Whether None means that there is no limit, and not that it is unknown.
        least: Smallest value allowed.
    """

    name: str
    whole: bool
    limit: bool
    least: float


class Choices(NamedTuple):
    """A fact with a few values."""

    name: str
    values: tuple[bool | str, ...]


@cache
def movable() -> tuple[Numbers | Choices, ...]:
    """Return every fact that can be moved alone, by the type of its field: numbers, booleans and named values."""
    found: list[Numbers | Choices] = []
    for name, field in Facts.model_fields.items():
        if name in FIXED:
            continue
        kinds = _kinds(field.annotation)
        if bool in kinds:
            found.append(Choices(name, (True, False)))
        elif kinds & {int, float}:
            least = max((getattr(mark, "ge", 0) or 0 for mark in field.metadata), default=0)
            found.append(Numbers(name, float not in kinds, name.startswith("max_"), least))
        elif kinds and all(isinstance(kind, str) for kind in kinds):
            found.append(Choices(name, tuple(v for v in _values(field.annotation) if isinstance(v, str))))
    return tuple(found)


def _values(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union or of a literal, flat, None left out, in their order."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(value for part in get_args(annotation) for value in _values(part))
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return () if annotation is NoneType else (annotation,)


def _kinds(annotation: Any) -> set[Any]:
    return set(_values(annotation))


def moved(facts: Facts, name: str, value: Value) -> Facts:
    """Return the facts with one moved and with it what hangs on it.

    The lengths move in proportion, the sum of the steps with them or with the number of series, the upper end of the
    reach with the reach. What was derived (edge and real time from the limits) is derived anew; what was said stays.
    """
    known = {field: getattr(facts, field) for field in facts.model_fields_set} | {name: value}
    if isinstance(value, int) and name in ("length_p50", "samples"):
        ratio = value / getattr(facts, name)
        if "total_steps" in known:
            known["total_steps"] = max(1, round(facts.total_steps * ratio))
        if name == "length_p50" and "length_p99" in known:
            known["length_p99"] = max(value, round(facts.length_p99 * ratio))
    if isinstance(value, int) and name == "reach" and facts.reach and facts.reach_high is not None:
        known["reach_high"] = max(value, round(facts.reach_high * value / facts.reach))
    return Facts(**known)


def grid(axis: Numbers, now: float | None, up: bool) -> Iterator[float | None]:
    """Yield the values to try, the nearest first; the last of a limit that rises is None, no limit."""
    if now is None:
        if axis.limit and not up:
            top = NO_LIMIT_FROM[axis.name.rpartition("_")[2]]
            yield from (top / STEP**i for i in range(int(math.log(NO_LIMIT_FAR, STEP))))
        return
    value: float = now
    end = max(now, 1) * FAR if up else max(axis.least, math.ceil(now / FAR) if axis.whole else now / FAR)
    while value < end if up else value > end:
        if axis.whole:
            value = max(value + 1, math.ceil(value * STEP)) if up else min(value - 1, math.floor(value / STEP))
        else:
            value = value * STEP if up else value / STEP
        value = min(end, value) if up else max(end, value)
        yield value
    if up and axis.limit:
        yield None


def first_change(
    axis: Numbers, now: float | None, up: bool, changed: Callable[[float | None], bool]
) -> tuple[float | None] | None:
    """Return the nearest value at which `changed` holds, or None where it holds at no value of the grid.

    The grid finds the cell, bisection the value: exact for integers, for others to nine digits and, where a shorter
    number lies on the changed side of the step, that number; `if_moved` says which of the two it is.

    Returns:
        A tuple of one, because the value itself is None where a limit must be lifted.
    """
    kept = now
    for value in grid(axis, now, up):
        if changed(value):
            if kept is None or value is None:
                return (value,)
            return (_bisected(axis.whole, kept, value, changed),)
        kept = value
    return None


def _bisected(whole: bool, kept: float, turned: float, changed: Callable[[float | None], bool]) -> float:
    if whole:
        while abs(turned - kept) > 1:
            middle = (int(turned) + int(kept)) // 2
            kept, turned = (kept, middle) if changed(middle) else (middle, turned)
        return int(turned)
    while abs(turned / kept - 1) > 1e-9:
        between = math.sqrt(turned) * math.sqrt(kept)
        kept, turned = (kept, between) if changed(between) else (between, turned)
    return shortest(turned, changed)


def shortest(turned: float, changed: Callable[[float | None], bool]) -> float:
    """Return the number with the fewest digits, within two billionths of `turned`, at which `changed` holds."""
    for digits in range(1, 11):
        short = float(f"{turned:.{digits}g}")
        if math.isclose(short, turned, rel_tol=2e-9) and changed(short):
            return short
    return turned


def if_moved(name: str, now: Value, then: Value) -> str:
    """Return the condition of a change in words, with the present value."""
    subject, unit = subject_of(name)
    if isinstance(then, bool):
        was = "not known" if now is None else "with" if now else "without"
        return f"{'With' if then else 'Without'} {subject} (now {was})"
    if isinstance(then, str):
        return f"If {subject} is {then} (now {'not known' if now is None else now})"
    if then is None:
        return f"If {subject} is lifted (now {plain(now)}{unit})"
    falls = now is None or (isinstance(now, int | float) and then < now)
    number = edge(then)
    inclusive = number <= then if falls else number >= then
    to = "to" if inclusive else "below" if falls else "above"
    return f"If {subject} {'falls' if falls else 'rises'} {to} {_digits(number)}{unit} (now {plain(now)})"


def edge(value: float) -> float:
    """Return the number with the fewest digits within two billionths of `value`; integers are exact.

    `first_change` returns such a number itself where it lies on the changed side. Where it does not, the rule turns
    just beyond it: a limit of 256 or less ends above 256.
    """
    return value if isinstance(value, int) else shortest(value, lambda _: True)


def _digits(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"


def rounded(value: float, digits: int, up: bool) -> str:
    """Return `value` with a number of significant digits, never on the other side of it than `up` says."""
    context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return f"{float(context.create_decimal(Decimal(repr(value)))):.{digits}g}"


def subject_of(name: str) -> tuple[str, str]:
    """Return what a fact is called in a sentence, and its unit with a space before it."""
    return SUBJECTS.get(name, (name.replace("_", " "), UNITS.get(name.rpartition("_")[2], "")))


def plain(value: Value) -> str:
    """Return a value as people write it."""
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
