"""Decision trees as tensors: all trees of a forest walk down together, one gather a level."""

import numpy as np
import torch
from torch import Tensor, nn

from advisor.baselines.base import fill


class Forest(nn.Module):
    """Binary regression trees of at most `nodes` nodes; a leaf leads to itself, so that walking on changes nothing.

    Cost: `depth` gathers of (rows, trees).
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, trees: int, nodes: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(trees, nodes, dtype=torch.int64))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(trees, nodes))

    def forward(self, features: Tensor) -> Tensor:
        """Return the leaf values (rows, trees) that rows of features (rows, F) reach."""
        trees, nodes = self.feature.shape
        root = torch.arange(trees, device=features.device)[None] * nodes
        node = root + torch.zeros_like(features[:, :1], dtype=torch.int64)
        for _ in range(self.depth):
            goes_left = features.gather(1, self.feature.flatten()[node]) <= self.threshold.flatten()[node]
            node = root + torch.where(goes_left, self.left.flatten()[node], self.right.flatten()[node])
        return self.value.flatten()[node]

    def plant(
        self,
        tree: int,
        leaf: np.ndarray,
        feature: np.ndarray,
        threshold: np.ndarray,
        left: np.ndarray,
        right: np.ndarray,
        value: np.ndarray,
    ) -> None:
        """Copy one fitted tree, given by its nodes with the root first; of a leaf only `value` is read.

        scikit-learn compares float32 features with float64 thresholds; rounding these down to float32 decides the same.
        """
        own = np.arange(len(leaf))
        rounded = threshold.astype(np.float32)
        rounded = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        for buffer, values in (
            (self.feature, np.where(leaf, 0, feature).astype(np.int64)),
            (self.threshold, np.where(leaf, 0, rounded)),
            (self.left, np.where(leaf, own, left).astype(np.int64)),
            (self.right, np.where(leaf, own, right).astype(np.int64)),
            (self.value, value),
        ):
            fill(buffer[tree, : len(own)], values)
