"""The claims that set RNN, GRU and LSTM side by side: CL10 what gates cost, CL13 what they bring for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from advisor.lab.claim import Conditions, Finding
from advisor.lab.judging import judge, told
from advisor.lab.passes import RECURRENT, Bench, config, lines, listed, parameters
from advisor.report.charts import Chart, Line
from hybrids.mixer import Mixer

MARGIN = 0.05
"""Accuracies closer than this are called equal in CL13."""
SYMBOLS, TEST_ROWS = 8, 512
"""Of delayed recall: symbols to recall, rows that are tested."""
PASSES = ("one step", "forward pass", "training pass")


def gates_cost(at: Conditions) -> Finding:
    """CL10: gates cost: a step of an LSTM has four gate transforms, one of a GRU three, one of a plain RNN one.

    What the documents say (D0, D2, D4): gates are extra transforms at every step, and their cost is that of the step.

    How it is measured: the matrix operations of one step are counted, not taken from a formula. Then three times at
    several widths: one step alone without gradients (16 rows), the forward pass over a sequence, and a training pass.

    Refuted: where the counted operations are not 1 : 3 : 4, or where the measured time does not rise in the order RNN,
    GRU, LSTM at the largest width. A fused LSTM kernel can overturn the order of whole sequences without contradicting
    the count: then the verdict is "depends". All parts true: holds; none: does not.
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
    asked. One layer of each kind is trained with the same number of steps of Adam on the same batches, with
    several seeds; accuracy on rows not trained on, at the better of the learning rates tried. The cost is the time of a
    training pass and the number of parameters.

    Refuted: where the mean accuracy of the GRU is more than 0.05 below that of the LSTM, or not above that of the RNN
    by 0.05; where its training pass or its parameters do not lie between those of the two. All parts true: holds; none:
    does not; else depends.
    """
    bench = Bench.under(at)
    steps, length, seeds, rates = (224, 20, 2, (0.01,)) if at.quick else (320, 20, 5, (0.003, 0.01))
    width, rows = 32, 32
    marks = tuple(range(steps // 8, steps + 1, steps // 8))
    train = partial(recalled, width=width, rows=rows, length=length, marks=marks, target=bench.target)
    curves = {
        name: max(
            ([train(name, seed=at.seed + s, rate=rate) for s in range(seeds)] for rate in rates),
            key=lambda runs: sum(run[-1] for run in runs),
        )
        for name in RECURRENT
    }
    narrow = replace(bench, width=width)
    timed = narrow.table(RECURRENT, [(rows, length)], narrow.training)
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
        how=f"Delayed recall of one of {SYMBOLS} symbols over {length} steps, {steps} steps of Adam at "
        f"{' or '.join(map(str, rates))} with {rows} rows, one layer, {seeds} seeds from {at.seed} on; {narrow.timed}.",
        result=f"Mean accuracy after {steps} steps: {listed(numbers, 'accuracy')}; chance is {1 / SYMBOLS:.3f}. "
        f"Training pass in ms: {listed(numbers, 'training pass in ms')}. {told(parts)}",
        verdict=judge(parts),
        charts=(
            Chart(
                title=f"Delayed recall over {length} steps, mean of {seeds} seeds",
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


class _Reader(nn.Module):
    """Embeds tokens, mixes them with one layer, and names the symbol at the last step."""

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self.embed, self.mixer = nn.Embedding(2 * SYMBOLS + 1, width), config(name).build(width)
        self.answer = nn.Linear(width, SYMBOLS)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.answer(self.mixer(self.embed(tokens))[0][:, -1])
        return logits


def delayed_recall(rows: int, length: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return tokens (rows, length) and the symbols (rows,): a symbol, noise of other tokens, and a question mark."""
    symbol = torch.randint(SYMBOLS, (rows, 1), generator=generator)
    noise = torch.randint(SYMBOLS, 2 * SYMBOLS, (rows, length - 2), generator=generator)
    return torch.cat([symbol, noise, torch.full_like(symbol, 2 * SYMBOLS)], 1), symbol[:, 0]


def recalled(
    name: str, width: int, rows: int, length: int, marks: Sequence[int], target: torch.device, seed: int, rate: float
) -> list[float]:
    """Return the accuracy on fresh rows after each number of training steps in `marks`."""
    generator = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Reader(name, width).to(target)
    tested, wanted = (t.to(target) for t in delayed_recall(TEST_ROWS, length, generator))
    optimiser = torch.optim.Adam(model.parameters(), rate)
    found = []
    for step in range(1, max(marks) + 1):
        tokens, symbol = (t.to(target) for t in delayed_recall(rows, length, generator))
        optimiser.zero_grad()
        loss: Tensor = F.cross_entropy(model(tokens), symbol)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step in marks:
            with torch.no_grad():
                found.append(float((model(tested).argmax(1) == wanted).double().mean()))
    return found
