"""The claims that set RNN, GRU and LSTM side by side: CL10 what gates cost, CL13 what they bring for it.

What they bring is the delayed recall of `profiles.recall`, learnt within a fixed number of optimiser steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from advisor.lab.claim import Conditions, Finding
from advisor.lab.judging import judge, told
from advisor.lab.passes import RECURRENT, Bench, config, lines, listed, parameters
from advisor.report.charts import Chart, Line
from hybrids.mixer import Mixer
from profiles.recall import ROWS, TEST_ROWS, recall_curve

MARGIN = 0.05
"""Accuracies closer than this are called equal in CL13."""
SYMBOLS = 8
"""Of delayed recall in CL13."""
PASSES = ("one step", "forward pass", "training pass")


def gates_cost(at: Conditions) -> Finding:
    """CL10: gates cost: a step of an LSTM has four gate transforms, one of a GRU three, one of a plain RNN one.

    What the documents say (D0, D2, D4): gates are extra transforms at every step, and their cost is that of the step.

    How it is measured: the matrix operations of one step are counted, not taken from a formula. Then three times at
    several widths: one step alone without gradients (16 rows), the forward pass over a sequence, and a training pass.

    Holds where: the counted operations are 1 : 3 : 4 within 5 %; and at the largest width the time of one step, that of
    a forward pass and that of a training pass each rise in the order RNN, GRU, LSTM. A fused LSTM kernel can overturn
    the order of whole sequences without contradicting the count. All parts: holds here; none: does not hold; some:
    depends.
    """
    bench = Bench.under(at)
    widths = tuple(bench.width * k for k in ((1, 4) if at.quick else (1, 2, 4, 8)))
    rows, steps = 16, 128
    counted = {name: float(operations(config(name).build(bench.width))) for name in RECURRENT}
    numbers = {f"operations of a step over those of the RNN, {n}": c / counted["RNN"] for n, c in counted.items()}
    tables = _times_by_width(bench, widths, rows, steps)
    for what, table in tables.items():
        numbers |= {f"{what} over that of the RNN, {name}": ms[-1] / table["RNN"][-1] for name, ms in table.items()}
    parts = gate_parts(numbers)
    measured = "; ".join(
        f"{what} 1 : {numbers[f'{what} over that of the RNN, GRU']:.2f} : "
        f"{numbers[f'{what} over that of the RNN, LSTM']:.2f}"
        for what in tables
    )
    return Finding(
        key="CL10",
        document="D0, D2, D4",
        says="Gates cost at every step: an LSTM has four gate transforms, a GRU three, a plain RNN one.",
        how=f"One step, a forward pass and a training pass over {steps} steps of {rows} rows at widths "
        f"{', '.join(map(str, widths))}; {bench.place}; least of {bench.rounds} interleaved rounds.",
        result=f"Operations of a step, RNN : GRU : LSTM, 1 : {counted['GRU'] / counted['RNN']:.2f} : "
        f"{counted['LSTM'] / counted['RNN']:.2f}. Time at width {widths[-1]}: {measured}. {told(parts)}",
        verdict=judge(parts),
        charts=tuple(
            Chart(
                title=f"{what.capitalize()} of {rows} rows", x_label="width", y_label="ms", lines=lines(widths, table)
            )
            for what, table in tables.items()
        ),
        numbers=numbers,
    )


def gru_balances(at: Conditions) -> Finding:
    """CL13: the GRU balances quality and cost between the plain RNN and the LSTM.

    What the documents say (D0, D4): it joins cell and hidden state and has fewer gates, for a similar quality.

    How it is measured: delayed recall. One of eight symbols, then noise of eight others; at the end the symbol is
    asked. One block with a layer of each kind is trained with the same number of optimiser steps on the same batches,
    with several seeds; accuracy on sequences not trained on, at the better of the learning rates tried. The cost is the
    time of a training pass of the layer alone, and its number of parameters.

    Holds where: the mean accuracy of the GRU is at most 0.05 below that of the LSTM, and more than 0.05 above that of
    the RNN; its training pass lies between those of the two, and so do its parameters. All parts: holds here; none:
    does not hold; some: depends.
    """
    bench = Bench.under(at)
    steps, delay, seeds, rates = (224, 19, 2, (0.01,)) if at.quick else (320, 19, 5, (0.003, 0.01))
    width = 32
    marks = tuple(range(steps // 8, steps + 1, steps // 8))
    train = partial(recall_curve, delay=delay, marks=marks, symbols=SYMBOLS, width=width, device=bench.target)
    curves = {
        name: max(
            ([train((config(name),), seed=at.seed + s, rate=rate) for s in range(seeds)] for rate in rates),
            key=lambda runs: sum(run[-1] for run in runs),
        )
        for name in RECURRENT
    }
    narrow = replace(bench, width=width)
    timed = narrow.table(RECURRENT, [(ROWS, delay + 1)], narrow.training)
    numbers = {f"accuracy, {name}": sum(run[-1] for run in runs) / seeds for name, runs in curves.items()}
    numbers |= {f"worst seed, {name}": min(run[-1] for run in runs) for name, runs in curves.items()}
    numbers |= {f"training pass in ms, {name}": ms[0] for name, ms in timed.items()}
    numbers |= {f"parameters, {name}": float(parameters(config(name).build(width))) for name in RECURRENT}
    parts = balance_parts(numbers)
    means = {name: tuple(sum(at_mark) / seeds for at_mark in zip(*runs, strict=True)) for name, runs in curves.items()}
    return Finding(
        key="CL13",
        document="D0, D4",
        says="A GRU balances quality and cost between a plain RNN and an LSTM.",
        how=f"Delayed recall of one of {SYMBOLS} symbols after {delay} steps: one pre-norm block, {steps} steps of "
        f"AdamW at {' or '.join(map(str, rates))} on {ROWS} sequences each, {TEST_ROWS} test sequences, {seeds} seeds "
        f"from {at.seed} on. Training pass of the layer alone, {ROWS} rows of {delay + 1} steps; {narrow.timed}.",
        result=f"Mean accuracy after {steps} steps: {listed(numbers, 'accuracy')}; chance is {1 / SYMBOLS:.3f}. "
        f"Training pass in ms: {listed(numbers, 'training pass in ms')}. {told(parts)}",
        verdict=judge(parts),
        charts=(
            Chart(
                title=f"Delayed recall after {delay} steps, mean of {seeds} seeds",
                x_label="training steps",
                y_label="accuracy on new rows",
                log_x=False,
                log_y=False,
                lines=lines(marks, means),
            ),
            Chart(
                title="Quality against cost",
                x_label="training pass, ms",
                y_label="accuracy on new rows",
                log_x=False,
                log_y=False,
                lines=tuple(
                    Line(name=name, x=(timed[name][0],) * seeds, y=tuple(run[-1] for run in runs))
                    for name, runs in curves.items()
                ),
            ),
        ),
        numbers=numbers,
    )


def gate_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL10."""
    gru, lstm = (numbers[f"operations of a step over those of the RNN, {name}"] for name in ("GRU", "LSTM"))
    parts = {"operations are 1 : 3 : 4 within 5 %": abs(gru / 3 - 1) < 0.05 and abs(lstm / 4 - 1) < 0.05}
    for what in PASSES:
        gru, lstm = (numbers[f"{what} over that of the RNN, {name}"] for name in ("GRU", "LSTM"))
        parts[f"{what}: the time rises from RNN to GRU to LSTM"] = 1 < gru < lstm
    return parts


def balance_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL13."""
    rnn, gru, lstm = (numbers[f"accuracy, {name}"] for name in RECURRENT)
    parts = {
        "the GRU is as good as the LSTM or better": gru >= lstm - MARGIN,
        "the GRU is better than the RNN": gru > rnn + MARGIN,
    }
    for what in ("training pass in ms", "parameters"):
        rnn, gru, lstm = (numbers[f"{what}, {name}"] for name in RECURRENT)
        parts[f"{what}: the GRU lies between"] = rnn < gru < lstm
    return parts


def operations(mixer: Mixer) -> int:
    """Return the counted matrix operations of one step of one row."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        mixer.step(torch.zeros(1, mixer.width), mixer.initial_state(1))
    return int(counter.get_total_flops())


def _times_by_width(
    bench: Bench, widths: Sequence[int], rows: int, steps: int
) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return, for each of `PASSES`, the milliseconds of each layer at each width."""
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for what in PASSES:
        columns = []
        for width in widths:
            wide = replace(bench, width=width)
            make = {"one step": wide.step, "forward pass": wide.forward, "training pass": wide.training}[what]
            columns.append(wide.table(RECURRENT, [(rows, steps)], make))
        found[what] = {name: tuple(column[name][0] for column in columns) for name in RECURRENT}
    return found
