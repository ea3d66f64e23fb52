"""Augmentation changes sizes about the mean and adds little noise; batches go through all series in turn."""

import numpy as np
import pytest
import torch

from advisor.data.rows import Rows
from advisor.training.augment import JITTER, SCALE, Spread, augmented
from advisor.training.config import TrainConfig
from advisor.training.rows import row_batches


def series(offset=500.0, n=400):
    """Return series of 60 steps and two channels of deviation 1 and 5 around an offset, half of them 20 steps long."""
    x = offset + torch.randn(n, 60, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0])
    lengths = torch.tensor([60, 20]).repeat(n // 2)
    return x.masked_fill((torch.arange(60) >= lengths[:, None])[..., None], 0), lengths


def rows(n=10):
    x, lengths = series(0.0, n)
    return Rows(x.numpy(), lengths.numpy(), np.arange(n) % 2, np.ones(n), np.arange(n))


def test_the_spread_is_that_of_the_valid_steps():
    spread = Spread.of(*series())
    torch.testing.assert_close(spread.mean, torch.tensor([500.0, 500.0]), rtol=0, atol=0.2)
    torch.testing.assert_close(spread.deviation, torch.tensor([1.0, 5.0]), rtol=0.02, atol=0)


def test_a_large_offset_is_no_size():
    x, _ = series()
    spread = Spread.of(x, torch.full((len(x),), 20))
    change = (augmented(x, spread, torch.Generator().manual_seed(0)) - x)[:, :20]
    expected = (SCALE**2 + JITTER**2) ** 0.5 * spread.deviation
    torch.testing.assert_close(change.std((0, 1)), expected, rtol=0.1, atol=0)


def test_every_series_is_drawn_before_any_is_drawn_again():
    draw, generator = row_batches(rows(), TrainConfig(batch=4, augment=False), "cpu"), torch.Generator().manual_seed(0)
    seen = torch.cat([draw(generator)[0][:, 0, 0] for _ in range(5)])
    assert len(set(seen[:10].tolist())) == len(set(seen[10:].tolist())) == 10


@pytest.mark.parametrize("augment", [True, False])
def test_a_batch_ends_with_its_longest_series_and_repeats_with_the_seed(augment):
    config = TrainConfig(batch=64, augment=augment)
    first, second = (row_batches(rows(), config, "cpu")(torch.Generator().manual_seed(3)) for _ in range(2))
    assert first[0].shape == (10, 60, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
