"""What is shown of a run: `html.write_report` for the browser, `console.print_recommendation` for the terminal.

Here: what a report reads; how both say a number, an interval, a duration, the answer and the commands that come next;
which trial stands behind the answer, and which are the best for their latency.
"""

import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from advisor.errors import InputError
from advisor.records import Measured, Ranked, Recommendation, Trial
from advisor.runs import last_of_each

ABSENT = "–"
OPTIONAL = (
    "data_profile.json",
    "device_profile.json",
    "advice.json",
    "budget.json",
    "audit.json",
    "turns.json",
    "calibration.json",
    "model_reach.json",
    "data_size.json",
)


@dataclass(frozen=True)
class Records:
    """What the run folder holds; `facts` maps the name of each optional file to its content, {} where absent."""

    run: Path
    rec: Recommendation
    trials: list[Trial]
    facts: dict[str, dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def read_records(run: Path) -> Records:
    """Return the records in the folder RUN, the last of each trial; what cannot be read is counted in their notes.

    Raises:
        InputError: recommendation.json or trials.jsonl is missing, or the former is not a recommendation.
    """
    for name in ("recommendation.json", "trials.jsonl"):
        if not (run / name).is_file():
            raise InputError(
                f"{run} has no {name}.", "Give the folder of a finished run, or finish it: advisor resume RUN."
            )
    try:
        rec = Recommendation.model_validate_json((run / "recommendation.json").read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        hint = "Repeat the run with this version: advisor recommend DATA --out RUN."
        raise InputError(f"recommendation.json is not a recommendation: {place}: {first['msg']}.", hint) from error
    trials: list[Trial] = []
    torn = 0
    for line in (run / "trials.jsonl").read_bytes().splitlines():
        try:
            trials.extend([Trial.model_validate_json(line)] if line.strip() else [])
        except ValidationError:
            torn += 1
    records = Records(run, rec, last_of_each(trials), {})
    if torn:
        records.notes.append(f"{torn} line(s) of trials.jsonl could not be read and are left out.")
    for name in OPTIONAL:
        try:
            found = json.loads((run / name).read_bytes())
            records.facts[name] = found if isinstance(found, dict) else {"content": found}
        except FileNotFoundError:
            records.facts[name] = {}
        except ValueError:
            records.facts[name] = {}
            records.notes.append(f"{name} is not JSON and is left out.")
    return records


def number(value: float | None) -> str:
    """Return a number with three significant digits; integers in full.

    Example:
        >>> number(0.91234), number(12345.6), number(7), number(None)
        ('0.912', '12,300', '7', '–')
    """
    if value is None:
        return ABSENT
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    if 1e3 <= abs(rounded) < 1e15:
        return f"{rounded:,.0f}"
    return f"{value:#.3g}".removesuffix(".")


def interval(measured: Measured | None) -> str:
    """Return the value and, in brackets, the interval around it, where there is one."""
    if measured is None:
        return ABSENT
    if measured.low is None:
        return number(measured.value)
    return f"{number(measured.value)} ({number(measured.low)} to {number(measured.high)})"


def duration(seconds: float | None) -> str:
    """Return a duration in the unit a person would choose."""
    if seconds is None or not math.isfinite(seconds):
        return number(seconds)
    if seconds < 59.95:
        return f"{number(float(seconds))} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def answer(rec: Recommendation) -> str:
    """Return the recommendation in one sentence, without the name of the family."""
    better = "higher" if rec.quality.higher_is_better else "lower"
    return (
        f"{rec.quality.metric} {interval(rec.quality)} on {rec.quality.split} ({better} is better), "
        f"{rec.latency_stat} latency {number(rec.latency_ms)} ms, peak memory {number(rec.memory_mib)} MiB, "
        f"model size {number(rec.size_mib)} MiB."
    )


def remarks(rec: Recommendation) -> tuple[str, ...]:
    """Return what a reader must not miss: a baseline that won, predicted latencies, families that are as good."""
    found = []
    if rec.baseline:
        found.append("A simple baseline is the answer here, not a sequence model; the reasons say why.")
    if rec.latency_error is not None:
        found.append(
            f"Latencies are predicted for the target device from its calibration, within about "
            f"{100 * rec.latency_error:.0f} %, not measured there."
        )
    if rec.tied_with:
        found.append(f"A tie with these data: {', '.join(rec.tied_with)}; the reasons say with whom.")
    return tuple(found)


def state_and_why(one: Ranked) -> tuple[str, str]:
    """Return where a family stands, and the rest of the sentence; the state is not said twice."""
    state, reason = one.state.capitalize(), one.reason.strip()
    if reason.lower().startswith(one.state):
        return reason[: len(state)], reason[len(state) :]
    return state, f". {reason}" if reason else ""


def apart(ranked: Sequence[Ranked]) -> tuple[list[Ranked], list[str]]:
    """Return the families with something to show, and one sentence a reason for those that were not tried."""
    shown = [one for one in ranked if one.state != "not tried"]
    reasons: dict[str, list[str]] = {}
    for one in ranked:
        if one.state == "not tried":
            reasons.setdefault(one.reason, []).append(one.family)
    return shown, [f"Not tried: {', '.join(names)}. Reason: {reason}." for reason, names in reasons.items()]


def next_commands(rec: Recommendation, run: Path) -> tuple[str, ...]:
    """Return the commands that use the result, ready to paste."""
    folder, data = shlex.quote(str(run)), shlex.quote(rec.request.data)
    predict = f"advisor predict {folder} {data} -o predictions.csv"
    export = f"advisor export {folder} --format onnx -o model.onnx"
    return predict, export


def clean(value: object, most: int = 400) -> str:
    """Return `value` as text that is safe in HTML and XML: escaped, cut to `most` characters, no control characters."""
    said = str(value)
    said = said if len(said) <= most else said[: most - 1] + "…"
    return escape("".join(c if c.isprintable() or c in " \n\t" else "\ufffd" for c in said))


def best_of(trials: Iterable[Trial], higher: bool) -> Trial | None:
    """Return the trial with the best finite quality; None where there is none."""
    judged = [(t.quality, t) for t in trials if t.quality is not None and math.isfinite(t.quality)]
    return (max if higher else min)(judged, key=lambda pair: pair[0])[1] if judged else None


def chosen(rec: Recommendation, trials: Sequence[Trial]) -> Trial | None:
    """Return the trial behind the recommendation: its configuration, else the best complete one of its family."""
    own = [t for t in trials if t.family == rec.family and t.state == "complete"]
    return best_of([t for t in own if t.config == rec.config] or own, rec.quality.higher_is_better)


class Dot(NamedTuple):
    """One candidate: latency `x` in ms, quality `y` on the validation part; `y` None: refused before training.

    `number` is the trial's; None for a baseline that is known from the ranking only.
    """

    family: str
    x: float
    y: float | None
    baseline: bool
    state: str
    title: str
    number: int | None


def dots(rec: Recommendation, trials: Sequence[Trial]) -> list[Dot]:
    """Return what can be drawn: known latency and a quality, unless refused; baselines of the ranking included."""
    found = []
    for t in trials:
        y = t.quality if t.quality is not None and math.isfinite(t.quality) else None
        if t.latency_ms and 0 < t.latency_ms < math.inf and (y is not None or t.state == "infeasible"):
            said = f"{t.family}, trial {t.number}: {rec.quality.metric} {number(y)}, {number(t.latency_ms)} ms, "
            said += f"{number(t.memory_mib)} MiB, trained {duration(t.train_s)}. {t.state.capitalize()}. {t.reason}"
            found.append(Dot(t.family, t.latency_ms, y, t.baseline, t.state, said.strip(), t.number))
    known = {t.family for t in trials if t.baseline}
    for b in rec.baselines:
        y = b.validation if b.validation is not None and math.isfinite(b.validation) else None
        if b.family not in known and b.latency_ms and 0 < b.latency_ms < math.inf and y is not None:
            said = f"{b.family}, baseline: {rec.quality.metric} {number(y)}, {number(b.latency_ms)} ms. {b.reason}"
            found.append(Dot(b.family, b.latency_ms, y, True, "complete", said, None))
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
