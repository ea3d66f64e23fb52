"""What was known before training, as sections of the report: audit, the past, length and cost, turns, the reach."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from advisor.audit import Finding
from advisor.counterfactual.model import Turn
from advisor.report import Records, clean
from advisor.report.charts import Chart, Line, draw, looks_of
from advisor.report.parts import figure, table
from advisor.rules.conflicts import Conflict
from profiles.crossover import Crossovers
from profiles.dependence import Dependence
from profiles.gradient_reach import GradientReach

Found = TypeVar("Found", bound=BaseModel)


def findings(r: Records) -> str:
    """Return what the audit found, in a table."""
    found = _many(r, "audit.json", Finding)
    if found is None:
        return "<p>The data were not audited.</p>"
    if not found:
        return "<p>Nothing suspicious was found in the data.</p>"
    heads = [("Weight", "name"), ("Found", "why"), ("What to do", "why"), ("Such as", "")]
    rows = [
        ("", [one.severity, clean(one.says, 1000), clean(one.do, 1000), clean(", ".join(one.examples))])
        for one in found
    ]
    return table(heads, rows, "audit.json")


def past(r: Records) -> str:
    """Return how far back the past matters, with its curve, and how far the chosen network reaches."""
    found = _one(r.facts["data_profile.json"].get("dependence"), Dependence)
    if found is None:
        return "<p>How far back the past matters was not measured.</p>"
    curve = found.curve
    lines = tuple(
        Line(name=name, x=tuple(map(float, curve.steps)), y=values)
        for name, values in (("measured", curve.values), ("what chance gives", curve.floor))
    )
    chart = Chart(
        title="How far back the past matters",
        x_label=curve.x_label,
        y_label=curve.y_label,
        log_x=min(curve.steps, default=0) > 0,
        log_y=False,
        lines=lines,
    )
    notes = "".join(f'<p class="soft">{clean(note)}</p>' for note in found.notes)
    said = f"<p>{clean(found.says, 1000)}</p>{notes}"
    picture = figure(draw(chart, looks_of([chart])), "From data_profile.json.") if curve.steps else ""
    return f"{said}{picture}{_reach(r, found)}"


def _reach(r: Records, needed: Dependence) -> str:
    """Return the gradient of the chosen network against the distance; empty for a baseline."""
    found = _one(r.facts["model_reach.json"], GradientReach)
    if found is None or not any(found.norms):
        return ""
    chart = Chart(
        title="How far the recommended network reaches",
        x_label="steps back",
        y_label="size of the gradient, the greatest is 1",
        log_x=False,
        lines=(Line(name=found.words, x=tuple(map(float, found.distances)), y=found.norms),),
    )
    said = f"{clean(found.words)}: 99 % of the gradient lies within {found.reach_steps} of {found.looked} steps back"
    if needed.reach_from_end:
        said += f"; counted from the end, the data need {needed.reach_from_end}"
    said += ". From model_reach.json."
    return figure(draw(chart, looks_of([chart])), said)


def length_and_cost(r: Records) -> str:
    """Return the measured crossover lengths beside those of the documents."""
    calibration = r.facts["calibration.json"]
    found = _one(calibration.get("crossovers"), Crossovers)
    if found is None:
        return (
            "<p>The device is not calibrated: the documents' 512 and 1024 steps were used. "
            "<code>advisor device --calibrate</code> measures where one architecture overtakes another.</p>"
        )
    noise = calibration.get("noise", {})
    return f"<p>{clean(found.says, 1000)} {clean(noise.get('says', ''), 1000)} From calibration.json.</p>"


def conflicts(r: Records) -> str:
    """Return where rules contradicted each other, and which stood."""
    listed = r.facts["advice.json"].get("conflicts") or []
    found = [one for one in (_one(entry, Conflict) for entry in listed) if one is not None]
    if not found:
        return ""
    heads = [("Family", "name"), ("Stands", ""), ("Set aside", ""), ("Why", "why")]
    rows = [("", [clean(one.family), clean(one.stands), clean(one.set_aside), clean(one.says, 1000)]) for one in found]
    return f"<details><summary>Rules that contradict each other</summary>{table(heads, rows, 'advice.json')}</details>"


def turns(r: Records) -> str:
    """Return what would have to change for the documents to prefer another family."""
    found = _many(r, "turns.json", Turn)
    if found is None:
        return "<p>It was not looked for.</p>"
    if not found:
        return "<p>No single change of the facts would put another family first.</p>"
    said = "".join(f"<li>{clean(one.says, 600)}</li>" for one in found)
    return (
        f'<p class="soft">By the rules, before anything was measured (turns.json); by the measurements: '
        f"<code>advisor explain RUN</code>.</p><ul>{said}</ul>"
    )


def _one(content: Any, kind: type[Found]) -> Found | None:
    """Return a record, None where it is absent or of another version."""
    try:
        return kind.model_validate(content) if content else None
    except ValidationError:
        return None


def _many(r: Records, name: str, kind: type[Found]) -> list[Found] | None:
    """Return the records of a file that holds a list; None where it is absent or one is of another version."""
    listed = r.facts[name].get("content")
    found = [_one(entry, kind) for entry in listed or []]
    return None if listed is None or None in found else [one for one in found if one is not None]
