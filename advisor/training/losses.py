"""The training loss of each task."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advisor.training.config import Batch, TrainConfig
from hybrids.heads.forecast import pinball, scale_of
from profiles.task import Task


def loss_of(task: Task, model: nn.Module, batch: Batch, config: TrainConfig) -> Tensor:
    """Return the training loss: cross-entropy, squared error in target deviations, or pinball.

    The pinball loss is in units of the deviation that the target has in its own window, so that series of any level
    weigh alike.
    """
    x, lengths, y = batch
    answer = model(x, lengths).float()
    if task == "classify":
        return F.cross_entropy(answer, y, label_smoothing=config.label_smoothing)
    if task == "regress":
        head = model.head
        assert isinstance(head, nn.Module)
        return F.huber_loss((answer - y) / head.scale, torch.zeros_like(answer))
    mean, scale = scale_of(x[..., :1])
    return pinball((answer - mean) / scale, (y - mean[..., 0]) / scale[..., 0])
