"""The training loss of each task."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advisor.training.config import Batch, TrainConfig
from hybrids import SequenceModel
from hybrids.heads.forecast import pinball
from profiles.task import Task


def loss_of(task: Task, model: nn.Module, batch: Batch, config: TrainConfig) -> Tensor:
    """Return the training loss: cross-entropy, squared error in target deviations, or pinball.

    The pinball loss is in units of the deviation that the target has in its own window, so that series of any level
    weigh alike; where the model takes its square root, in that of the root.
    """
    x, lengths, y = batch
    if task == "forecast":
        assert isinstance(model, SequenceModel)
        z, mean, scale = model.standardise(x)
        _, quantiles = model.forecast_scaled(z)
        return pinball(quantiles.float(), (model.transformed(y) - mean[..., 0]) / scale[..., 0])
    answer = model(x, lengths).float()
    if task == "classify":
        return F.cross_entropy(answer, y, label_smoothing=config.label_smoothing)
    head = model.head
    assert isinstance(head, nn.Module)
    return F.huber_loss((answer - y) / head.scale, torch.zeros_like(answer))
