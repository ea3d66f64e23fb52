"""Budgets at random: is the exported choice inside them when somebody else measures it?

A third of the budgets is tight or impossible. Each run of `advisor recommend` either ends with a model, which is then
measured in a fresh process, or with exit code 3. Measured again are the saved model, by `profiles.cost.measure` with a
longer time than the search takes, and the ONNX file under ONNX Runtime with one thread: latency at the asked percentile
and batch, peak memory (the saved model only), bytes of the weights. A latency is that of one answer that reads the
whole series, under --streaming too, where the family must also be one that answers step by step. Of three rounds of
timing the middle one counts. A limit is broken by more than 5 % only.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from advisor.artifact import load_model
from benchmarks.driven import SETS, advise, asked, cleared, recommendation
from benchmarks.measure import MIB, in_fresh_process
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.cost import measure as cost_of

BROKEN = 1.05
INFEASIBLE = 3
UNTRAINED = "no candidate could be trained"
"""Words of a run that found nothing because its time was too short: that says nothing of the budget."""
ROUNDS, SECONDS = 3, 1.0
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "roomy": {"max_latency_ms": (3, 60), "max_memory_mib": (8, 100), "max_model_mib": (0.3, 10)},
    "tight": {"max_latency_ms": (0.05, 2), "max_memory_mib": (0.1, 4), "max_model_mib": (0.002, 0.2)},
    "impossible": {"max_latency_ms": (1e-5, 1e-4), "max_memory_mib": (1e-5, 1e-4), "max_model_mib": (1e-8, 1e-7)},
}
"""Limits are drawn evenly in logarithms from these; latencies are multiplied by 4 for a batch of 32."""
SHARES = {"roomy": 0.67, "tight": 0.22, "impossible": 0.11}


def draw(count: int, seed: int) -> list[dict[str, Any]]:
    """Return budgets with the set that each is for: one to three limits, batch 1 or 32, streaming or not."""
    rng = random.Random(seed)
    drawn = []
    for i in range(count):
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        batch, streaming = rng.choice((1, 32)), rng.random() < 0.5
        names = rng.sample(sorted(RANGES[kind]), rng.randint(1, 3))
        limits = {name: float(np.exp(rng.uniform(*np.log(RANGES[kind][name])))) for name in sorted(names)}
        if batch > 1 and "max_latency_ms" in limits:
            limits["max_latency_ms"] *= 4
        one = {"set": list(SETS)[i % len(SETS)], "kind": kind, "batch_size": batch, "streaming": streaming}
        drawn.append({**one, "limits": {name: float(f"{value:.4g}") for name, value in limits.items()}})
    return drawn


def measure(
    count: int, seconds: float, seed: int, data: Path, room: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Return one row a budget.

    Args:
        count: Budgets.
        seconds: Time limit of each run.
        seed: Of the budgets and the runs.
        data: Folder of the data sets.
        room: Folder for the runs.
        tell: Told a line a run.
    """
    room.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, budget in enumerate(draw(count, seed)):
        row = {**budget, **one(budget, seconds, seed, data, room / f"limits-{seed}-{i}")}
        tell(json.dumps(row))
        rows.append(row)
    return {"time_limit_s": seconds, "seed": seed, "rows": rows, "all_kept": all(row["kept"] for row in rows)}


def one(budget: dict[str, Any], seconds: float, seed: int, data: Path, run: Path) -> dict[str, Any]:
    """Search under one budget; return the choice, its figures from the run and from outside, and whether it holds."""
    options = ["--time-limit", f"{seconds:g}s", "--seed", str(seed), "--batch-size", str(budget["batch_size"])]
    options += ["--streaming"] if budget["streaming"] else []
    for name, limit in budget["limits"].items():
        options += [f"--{name.replace('_', '-')}", f"{limit:g}"]
    ended = advise(asked(budget["set"], data, run, *options), cleared(run))
    row: dict[str, Any] = {"exit": ended.code, "wall_s": ended.wall_s, "chosen": None, "faults": []}
    if ended.code == INFEASIBLE:
        row["says"] = ended.words.strip().splitlines()[-2:]
        row["faults"] = ["refused a roomy budget"] if budget["kind"] == "roomy" else []
        if UNTRAINED in ended.words:
            row["faults"] = ["called infeasible for want of time"]
    elif ended.code == 0:
        chosen = recommendation(run)
        row["chosen"] = chosen["family"]
        row["recorded"] = {name: chosen[name] for name in ("latency_ms", "memory_mib", "size_mib")}
        row["again"] = in_fresh_process(again, str(run), preload=__name__)
        exported = advise(["export", str(run), "--format", "onnx", "-o", str(run / "model.onnx")], run / "export.log")
        if exported.code == 0:
            row["onnx"] = in_fresh_process(again_onnx, str(run), preload=__name__)
        else:
            row["faults"].append(f"no ONNX: {exported.words.strip()[-200:]}")
        row["faults"] += broken(budget["limits"], row["again"]) + broken(budget["limits"], row.get("onnx", {}))
        if budget["kind"] == "impossible":
            row["faults"].append("kept what nothing can keep")
        if budget["streaming"] and not chosen["baseline"] and not FAMILIES[chosen["family"]].streams:
            row["faults"].append(f"{chosen['family']} does not stream")
    else:
        row["faults"] = [f"ended with {ended.code}: {ended.words.strip()[-300:]}"]
    row["kept"] = not row["faults"]
    return row


def broken(limits: dict[str, float], measured: dict[str, float]) -> list[str]:
    """Return the limits that are exceeded by more than 5 %, in words."""
    ratios = {name: measured[name] / limit for name, limit in limits.items() if name in measured}
    where = measured.get("where", "")
    return [f"{where} {name} {100 * (ratio - 1):.0f} % over" for name, ratio in ratios.items() if ratio > BROKEN]


def again(run: str) -> dict[str, Any]:
    """Return the cost of the saved model of a run; runs in a fresh process."""
    folder = Path(run)
    budget = Budget.model_validate_json((folder / "budget.json").read_text())
    model, length = answering(folder)
    costs = [cost_of(model, budget.batch_size, length, seconds=SECONDS) for _ in range(ROUNDS)]
    return {
        "where": "torch",
        "length": length,
        "max_latency_ms": float(np.median([c.latency_ms(budget.latency_stat) for c in costs])),
        "rounds_ms": [c.latency_ms(budget.latency_stat) for c in costs],
        "max_memory_mib": max(c.peak_memory_mib for c in costs),
        "max_model_mib": costs[0].size_mib,
    }


def answering(folder: Path) -> tuple[torch.nn.Module, int]:
    """Return the saved model of a run and the steps that one answer reads."""
    model, card = load_model(folder / "model")
    head = getattr(model.config, "head", None)
    read = getattr(head, "look_back", None) if card.task == "forecast" and head is not None else None
    return model, int(read or (model.config.length if card.task == "forecast" else card.train_length_max))


def again_onnx(run: str) -> dict[str, Any]:
    """Return latency and bytes of floating-point numbers of the ONNX file of a run; runs in a fresh process."""
    import onnx
    import onnxruntime

    folder = Path(run)
    budget = Budget.model_validate_json((folder / "budget.json").read_text())
    model, length = answering(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    shape = (budget.batch_size, length, model.channels_in)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).numpy()
    fed = {"x": x, "lengths": np.full(budget.batch_size, length, np.int64)}
    fed = {node.name: fed[node.name] for node in session.get_inputs()}
    quantile = int(budget.latency_stat[1:])
    rounds = [float(np.percentile(timed(lambda: session.run(None, fed)), quantile)) * 1e3 for _ in range(ROUNDS)]
    stored = [onnx.numpy_helper.to_array(one) for one in onnx.load(folder / "model.onnx").graph.initializer]
    return {
        "where": "ONNX",
        "max_latency_ms": float(np.median(rounds)),
        "rounds_ms": rounds,
        "max_model_mib": sum(one.nbytes for one in stored if one.dtype.kind == "f") / MIB,
        "file_mib": (folder / "model.onnx").stat().st_size / MIB,
    }


def timed(work: Callable[[], object]) -> list[float]:
    """Return the seconds of each call within a second, at least 20 of them, after three to warm up."""
    for _ in range(3):
        work()
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < 20 or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def table(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    show = Table(title=f"{len(result['rows'])} budgets, {result['time_limit_s']:g} s each; kept: at most 5 % over")
    for column in ("set", "budget", "chosen", "in the run", "again", "ONNX", "kept"):
        show.add_column(column)
    for row in result["rows"]:
        words = [f"{name[4:]} {limit:g}" for name, limit in row["limits"].items()]
        words += [f"batch {row['batch_size']}"] + ["streaming"] * row["streaming"]
        inside, again_, onnx = row.get("recorded"), row.get("again"), row.get("onnx")
        show.add_row(
            row["set"],
            f"{row['kind']}: {', '.join(words)}",
            row["chosen"] or f"exit {row['exit']}",
            figures(*inside.values()) if inside else "",
            figures(again_["max_latency_ms"], again_["max_memory_mib"], again_["max_model_mib"]) if again_ else "",
            f"{onnx['max_latency_ms']:.3g} ms, {onnx['max_model_mib']:.3g} MiB" if onnx else "",
            "; ".join(row["faults"]) or ("infeasible, said so" if row["exit"] == INFEASIBLE else "yes"),
        )
    return show


def figures(latency_ms: float, memory_mib: float, size_mib: float) -> str:
    """Return the three costs in words."""
    return f"{latency_ms:.3g} ms, {memory_mib:.3g} MiB, {size_mib:.3g} MiB"
