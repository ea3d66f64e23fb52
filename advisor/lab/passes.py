"""The layers that the claims compare, and the passes through them that are timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advisor.lab.claim import Conditions
from advisor.lab.timing import Work, least_ms
from advisor.report.charts import Line
from hybrids import mixers
from hybrids.mixer import Mixer, MixerConfig, reads_whole
from profiles.device import resolve

LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN": ("rnn", {}),
    "GRU": ("gru", {}),
    "LSTM": ("lstm", {}),
    "attention": ("attention", {"causal": True}),
    "minGRU (scan)": ("mingru", {}),
    "kernel attention elu": ("kernel_attention", {"feature": "elu"}),
    "kernel attention Taylor": ("kernel_attention", {}),
    "gated linear attention": ("linear_attention", {}),
    "low-rank attention": ("low_rank_attention", {}),
    "selective SSM": ("ssm", {}),
    "diagonal SSM": ("s4d", {}),
}
"""Name on the page -> mixer and its settings. All but the low-rank one look back only, as a recurrence does."""
RECURRENT = ("RNN", "GRU", "LSTM")
Cell = tuple[int, int]
"""Rows and steps of a batch."""


def config(name: str) -> MixerConfig:
    """Return the settings of the layer called `name` on the page."""
    kind, settings = LAYERS[name]
    return mixers.config(kind)(**settings)


@dataclass(frozen=True)
class Bench:
    """Where the passes run.

    Attributes:
        target: The device.
        width: D of the layers: 64 on a CPU, 256 on an accelerator, which narrow layers would leave idle.
        rounds: Turns of each timed work.
    """

    target: torch.device
    width: int
    rounds: int

    @classmethod
    def under(cls, at: Conditions) -> "Bench":
        """Return the bench for these conditions; raise `DeviceError` where the device is not there."""
        target = resolve(at.device)
        return cls(target, 64 if target.type == "cpu" else 256, 4 if at.quick else 6)

    @property
    def place(self) -> str:
        """Return precision, device and threads in words."""
        on_cpu = self.target.type == "cpu"
        return f"float32, on {self.target}{f', threads: {torch.get_num_threads()}' if on_cpu else ''}"

    @property
    def where(self) -> str:
        """Return width and place in words."""
        return f"width {self.width}, {self.place}"

    @property
    def timed(self) -> str:
        """Return the same, and how a time comes about."""
        return f"{self.where}; least of {self.rounds} interleaved rounds"

    def layer(self, name: str) -> Mixer:
        """Return a fresh layer that is given whole sequences."""
        mixer = config(name).build(self.width).to(self.target)
        reads_whole(mixer)
        return mixer

    def tokens(self, rows: int, steps: int, width: int | None = None) -> Tensor:
        """Return random tokens (rows, steps, D) that want a gradient, as those of a layer below do."""
        return torch.randn(rows, steps, width or self.width, device=self.target, requires_grad=True)

    def step(self, name: str, rows: int, seen: int) -> Work:
        """Return one streaming step of one layer, without gradients, after `seen` steps."""
        layer, x = config(name).build(self.width).to(self.target), self.tokens(rows, seen)
        with torch.no_grad():
            _, state = layer(x)
        x_t = x[:, -1].detach()

        def run(_: object) -> None:
            with torch.no_grad():
                layer.step(x_t, state)

        return Work(run)

    def forward(self, name: str, rows: int, steps: int) -> Work:
        """Return the forward pass of one layer, without gradients."""
        layer, x = self.layer(name), self.tokens(rows, steps)

        def run(_: object) -> None:
            with torch.no_grad():
                layer(x)

        return Work(run)

    def backward(self, name: str, rows: int, steps: int) -> Work:
        """Return the backward pass of one layer alone; the forward pass before it is not timed."""
        layer, x = self.layer(name), self.tokens(rows, steps)
        return Work(lambda loss: loss.backward(), lambda: layer(x)[0].square().mean())

    def training(self, name: str, rows: int, steps: int) -> Work:
        """Return forward and backward pass of one layer."""
        return train_pass(self.layer(name), self.tokens(rows, steps))

    def table(
        self, names: Sequence[str], cells: Sequence[Cell], make: Callable[[str, int, int], Work]
    ) -> dict[str, tuple[float, ...]]:
        """Return the milliseconds of every name at every cell.

        All of them take turns, so that what disturbs the machine for a second disturbs one round of a cell at most.
        """
        works = [make(name, rows, steps) for name in names for rows, steps in cells]
        times = least_ms(works, self.target, self.rounds)
        return {name: tuple(times[i * len(cells) : (i + 1) * len(cells)]) for i, name in enumerate(names)}


def train_pass(layer: nn.Module, x: Tensor) -> Work:
    """Return forward and backward pass of a mixer or a backbone; the loss is the mean square."""
    return Work(lambda _: layer(x)[0].square().mean().backward())


def parameters(model: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(p.numel() for p in model.parameters())


def lines(xs: Sequence[float], table: dict[str, tuple[float, ...]]) -> tuple[Line, ...]:
    """Return one line a name of a table."""
    return tuple(Line(name=name, x=tuple(map(float, xs)), y=ys) for name, ys in table.items())


def same_work(steps: int, most_rows: int) -> list[Cell]:
    """Return cells of `steps` tokens in all, cut into 1, 4, 16, ... rows: the same work in ever shorter chains."""
    cells, rows = [], 1
    while rows <= most_rows:
        cells.append((rows, steps // rows))
        rows *= 4
    return cells


def listed(numbers: Mapping[str, float], what: str) -> str:
    """Return the figures of one kind, whose names are "what, layer", behind the layers they belong to."""
    found = {key.removeprefix(f"{what}, "): value for key, value in numbers.items() if key.startswith(f"{what}, ")}
    return ", ".join(f"{name} {value:.2f}" for name, value in found.items())
