"""The space of candidates: which knobs of a family are searched on a problem, within the bounds that they declare.

The knobs that all families share are declared in `Knobs`; those of a mixer beside it, as marks (`hybrids.mixer.Tune`)
on the fields of its settings, and are named "mixer.field", such as "ssm.states".
"""

from collections.abc import Mapping
from typing import Any

from annotated_types import Ge, Le
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic.fields import FieldInfo

from advisor.search.knobs import Knobs
from advisor.search.mixer_space import every_setting, settings
from advisor.search.problem import Plan
from advisor.search.recipes import start
from hybrids.families import FAMILIES
from hybrids.mixer import Tune

NOT_SHARED = ("variant", "mixer")


def distributions(family: str, plan: Plan) -> dict[str, BaseDistribution]:
    """Return the range of every name that a search of `family` turns; the others stay where they start."""
    fixed = set(NOT_SHARED) | (set() if plan.task == "forecast" else {"look_back_factor"})
    found = {name: _range(field) for name, field in Knobs.model_fields.items() if name not in fixed}
    if len(FAMILIES[family].variants) > 1:
        found["variant"] = CategoricalDistribution(list(FAMILIES[family].variants))
    return found | {name: _range(field) for name, (field, _) in every_setting(family).items()}


def _range(field: FieldInfo) -> BaseDistribution:
    marks = {type(mark): mark for mark in field.metadata}
    low, high, log = marks[Ge].ge, marks[Le].le, marks[Tune].log
    kind = IntDistribution if field.annotation is int else FloatDistribution
    return kind(low, high, log=log)


def point_of(knobs: Knobs, family: str, plan: Plan) -> dict[str, int | float | str]:
    """Return `knobs` as the sampler sees them, moved to the nearest point of the space."""
    defaults = {name: default for name, (_, default) in every_setting(family).items()}
    known = {**defaults, **knobs.mixer, **knobs.model_dump(exclude={"mixer"})}
    return {name: _inside(known[name], to) for name, to in distributions(family, plan).items()}


def knobs_of(point: Mapping[str, Any], family: str, plan: Plan) -> Knobs:
    """Return the knobs at a point of the space; what is not searched is where the family starts.

    Settings of a mixer that the variant does not have are left out.
    """
    first = start(family, plan).model_dump()
    variant = str(point.get("variant", first["variant"]))
    own = settings(family, variant)
    mixer = {**first["mixer"], **{name: value for name, value in point.items() if name in own}}
    shared = {name: value for name, value in point.items() if "." not in name}
    return Knobs.model_validate({**first, **shared, "mixer": mixer})


def _inside(value: Any, to: BaseDistribution) -> Any:
    if isinstance(to, CategoricalDistribution):
        return value if value in to.choices else to.choices[0]
    assert isinstance(to, IntDistribution | FloatDistribution)
    return min(max(value, to.low), to.high)
