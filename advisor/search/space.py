"""The space of candidates: which knobs of a family are searched on a problem, within the bounds `Knobs` declares."""

from typing import Any

from annotated_types import Ge, Le

from advisor.search.knobs import Knobs, start
from advisor.search.problem import Plan
from hybrids.families import FAMILIES
from hybrids.mixer import Tune


def searched(family: str, plan: Plan) -> tuple[str, ...]:
    """Return the knobs that a search of `family` on this problem turns; the others stay where they start."""
    fixed = set() if plan.task == "forecast" else {"look_back_factor"}
    if len(FAMILIES[family].variants) == 1:
        fixed.add("variant")
    return tuple(name for name in Knobs.model_fields if name not in fixed)


def suggest(trial: Any, family: str, plan: Plan) -> Knobs:
    """Return the point that an Optuna trial proposes, within the bounds that `Knobs` declares."""
    chosen: dict[str, int | float | str] = start(family).model_dump()
    for name in searched(family, plan):
        field = Knobs.model_fields[name]
        if name == "variant":
            chosen[name] = trial.suggest_categorical(name, list(FAMILIES[family].variants))
            continue
        marks = {type(mark): mark for mark in field.metadata}
        low, high, log = marks[Ge].ge, marks[Le].le, marks[Tune].log
        pick = trial.suggest_int if field.annotation is int else trial.suggest_float
        chosen[name] = pick(name, low, high, log=log)
    return Knobs.model_validate(chosen)
