"""What the cells add up to: a table a task, ratios to the peers, geometric means, differences in accuracy.

A ratio is ours / peer on one set with the same seed, meaned over the seeds that both have. The geometric mean runs over
sets; its range takes the least and the largest ratio of each set, so it is no narrower than the spread over seeds. A
group of series, such as classic_univariate, counts as one set: the mean over its series.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.quality import sets
from benchmarks.quality.folder import Task
from benchmarks.quality.score import METRICS

JOINED = ("classic_univariate",)
OURS = "ours"
CONTESTANTS: dict[str, tuple[str, str]] = {
    OURS: ("ours", "model"),
    "ours, networks only": ("networks", "model"),
    "AutoGluon ensemble": ("autogluon", "ensemble"),
    "AutoGluon best network": ("autogluon", "network"),
    "NeuralForecast best": ("neuralforecast", "best"),
    "AutoGRU": ("neuralforecast", "gru"),
    "AutoNHITS": ("neuralforecast", "nhits"),
    "AutoPatchTST": ("neuralforecast", "patchtst"),
    "MiniRocket": ("aeon", "minirocket"),
    "MultiRocket-Hydra": ("aeon", "multirocket_hydra"),
    "naive": ("baselines", "naive"),
    "last value": ("baselines", "last"),
    "ridge": ("baselines", "ridge"),
    "boosting": ("baselines", "boosting"),
}
RATIOS: dict[Task, tuple[str, ...]] = {
    "forecast": ("AutoGluon ensemble", "AutoGluon best network", "NeuralForecast best"),
    "regress": ("MiniRocket", "MultiRocket-Hydra"),
}
ROCKETS = ("MiniRocket", "MultiRocket-Hydra")
AUTOS = ("AutoGRU", "AutoNHITS", "AutoPatchTST")
"""What `NeuralForecast best` is chosen among on its validation part; in the terminal, not in the README."""
TITLES: dict[Task, str] = {
    "forecast": "MASE, mean over series and cuts",
    "classify": "accuracy",
    "regress": "root mean squared error",
}
Seeds = dict[int, float]


class Spread(NamedTuple):
    """A mean with the least and the largest value."""

    mean: float
    low: float
    high: float


def found(result: dict[str, Any], seconds: int, task: Task, who: str) -> dict[str, Seeds]:
    """Return the task's metric of one contestant, by set, then by seed; a joined group only if all its sets are there.

    Cells of 0 seconds are of tools without a time limit and count for any.
    """
    tool, key = CONTESTANTS[who]
    metric = METRICS[task][0]
    by_name: dict[str, Seeds] = {}
    for cell in result["cells"].values():
        score = cell.get("models", {}).get(key, {}).get(metric)
        if (cell["tool"], cell["task"]) == (tool, task) and cell["seconds"] in (seconds, 0) and score is not None:
            by_name.setdefault(cell["set"], {})[cell["seed"]] = score
    rows: dict[str, Seeds] = {}
    for name in (n for n in sets.NAMES if sets.task_of(n) == task):
        group = name.split("/")[0]
        if group not in JOINED:
            rows |= {name: by_name[name]} if name in by_name else {}
        elif group not in rows:
            members = [by_name.get(n, {}) for n in sets.NAMES if n.split("/")[0] == group]
            shared = set.intersection(*(set(m) for m in members))
            means = {seed: sum(m[seed] for m in members) / len(members) for seed in sorted(shared)}
            rows |= {group: means} if means else {}
    return rows


def spread(values: Sequence[float]) -> Spread:
    """Return mean, least and largest."""
    return Spread(sum(values) / len(values), min(values), max(values))


def ratios(ours: dict[str, Seeds], peer: dict[str, Seeds]) -> dict[str, Spread]:
    """Return ours / peer by set, over the seeds that both have."""
    both = {name: sorted(set(ours[name]) & set(peer[name])) for name in ours if name in peer}
    return {name: spread([ours[name][s] / peer[name][s] for s in seeds]) for name, seeds in both.items() if seeds}


def geometric_mean(parts: Sequence[Spread]) -> Spread:
    """Return the geometric mean of the means, of the least and of the largest."""
    return Spread(
        *(math.exp(sum(math.log(max(v, 1e-12)) for v in side) / len(side)) for side in zip(*parts, strict=True))
    )


def mean_of(who: dict[str, Seeds], names: Sequence[str]) -> float:
    """Return the mean over sets of the mean over seeds."""
    return sum(spread(list(who[name].values())).mean for name in names) / len(names)


def verdicts(result: dict[str, Any], seconds: int) -> Iterator[str]:
    """Yield one sentence a comparison that the cells allow."""
    for task, peers in RATIOS.items():
        ours = found(result, seconds, task, OURS)
        against = {peer: found(result, seconds, task, peer) for peer in peers}
        if task == "forecast":
            best = f"whichever of {', '.join(AUTOS)} was best on the test part of each set"
            against[best] = least_of([found(result, seconds, task, who) for who in AUTOS])
        for peer, scores in against.items():
            by_set = ratios(ours, scores)
            if by_set:
                middle = geometric_mean(list(by_set.values()))
                worst = max(by_set, key=lambda name: by_set[name].mean)
                yield (
                    f"{METRICS[task][0]}, ours / {peer}: {_ranged(middle)}, geometric mean of {len(by_set)} sets; "
                    f"largest {by_set[worst].mean:.3f} on {worst}"
                )
    better = better_rocket(result, seconds)
    for who in (OURS, "ours, networks only"):
        own = found(result, seconds, "classify", who)
        names = [name for name in own if name in better]
        if names:
            level = sum(better[name] for name in names) / len(names)
            mean = mean_of(own, names)
            yield (
                f"accuracy, {who}: {mean:.4f}, mean of {len(names)} sets; "
                f"the better of {' and '.join(ROCKETS)} on each: {level:.4f}; {100 * (mean - level):+.2f} points"
            )


def least_of(many: Sequence[dict[str, Seeds]]) -> dict[str, Seeds]:
    """Return by set and seed the least score, where all have one."""
    rows: dict[str, Seeds] = {}
    for name in many[0]:
        seeds = set.intersection(*(set(one.get(name, {})) for one in many))
        rows |= {name: {seed: min(one[name][seed] for one in many) for seed in sorted(seeds)}} if seeds else {}
    return rows


def better_rocket(result: dict[str, Any], seconds: int) -> dict[str, float]:
    """Return by set the accuracy, meaned over the seeds, of the better of the two."""
    best: dict[str, float] = {}
    for who in ROCKETS:
        for name, seeds in found(result, seconds, "classify", who).items():
            best[name] = max(best.get(name, 0.0), spread(list(seeds.values())).mean)
    return best


def _ranged(value: Spread) -> str:
    same = value.high - value.low < 5e-4
    return f"{value.mean:.3f}" if same else f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"


def grid(
    result: dict[str, Any], seconds: int, task: Task, leave_out: Sequence[str] = ()
) -> tuple[list[str], list[list[str]]]:
    """Return heading and rows of one task: a column a contestant, ratios behind the peers they are against."""
    scores = {who: found(result, seconds, task, who) for who in CONTESTANTS if who not in leave_out}
    present = [who for who, rows in scores.items() if rows]
    names = list(dict.fromkeys(name for who in present for name in scores[who]))
    heading, against = ["set"], {peer: ratios(scores[OURS], scores[peer]) for peer in RATIOS.get(task, ())}
    for who in present:
        heading += [who, *(["ours / it"] if against.get(who) else [])]
    rows = []
    for name in names:
        row = [name]
        for who in present:
            seeds = scores[who].get(name)
            row.append(_ranged(spread(list(seeds.values()))) if seeds else "")
            if against.get(who):
                row.append(f"{against[who][name].mean:.2f}" if name in against[who] else "")
        rows.append(row)
    row = ["mean" if task == "classify" else "geometric mean"]
    for who in present:
        complete = all(name in scores[who] for name in names)
        row.append(f"{mean_of(scores[who], names):.3f}" if task == "classify" and complete else "")
        if against.get(who):
            row.append(f"{geometric_mean(list(against[who].values())).mean:.2f}")
    return heading, [*rows, row] if len(rows) > 1 else rows


def tables(result: dict[str, Any], seconds: int) -> list[Table]:
    """Return one table a task that has cells."""
    shown = []
    for task, title in TITLES.items():
        heading, rows = grid(result, seconds, task)
        if len(heading) > 1:
            show = Table(title=f"{title}; {seconds} s each, {result['machine']['cores']} cores")
            for i, word in enumerate(heading):
                show.add_column(word, justify="right" if i else "left")
            for row in rows:
                show.add_row(*row)
            shown.append(show)
    return shown


def markdown(result: dict[str, Any], seconds: int) -> str:
    """Return the tables and sentences for the README."""
    lines: list[str] = []
    for task, title in TITLES.items():
        heading, rows = grid(result, seconds, task, AUTOS)
        if len(heading) > 1:
            lines += [f"{title[0].upper()}{title[1:]}:", "", f"| {' | '.join(heading)} |"]
            lines += ["|---" + "|---:" * (len(heading) - 1) + "|", *(f"| {' | '.join(row)} |" for row in rows), ""]
    lines += [f"- {line}" for line in verdicts(result, seconds)]
    cells = {key: cell for key, cell in result["cells"].items() if cell["seconds"] in (seconds, 0)}
    failed = [f"- {key}: {fault}" for key, cell in sorted(cells.items()) for fault in faults(cell)]
    lines += ["", "Not measured:", "", *failed] if failed else []
    at = result["machine"]
    versions = sorted({f"{k} {v}" for cell in cells.values() for k, v in cell.get("versions", {}).items()})
    timed = f"{seconds} s each, but aeon and the baselines, which have no limit"
    lines += ["", f"{at['name']}, {at['cores']} cores, {timed}; {', '.join(versions)}.", ""]
    return "\n".join(lines)


def faults(cell: dict[str, Any]) -> list[str]:
    """Return what went wrong in a cell: with the tool, and with single answers."""
    whole = [cell["error"]] if "error" in cell else []
    return whole + [f"{key}: {entry['error']}" for key, entry in cell.get("models", {}).items() if "error" in entry]


def words(cell: dict[str, Any]) -> str:
    """Return a cell in one line."""
    metric = METRICS[cell["task"]][0]
    parts = [
        f"{key} {entry.get(metric, math.nan):.4g} ({entry['model']}, {entry['fit_s']:.0f} + {entry['predict_s']:.0f} s)"
        for key, entry in cell.get("models", {}).items()
    ]
    return "; ".join([*parts, *(f"failed: {fault}" for fault in faults(cell))])
