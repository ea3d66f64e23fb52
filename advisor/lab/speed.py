"""The claims about time along the sequence: CL1 forward, CL2 backward, CL3 where throughput comes from.

Two figures carry CL1 and CL2. Growth: the exponent p of time ~ length^p for one row. Price of the chain: one row of L
steps against the same L steps cut into rows of 1/64 of it. Operations and parameters are the same, only the chain of
steps that wait for each other is 64 times shorter; where that makes no difference the device was never waiting.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from advisor.lab.claim import Conditions, Finding
from advisor.lab.judging import growth, judge, told
from advisor.lab.passes import RECURRENT, Bench, Cell, lines, listed, same_work
from advisor.lab.timing import Work, least_ms, threads
from advisor.report.charts import Chart
from profiles.device import available_cores

SCAN, ATTENTION = "minGRU (scan)", "attention"
COMPARED = (*RECURRENT, SCAN, ATTENTION)
LINEAR_FROM, LINEAR_TO = 0.8, 1.25
"""An exponent between these is called linear: timings of the same loop differ by this much."""
WAITS = 1.25
"""A chain whose price is this many times that of the scan is called a bottleneck; the scan's is a matter of caches."""
IDLE = 0.5
"""A layer that does less than this share of attention's operations per second leaves the device idle."""
GAINS = 1.2
"""Speed-up by more threads that is more than noise."""
ONE_ROW = 1024
"""Steps of the row that threads share."""
FED = 1.75
"""A gain in throughput from which on an axis counts as parallel; less is the start of a pass spread over more work."""


def rnn_time_is_sequential(at: Conditions) -> Finding:
    """CL1: an RNN needs time in proportion to length, cannot be spread over time steps, and leaves the device idle.

    What the documents say (D0, D1, D3): every state waits for the one before it, so one sequence takes as many rounds
    as it has steps, and hardware that could do many operations at once has little to do.

    How it is measured: forward passes without gradients. (1) One row at several lengths, and the exponent of time over
    the longer half. (2) A fixed number of steps, first as one row, then cut into 4, 16 and 64 rows: the price of the
    chain. (3) The multiply-adds per second in the longest row, as a share of those of one large matrix product. (4) On
    a CPU with more cores, one row of 1024 steps by one thread and by all, wall clock. A minimal GRU computed as a
    parallel scan and causal attention stand beside the RNN, GRU and LSTM.

    Holds where: the exponents of RNN, GRU and LSTM all lie between 0.8 and 1.25; for each of the three, the price of
    the chain is at least 1.25 times that of the scan; each of the three makes less than half of attention's operations
    per second; and threads help every recurrent layer less than half as much as attention. The last part is left out
    where threads gain attention less than 1.2 times, or more than there are threads: then the machine is busy. All
    parts: holds here; none: does not hold; some: depends.
    """
    bench = Bench.under(at)
    lengths, steps = ((256, 512, 1024, 2048), 2048) if at.quick else ((128, 256, 512, 1024, 2048, 4096), 4096)
    numbers, charts = _along_time(bench, bench.forward, COMPARED, lengths, steps)
    numbers |= _shares(bench, steps, {line.name: line.y[-1] for line in charts[0].lines}) | _thread_gains(bench)
    parts = sequential_parts(numbers) | idle_parts(numbers)
    return Finding(
        key="CL1",
        document="D0, D1, D3",
        says="The time of an RNN grows linearly with the length and cannot be spread over the time steps; "
        "the accelerator idles.",
        how=f"Forward passes: one row of {lengths[0]} to {lengths[-1]} steps, and {steps} steps cut into 1 to 64 rows; "
        f"{bench.timed}.",
        result=f"Exponent of time over length: {listed(numbers, 'exponent')}. Time of {steps} steps in one row "
        f"over that in 64: {listed(numbers, 'price of the chain')}. Operations per second in one row, "
        f"as a share of those in a large matrix product: {listed(numbers, 'share of matrix speed')}."
        f"{_threads_said(numbers)} {told(parts)}",
        verdict=judge(parts),
        charts=charts,
        numbers=numbers,
    )


def backward_is_sequential(at: Conditions) -> Finding:
    """CL2: the backward pass through time is as sequential as the forward pass.

    What the documents say (D3): the gradient at a step waits for the gradient at the step after it, so training cannot
    be spread over time either.

    How it is measured: the backward pass alone, the forward pass before it is not timed. One row at several lengths
    gives the exponent; a fixed number of steps as one row and as 64 rows gives the price of the chain. On a CPU the RNN
    and the GRU have a hand-written backward pass and the LSTM the fused one of the library; on an accelerator all three
    are the library's.

    Holds where: the exponents of RNN, GRU and LSTM all lie between 0.8 and 1.25; and, for each of the three, the price
    of the chain is at least 1.25 times that of the scan. All parts: holds here; none: does not hold; some: depends.
    """
    bench = Bench.under(at)
    lengths, steps = ((256, 512, 1024, 2048), 2048) if at.quick else ((128, 256, 512, 1024, 2048, 4096), 4096)
    numbers, charts = _along_time(bench, bench.backward, COMPARED, lengths, steps)
    parts = sequential_parts(numbers)
    return Finding(
        key="CL2",
        document="D3",
        says="The backward pass through time has the same bottleneck as the forward pass.",
        how=f"Backward passes alone: one row of {lengths[0]} to {lengths[-1]} steps, and {steps} steps cut into 1 to "
        f"64 rows; {bench.timed}.",
        result=f"Exponent of backward time over length: {listed(numbers, 'exponent')}. Time of "
        f"{steps} steps in one row over that in 64: {listed(numbers, 'price of the chain')}. {told(parts)}",
        verdict=judge(parts),
        charts=charts,
        numbers=numbers,
    )


def only_the_batch_is_parallel(at: Conditions) -> Finding:
    """CL3: the batch is the only axis along which an RNN can work in parallel.

    What the documents say (D1, D3): different sequences can be computed side by side, the steps of one cannot.

    How it is measured: steps per second in training, forward and backward, of GRU, LSTM, attention and a parallel
    scan, once against the batch at a fixed length, once against the length at a batch of one.

    Holds where: for GRU and for LSTM, the best batch gives at least 1.75 times the throughput of one row, and the best
    length gives less than 1.75 times that of the shortest; and the scan gains more from length than the GRU. All parts:
    holds here; none: does not hold; some: depends.
    """
    bench = Bench.under(at)
    batches, length = ((1, 4, 16, 64), 128) if at.quick else ((1, 2, 4, 8, 16, 32, 64, 128), 256)
    lengths = (128, 256, 512, 1024, 2048) if at.quick else (128, 256, 512, 1024, 2048, 4096)
    names = ("GRU", "LSTM", SCAN, ATTENTION)
    wide = _throughput(bench, names, [(rows, length) for rows in batches])
    long = _throughput(bench, names, [(1, steps) for steps in lengths])
    numbers = {f"gain from the batch, {name}": max(wide[name]) / wide[name][0] for name in names}
    numbers |= {f"gain from length, {name}": max(long[name]) / long[name][0] for name in names}
    parts = batch_parts(numbers)
    y = "thousand steps per second in training"
    return Finding(
        key="CL3",
        document="D1, D3",
        says="Only the batch dimension of an RNN can be computed in parallel.",
        how=f"Forward and backward passes: batches of {batches[0]} to {batches[-1]} at {length} steps, and one row of "
        f"{lengths[0]} to {lengths[-1]} steps; {bench.timed}.",
        result=f"Steps per second of the best batch up to {batches[-1]} over those of one row: "
        f"{listed(numbers, 'gain from the batch')}; of the best length up to {lengths[-1]} over "
        f"those of {lengths[0]} steps: {listed(numbers, 'gain from length')}. {told(parts)}",
        verdict=judge(parts),
        charts=(
            Chart(title=f"More rows of {length} steps", x_label="batch", y_label=y, lines=lines(batches, wide)),
            Chart(title="One longer row", x_label="length, steps", y_label=y, lines=lines(lengths, long)),
        ),
        numbers=numbers,
    )


def sequential_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL1 and CL2 that exponents and chains decide."""
    parts = {
        "the time of RNN, GRU and LSTM is linear in length": all(
            LINEAR_FROM <= numbers[f"exponent, {name}"] <= LINEAR_TO for name in RECURRENT
        )
    }
    for name in RECURRENT:
        price = numbers[f"price of the chain, {name}"]
        parts[f"the chain of the {name} is a bottleneck"] = price >= WAITS * numbers[f"price of the chain, {SCAN}"]
    return parts


def idle_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL1 about hardware; that of threads only where they were measured and helped attention."""
    full = numbers[f"share of matrix speed, {ATTENTION}"]
    parts = {
        f"one row of the {name} leaves the device idle": numbers[f"share of matrix speed, {name}"] < IDLE * full
        for name in RECURRENT
    }
    parallel = numbers.get(f"gain by threads, {ATTENTION}", 0.0)
    if GAINS <= parallel <= numbers.get("threads compared", 0.0):
        best = max(numbers[f"gain by threads, {name}"] for name in RECURRENT)
        said = "more threads help a recurrent layer less than half as much as attention"
        parts[said] = best - 1 < (parallel - 1) / 2
    return parts


def batch_parts(numbers: Mapping[str, float]) -> dict[str, bool]:
    """Return the parts of CL3."""
    parts = {}
    for name in ("GRU", "LSTM"):
        parts[f"a larger batch feeds the {name}"] = numbers[f"gain from the batch, {name}"] >= FED
        parts[f"more length does not feed the {name}"] = numbers[f"gain from length, {name}"] < FED
    scan, gated = (numbers[f"gain from length, {name}"] for name in (SCAN, "GRU"))
    parts["the scan gains more from length than the GRU"] = scan > gated
    return parts


def _along_time(
    bench: Bench, make: Callable[[str, int, int], Work], names: tuple[str, ...], lengths: tuple[int, ...], steps: int
) -> tuple[dict[str, float], tuple[Chart, ...]]:
    """Return exponents and prices of the chain, and the charts of both."""
    grown = bench.table(names, [(1, length) for length in lengths], make)
    cells = same_work(steps, 64)
    chained = [name for name in names if name != ATTENTION]  # shorter rows spare attention work
    cut = bench.table(chained, cells, make)
    numbers = {f"exponent, {name}": growth(lengths, ms) for name, ms in grown.items()}
    numbers |= {f"price of the chain, {name}": ms[0] / ms[-1] for name, ms in cut.items()}
    what = "backward" if make == bench.backward else "forward"
    return numbers, (
        Chart(title="One row", x_label="length, steps", y_label=f"{what} pass, ms", lines=lines(lengths, grown)),
        Chart(
            title=f"The same {steps} steps, cut into rows",
            x_label="rows (chains side by side)",
            y_label=f"{what} pass, ms",
            lines=lines([rows for rows, _ in cells], cut),
        ),
    )


def _shares(bench: Bench, steps: int, row_ms: Mapping[str, float]) -> dict[str, float]:
    """Return each layer's operations per second in one row over those of a large matrix product."""
    size = 512 if bench.target.type == "cpu" else 4096
    a, b = (torch.randn(size, size, device=bench.target) for _ in range(2))
    peak = 2 * size**3 / least_ms([Work(lambda _: torch.mm(a, b))], bench.target, bench.rounds)[0]
    return {f"share of matrix speed, {n}": bench.layer(n).flops(steps) / ms / peak for n, ms in row_ms.items()}


def _thread_gains(bench: Bench) -> dict[str, float]:
    """Return the wall time of one row by one thread over that by all cores; nothing where there is one, or no CPU."""
    cores = available_cores()
    if bench.target.type != "cpu" or cores == 1:
        return {}
    found = {"threads compared": float(cores)}
    for name in (*RECURRENT, ATTENTION):
        run = bench.forward(name, 1, ONE_ROW).run
        works = [Work(run, partial(torch.set_num_threads, count)) for count in (1, cores)]
        with threads(1):
            one, every = least_ms(works, bench.target, 3, wall=True)
        found[f"gain by threads, {name}"] = one / every
    return found


def _throughput(bench: Bench, names: tuple[str, ...], cells: list[Cell]) -> dict[str, tuple[float, ...]]:
    """Return the thousand steps per second in training of each name at each cell."""
    table = bench.table(names, cells, bench.training)
    return {
        name: tuple(rows * steps / ms for (rows, steps), ms in zip(cells, times, strict=True))
        for name, times in table.items()
    }


def _threads_said(numbers: Mapping[str, float]) -> str:
    gained = numbers.get(f"gain by threads, {ATTENTION}")
    if gained is None:
        return ""
    cores = numbers["threads compared"]
    if not GAINS <= gained <= cores:
        return (
            f" {cores:.0f} threads multiplied the speed of attention by {gained:.2g}: the machine is too busy, or the "
            "row too short, to judge what they give an RNN."
        )
    return f" {cores:.0f} threads multiply the speed of one row: {listed(numbers, 'gain by threads')}."
