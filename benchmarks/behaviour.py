"""What each kind of layer can learn within a fixed number of optimiser steps: models x synthetic tasks x seeds.

The recipe is the same for all: two pre-norm blocks of mixer and feed-forward part of width 64, AdamW with learning
rate 3e-3, betas 0.9 and 0.98, weight decay 0.01, 50 steps of warm-up, cosine to 2 %, gradients clipped to norm 1, fresh
data every step. The budget is steps, so a cell is the same on every machine of one kind, loaded or not. A miss means
"not within the budget".
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.tasks import TASKS, UNSCORED, Batch, Task
from hybrids import parse
from hybrids.backbone import Backbone
from hybrids.decay import split_by_decay
from hybrids.moe import balance_loss

WIDTH, EXPANSION = 64, 2.0
RATE, BETAS, DECAY, WARM_UP, LAST_RATE, CLIP = 3e-3, (0.9, 0.98), 0.01, 50, 0.02, 1.0
BALANCE = 1e-2
"""Weight of the router loss of `moe_rnn` (Fedus et al. 2021, arXiv:2101.03961); 0 for all others."""
TEST_ROWS = 512
CAUSAL: dict[str, dict[str, Any]] = {
    "attention": {"causal": True},
    "conv": {"causal": True, "kernel": 4, "scales": 1},
}
PAGE = f"""\
# Behaviour

What each kind of layer learns, measured on synthetic tasks that need one ability each. Written from the measured cells
by `python -m benchmarks behaviour -o behaviour.json --table docs/behaviour.md`; do not edit.

Every model: embedding, pre-norm blocks of the layers named, each with a gated feed-forward part of {EXPANSION:g} times
the width {WIDTH}, linear output. AdamW, learning rate {RATE:g}, betas {BETAS[0]:g} and {BETAS[1]:g}, weight decay
{DECAY:g}, {WARM_UP} steps of warm-up, cosine to {LAST_RATE:.0%}, gradients clipped to norm {CLIP:g}, fresh data every
step. The budget is a number of optimiser steps, the same for all models of a task, and one learning rate is not the
best for all: a miss means "not within this budget", not "cannot". The budgets were chosen so that the layer known to
solve a task does, with the same seeds. {TEST_ROWS} test sequences a seed. In `conv + attention` the convolution is
causal and has 4 taps, as the one inside the linear, delta, minimal and state space layers; `conv` alone has 39.
`moe_rnn` learns with its router's balance loss, times {BALANCE:g}.

Accuracy, mean over the seeds: at the length of training / at the test length; in brackets the least and the highest
test accuracy where they differ by more than 0.05, and the number of seeds where it is less than that of the task. An
empty cell was not measured.
"""


class Model(NamedTuple):
    """Layers by name, bottom first, and the settings that are not the defaults."""

    layout: str
    settings: Mapping[str, dict[str, Any]] = MappingProxyType({})


MODELS: dict[str, Model] = {
    "rnn": Model("2*rnn"),
    "lstm": Model("2*lstm"),
    "lstm (chrono)": Model("2*lstm", {"lstm": {"init": "chrono"}}),
    "gru": Model("2*gru"),
    "gru (chrono)": Model("2*gru", {"gru": {"init": "chrono"}}),
    "mingru": Model("2*mingru"),
    "minlstm": Model("2*minlstm"),
    "attention": Model("2*attention"),
    "conv + attention": Model("conv + attention"),
    "conv": Model("2*conv", {"conv": {"causal": True, "kernel": 39}}),
    "kernel_attention": Model("2*kernel_attention"),
    "linear_attention": Model("2*linear_attention"),
    "gated_delta": Model("2*gated_delta"),
    "gated_delta (negative)": Model("2*gated_delta", {"gated_delta": {"negative_eigenvalues": True}}),
    "ssm": Model("2*ssm"),
    "s4d": Model("2*s4d"),
    "lstm + attention": Model("lstm + attention"),
    "ssm + attention": Model("ssm + attention"),
    "gru + conv + attention": Model("gru + conv + attention"),
    "attention_rnn": Model("2*attention_rnn"),
    "moe_rnn": Model("2*moe_rnn"),
}


class Tagger(nn.Module):
    """Tokens (B, L) to logits (B, L, classes): embedding, backbone, linear."""

    def __init__(self, model: Model, task: Task) -> None:
        super().__init__()
        self.embed = nn.Embedding(task.vocabulary, WIDTH)
        self.backbone = Backbone(parse(model.layout, {**CAUSAL, **model.settings}), WIDTH, EXPANSION, 0.0)
        self.out = nn.Linear(WIDTH, task.classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits."""
        return self.out(self.backbone(self.embed(tokens))[0])


def rate_at(step: int, steps: int) -> float:
    """Return the share of the learning rate: linear warm-up, then cosine to `LAST_RATE`."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2


def train(network: nn.Module, task: Task, seed: int, steps: int) -> None:
    """Train in place on fresh batches."""
    decayed, kept = split_by_decay(network)
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": kept, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=BETAS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, steps))
    generator = torch.Generator().manual_seed(2 * seed + 1)
    network.train()
    for _ in range(steps):
        batch = task.train(task.batch, generator)
        loss = F.cross_entropy(network(batch.tokens).flatten(0, 1), batch.targets.flatten(), ignore_index=UNSCORED)
        loss = loss + BALANCE * balance_loss(network)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        schedule.step()


@torch.no_grad()
def accuracy(network: nn.Module, batches: Iterable[Batch]) -> float:
    """Return the share of scored steps that are right."""
    network.eval()
    right = scored = 0
    for tokens, targets in batches:
        asked = targets != UNSCORED
        right += int((network(tokens).argmax(-1) == targets)[asked].sum())
        scored += int(asked.sum())
    return right / scored


def measure(model: str, task: str, seed: int, steps: int | None = None, test_rows: int = TEST_ROWS) -> dict[str, Any]:
    """Return the cell: accuracy at the training and at the test length, steps, CPU seconds, or why there is none."""
    job, chosen = TASKS[task], MODELS[model]
    budget = job.steps if steps is None else steps
    began = time.process_time()
    torch.manual_seed(seed)
    try:
        network = Tagger(chosen, job)
    except ValueError as error:
        return {"skipped": str(error)}
    train(network, job, seed, budget)
    scores = {}
    for name, draw in (("train", job.train), ("test", job.test)):
        generator = torch.Generator().manual_seed(10_000 + seed)
        scores[name] = accuracy(network, (draw(job.batch, generator) for _ in range(-(-test_rows // job.batch))))
    return {**scores, "steps": budget, "seconds": round(time.process_time() - began, 1)}


def missing(
    cells: dict[str, Any], models: Sequence[str], tasks: Sequence[str], seeds: Iterable[int]
) -> Iterator[tuple[str, str, str, int]]:
    """Yield key, model, task and seed of the wanted cells not measured yet with the task's budget, seed by seed."""
    for seed in seeds:
        for task in tasks or TASKS:
            for model in models or MODELS:
                key = f"{model} | {task} | {seed}"
                if cells.get(key, {}).get("steps") != TASKS[task].steps:
                    yield key, model, task, seed


def markdown(result: dict[str, Any]) -> str:
    """Return the page: the recipe, one table of accuracies, one of tasks."""
    cells = result["cells"]
    found = {(model, task): _current(cells, model, task) for model in MODELS for task in TASKS}
    seeds = {task: max(len(found[model, task]) for model in MODELS) for task in TASKS}
    lines = [
        PAGE,
        "| layers | " + " | ".join(_heading(task) for task in TASKS) + " |",
        "|---|" + "---|" * len(TASKS),
        "| guessing | " + " | ".join(f"{task.chance:.2f}" for task in TASKS.values()) + " |",
    ]
    for model in MODELS:
        texts = [_cell(found[model, task], seeds[task]) for task in TASKS]
        if any(texts):
            lines.append(f"| {model} | " + " | ".join(texts) + " |")
    lines += ["", "| task | asked | steps x rows | seeds | published |", "|---|---|---|---|---|"]
    for name, task in TASKS.items():
        budget = f"{task.steps} x {task.batch} | {seeds[name]}"
        lines.append(f"| {_heading(name)} | {task.words} | {budget} | {task.literature} |")
    skipped = sorted({f"- {k.split(' | ')[0]}: {c['skipped']}" for k, c in cells.items() if "skipped" in c})
    lines += ["", "Not measured:", "", *skipped] if skipped else []
    about = result["machine"]
    return "\n".join([*lines, "", f"Measured with PyTorch {about['torch']}, one thread, {about['name']}.", ""])


def _current(cells: dict[str, Any], model: str, task: str) -> list[dict[str, Any]]:
    """Return the cells of all seeds that were measured with the task's present budget."""
    of_both = [cell for key, cell in cells.items() if key.startswith(f"{model} | {task} | ")]
    return [cell for cell in of_both if cell.get("steps") == TASKS[task].steps]


def _heading(task: str) -> str:
    return task.replace("_", " ")


def _cell(found: Sequence[dict[str, Any]], seeds: int) -> str:
    """Return "train / test" of the seeds, with the range of the test where it is wide."""
    done = [cell for cell in found if "test" in cell]
    if not done:
        return ""
    train, test = ([cell[part] for cell in done] for part in ("train", "test"))
    text = f"{sum(train) / len(done):.2f} / {sum(test) / len(done):.2f}"
    if max(test) - min(test) > 0.05:
        text += f" ({min(test):.2f} to {max(test):.2f})"
    return text if len(done) == seeds else f"{text} [{len(done)}]"
