"""Inputs change in size and by a little noise, or are those of a season before; batches go through all series."""

import numpy as np
import pytest
import torch

from advisor.data.rows import Rows
from advisor.training.augment import JITTER, SCALE, Spread, augmented, replace_
from advisor.training.config import TrainConfig
from advisor.training.rows import row_batches
from advisor.training.windows import window_batches


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


def replaced(x, season, share, begin=0, seed=0):
    out = x.clone()
    replace_(out, season, share, torch.Generator().manual_seed(seed), torch.full((len(x),), begin))
    return out


@pytest.mark.parametrize(
    ("season", "begin", "taken"),
    [
        (2, 0, [2, 3, 0, 1, 2, 3, 4]),
        (1, 0, [1, 0, 1, 2, 3, 4, 5]),
        (3, 0, [3, 4, 5, 0, 1, 2, 3]),
        (4, 0, [1, 0, 1, 2, 3, 4, 5]),  # there are no two seasons
        (2, 3, [0, 1, 2, 5, 6, 3, 4]),  # the series begins at the fourth step
        (3, 3, [0, 1, 2, 6, 4, 5, 3]),
    ],
)
def test_a_value_is_replaced_by_that_of_a_season_before_and_in_the_first_season_after(season, begin, taken):
    x = torch.arange(7.0).expand(2, 7)[..., None] + torch.tensor([0.0, 100.0])
    out = replaced(x, season, 20.0, begin)
    torch.testing.assert_close(out[..., 0], torch.tensor(taken, dtype=torch.float32).expand(2, 7))
    torch.testing.assert_close(out[..., 1], x[..., 1])


def test_a_series_that_repeats_itself_is_not_changed_by_it():
    x = torch.arange(6.0).repeat(1, 8)[..., None]
    torch.testing.assert_close(replaced(x, 6, 0.5), x)


@pytest.mark.parametrize("steps", [1, 400])
def test_a_share_of_the_values_is_replaced_and_a_window_of_one_step_is_left_alone(steps):
    x = torch.randn(50, steps, 1, generator=torch.Generator().manual_seed(0))
    changed = (replaced(x, 24, 0.1) != x).float().mean()
    assert changed == pytest.approx(0.1 if steps > 1 else 0.0, abs=0.01)


def test_a_window_whose_only_movement_would_be_lost_is_left_alone():
    x = torch.zeros(1, 8, 1).index_fill(1, torch.tensor([5]), 1.0)
    assert torch.equal(replaced(x[:, :7], 2, 20.0), x[:, :7])


def test_windows_are_changed_in_their_past_alone_where_that_is_asked_for():
    series, futures = (np.arange(200, dtype=np.float32)[:, None],), []
    for share in (0.0, 0.5):
        draw = window_batches(series, 20, 4, 5, TrainConfig(batch=32, replaced=share), "cpu")
        past, _, future = draw(torch.Generator().manual_seed(0))
        assert bool((past[:, 1:, 0] - past[:, :-1, 0] == 1).all()) == (share == 0.0)
        futures.append(future)
    torch.testing.assert_close(*futures)


def test_the_front_of_a_short_series_is_left_alone():
    series = (np.arange(1, 9, dtype=np.float32)[:, None],)
    past, _, _ = window_batches(series, 20, 2, 2, TrainConfig(batch=64, replaced=0.9), "cpu")(torch.Generator())
    assert (past[:, :14] == 1).all() and not (past[:, 14:, 0] == torch.arange(1, 7)).all()
