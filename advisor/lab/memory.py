"""The claims about growth with length: CL8 memory of attention, CL11 linear attention, CL12 state space models."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from advisor.lab.claim import Conditions, Finding
from advisor.lab.judging import growth, judge, told
from advisor.lab.passes import Bench, lines, listed, same_work
from advisor.lab.timing import Work
from advisor.report.charts import Chart
from profiles.cost import peak_bytes
from profiles.device import MIB

ATTENTION, HELD, GRU = "attention", "attention writing its matrix", "GRU"
LINEAR = ("kernel attention elu", "kernel attention Taylor", "gated linear attention", "low-rank attention")
SPACES = ("selective SSM", "diagonal SSM")
LINEAR_TO, STEEP_FROM, SQUARE_FROM = 1.25, 1.4, 1.6
"""Exponents up to the first are called linear, from the second on steeper, from the third on quadratic.

The projections of attention are linear in length and pull the exponent of its square below 2, that of time most."""
STEADY = 1.5
"""A step that takes up to this many times as long is called constant: single steps are short and noisy."""
SAME = 1e-4
"""Greatest difference, relative to the largest output, of float32 results that are called equal."""


def attention_memory_is_quadratic(at: Conditions) -> Finding:
    """CL8: attention matrices take memory that grows with the square of the length.

    What the document says (D4, section 3.2): the weights of all pairs of steps are held, so the length must be capped.

    How it is measured: the highest memory that one training pass (forward and backward) and one forward pass add, for
    one row at several lengths: causal attention by the kernel that this device chooses, the same with the plain
    kernel that writes the matrix of weights to memory, and a GRU. The exponent is taken over the longer half.

    Holds where: the exponent of memory is at least 1.6 in each of four parts: training and forward pass, by the
    device's kernel and by the plain one. All parts: holds here; none: does not hold; some: depends, as where a fused
    kernel never holds the matrix.
    """
    bench = Bench.under(at)
    lengths = (256, 512, 1024, 2048) if at.quick else (128, 256, 512, 1024, 2048)
    tables = {
        what: {
            ATTENTION: peaks(bench, ATTENTION, lengths, make),
            HELD: peaks(bench, ATTENTION, lengths, make, SDPBackend.MATH),
            GRU: peaks(bench, GRU, lengths, make),
        }
        for what, make in (("training", bench.training), ("forward", bench.forward))
    }
    numbers = {
        f"{what} exponent, {name}": growth(lengths, mib)
        for what, table in tables.items()
        for name, mib in table.items()
    }
    numbers |= {f"training MiB at {lengths[-1]} steps, {name}": mib[-1] for name, mib in tables["training"].items()}
    parts = square_parts(numbers)
    return Finding(
        key="CL8",
        document="D4 section 3.2",
        says="The matrices of attention take memory in O(n^2); the sequence length must be limited.",
        how=f"Peak memory that a pass over one row of {lengths[0]} to {lengths[-1]} steps adds; {bench.where}.",
        result=f"Exponent of training memory over length: {listed(numbers, 'training exponent')}; of a "
        f"forward pass: {listed(numbers, 'forward exponent')}. MiB to train on {lengths[-1]} "
        f"steps: {listed(numbers, f'training MiB at {lengths[-1]} steps')}. {told(parts)}",
        verdict=judge(parts),
        charts=tuple(
            Chart(
                title=f"Memory of one {what} pass",
                x_label="length, steps",
                y_label="peak memory, MiB",
                lines=lines(lengths, table),
            )
            for what, table in tables.items()
        ),
        numbers=numbers,
    )


def linear_attention_is_linear(at: Conditions) -> Finding:
    """CL11: linear attention, by kernels or by low rank, brings the cost of attention down to O(n).

    What the document says (D4, section 5): the cost of attention falls from the square of the length to the length.

    How it is measured: time and peak memory of a training pass over one row at several lengths: two kernel feature
    maps, gated linear attention, low-rank attention, and softmax attention beside them. Exponents over the longer half.

    Holds where: for each variant, the exponent of time is at most 1.25, and so is that of memory; and the time of
    softmax attention has an exponent of at least 1.4, so that there is something to bring down. All parts: holds here;
    none: does not hold; some: depends.
    """
    bench = Bench.under(at)
    lengths = (512, 1024, 2048, 4096) if at.quick else (256, 512, 1024, 2048, 4096, 8192)
    names = (ATTENTION, *LINEAR)
    times = bench.table(names, [(1, length) for length in lengths], bench.training)
    memory = {name: peaks(bench, name, lengths, bench.training) for name in names}
    numbers = {f"time exponent, {name}": growth(lengths, ms) for name, ms in times.items()}
    numbers |= {f"memory exponent, {name}": growth(lengths, mib) for name, mib in memory.items()}
    numbers |= {f"time over that of attention, {name}": times[name][-1] / times[ATTENTION][-1] for name in LINEAR}
    numbers |= {
        f"faster than attention from this length, {name}": float(won)
        for name in LINEAR
        if (won := faster_from(lengths, times[name], times[ATTENTION])) is not None
    }
    parts = linear_parts(numbers)
    return Finding(
        key="CL11",
        document="D4 section 5",
        says="Linear attention, by kernel feature maps or by low rank, brings attention to O(n).",
        how=f"Time and peak memory of training passes over one row of {lengths[0]} to {lengths[-1]} steps; "
        f"{bench.timed}.",
        result=f"Exponent of time over length: {listed(numbers, 'time exponent')}; of memory: "
        f"{listed(numbers, 'memory exponent')}. Time over that of attention at {lengths[-1]} steps: "
        f"{listed(numbers, 'time over that of attention')}. {told(parts)}",
        verdict=judge(parts),
        charts=(
            Chart(title="Time of a training pass", x_label="length, steps", y_label="ms", lines=lines(lengths, times)),
            Chart(
                title="Memory of a training pass",
                x_label="length, steps",
                y_label="peak memory, MiB",
                lines=lines(lengths, memory),
            ),
        ),
        numbers=numbers,
    )


def state_spaces_join_both(at: Conditions) -> Finding:
    """CL12: state space models join the recurrence of an RNN with the parallel training of a Transformer.

    What the document says (D4, section 5): they combine both, so they should train without a sequential chain, in time
    linear in length, and still run step by step with a state of fixed size.

    How it is measured, for a selective and a diagonal state space: (1) the exponent of training time over length, one
    row; (2) the price of the chain in training, one row of steps against the same steps in 64 rows, beside that of a
    GRU; (3) the time of one streaming step after few and after many steps, beside that of causal attention; (4) whether
    the state grows; (5) whether steps one by one give what the parallel pass gives.

    Holds where, for each of the two state spaces: the exponent is at most 1.25; the price of the chain is below half
    that of the GRU; a late step takes at most 1.5 times an early one; the state does not grow; and the two ways differ
    by at most 1e-4 of the largest output. All parts: holds here; none: does not hold; some: depends.
    """
    bench = Bench.under(at)
    lengths, steps = ((256, 512, 1024, 2048), 2048) if at.quick else ((128, 256, 512, 1024, 2048, 4096), 4096)
    seen = (64, 512, 4096) if at.quick else (64, 256, 1024, 4096, 16384)
    names = (*SPACES, GRU, ATTENTION)
    times = bench.table(names, [(1, length) for length in lengths], bench.training)
    cells = same_work(steps, 64)
    cut = bench.table((*SPACES, GRU), cells, bench.training)
    late = bench.table(names, [(1, before) for before in seen], bench.step)
    numbers = {f"time exponent, {name}": growth(lengths, ms) for name, ms in times.items()}
    numbers |= {f"price of the chain, {name}": ms[0] / ms[-1] for name, ms in cut.items()}
    numbers |= {f"late step over early step, {name}": ms[-1] / ms[0] for name, ms in late.items()}
    for name in SPACES:
        layer = bench.layer(name)
        numbers[f"late state over early state, {name}"] = layer.state_bytes(seen[-1]) / layer.state_bytes(seen[0])
        numbers[f"difference of step and forward, {name}"] = step_difference(bench, name, 64)
        for i in (0, -1):
            numbers[f"time over that of attention at {lengths[i]} steps, {name}"] = times[name][i] / times[ATTENTION][i]
    parts = state_space_parts(numbers)
    return Finding(
        key="CL12",
        document="D4 section 5",
        says="State space models join the recurrence of an RNN with the parallel training of a Transformer.",
        how=f"Training passes over one row of {lengths[0]} to {lengths[-1]} steps and over {steps} steps in 1 to 64 "
        f"rows, and one step after {seen[0]} to {seen[-1]} steps; {bench.timed}.",
        result=f"Exponent of training time over length: {listed(numbers, 'time exponent')}. Time of {steps} "
        f"steps in one row over that in 64: {listed(numbers, 'price of the chain')}. Time of a step after {seen[-1]} "
        f"steps over one after {seen[0]}: {listed(numbers, 'late step over early step')}. {told(parts)}",
        verdict=judge(parts),
        charts=(
            Chart(title="One row", x_label="length, steps", y_label="training pass, ms", lines=lines(lengths, times)),
            Chart(
                title=f"The same {steps} steps, cut into rows",
                x_label="rows (chains side by side)",
                y_label="training pass, ms",
                lines=lines([rows for rows, _ in cells], cut),
            ),
            Chart(title="One streaming step", x_label="steps before it", y_label="ms", lines=lines(seen, late)),
        ),
        numbers=numbers,
    )


def square_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL8."""
    return {
        f"the memory of a {what} pass of {name} is quadratic": numbers[f"{what} exponent, {name}"] >= SQUARE_FROM
        for what in ("training", "forward")
        for name in (ATTENTION, HELD)
    }


def linear_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL11."""
    parts = {"the time of softmax attention is steeper": numbers[f"time exponent, {ATTENTION}"] >= STEEP_FROM}
    for what in ("time", "memory"):
        for name in LINEAR:
            parts[f"{name}: {what} is linear"] = numbers[f"{what} exponent, {name}"] <= LINEAR_TO
    return parts


def state_space_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL12."""
    parts = {}
    for name in SPACES:
        price = numbers[f"price of the chain, {name}"]
        parts[f"{name}: training time is linear"] = numbers[f"time exponent, {name}"] <= LINEAR_TO
        parts[f"{name}: no chain in training"] = price < numbers[f"price of the chain, {GRU}"] / 2
        parts[f"{name}: a step costs the same late"] = numbers[f"late step over early step, {name}"] <= STEADY
        parts[f"{name}: the state does not grow"] = numbers[f"late state over early state, {name}"] <= 1
        parts[f"{name}: steps give what the parallel pass gives"] = (
            numbers[f"difference of step and forward, {name}"] <= SAME
        )
    return parts


def faster_from(lengths: Sequence[int], ours: Sequence[float], theirs: Sequence[float]) -> int | None:
    """Return the first measured length from which `ours` is less at every length; None where there is none."""
    worse = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a >= b]
    first = worse[-1] + 1 if worse else 0
    return lengths[first] if first < len(lengths) else None


def peaks(
    bench: Bench,
    name: str,
    lengths: Sequence[int],
    make: Callable[[str, int, int], Work],
    kernel: SDPBackend | None = None,
) -> tuple[float, ...]:
    """Return the MiB that a pass over one row adds at each length, by one kernel of attention or the device's choice.

    A first pass warms up, so that the gradients of the weights, which stay, do not count.
    """
    found = []
    with sdpa_kernel(kernel) if kernel is not None else nullcontext():
        for length in lengths:
            work = make(name, 1, length)
            work.run(None)
            found.append(peak_bytes(partial(work.run, None), bench.target) / MIB)
    return tuple(found)


def step_difference(bench: Bench, name: str, steps: int) -> float:
    """Return the greatest difference of outputs step by step and in one pass, relative to the largest output."""
    layer, x = bench.layer(name), bench.tokens(1, steps)
    with torch.no_grad():
        together, _ = layer(x)
        state, found = layer.initial_state(1), []
        for x_t in x.unbind(1):
            y_t, state = layer.step(x_t, state)
            found.append(y_t)
    return float((torch.stack(found, 1) - together).abs().max() / together.abs().max())
