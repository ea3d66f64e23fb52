"""The training loop: device-resident data, AdamW, warm-up and cosine, weight averaging, best weights kept.

What is done is the larger of the share of steps and the share of seconds used, so that the learning rate has come
down to its floor whichever limit ends the training. Weights are averaged over steps (decay up to 0.995) and it is
the average that is judged and kept. A training may stop at a rung and go on later (`Progress`): the learning rate
follows the whole training, so that the model at its end is the one of a training that never stopped. (A warm restart
at each rung ended 2 to 6 % worse: docs/LOG.md.)
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advisor.records import CurvePoint
from advisor.training.config import Batches, TrainConfig
from advisor.training.looks import has_settled, is_due, share
from advisor.training.losses import loss_of
from advisor.training.progress import Progress
from hybrids.decay import split_by_decay
from hybrids.moe import Router, balance_loss, z_loss
from profiles.task import Task

BALANCE, ROUTER_Z = 1e-2, 1e-3
"""Weights of the router losses (Fedus et al. 2021, arXiv:2101.03961; Zoph et al. 2022, arXiv:2202.08906)."""


@dataclass(frozen=True)
class Trained:
    """What a training left: the best averaged weights are in the model; `failed` names what went wrong."""

    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float
    best: float | None
    settled: bool = False
    """Ended by patience: more of the same would not help."""
    failed: str = ""


def train(
    task: Task,
    model: nn.Module,
    batches: Batches,
    config: TrainConfig,
    *,
    seed: int,
    judge: Callable[[], float] | None,
    higher_is_better: bool,
    deadline: float = math.inf,
    reserve: float = 0.0,
    goes_on: Path | None = None,
    keep: Path | None = None,
) -> Trained:
    """Train `model` in place for one rung and leave the best averaged weights in it.

    Steps and seconds of `config` are those of the whole training, whose rungs end at `config.until` of it.

    Args:
        task: Which loss.
        model: On its device.
        batches: Source of batches.
        config: Settings.
        seed: Of the order of the data and of dropout.
        judge: Scores the model as it is on the validation part; None: keep the last weights.
        higher_is_better: Of the score.
        deadline: `time.monotonic()` after which no step is begun.
        reserve: What the caller does before the deadline when training is over, in times of one judging.
        goes_on: Progress of an earlier rung to go on from.
        keep: File for the progress at the end, for a later rung.
    """
    began = time.monotonic()
    torch.manual_seed(seed)
    at = _begin(model, config, seed)
    if goes_on is not None:
        at.load(goes_on)
    device = at.live[0].device
    first, before = at.step, at.seconds
    judging_s: float | None = None
    stale, settled = 0, False
    looked = share(config, at.curve[-1].step, at.curve[-1].seconds) if at.curve else 0.0
    looked_step = at.step
    loss_sum, loss_count = torch.zeros((), device=device), 0
    routed = any(isinstance(part, Router) for part in model.modules())
    live = at.live
    model.train()
    while True:
        elapsed = before + time.monotonic() - began
        done = share(config, at.step, elapsed)
        over = done >= config.until or time.monotonic() + reserve * (judging_s or 0.0) >= deadline
        due = is_due(config, done - looked, at.step - looked_step, looked, judging_s)
        if at.step > first and (over or due):
            asked = time.monotonic()
            looked, looked_step = done, at.step
            mean_loss = float(loss_sum) / max(1, loss_count)
            if not math.isfinite(mean_loss):
                why = f"the loss became {mean_loss} by step {at.step}"
                return Trained(tuple(at.curve), at.step, elapsed, None, failed=why)
            loss_sum, loss_count = torch.zeros_like(loss_sum), 0
            if judge:
                swap(live, at.average)
                quality = judge()
                if not math.isfinite(quality):
                    why = f"its answers were no numbers by step {at.step}"
                    return Trained(tuple(at.curve), at.step, elapsed, None, failed=why)
                model.train()
                seconds = before + time.monotonic() - began
                at.curve.append(CurvePoint(step=at.step, seconds=seconds, train_loss=mean_loss, quality=quality))
                ahead = at.best is None or (quality > at.best if higher_is_better else quality < at.best)
                if ahead or quality == at.best:  # of equals the later: its average is over more steps
                    at.mark_best(quality)
                stale = 0 if ahead else stale + 1
                assert at.best is not None
                settled = has_settled(config, at.curve, at.best) if config.early_looks else stale >= config.patience
                swap(live, at.average)
                judging_s = time.monotonic() - asked
        if over or settled:
            break
        rate = min(1.0, done / config.warm_up) if config.warm_up else 1.0
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        for group in at.optimiser.param_groups:
            group["lr"] = config.learning_rate * max(rate, 1e-3)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = loss_of(task, model, batches(at.generator), config)
            if routed:
                loss = loss + BALANCE * balance_loss(model) + ROUTER_Z * z_loss(model)
        at.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(live, config.clip)
        at.optimiser.step()
        at.step += 1
        loss_sum, loss_count = loss_sum + loss.detach(), loss_count + 1
        with torch.no_grad():
            decay = min(0.995, at.step / (at.step + 10.0))
            torch._foreach_lerp_(at.average, [p.detach() for p in live], 1 - decay)
    at.seconds = before + time.monotonic() - began
    if keep is not None:
        at.save(keep)
    at.settle()
    model.eval()
    return Trained(tuple(at.curve), at.step, at.seconds, at.best, settled)


def _begin(model: nn.Module, config: TrainConfig, seed: int) -> Progress:
    """Return the progress of a training that has not made a step."""
    decayed, still = split_by_decay(model)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": still, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(
        groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True, betas=(0.9, 0.98)
    )
    average = [p.detach().clone() for p in model.parameters()]
    return Progress(model, optimiser, torch.Generator().manual_seed(seed), average)


@torch.no_grad()
def swap(a: list[nn.Parameter], b: list[Tensor]) -> None:
    """Exchange the values of two lists of weights."""
    for left, right in zip(a, b, strict=True):
        held = left.detach().clone()
        left.copy_(right)
        right.copy_(held)


def answering(model: nn.Module) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return `model` as a function of arrays, in evaluation mode, without gradients."""
    weight = next(iter([*model.parameters(), *model.buffers()]), torch.zeros(()))

    @torch.inference_mode()
    def answer(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        model.eval()
        out = model(torch.from_numpy(x).to(weight.device), torch.from_numpy(lengths).to(weight.device))
        return np.asarray(out.float().cpu().numpy())

    return answer
