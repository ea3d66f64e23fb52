"""The claim about training speed at equal parameters: CL9."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from advisor.lab.claim import Conditions, Finding
from advisor.lab.judging import judge
from advisor.lab.passes import RECURRENT, Bench, Cell, config, lines, parameters, train_pass
from advisor.lab.timing import Work
from advisor.report.charts import Chart, Line
from hybrids.backbone import Backbone
from hybrids.mixer import reads_whole

DEPTH, EXPANSION = 2, 4.0
"""Blocks of each model; inner width of the Transformer's feed-forward part over its width, before gating."""
LOOP = "LSTM step by step"
CLAIMED = 5.0
"""The document's least factor."""


def transformer_trains_faster(at: Conditions) -> Finding:
    """CL9: with as many parameters, a Transformer trains 5 to 10 times faster than an RNN.

    What the document says (D4, section 2.2): experiments show this factor; it names neither model, length nor device.

    How it is measured: forward and backward pass of two blocks. The Transformer has causal attention and a feed-forward
    part four times as wide; the recurrent models have neither, but the width that gives them as many parameters. Four
    rivals: RNN, GRU and LSTM as this package runs them (fused kernels or hand-written backward passes), and an LSTM
    called step by step under autograd, as the documents' own code does. The optimiser's update is left out: it is
    equal for equal parameters. Over lengths at one batch, and over batches at one length.

    Holds where: in each cell of rival, batch and length, which is a part, the Transformer is at least 5 times as fast.
    All parts: holds here; none: does not hold; some: depends, and the numbers say on what.
    """
    bench = replace(Bench.under(at), rounds=2 if at.quick else 3)
    batch, lengths = 8, ((64, 256, 1024) if at.quick else (64, 128, 256, 512, 1024))
    middle, batches = 256, ((1, 8, 32) if at.quick else (1, 4, 8, 16, 64))
    models = equal_models(bench)
    counts = {name: parameters(model) for name, model in models.items()}
    rivals = [name for name in models if name != "Transformer"]
    by_length: list[Cell] = [(batch, length) for length in lengths]
    by_batch: list[Cell] = [(rows, middle) for rows in batches]
    cells = list(dict.fromkeys(by_length + by_batch))
    table = bench.table(list(models), cells, partial(_training, bench, models))
    times = {name: dict(zip(cells, ms, strict=True)) for name, ms in table.items()}
    ratios = {name: {cell: times[name][cell] / times["Transformer"][cell] for cell in cells} for name in rivals}
    numbers = {
        f"times as fast as {name}, batch {rows}, length {steps}": ratio
        for name, found in ratios.items()
        for (rows, steps), ratio in found.items()
    }
    numbers |= {f"parameters, {name}": float(count) for name, count in counts.items()}
    parts = speed_parts(numbers)
    fast, best = sum(parts.values()), max(parts, key=lambda part: numbers[part])
    spread = ", ".join(f"{n} {min(found.values()):.2f} to {max(found.values()):.2f}" for n, found in ratios.items())
    return Finding(
        key="CL9",
        document="D4 section 2.2",
        says="With as many parameters, a Transformer trains 5 to 10 times faster than an RNN.",
        how=f"Training passes of {DEPTH} blocks with {min(counts.values())} to {max(counts.values())} parameters: "
        f"batch {batch} at {lengths[0]} to {lengths[-1]} steps, and batches of {batches[0]} to {batches[-1]} at "
        f"{middle} steps; Transformer of {bench.timed}.",
        result=f"Speed of the Transformer over that of each rival: {spread}. It is at least {CLAIMED:g} times "
        f"as fast in {fast} of {len(parts)} cells; most: {numbers[best]:.1f} {best}.",
        verdict=judge(parts),
        charts=(
            Chart(
                title=f"Training pass, batch {batch}",
                x_label="length, steps",
                y_label="forward and backward, ms",
                lines=_along(lengths, by_length, times),
            ),
            Chart(
                title=f"Speed of the Transformer over that of each rival, batch {batch}",
                x_label="length, steps",
                y_label="times as fast (above 1: the Transformer wins)",
                lines=(*_along(lengths, by_length, ratios), _claimed(lengths)),
            ),
            Chart(
                title=f"The same against the batch, {middle} steps",
                x_label="batch",
                y_label="times as fast (above 1: the Transformer wins)",
                lines=(*_along(batches, by_batch, ratios), _claimed(batches)),
            ),
        ),
        numbers=numbers,
    )


def speed_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL9: one a rival, batch and length."""
    return {name: ratio >= CLAIMED for name, ratio in numbers.items() if name.startswith("times as fast")}


def equal_models(bench: Bench) -> dict[str, nn.Module]:
    """Return the Transformer and, at its number of parameters, the recurrent models."""

    def stack(name: str, expansion: float, width: int) -> Backbone:
        backbone = Backbone((config(name),) * DEPTH, width, expansion, dropout=0.0)
        reads_whole(backbone)
        return backbone.to(bench.target)

    transformer = stack("attention", EXPANSION, bench.width)
    models: dict[str, nn.Module] = {"Transformer": transformer}
    models |= {name: nearest(partial(stack, name, 0.0), parameters(transformer)) for name in RECURRENT}
    return models | {LOOP: _Loop(nearest(partial(stack, "LSTM", 0.0), parameters(transformer)))}


def nearest(build: Callable[[int], Backbone], wanted: int) -> Backbone:
    """Return the model whose number of parameters, which grows with its width, is nearest to `wanted`."""
    low, high = 4, 8
    while parameters(build(high)) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(build(middle)) < wanted else (low, middle)
    return min((build(low), build(high)), key=lambda model: abs(parameters(model) - wanted))


class _Loop(nn.Module):
    """A backbone called one step at a time, as code that follows the equations does."""

    def __init__(self, inner: Backbone) -> None:
        super().__init__()
        self.inner, self.width = inner, inner.width

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        states, found = self.inner.initial_state(x.shape[0]), []
        for x_t in x.unbind(1):
            y_t, states = self.inner.step(x_t, states)
            found.append(y_t)
        return torch.stack(found, 1), None


def _training(bench: Bench, models: Mapping[str, nn.Module], name: str, rows: int, steps: int) -> Work:
    width = models[name].width
    assert isinstance(width, int)
    return train_pass(models[name], bench.tokens(rows, steps, width))


def _along(xs: Sequence[int], cells: Sequence[Cell], found: Mapping[str, Mapping[Cell, float]]) -> tuple[Line, ...]:
    return lines(xs, {name: tuple(values[cell] for cell in cells) for name, values in found.items()})


def _claimed(xs: Sequence[int]) -> Line:
    return Line(name="the claim: 5", x=(float(xs[0]), float(xs[-1])), y=(CLAIMED, CLAIMED))
