"""Charts of lines with their measured points, drawn inline for a page: `draw`."""

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from advisor.report import number
from advisor.report.pictures import (
    BOTTOM,
    COLOURS,
    LEFT,
    LINE,
    RIGHT,
    SIDES,
    TOP,
    Axis,
    Picture,
    frame,
    shape,
    svg,
    text,
)

Looks = dict[str, tuple[str, int]]
"""Name of a line -> colour class and sides of its marks."""


class Line(BaseModel):
    """One line of a chart."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Chart(BaseModel):
    """A picture of lines over common axes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    title: str
    x_label: str
    y_label: str
    log_x: bool = True
    log_y: bool = True
    lines: tuple[Line, ...]


def draw(chart: Chart, looks: Looks) -> Picture:
    """Return a chart of lines with their measured points, and a note where points cannot be drawn."""
    drawn = [(line, _points(line, chart)) for line in chart.lines]
    every = [point for _, points in drawn for point in points]
    lost = sum(len(line.x) for line in chart.lines) - len(every)
    notes = (f"Not drawn, for want of a finite value above 0: {lost} points.",) if lost else ()
    if not every:
        return Picture(svg([text(LEFT, TOP + 20, "no point can be drawn")], TOP + 40, chart.title), notes)
    x = Axis.over([x for x, _ in every], LEFT, RIGHT, log=chart.log_x)
    y = Axis.over([y for _, y in every], BOTTOM, TOP, log=chart.log_y)
    body = [frame(x, y, BOTTOM, _scaled(chart.x_label, chart.log_x), _scaled(chart.y_label, chart.log_y))]
    for i, (line, points) in enumerate(drawn):
        colour, sides = looks[line.name]
        path = "L".join(f"{x.at(a):.1f} {y.at(b):.1f}" for a, b in points)
        body.append(f'<path class="{colour} curve" d="M{path}"/>' if len(points) > 1 else "")
        for a, b in points:
            tip = f"{line.name}: {number(b)} at {number(a)}"
            body.append(shape(x.at(a), y.at(b), 4, sides, f"{colour} dot", title=tip))
        body.append(shape(RIGHT + 26, TOP + 8 + i * LINE, 5, sides, f"{colour} dot"))
        body.append(text(RIGHT + 40, TOP + 12 + i * LINE, line.name, most=28))
    return Picture(svg(body, max(BOTTOM + 48, TOP + (len(drawn) + 1) * LINE), chart.title), notes)


def looks_of(charts: Sequence[Chart]) -> Looks:
    """Return colour and mark of each name, the same in all charts, unique for 40 names."""
    names = dict.fromkeys(line.name for chart in charts for line in chart.lines)
    return {name: (f"c{i % COLOURS}", SIDES[i % len(SIDES)]) for i, name in enumerate(names)}


def _points(line: Line, chart: Chart) -> list[tuple[float, float]]:
    """Return the points that the axes of the chart can show."""
    return [
        (a, b)
        for a, b in zip(line.x, line.y, strict=True)
        if math.isfinite(a) and math.isfinite(b) and (a > 0 or not chart.log_x) and (b > 0 or not chart.log_y)
    ]


def _scaled(label: str, log: bool) -> str:
    return f"{label} (log scale)" if log else label
