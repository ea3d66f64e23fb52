"""The two pictures of a report as inline SVG: quality against latency, and quality against training time.

Drawn without a plotting library, so that a report stays small and opens offline. Colours are CSS variables of the
page (`style.css`); marker shapes differ as well, so no reading depends on colour alone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from advisor.records import Recommendation, Trial
from advisor.report import best_of, chosen, clean, duration, number

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 900, 64, 680, 34, 380
LANE, LINE, LETTER = 34, 19, 6.7
"""Pixels: height of the lane of refused candidates, of a legend line, width of a letter."""
COLOURS, SIDES, MOST_DOTS, MOST_POINTS = 8, (0, 4, 3, 5, -3), 300, 80


class Picture(NamedTuple):
    """A drawing, and one sentence for each kind of thing it leaves out."""

    svg: str
    notes: tuple[str, ...]


class Dot(NamedTuple):
    """One candidate in the first picture; `y` None: refused before training, drawn in the lane below."""

    family: str
    x: float
    y: float | None
    baseline: bool
    state: str
    title: str


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels, linearly or by their logarithm.

    Attributes:
        low: Value at `start`.
        high: Value at `end`, above `low`.
        start: Pixel of `low`.
        end: Pixel of `high`; below `start` for an axis that points up.
        log: Whether equal ratios take equal space.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, log: bool = False) -> "Axis":
        """Return the axis that holds `values` (at least one), with free space on both sides."""
        held = [math.log(v) if log else v for v in values]
        low, high = min(held), max(held)
        flat = high - low <= 1e-9 * max(1.0, abs(high))
        room = (0.7 if log else 0.05 * abs(high) or 0.5) if flat else 0.07 * (high - low)
        low, high = low - room, high + room
        return cls(math.exp(low) if log else low, math.exp(high) if log else high, start, end, log)

    def at(self, value: float) -> float:
        """Return the pixel of `value`; of the nearer end where it lies outside."""
        inside = min(max(value, self.low), self.high)
        low, high, v = (math.log(u) if self.log else u for u in (self.low, self.high, inside))
        return self.start + (v - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return at most nine round values inside the axis."""
        if self.log and self.high / self.low > 4:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [s * 10.0**p for p in powers for s in (1, 2, 5) if self.low <= s * 10.0**p <= self.high]
            if len(found) > 9:
                found = [10.0**p for p in powers if self.low <= 10.0**p <= self.high]
            return found[:: math.ceil(len(found) / 9)]
        rough = (self.high - self.low) / 5
        scale = 10.0 ** math.floor(math.log10(rough))
        step = next(s * scale for s in (1, 2, 2.5, 5, 10) if s * scale >= rough * 0.999)
        return [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def shape(x: float, y: float, size: float, sides: int, kind: str, *, title: str = "") -> str:
    """Return a circle (0 sides), diamond (1), cross (2) or polygon (negative: point down) of CSS class `kind`."""
    tip = f"<title>{clean(title)}</title>" if title else ""
    if sides == 0:
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}">{tip}</circle>'
    if sides == 2:
        r = f"{1.6 * size:.1f}"
        path = f"M{x - 0.8 * size:.1f} {y - 0.8 * size:.1f}l{r} {r}m0 -{r}l-{r} {r}"
        return f'<path class="{kind}" d="{path}">{tip}</path>'
    count = 4 if sides == 1 else abs(sides)
    turn = -45.0 if sides == 4 else math.copysign(90, -sides)
    angles = [math.radians(turn + 360 * k / count) for k in range(count)]
    corners = " ".join(f"{x + 1.2 * size * math.cos(a):.1f},{y + 1.2 * size * math.sin(a):.1f}" for a in angles)
    return f'<polygon class="{kind}" points="{corners}">{tip}</polygon>'


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start", *, most: int = 80) -> str:
    """Return a line of text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{clean(said, most)}</text>'


def looks(rec: Recommendation, trials: Sequence[Trial]) -> dict[str, tuple[str, int]]:
    """Return colour class and sides of each family, unique for 40 of them, the same in both pictures."""
    names = [r.family for r in rec.ranking if not r.baseline] + [t.family for t in trials if not t.baseline]
    return {name: (f"c{i % COLOURS}", SIDES[i % len(SIDES)]) for i, name in enumerate(dict.fromkeys(names))}


def frame(x: Axis, y: Axis, bottom: float, x_label: str, y_label: str) -> str:
    """Return grid, tick labels and axis labels; the x labels hang below the pixel `bottom`."""
    rows = [f'<path class="grid" d="M{x.start} {y.at(v):.1f}H{x.end}"/>' for v in y.ticks()]
    rows += [text(x.start - 8, y.at(v) + 4, f"{v:.4g}", "tick", "end") for v in y.ticks()]
    rows += [f'<path class="grid" d="M{x.at(v):.1f} {y.end}V{bottom}"/>' for v in x.ticks()]
    rows += [text(x.at(v), bottom + 17, f"{v:.4g}", "tick", "middle") for v in x.ticks()]
    rows.append(f'<path class="axis" d="M{x.start} {y.end}V{bottom}H{x.end}"/>')
    rows.append(text((x.start + x.end) / 2, bottom + 38, x_label, "label", "middle"))
    rows.append(text(4, y.end - 14, y_label, "label"))
    return "".join(rows)


def svg(body: Iterable[str], height: float, said: str) -> str:
    """Return the drawing; `said` is read out by a screen reader."""
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{clean(said)}">{"".join(body)}</svg>'


def dots(rec: Recommendation, trials: Sequence[Trial]) -> list[Dot]:
    """Return what can be drawn: known latency and a quality, unless refused; baselines of the ranking included."""
    found = []
    for t in trials:
        y = t.quality if t.quality is not None and math.isfinite(t.quality) else None
        if t.latency_ms and 0 < t.latency_ms < math.inf and (y is not None or t.state == "infeasible"):
            said = f"{t.family}, trial {t.number}: {rec.quality.metric} {number(y)}, {number(t.latency_ms)} ms, "
            said += f"{number(t.memory_mib)} MiB, trained {duration(t.train_s)}. {t.state.capitalize()}. {t.reason}"
            found.append(Dot(t.family, t.latency_ms, y, t.baseline, t.state, said.strip()))
    known = {t.family for t in trials if t.baseline}
    for b in rec.baselines:
        y = b.validation if b.validation is not None and math.isfinite(b.validation) else None
        if b.family not in known and b.latency_ms and 0 < b.latency_ms < math.inf and y is not None:
            said = f"{b.family}, baseline: {rec.quality.metric} {number(y)}, {number(b.latency_ms)} ms. {b.reason}"
            found.append(Dot(b.family, b.latency_ms, y, True, "complete", said))
    return found


def front(shown: Sequence[Dot], higher: bool) -> list[tuple[float, float]]:
    """Return (latency, quality) of the complete dots that no other beats in both, fastest first."""
    best: list[tuple[float, float]] = []
    sign = -1 if higher else 1
    for x, y in sorted(
        ((d.x, d.y) for d in shown if d.y is not None and d.state == "complete"), key=lambda p: (p[0], sign * p[1])
    ):
        if not best or sign * y < sign * best[-1][1]:
            best.append((x, y))
    return best


def free_place(x: float, y: float, said: str, taken: list[tuple[float, float, float, float]], must: bool) -> str:
    """Return the label where it covers least around (x, y), and take the place.

    `taken` holds boxes (left, top, right, bottom). Empty where no place is free, unless the label `must` be there.
    """
    wide = LETTER * min(len(said), 34)
    best: tuple[float, float, float] | None = None
    for dx, dy in (
        (12, 4),
        (-12 - wide, 4),
        (-wide / 2, -14),
        (-wide / 2, 22),
        (10, -10),
        (10, 20),
        (-10 - wide, -10),
        (-10 - wide, 20),
    ):
        a, b = x + dx, y + dy
        if a < LEFT or a + wide > RIGHT or b - 12 < TOP or b > BOTTOM:
            continue
        hits = sum(a < r and a + wide > lft and b - 11 < low and b + 2 > top for lft, top, r, low in taken)
        if best is None or hits < best[0]:
            best = (hits, a, b)
    if best is None or (best[0] and not must):
        return ""
    taken.append((best[1], best[2] - 11, best[1] + wide, best[2] + 2))
    return text(best[1], best[2], said, "strong" if must else "near", most=34)


def _near(every: Sequence[float], models: Sequence[float], higher: bool) -> list[float]:
    """Return the qualities the axis must hold: all but those that would squeeze the models into a corner."""
    if len(models) < 3:
        return list(every)
    low, high = min(models), max(models)
    room = 1.5 * (high - low) or math.inf
    return [q for q in every if (q >= low - room if higher else q <= high + room)]


def _legend(shown: Sequence[Dot], seen: dict[str, tuple[str, int]]) -> tuple[str, int]:
    """Return the legend, of what is shown only, and its number of lines."""
    body: list[str] = []
    rows = [(name, *look, "dot") for name, look in seen.items() if any(d.family == name for d in shown)]
    rows += [("baseline", "base", 1, "dot")] * any(d.baseline for d in shown)
    rows += [("stopped early", "ink", 0, "hollow")] * any(d.state in ("pruned", "failed") for d in shown)
    rows += [("over the budget", "ink", 2, "cross")] * any(d.state == "infeasible" for d in shown)
    for i, (name, colour, sides, kind) in enumerate(rows):
        body.append(shape(RIGHT + 26, TOP + 8 + i * LINE, 5, sides, f"{colour} {kind}"))
        body.append(text(RIGHT + 40, TOP + 12 + i * LINE, name, most=26))
    if any(d.state == "complete" for d in shown):
        body.append(f'<path class="front" d="M{RIGHT + 18} {TOP + 8 + len(rows) * LINE}h16"/>')
        body.append(text(RIGHT + 40, TOP + 12 + len(rows) * LINE, "best for its latency"))
    return "".join(body), len(rows) + 1


def quality_latency(rec: Recommendation, trials: Sequence[Trial], limit_ms: float | None) -> Picture:
    """Draw every candidate: latency (log) across, quality up, and the budget's limit."""
    everything, seen, higher = dots(rec, trials), looks(rec, trials), rec.quality.higher_is_better
    baselines_apart = len({b.family for b in rec.baselines} - {t.family for t in trials if t.baseline})
    unknown = len(trials) + baselines_apart - len(everything)
    notes = [f"{unknown} without latency or quality are not drawn."] if unknown else []
    best_first = sorted(everything, key=lambda d: (d.y is None, 0 if d.y is None else -d.y if higher else d.y))
    shown = best_first[:MOST_DOTS]
    if len(shown) < len(everything):
        notes.append(f"Drawn: the best {len(shown)} of {len(everything)}.")
    pick = chosen(rec, trials)
    ring = (pick.latency_ms, pick.quality) if pick else (None, None)
    if not pick or not ring[0]:
        notes.append("The recommended model has no measured trial in trials.jsonl: it is not ringed.")
    ys = [d.y for d in shown if d.y is not None]
    lane = LANE if any(d.y is None for d in shown) else 0
    x = Axis.over([d.x for d in shown] + ([limit_ms] if limit_ms else []) or [1.0], LEFT, RIGHT, log=True)
    log_y = bool(ys) and not higher and min(ys) > 0 and max(ys) / min(ys) > 20
    y = Axis.over(
        _near(ys, [d.y for d in shown if d.y is not None and not d.baseline], higher) or [rec.quality.value],
        BOTTOM - lane,
        TOP,
        log_y,
    )
    far = [d for d in shown if d.y is not None and not y.low <= d.y <= y.high]
    if far:
        names = ", ".join(f"{d.family} ({number(d.y)})" for d in far[:6])
        notes.append(
            f"Drawn on the edge, far below the others in quality: {names}{' and more' if len(far) > 6 else ''}."
        )
    better = "higher" if higher else "lower"
    body = [
        frame(
            x,
            y,
            BOTTOM,
            f"{rec.latency_stat} latency, ms (log scale)",
            f"{rec.quality.metric}, validation ({better} is better)",
        )
    ]
    taken = [(x.at(d.x) - 7, y.at(d.y) - 7, x.at(d.x) + 7, y.at(d.y) + 7) for d in shown if d.y is not None]
    if limit_ms:
        at = x.at(limit_ms)
        body.append(f'<rect class="over" x="{at:.1f}" y="{TOP}" width="{RIGHT - at:.1f}" height="{BOTTOM - TOP}"/>')
        body.append(f'<path class="limit" d="M{at:.1f} {TOP}V{BOTTOM}"/>')
        body.append(text(at, TOP - 5, f"limit {number(limit_ms)} ms", "strong", "middle" if at < RIGHT - 60 else "end"))
    if lane:
        body.append(f'<path class="axis" d="M{LEFT} {BOTTOM - lane}H{RIGHT}"/>')
        body.append(text(LEFT + 6, BOTTOM - lane + 14, "refused before training", "tick"))
    steps = "".join(f"H{x.at(a):.1f}V{y.at(b):.1f}" for a, b in front(shown, higher))
    body.append(f'<path class="front" d="M{steps[1:].replace("V", " ", 1)}"/>' if steps else "")
    for d in reversed(shown):
        colour, sides = ("base", 1) if d.baseline else seen[d.family]
        refused = d.state == "infeasible"
        kind = f"{colour} {'cross' if refused else 'dot' if d.state == 'complete' else 'hollow'}"
        body.append(
            shape(
                x.at(d.x),
                BOTTOM - lane * 0.3 if d.y is None else y.at(d.y),
                5,
                2 if refused else sides,
                kind,
                title=d.title,
            )
        )
    if pick and pick.latency_ms and pick.quality is not None:
        body.append(shape(x.at(pick.latency_ms), y.at(pick.quality), 10, 0, "ring"))
        body.append(
            free_place(x.at(pick.latency_ms), y.at(pick.quality), f"{rec.family}, recommended", taken, must=True)
        )
    named = {d.family: d for d in reversed(shown) if d.baseline and d.y is not None and d.family != rec.family}
    body += [free_place(x.at(d.x), y.at(d.y), d.family, taken, must=False) for d in named.values() if d.y is not None]
    legend, lines = _legend(shown, seen)
    height = max(BOTTOM + 48, TOP + (lines + 1) * LINE)
    return Picture(svg([*body, legend], height, f"Quality against latency of {len(shown)} candidates"), tuple(notes))


def learning_curves(rec: Recommendation, trials: Sequence[Trial]) -> Picture | None:
    """Draw quality against seconds for the best trial of each family; None where no trial has a curve."""
    seen, higher = looks(rec, trials), rec.quality.higher_is_better
    curves: dict[str, list[tuple[float, float]]] = {}
    bare = []
    for family in seen:
        best = best_of([t for t in trials if t.family == family and not t.baseline], higher)
        points = [(p.seconds, p.quality) for p in best.curve if math.isfinite(p.quality)] if best else []
        if points:
            thin = math.ceil(len(points) / MOST_POINTS)
            curves[family] = points[:-1:thin] + points[-1:]
        else:
            bare.append(family)
    if not curves:
        return None
    every = [p for points in curves.values() for p in points]
    log_y = not higher and min(q for _, q in every) > 0 and max(q for _, q in every) > 20 * min(q for _, q in every)
    x = Axis(0, 1.04 * max(s for s, _ in every) or 1.0, LEFT, RIGHT)
    y = Axis.over([q for _, q in every], BOTTOM, TOP, log_y)
    better = "higher" if higher else "lower"
    body = [frame(x, y, BOTTOM, "training time, s", f"{rec.quality.metric}, validation ({better} is better)")]
    last = float(TOP - LINE)
    for family, points in sorted(curves.items(), key=lambda item: y.at(item[1][-1][1])):
        colour, sides = seen[family]
        pixels = [(x.at(s), y.at(q)) for s, q in points]
        last = max(last + LINE, pixels[-1][1])
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in pixels)
        bold = " bold" if family == rec.family else ""
        tip = f"{family}: {rec.quality.metric} {number(points[-1][1])} after {duration(points[-1][0])}"
        body.append(f'<path class="{colour} curve{bold}" d="M{line}"><title>{clean(tip)}</title></path>')
        body.append(
            f'<path class="leader" d="M{pixels[-1][0]:.1f} {pixels[-1][1]:.1f}H{RIGHT}L{RIGHT + 18} {last:.1f}"/>'
        )
        body.append(
            shape(*pixels[-1], 4, sides, f"{colour} dot", title=tip)
            + shape(RIGHT + 26, last, 4, sides, f"{colour} dot")
        )
        body.append(text(RIGHT + 38, last + 4, family, "strong" if bold else "", most=28))
    notes = (f"No curve was saved for {', '.join(bare)}.",) if bare else ()
    return Picture(svg(body, max(BOTTOM + 48, last + 12), f"Learning curves of {len(curves)} families"), notes)
