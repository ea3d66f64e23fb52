"""Configurations that did well in earlier runs of this user, for a warm start on similar data.

One JSON file beside the calibrations, replaced in one step: at most `MOST` entries, the oldest leave first. An entry
is a configuration that beat its family's default, with the facts of its data. Data are similar where the task is the
same and the logarithms of the other facts differ by less than `NEAR` on average.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from advisor import calibrations
from advisor.runs import write_text
from advisor.search.knobs import Knobs
from advisor.search.problem import Plan, Problem
from advisor.search.race import Race
from advisor.search.space import knobs_of, point_of
from hybrids.families import FAMILIES
from profiles.task import Task

VERSION = 1
MOST = 400
NEAR = 0.7
"""Half to twice as much of everything."""
EACH = 2
"""Configurations that are tried of a family."""


class Entry(BaseModel):
    """One configuration and the data it did well on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    task: Task
    facts: tuple[float, ...]
    """Logarithms of: units, steps, channels, classes, horizon, season; each plus 1."""
    family: str
    knobs: Knobs
    relative: float
    """Its quality over that of the family's default on the same data; the gain, whatever the direction."""


class Store(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: int = VERSION
    entries: tuple[Entry, ...] = ()


def path() -> Path:
    """Return the file; it need not exist."""
    return calibrations.folder().parent / "configurations.json"


def load() -> Store:
    """Return what is kept; nothing where the file is missing, damaged or of another version."""
    try:
        found = Store.model_validate_json(path().read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValidationError, ValueError):  # RuntimeError: this user has no home
        return Store()
    return found if found.version == VERSION else Store()


def facts_of(problem: Problem) -> tuple[float, ...]:
    """Return the facts by which data are compared."""
    plan = problem.plan
    units = len(problem.series) if plan.task == "forecast" else len(problem.rows)
    facts = (units, plan.length, plan.channels, plan.classes, plan.horizon, plan.season)
    return tuple(math.log1p(fact) for fact in facts)


def warm_start(problem: Problem, families: Sequence[str]) -> dict[str, list[Knobs]]:
    """Return family -> the configurations of similar data that gained most, moved into today's space."""
    plan, facts = problem.plan, facts_of(problem)
    near = [e for e in load().entries if e.task == plan.task and e.family in families and distance(e, facts) < NEAR]
    near.sort(key=lambda e: (distance(e, facts) > NEAR / 2, -e.relative))
    found: dict[str, list[Knobs]] = {}
    for entry in near:
        mine = found.setdefault(entry.family, [])
        knobs = _inside(entry, plan)
        if knobs is not None and len(mine) < EACH and knobs not in mine:
            mine.append(knobs)
    return {family: knobs for family, knobs in found.items() if knobs}


def distance(entry: Entry, facts: tuple[float, ...]) -> float:
    """Return the mean difference of the facts; infinite where they are others."""
    if len(entry.facts) != len(facts):
        return math.inf
    return sum(abs(a - b) for a, b in zip(entry.facts, facts, strict=True)) / len(facts)


def keep(problem: Problem, race: Race) -> int:
    """Keep the best configuration of each family that beat its default; return how many were kept."""
    plan, facts, new = problem.plan, facts_of(problem), []
    for family in race.families():
        best = race.best(family)
        first = [c for c in race.trained() if c.family == family and not c.extra]
        if not best.extra or not first:
            continue
        gain = abs(first[0].value - best.value) / max(abs(first[0].value), 1e-12)
        entry = Entry(task=plan.task, facts=facts, family=family, knobs=best.gated.knobs, relative=1 + gain)
        new.append(entry)
    if new:
        entries = (*load().entries, *new)[-MOST:]
        write_text(path(), Store(entries=entries).model_dump_json(indent=1) + "\n")
    return len(new)


def _inside(entry: Entry, plan: Plan) -> Knobs | None:
    row = FAMILIES[entry.family]
    if entry.knobs.variant not in row.variants:
        return None
    return knobs_of(point_of(entry.knobs, entry.family, plan), entry.family, plan)
