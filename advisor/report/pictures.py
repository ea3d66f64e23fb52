"""The two pictures of a report as inline SVG: quality against latency, and quality against training time.

Drawn without a plotting library, so that a report stays small and opens offline. Colours are CSS variables of the
page (`style.css`); marker shapes differ as well, so no reading depends on colour alone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from advisor.records import Recommendation, Trial
from advisor.report import Dot, best_of, chosen, clean, dots, duration, front, number

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 900, 64, 680, 34, 380
LANE, LINE, LETTER = 34, 19, 6.7
"""Pixels: height of the lane of refused candidates, of a legend line, width of a letter."""
COLOURS, SIDES, MOST_DOTS, MOST_POINTS = 8, (0, 4, 3, 5, -3), 300, 80


class Picture(NamedTuple):
    """A drawing, and one sentence for each kind of thing it leaves out."""

    svg: str
    notes: tuple[str, ...]


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


def free_place(x: float, y: float, said: str, taken: list[tuple[float, float, float, float]], must: bool) -> str:
    """Return the label where it covers least around (x, y), and take the place.

    `taken` holds boxes (left, top, right, bottom). Empty where no place is free, unless the label `must` be there.
    """
    wide = LETTER * min(len(said), 34) * (1.15 if must else 1)
    best: tuple[float, float, float] | None = None
    for dx, dy in (
        (16, 4),
        (-16 - wide, 4),
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


def _quality_axis(shown: Sequence[Dot], rec: Recommendation, bottom: float) -> Axis:
    """Return the axis of quality; what would squeeze the models into a corner is left outside."""
    higher, every = rec.quality.higher_is_better, [d.y for d in shown if d.y is not None]
    models = [d.y for d in shown if d.y is not None and not d.baseline]
    if len(models) > 2 and max(models) > min(models):
        low, high, room = min(models), max(models), 1.5 * (max(models) - min(models))
        every = [q for q in every if (q >= low - room if higher else q <= high + room)]
    return Axis.over(every or [rec.quality.value], bottom, TOP, log=_wide(every, higher))


def _wide(values: Sequence[float], higher: bool) -> bool:
    """Return whether errors spread so far that only a logarithmic axis shows the small ones."""
    return not higher and min(values, default=0) > 0 and max(values) > 20 * min(values)


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
    sign = -1 if higher else 1
    shown = sorted(everything, key=lambda d: math.inf if d.y is None else sign * d.y)[:MOST_DOTS]
    pick = chosen(rec, trials)
    ring = [d for d in shown if pick and d.number == pick.number]
    ring = ring or [d for d in shown if d.family == rec.family and d.y is not None]
    lane = LANE if any(d.y is None for d in shown) else 0
    x = Axis.over([d.x for d in shown] + ([limit_ms] if limit_ms else []) or [1.0], LEFT, RIGHT, log=True)
    y = _quality_axis(shown, rec, BOTTOM - lane - (8 if lane else 0))
    body = [frame(x, y, BOTTOM, f"{rec.latency_stat} latency, ms (log scale)", _quality_label(rec))]
    taken = [(x.at(d.x) - 7, y.at(d.y) - 7, x.at(d.x) + 7, y.at(d.y) + 7) for d in shown if d.y is not None]
    if limit_ms:
        at = x.at(limit_ms)
        taken.append((at - 2, TOP, at + 2, BOTTOM))
        body.append(f'<rect class="over" x="{at:.1f}" y="{TOP}" width="{RIGHT - at:.1f}" height="{BOTTOM - TOP}"/>')
        body.append(f'<path class="limit" d="M{at:.1f} {TOP}V{BOTTOM}"/>')
        body.append(text(at, TOP - 5, f"limit {limit_ms:.4g} ms", "strong", "middle" if at < RIGHT - 60 else "end"))
    if lane:
        body.append(f'<path class="axis" d="M{LEFT} {BOTTOM - lane}H{RIGHT}"/>')
        body.append(text(LEFT + 8, BOTTOM - lane * 0.3 + 4, "refused before training", "tick"))
    steps = "".join(f"H{x.at(a):.1f}V{y.at(b):.1f}" for a, b in front(shown, higher))
    body.append(f'<path class="front" d="M{steps[1:].replace("V", " ", 1)}"/>' if steps else "")
    for d in reversed(shown):
        colour, sides = ("base", 1) if d.baseline else seen[d.family]
        sides, kind = (2, "cross") if d.state == "infeasible" else (sides, "dot" if d.state == "complete" else "hollow")
        down = BOTTOM - lane * 0.3 if d.y is None else y.at(d.y)
        body.append(shape(x.at(d.x), down, 5, sides, f"{colour} {kind}", title=d.title))
    for d in ring[:1]:
        down = BOTTOM - lane * 0.3 if d.y is None else y.at(d.y)
        body.append(shape(x.at(d.x), down, 10, 0, "ring"))
        body.append(free_place(x.at(d.x), down, f"{rec.family}, recommended", taken, must=True))
    named = {d.family: d for d in reversed(shown) if d.baseline and d.y is not None and d.family != rec.family}
    body += [free_place(x.at(d.x), y.at(d.y), d.family, taken, must=False) for d in named.values() if d.y is not None]
    legend, lines = _legend(shown, seen)
    known = len(trials) + len({b.family for b in rec.baselines} - {t.family for t in trials if t.baseline})
    notes = _left_out(known, everything, shown, y, bool(ring))
    height = max(BOTTOM + 48, TOP + (lines + 1) * LINE)
    return Picture(svg([*body, legend], height, f"Quality against latency of {len(shown)} candidates"), notes)


def _left_out(known: int, everything: Sequence[Dot], shown: Sequence[Dot], y: Axis, ringed: bool) -> tuple[str, ...]:
    """Return one sentence for each kind of candidate that the first picture does not show where it is."""
    far = [f"{d.family} ({number(d.y)})" for d in shown if d.y is not None and not y.low <= d.y <= y.high]
    said = {
        f"Not drawn, for want of a latency or a quality: {known - len(everything)}.": known > len(everything),
        f"Drawn: the best {len(shown)} of {len(everything)}.": len(shown) < len(everything),
        f"On the edge, because far behind: {', '.join(far[:6])}{' and more' if len(far) > 6 else ''}.": bool(far),
        "The recommended model has no measured trial, so none is ringed.": not ringed,
    }
    return tuple(sentence for sentence, holds in said.items() if holds)


def _quality_label(rec: Recommendation) -> str:
    return f"{rec.quality.metric}, validation ({'higher' if rec.quality.higher_is_better else 'lower'} is better)"


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
    qualities = [quality for _, quality in every]
    x = Axis(0, 1.04 * max(seconds for seconds, _ in every) or 1.0, LEFT, RIGHT)
    y = Axis.over(qualities, BOTTOM, TOP, log=_wide(qualities, higher))
    body = [frame(x, y, BOTTOM, "training time, s", _quality_label(rec))]
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
