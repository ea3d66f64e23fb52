"""Peak memory and time of training with and without gradient checkpointing, at length 4096.

Memory: see `benchmarks.measure`; activations, gradients and copies count. Time: CPU time, the least of interleaved
rounds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from benchmarks.measure import DEVICE, in_fresh_process, machine, peak_mib, take_turns, train_pass
from hybrids import parse
from hybrids.backbone import Backbone
from hybrids.checkpointing import checkpointed

WIDTH, BATCH, LENGTH = 64, 16, 4096
LAYOUTS = ("lstm", "gru", "4*lstm", "4*gru", "8*ssm")
WAYS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "blocks": {"depth": True},
    "segments of 256": {"segment": 256, "depth": False},
    "segments of 64": {"segment": 64, "depth": False},
    "blocks and segments of 256": {"segment": 256, "depth": True},
}


def forward(layout: str, way: str) -> Callable[[Tensor], Tensor]:
    """Return the forward pass of a backbone of `layout` run in that way, pooled over time as a classifier does."""
    torch.manual_seed(0)
    backbone, options = Backbone(parse(layout), WIDTH, 2.0, 0.0).to(DEVICE), WAYS[way]
    if options is None:
        return lambda x: backbone(x)[0].mean(1)
    return lambda x: checkpointed(backbone, x, **options)[0].mean(1)


def tokens(batch: int, length: int) -> Tensor:
    """Return random tokens that want a gradient, as those of a front end do."""
    return torch.randn(batch, length, WIDTH, device=DEVICE, requires_grad=True)


def peak_of(layout: str, way: str, batch: int, length: int) -> float:
    """Return the peak memory of one training pass in MiB; runs in a fresh process."""
    run, x, small = forward(layout, way), tokens(batch, length), tokens(1, 8)
    return peak_mib(partial(train_pass, run, x), partial(train_pass, run, small))


def measure(quick: bool) -> dict[str, Any]:
    """Return one row a layout and way: MiB, ms, and both over those of the plain pass."""
    batch, length, rounds = (4, 1024, 2) if quick else (BATCH, LENGTH, 4)
    rows = []
    for layout in LAYOUTS[:2] if quick else LAYOUTS:
        x = tokens(batch, length)
        passes = [partial(train_pass, forward(layout, way), x) for way in WAYS]
        for warm_up in passes:
            warm_up()
        times = take_turns(passes, rounds, seconds=60)
        peaks = [in_fresh_process(peak_of, layout, way, batch, length, preload=__name__) for way in WAYS]
        for way, ms, mib in zip(WAYS, times, peaks, strict=True):
            rows.append(
                {
                    "layout": layout,
                    "way": way,
                    "mib": mib,
                    "ms": ms,
                    "times_less_memory": peaks[0] / mib,
                    "times_the_time": ms / times[0],
                }
            )
    return {"machine": machine(), "width": WIDTH, "batch": batch, "length": length, "rows": rows}


def table(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    name = result["machine"]["name"]
    show = Table(title=f"training at length {result['length']}, batch {result['batch']}, width {WIDTH}, {name}")
    for column in ("layers", "recomputed", "peak MiB", "less memory", "ms", "of the time"):
        show.add_column(column, justify="left" if column in ("layers", "recomputed") else "right")
    for row in result["rows"]:
        numbers = (f"{row['mib']:.0f}", f"{row['times_less_memory']:.1f} x")
        show.add_row(row["layout"], row["way"], *numbers, f"{row['ms']:.0f}", f"{row['times_the_time']:.2f} x")
    return show
