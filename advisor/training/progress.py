"""Where a training stands: everything that a later process needs to go on as if it had not stopped.

One safetensors file: live weights and buffers, their average, the best so far, both moments of AdamW, and the states
of the random generators; steps, scores and the curve are JSON in its header. Going on from the file gives the same
numbers, bit by bit, in every process; rows are drawn in a new order from there on, so an unbroken training differs.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from advisor.records import CurvePoint

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """One training under way.

    Attributes:
        model: Live weights.
        optimiser: AdamW over them.
        generator: Draws the batches.
        average: Running average of every parameter, in the model's order.
        best_weights: Parameters and buffers that scored best, in the order of `values`; None before the first score.
        best: Their score.
        step: Steps made.
        seconds: Of training and judging.
        curve: One point a look.
    """

    model: nn.Module
    optimiser: torch.optim.AdamW
    generator: torch.Generator
    average: list[Tensor]
    best_weights: list[Tensor] | None = None
    best: float | None = None
    step: int = 0
    seconds: float = 0.0
    curve: list[CurvePoint] = field(default_factory=list)

    @property
    def live(self) -> list[nn.Parameter]:
        """Return the parameters in the model's order."""
        return list(self.model.parameters())

    def values(self) -> list[Tensor]:
        """Return parameters, then buffers."""
        return [*self.model.parameters(), *self.model.buffers()]

    @torch.no_grad()
    def mark_best(self, quality: float) -> None:
        """Keep a copy of the weights as they are now."""
        self.best, self.best_weights = quality, [v.detach().clone() for v in self.values()]

    @torch.no_grad()
    def settle(self) -> None:
        """Leave the best weights in the model, or their average where nothing was judged."""
        kept = self.best_weights if self.best_weights is not None else self.average
        for value, final in zip(self.values(), kept, strict=False):
            value.copy_(final)

    def save(self, path: Path) -> None:
        """Write the file, replacing it in one step."""
        tensors = {f"live.{i}": v for i, v in enumerate(self.values())}
        tensors |= {f"average.{i}": v for i, v in enumerate(self.average)}
        tensors |= {f"best.{i}": v for i, v in enumerate(self.best_weights or ())}
        for i, p in enumerate(self.live):
            tensors |= {f"{name}.{i}": v for name, v in self.optimiser.state.get(p, {}).items() if name in MOMENTS}
        tensors |= {"generator": self.generator.get_state(), "torch": torch.get_rng_state()}
        device = self.live[0].device
        if device.type == "cuda":
            tensors["cuda"] = torch.cuda.get_rng_state(device)
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "curve": [point.model_dump() for point in self.curve],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        whole = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        save_file(whole, temporary, metadata={"facts": json.dumps(facts)})
        os.replace(temporary, path)

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Take over what `save` wrote, into a model and an optimiser of the same shapes."""
        device = self.live[0].device
        with safe_open(path, "pt") as file:
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            facts = json.loads(file.metadata()["facts"])
        for i, value in enumerate(self.values()):
            value.copy_(held[f"live.{i}"])
        for i, value in enumerate(self.average):
            value.copy_(held[f"average.{i}"])
        for i, p in enumerate(self.live):
            if f"exp_avg.{i}" in held:
                self.optimiser.state[p] = {name: held[f"{name}.{i}"].to(device) for name in MOMENTS}
        self.best_weights = None
        if "best.0" in held:
            self.best_weights = [held[f"best.{i}"].to(device) for i in range(len(self.values()))]
        self.generator.set_state(held["generator"])
        torch.set_rng_state(held["torch"])
        if "cuda" in held and device.type == "cuda":
            torch.cuda.set_rng_state(held["cuda"], device)
        self.step, self.seconds, self.best = facts["step"], facts["seconds"], facts["best"]
        self.curve = [CurvePoint(**point) for point in facts["curve"]]
