"""The report of a run as one HTML file: no network, no script, pictures drawn inline.

Every number on the page comes from a file of the run folder, and each table names that file.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from advisor.records import Ranked
from advisor.report import (
    ABSENT,
    Records,
    amounts,
    answer,
    apart,
    before,
    clean,
    duration,
    interval,
    next_commands,
    number,
    read_records,
    remarks,
    state_and_why,
)
from advisor.report.parts import MOST_ROWS, figure, flat, pairs, table, words_of
from advisor.report.pictures import learning_curves, quality_latency
from advisor.runs import write_text


def write_report(run: Path) -> Path:
    """Write RUN/report.html from the records in RUN, all of it or nothing, and return its path.

    Raises:
        InputError: recommendation.json or trials.jsonl is missing, or the former is not a recommendation.
    """
    page, out = _page(read_records(run)), run / "report.html"
    write_text(out, page)
    return out


def _page(r: Records) -> str:
    css = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    sections: tuple[tuple[str, Callable[[Records], str]], ...] = (
        ("Ranking", _ranking),
        ("Quality and latency", _picture),
        ("Reasons", _reasons),
        ("The documents beside the measurement", _advice),
        ("Baselines", lambda r: _ranked(r, r.rec.baselines, "recommendation.json")),
        ("Learning curves", _curves),
        ("What more data would change", amounts.more_data),
        ("What would change the advice", before.turns),
        ("How far back the past matters", before.past),
        ("Length and cost on this device", before.length_and_cost),
        ("Audit of the data", before.findings),
        ("The data", lambda r: _facts(r, "data_profile.json")),
        ("The device", lambda r: _facts(r, "device_profile.json")),
        ("The budget", lambda r: _facts(r, "budget.json")),
        ("How it was done", _method),
        ("Next", lambda r: f"<pre>{clean(chr(10).join(next_commands(r.rec, r.run)), 4000)}</pre>"),
    )
    title = f"{r.rec.family} for {Path(r.rec.request.data).name}"
    body = "".join(f"<section><h2>{name}</h2>{write(r)}</section>" for name, write in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{clean(title)}</title><style>{css}</style></head>\n"
        f"<body><main><h1>Which architecture for {clean(Path(r.rec.request.data).name)}</h1>"
        f"{_answer(r)}{body}</main></body></html>\n"
    )


def _answer(r: Records) -> str:
    said = f"<p>Use <b>{clean(r.rec.name)}</b>: {clean(answer(r.rec))}</p>"
    said += "".join(f"<p>{clean(remark)}</p>" for remark in remarks(r.rec))
    return f'<div class="answer">{said}</div>' + "".join(f"<p><b>Note.</b> {clean(note)}</p>" for note in r.notes)


def _ranked(r: Records, ranked: Sequence[Ranked], source: str) -> str:
    if not ranked:
        return "<p>None were tried.</p>"
    metric, stat = r.rec.quality.metric, r.rec.latency_stat
    heads = [("Family", "name"), (f"{metric}, {r.rec.quality.split} (interval)", "n"), (f"{metric}, validation", "n")]
    heads += [
        (f"{stat} latency, ms", "n"),
        ("Memory, MiB", "n"),
        ("Size, MiB", "n"),
        ("Training", "n"),
        ("Trials", "n"),
    ]
    heads += [("State and why", "why")]
    rows = []
    for one in ranked:
        name = clean(one.family) + (" <small>baseline</small>" if one.baseline and one not in r.rec.baselines else "")
        value, _, around = interval(one.quality).partition(" ")
        cells = [
            name,
            f"{value}<br><small>{around}</small>" if around else value,
            number(one.validation),
            number(one.latency_ms),
        ]
        cells += [number(one.memory_mib), number(one.size_mib), duration(one.train_s), number(one.trials)]
        kind, (state, because) = one.state.replace(" ", "-"), state_and_why(one)
        cells.append(f'<span class="{kind}">{state}</span>{clean(because)}')
        rows.append(("first" if one.state == "recommended" else "", cells))
    return table(heads, rows, source)


def _ranking(r: Records) -> str:
    better = "higher" if r.rec.quality.higher_is_better else "lower"
    split, metric = clean(r.rec.quality.split), clean(r.rec.quality.metric)
    shown, untried = apart(r.rec.ranking)
    rest = "".join(f'<p class="soft">{clean(words)}</p>' for words in untried)
    return (
        f'<p class="soft">{metric} on {split}: data that no choice has seen; on validation: the data that chose. '
        f"{better.capitalize()} is better. {ABSENT} means not measured.</p>"
        f"{_ranked(r, shown, 'recommendation.json')}{rest}"
    )


def _picture(r: Records) -> str:
    limit = r.facts["budget.json"].get("max_latency_ms")
    limit = float(limit) if isinstance(limit, int | float) and 0 < limit < float("inf") else None
    said = "Every candidate of trials.jsonl. Point at a mark to read its numbers; the ring is the recommended one."
    return figure(quality_latency(r.rec, r.trials, limit), said) + _trials(r)


def _trials(r: Records) -> str:
    heads = [("Trial", "n"), ("Family", "name"), ("State", ""), (r.rec.quality.metric, "n"), ("Latency, ms", "n")]
    heads += [("Memory, MiB", "n"), ("Size, MiB", "n"), ("Training", "n"), ("Seed", "n"), ("Reason", "why")]
    rows = []
    for t in r.trials[:MOST_ROWS]:
        cells = [str(t.number), clean(t.family), t.state, number(t.quality), number(t.latency_ms), number(t.memory_mib)]
        rows.append(("", [*cells, number(t.size_mib), duration(t.train_s), str(t.seed), clean(t.reason, 160)]))
    more = len(r.trials) - len(rows)
    cut = f"<p>{number(more)} more in trials.jsonl.</p>" if more else ""
    every = table(heads, rows, "trials.jsonl")
    return f"<details><summary>All {number(len(r.trials))} trials</summary>{every}{cut}</details>"


def _curves(r: Records) -> str:
    picture = learning_curves(r.rec, r.trials)
    if picture is None:
        return "<p>No learning curve was saved in trials.jsonl.</p>"
    return figure(picture, "The best trial of each family in trials.jsonl, up to its last look at the validation data.")


def _reasons(r: Records) -> str:
    config = clean(json.dumps(r.rec.config, indent=2, ensure_ascii=False), 4000)
    said = "".join(f"<li>{clean(reason, 1000)}</li>" for reason in r.rec.reasons)
    said = f"<ul>{said}</ul>" if said else "<p>None were recorded.</p>"
    return f"{said}<details><summary>Configuration of {clean(r.rec.family)}</summary><pre>{config}</pre></details>"


def _advice(r: Records) -> str:
    heads = [("Rule", "name"), ("Document", ""), ("It says", "why"), ("Measured", ""), ("Because", "why")]
    rows = [
        (
            "",
            [
                clean(a.key),
                clean(a.document),
                clean(a.says),
                f'<span class="{a.evidence.split()[0]}">{a.evidence}</span>',
                clean(a.because),
            ],
        )
        for a in r.rec.advice
    ]
    said = table(heads, rows, "recommendation.json") if rows else "<p>No rule was compared with a measurement.</p>"
    ranking = r.facts["advice.json"].get("ranking")
    named = [one for one in ranking if isinstance(one, dict) and "family" in one] if isinstance(ranking, list) else []
    said += before.conflicts(r)
    order = ", ".join(f"{one['family']} ({words_of(one.get('score'))})" for one in named)
    return said + (
        f'<p class="soft">Order by the documents alone, with score (advice.json): {clean(order, 2000)}.</p>'
        if order
        else ""
    )


def _facts(r: Records, name: str) -> str:
    if not r.facts[name]:
        return f"<p>{name} is not in the run folder.</p>"
    return pairs(flat({key: value for key, value in r.facts[name].items() if key != "dependence"}), name)


def _method(r: Records) -> str:
    states = [t.state for t in r.trials]
    counts = {state: states.count(state) for state in ("complete", "pruned", "infeasible", "failed") if state in states}
    asked = r.rec.request.model_dump(mode="json")
    known: dict[str, object] = {
        "reported on": f"{r.rec.quality.split}, unseen by every choice",
        "chosen on": "validation",
    }
    known |= {
        "seed": str(asked.pop("seed")),
        "time used": duration(r.rec.wall_s),
        "time limit": duration(asked.pop("time_limit_s")),
    }
    known |= {"trials": f"{number(len(states))}: {words_of(counts)}" if states else "0"}
    known |= {f"asked: {key}": value for key, value in asked.items() if value not in (None, [], "")}
    known |= {f"version: {name}": version for name, version in r.rec.versions.items()}
    return pairs(known.items(), "recommendation.json and trials.jsonl")
