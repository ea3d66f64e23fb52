"""Forward and backward time and peak memory of every mixer against length, beside its best public peers.

Constant tokens per batch, so a cost linear in length is a constant time. Ours and the peers take turns in one process;
what is reported is the ratio. Bidirectional rows have ragged lengths, L / 2 to L; torch's layers take them packed.
Peak memory comes from a fresh process per cell.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from rich.table import Table
from torch import Tensor

from benchmarks import peers
from benchmarks.measure import DEVICE, exponent, in_fresh_process, machine, peak_mib, take_turns, train_pass
from hybrids import mixers
from hybrids.mixer import MixerConfig, reads_whole

TOKENS, WIDTH = 8192, 64
LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
QUICK_LENGTHS = (64, 512)
MEMORY_LENGTHS = (64, 1024, 8192)
GROWTH_FROM = 512  # shorter sequences measure overhead, not growth
SECONDS = 6.0  # a cell gets no further rounds after this time
SLOWEST_MS = 4_000.0  # a layer slower than this is not measured at the next lengths
RAGGED = ("bidirectional", "lc_bilstm")
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "attention": [{"causal": True, "window": 128}],
    "bidirectional": [{"of": {"kind": "gru"}}],
    "kernel_attention": [{"feature": "elu"}],
    "mingru": [{"kernel": 1}],  # the peer has no short convolution
    "minlstm": [{"kernel": 1}],
    "ssm": [{"expansion": 2}],
}


class Case(NamedTuple):
    """One mixer with its settings."""

    label: str
    config: MixerConfig
    ragged: bool


def cases(families: Sequence[str]) -> list[Case]:
    """Return each mixer with its defaults, with `causal` turned round, and as in `SETTINGS`."""
    found = []
    for name in families or mixers.names():
        config = mixers.config(name)
        turned = [{"causal": not config.model_fields["causal"].default}] if "causal" in config.model_fields else []
        for settings in [{}, *turned, *SETTINGS.get(name, [])]:
            label = " ".join([name, *(_words(field, value) for field, value in settings.items())])
            found.append(Case(label, config(**settings), ragged=name in RAGGED))
    return found


def _words(field: str, value: Any) -> str:
    if value is True:
        return field
    return f"{field} {value['kind'] if isinstance(value, dict) else value}"


def built(case: Case, peer: int | None, length: int) -> Callable[[Tensor], Tensor]:
    """Return the forward pass of our mixer, or of its `peer`, for the lengths of this case."""
    torch.manual_seed(0)
    batch = max(1, TOKENS // length)
    lengths = torch.linspace(length, length // 2, batch).long().to(DEVICE) if case.ragged else None
    if peer is not None:
        layer = peers.peers_of(case.config)[peer].build(WIDTH, length).to(DEVICE)
        return lambda x: layer(x, None if lengths is None else lengths[: x.shape[0]])
    mixer = case.config.build(WIDTH).to(DEVICE)
    reads_whole(mixer)  # as the peers do
    return lambda x: mixer(x, lengths=None if lengths is None else lengths[: x.shape[0]])[0]


def tokens(batch: int, length: int) -> Tensor:
    """Return random tokens that want a gradient."""
    return torch.randn(batch, length, WIDTH, device=DEVICE, requires_grad=True)


def peak_of(case: Case, peer: int | None, length: int) -> float:
    """Return the peak memory of one pass in MiB; runs in a fresh process."""
    peers.fetch()
    run, x = built(case, peer, length), tokens(max(1, TOKENS // length), length)
    return peak_mib(partial(train_pass, run, x), partial(train_pass, built(case, peer, 64), tokens(1, 64)))


def compare(
    case: Case, lengths: Sequence[int], memory: Sequence[int], rounds: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return one row a layer and length with its ms, and its MiB at the lengths in `memory`."""
    rivals: list[tuple[str, int | None]] = [("ours", None)]
    rivals += [(peer.name, i) for i, peer in enumerate(peers.peers_of(case.config))]
    rows: list[dict[str, Any]] = []
    for length in lengths:
        x = tokens(max(1, TOKENS // length), length)
        runs, names = [], []
        for name, peer in rivals:
            try:
                run = partial(train_pass, built(case, peer, length), x)
                run()  # warms up, too
            except Exception as error:  # one layer that cannot run is said and does not end the others
                say(f"{case.label}, {name}, length {length}: not measured, {type(error).__name__}: {error}")
                continue
            runs.append(run)
            names.append((name, peer))
        for (name, peer), ms in zip(names, take_turns(runs, rounds, SECONDS), strict=True):
            mib = None
            try:
                mib = in_fresh_process(peak_of, case, peer, length, preload=__name__) if length in memory else None
            except RuntimeError as error:
                say(f"{case.label}, {name}, length {length}: memory not measured, {error}")
            rows.append({"mixer": case.label, "layer": name, "length": length, "ms": ms, "mib": mib})
            if ms > SLOWEST_MS:
                say(f"{case.label}, {name}: not measured past length {length}, a pass takes {ms:.0f} ms")
                rivals.remove((name, peer))
    return rows


def measure(families: Sequence[str], lengths: Sequence[int], quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Return machine, versions, one row a mixer, layer and length, and one growth exponent a mixer and layer."""
    versions, rows, skipped = peers.fetch(), [], []

    def skip(message: str) -> None:
        skipped.append(message)
        say(message)

    memory = (max(lengths),) if quick else (*MEMORY_LENGTHS, max(lengths))
    for case in cases(families):
        say(case.label)
        rows += compare(case, lengths, memory, 2 if quick else 5, skip)
    shape = {"tokens": TOKENS, "width": WIDTH}
    return {"machine": machine(), "peers": versions, **shape, "rows": rows, "growth": growth(rows), "skipped": skipped}


def growth(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return p of time per sequence ~ length^p for every mixer and layer, from `GROWTH_FROM` steps on."""
    keys = dict.fromkeys((row["mixer"], row["layer"]) for row in rows)
    found = []
    for mixer, layer in keys:
        long = [r for r in rows if (r["mixer"], r["layer"]) == (mixer, layer) and r["length"] >= GROWTH_FROM]
        if len(long) > 1:
            p = exponent([r["length"] for r in long], [r["ms"] for r in long])
            found.append({"mixer": mixer, "layer": layer, "exponent": p})
    return found


def table(result: dict[str, Any]) -> Table:
    """Return the result as a table: ms a length, the ratio ours / peer below each peer, growth and memory."""
    rows = {(r["mixer"], r["layer"], r["length"]): r for r in result["rows"]}
    lengths = sorted({r["length"] for r in result["rows"]})
    powers = {(g["mixer"], g["layer"]): g["exponent"] for g in result["growth"]}
    show = Table(
        title=f"forward + backward, ms (ours / peer), {TOKENS} tokens, width {WIDTH}, {result['machine']['name']}"
    )
    show.add_column("mixer")
    show.add_column("layer")
    for length in lengths:
        show.add_column(str(length), justify="right")
    show.add_column("growth", justify="right")
    show.add_column(f"MiB at {lengths[-1]}", justify="right")
    for mixer, layer in dict.fromkeys((r["mixer"], r["layer"]) for r in result["rows"]):
        cells = []
        for length in lengths:
            row, ours = rows.get((mixer, layer, length)), rows.get((mixer, "ours", length))
            if row is None:
                cells.append("")
            elif layer == "ours" or ours is None:
                cells.append(f"{row['ms']:.1f}")
            else:
                cells.append(f"{row['ms']:.1f} ({ours['ms'] / row['ms']:.2f})")
        power, last = powers.get((mixer, layer)), rows.get((mixer, layer, lengths[-1]))
        mib = "" if last is None or last["mib"] is None else f"{last['mib']:.0f}"
        show.add_row(mixer if layer == "ours" else "", layer, *cells, "" if power is None else f"{power:.2f}", mib)
    return show
