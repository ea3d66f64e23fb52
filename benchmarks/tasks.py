"""Synthetic tasks that tell kinds of layers apart: token sequences with a target at the steps that are scored.

Every generator draws a batch from a `torch.Generator`, so a seed names the data. Targets are `UNSCORED` where no answer
is asked. Train and test length differ: a layer that has learned the rule, and not the length, does well on both.
"""

from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Generator, Tensor

UNSCORED = -100
SYMBOLS = 8  # to recall
PAIRED = 31  # keys of associative recall: 1 to 31; its values are 32 to 63, its filler is 0
COPIED, KINDS = 8, 14  # selective copying: 8 tokens of 14 kinds, a blank and a marker


class Batch(NamedTuple):
    """Tokens (B, L) and targets (B, L), both int64."""

    tokens: Tensor
    targets: Tensor


class Task(NamedTuple):
    """A task with its budget.

    Attributes:
        words: What is asked, for people.
        train: Draws a training batch of `batch` rows.
        test: Draws a test batch, longer or harder.
        vocabulary: Tokens are below this.
        classes: Targets are below this.
        batch: Rows a step.
        steps: Optimiser steps.
        chance: Accuracy of guessing.
        literature: What was published.
    """

    words: str
    train: Callable[[int, Generator], Batch]
    test: Callable[[int, Generator], Batch]
    vocabulary: int
    classes: int
    batch: int
    steps: int
    chance: float
    literature: str


def parity(rows: int, generator: Generator, length: int) -> Batch:
    """Target: whether an odd number of ones was seen so far."""
    bits = torch.randint(2, (rows, length), generator=generator)
    return Batch(bits, bits.cumsum(1) % 2)


def permutation_word(rows: int, generator: Generator, length: int) -> Batch:
    """Tokens are the 6 permutations of 3 things; target: their product so far, which no two orders share."""
    group = list(permutations(range(3)))
    products = torch.tensor([[group.index(tuple(a[i] for i in b)) for b in group] for a in group])
    word = torch.randint(6, (rows, length), generator=generator)
    so_far = [word[:, 0]]
    for t in range(1, length):
        so_far.append(products[so_far[-1], word[:, t]])
    return Batch(word, torch.stack(so_far, 1))


def associative_recall(rows: int, generator: Generator, length: int, pairs: int) -> Batch:
    """`pairs` keys, each followed by its value; later, at random steps, every key again, whose value is the target."""
    keys = torch.rand(rows, PAIRED, generator=generator).argsort(1)[:, :pairs] + 1
    values = torch.randint(PAIRED + 1, 2 * (PAIRED + 1), (rows, pairs), generator=generator)
    told = torch.stack([keys, values], 2).flatten(1)
    at = 2 * pairs + torch.rand(rows, length - 2 * pairs, generator=generator).argsort(1)[:, :pairs]
    tokens = torch.cat([told, torch.zeros(rows, length - 2 * pairs, dtype=torch.int64)], 1).scatter(1, at, keys)
    return Batch(tokens, torch.full_like(tokens, UNSCORED).scatter(1, at, values))


def selective_copying(rows: int, generator: Generator, length: int) -> Batch:
    """8 tokens among blanks; then 8 markers, at which the tokens are asked in order."""
    told = torch.randint(KINDS, (rows, COPIED), generator=generator)
    at = torch.rand(rows, length, generator=generator).argsort(1)[:, :COPIED].sort(1).values
    seen = torch.full((rows, length), KINDS).scatter(1, at, told)
    markers = torch.full_like(told, KINDS + 1)
    return Batch(torch.cat([seen, markers], 1), torch.cat([torch.full_like(seen, UNSCORED), told], 1))


def delayed_recall(rows: int, generator: Generator, length: int) -> Batch:
    """One of 8 symbols, then noise of 8 others; at the last step the symbol is asked."""
    symbol = torch.randint(SYMBOLS, (rows, 1), generator=generator)
    noise = torch.randint(SYMBOLS, 2 * SYMBOLS, (rows, length - 2), generator=generator)
    tokens = torch.cat([symbol, noise, torch.full_like(symbol, 2 * SYMBOLS)], 1)
    return Batch(tokens, torch.cat([torch.full_like(tokens[:, 1:], UNSCORED), symbol], 1))


def scored_late(batch: Batch) -> Batch:
    """Score the last quarter of the steps only: the first ones need no long memory."""
    late = batch.targets.clone()
    late[:, : -(late.shape[1] // 4)] = UNSCORED
    return batch._replace(targets=late)


def late(draw: Callable[..., Batch], rows: int, generator: Generator, length: int) -> Batch:
    """Draw a batch of which the last quarter is scored."""
    return scored_late(draw(rows, generator, length))


TASKS: dict[str, Task] = {
    "parity": Task(
        "parity of the bits so far; train 32 steps, test 128",
        partial(parity, length=32),
        partial(late, parity, length=128),
        *(2, 2, 32, 400, 1 / 2),
        "nonlinear recurrences and linear ones with negative eigenvalues solve it, attention and positive decays do "
        "not (Grazzi et al. 2024, arXiv:2411.12537)",
    ),
    "permutations": Task(
        "product of permutations of 3 things; train 24 steps, test 96",
        partial(permutation_word, length=24),
        partial(late, permutation_word, length=96),
        *(6, 6, 32, 800, 1 / 6),
        "the smallest group that does not commute; diagonal and positive transitions cannot track it "
        "(Merrill et al. 2024, arXiv:2404.08819)",
    ),
    "associative_recall": Task(
        "value of a key seen before; train 4 pairs in 32 steps, test 8 in 64",
        partial(associative_recall, length=32, pairs=4),
        partial(associative_recall, length=64, pairs=8),
        *(64, 64, 64, 600, 1 / 32),
        "attention solves it; recurrent layers trade accuracy against the size of their state, delta rule over decay "
        "(Arora et al. 2023, arXiv:2312.04927)",
    ),
    "selective_copying": Task(
        "8 tokens among blanks, in order; train 32 steps, test 64",
        partial(selective_copying, length=32),
        partial(selective_copying, length=64),
        *(KINDS + 2, KINDS, 32, 600, 1 / KINDS),
        "input-dependent decays solve it, fixed ones do not (Gu & Dao 2023, arXiv:2312.00752)",
    ),
    **{
        f"recall_{length}": Task(
            f"the first symbol after {length - 2} steps of noise; train and test {length} steps",
            partial(delayed_recall, length=length),
            partial(delayed_recall, length=length),
            *(2 * SYMBOLS + 1, SYMBOLS, rows, 300, 1 / SYMBOLS),
            "gradients of a gated layer reach as far as its forget gate is open at the start: chrono initialisation "
            "opens it for the length expected (Tallec & Ollivier 2018, arXiv:1804.11188)",
        )
        for length, rows in ((64, 32), (256, 32), (1024, 16))
    },
}
