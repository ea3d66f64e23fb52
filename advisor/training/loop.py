"""The training loop: device-resident data, AdamW, warm-up and cosine, weight averaging, best weights kept.

Progress is the larger of the share of steps and the share of seconds used, so that the learning rate has come
down to its floor whichever limit ends the training. Weights are averaged over steps (decay up to 0.995) and it is
the average that is judged and kept.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advisor.records import CurvePoint
from advisor.training.config import Batches, TrainConfig
from advisor.training.losses import loss_of
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
) -> Trained:
    """Train `model` in place and leave the best averaged weights in it.

    Args:
        task: Which loss.
        model: On its device.
        batches: Source of batches.
        config: Settings.
        seed: Of the order of the data and of dropout.
        judge: Scores the model as it is on the validation part; None: keep the last weights.
        higher_is_better: Of the score.
        deadline: `time.monotonic()` after which no step is begun.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    decayed, still = split_by_decay(model)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": still, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(
        groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True, betas=(0.9, 0.98)
    )
    live = list(model.parameters())
    average = [p.detach().clone() for p in live]
    best_weights, best, stale = None, None, 0
    curve: list[CurvePoint] = []
    loss_sum, loss_count = torch.zeros((), device=device), 0
    routed = any(isinstance(part, Router) for part in model.modules())
    began, step, looked = time.monotonic(), 0, 0.0
    model.train()
    while True:
        elapsed = time.monotonic() - began
        done = max(step / config.max_steps, elapsed / config.seconds if config.seconds else 0.0)
        over = done >= 1 or time.monotonic() >= deadline
        if step and (over or done - looked >= 1 / config.looks):
            looked = done
            mean_loss = float(loss_sum) / max(1, loss_count)
            if not math.isfinite(mean_loss):
                return Trained(tuple(curve), step, elapsed, None, f"the loss became {mean_loss} by step {step}")
            loss_sum, loss_count = torch.zeros_like(loss_sum), 0
            if judge:
                swap(live, average)
                quality = judge()
                model.train()
                curve.append(
                    CurvePoint(step=step, seconds=time.monotonic() - began, train_loss=mean_loss, quality=quality)
                )
                ahead = best is None or (quality > best if higher_is_better else quality < best)
                if ahead or quality == best:  # of equals the later: its average is over more steps
                    best, best_weights = quality, [p.detach().clone() for p in live]
                stale = 0 if ahead else stale + 1
                swap(live, average)
        if over or stale >= config.patience:
            break
        rate = min(1.0, done / config.warm_up) if config.warm_up else 1.0
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * max(rate, 1e-3)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = loss_of(task, model, batches(generator), config)
            if routed:
                loss = loss + BALANCE * balance_loss(model) + ROUTER_Z * z_loss(model)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(live, config.clip)
        optimiser.step()
        step += 1
        loss_sum, loss_count = loss_sum + loss.detach(), loss_count + 1
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in live], 1 - min(0.995, step / (step + 10.0)))
    with torch.no_grad():
        for p, value in zip(live, best_weights if best_weights is not None else average, strict=True):
            p.copy_(value)
    model.eval()
    return Trained(tuple(curve), step, time.monotonic() - began, best)


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
