"""What kinds of layers can learn to give back, within a fixed number of optimiser steps.

delayed recall  one of n symbols, then d - 1 steps of noise of n others, then a question; the answer is the symbol
item recall     k steps that each tell a key and its value, then keys alone; the answer to each is its value

The reach of delayed recall is the largest delay solved (accuracy 0.9) before the first that is not. A delay may be
learnt "from scratch", by a fresh network for each, which is what a model of far dependences has to do: the gradient
itself must find the way back (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735). Or "step by step": the
network that solved a delay goes on to its double, which asks only whether the layers can hold a symbol that long.
Item recall is multi-query associative recall (Arora et al. 2023, arXiv:2312.04927) with pair and query in one step
each, so that one layer can do it and only the size of its state is asked for.

Budgets are optimiser steps, so an answer is the same on every machine of one kind, loaded or not; training ends early
where the running accuracy is 0.97. Every model: embedding, pre-norm blocks with a gated feed-forward part of twice
the width, linear output; AdamW, gradients clipped to norm 1. One learning rate is not the best for all: a miss means
"not within this budget", not "cannot".
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn

from hybrids.backbone import Backbone
from hybrids.decay import split_by_decay
from hybrids.mixer import MixerConfig, reads_whole
from profiles.gradient_reach import GradientReach
from profiles.reach import gradient_norms, reach_of, seeded

SYMBOLS = 4
KEYS, VALUES, ASKED = 32, 4, 8
"""Item recall: keys, of which those told are drawn; values; questions in a row."""
SOLVED, ENOUGH = 0.9, 0.97
ROWS, TEST_ROWS = 32, 256
BETAS, DECAY, CLIP = (0.9, 0.98), 0.01, 1.0
UNLIKE = 100_003
"""Keeps the sequences of one seed and delay apart from those of all others, whichever other delays are tried."""
SMOOTH = 0.8
"""Weight of the past in the running accuracy."""

Way = Literal["from scratch", "step by step"]


class Record(BaseModel):
    """A measured fact."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DelayedRecall(Record):
    """The delays at which one kind of layers learnt to give back a symbol."""

    words: str
    way: Way
    delays: tuple[int, ...]
    """Those tried, in order, up to the first that was not solved."""
    accuracy: tuple[float, ...]
    """On fresh sequences, at each of them; guessing is 0.25."""
    optimiser_steps: tuple[int, ...]
    reach_steps: int = Field(ge=0)
    """Largest delay solved; 0 where none was."""
    looked: int
    """Largest delay that would have been tried."""
    gradient: GradientReach
    """Of the network that solved the largest delay, on sequences of `looked` steps: how far back it depends on its
    input after training."""


class ItemRecall(Record):
    """How many of the items told to one kind of layers can be asked for again."""

    words: str
    items: tuple[int, ...]
    accuracy: tuple[float, ...]
    """At each number of items; guessing is 0.25."""
    state_numbers: tuple[int, ...]
    """Numbers that the layers keep of the past, after each number of items."""

    @property
    def kept(self) -> tuple[float, ...]:
        """Items known at each number of items: those of a model that knows some and guesses the others."""
        return tuple(
            max(0.0, count * (share - 1 / VALUES) / (1 - 1 / VALUES))
            for count, share in zip(self.items, self.accuracy, strict=True)
        )


class Batch(NamedTuple):
    """Symbols (B, L), values told or `VALUES` (B, L), and targets (B, Q) of the last Q steps."""

    symbols: Int[Tensor, "B L"]
    values: Int[Tensor, "B L"]
    targets: Int[Tensor, "B Q"]

    def to(self, device: torch.device) -> "Batch":
        """Return it on a device."""
        return Batch(*(part.to(device) for part in self))


class Reader(nn.Module):
    """Two embeddings, summed, layers and a linear output: logits (B, L, answers)."""

    def __init__(self, stack: Sequence[MixerConfig], width: int, symbols: int, answers: int) -> None:
        super().__init__()
        self.symbol, self.value = nn.Embedding(symbols, width), nn.Embedding(VALUES + 1, width)
        self.backbone = Backbone(stack, width, 2.0, 0.0)
        self.out = nn.Linear(width, answers)
        reads_whole(self)

    def embed(self, batch: Batch) -> Float[Tensor, "B L D"]:
        """Return the tokens."""
        tokens: Tensor = self.symbol(batch.symbols) + self.value(batch.values)
        return tokens

    def forward(self, tokens: Float[Tensor, "B L D"]) -> Float[Tensor, "B L K"]:
        """Return the logits."""
        logits: Tensor = self.out(self.backbone(tokens)[0])
        return logits


def delayed(rows: int, delay: int, draw: Generator, symbols: int = SYMBOLS) -> Batch:
    """Return sequences of `delay` + 1 steps: one of `symbols`, noise of as many others, the question."""
    symbol = torch.randint(symbols, (rows, 1), generator=draw)
    noise = torch.randint(symbols, 2 * symbols, (rows, delay - 1), generator=draw)
    read = torch.cat([symbol, noise, torch.full_like(symbol, 2 * symbols)], 1)
    return Batch(read, torch.full_like(read, VALUES), symbol)


def items(rows: int, count: int, draw: Generator) -> Batch:
    """Return sequences of `count` pairs of different keys, then of `ASKED` keys among them."""
    keys = torch.rand(rows, KEYS, generator=draw).argsort(1)[:, :count]
    values = torch.randint(VALUES, (rows, count), generator=draw)
    asked = torch.randint(count, (rows, ASKED), generator=draw)
    silent = torch.full_like(asked, VALUES)
    return Batch(torch.cat([keys, keys.gather(1, asked)], 1), torch.cat([values, silent], 1), values.gather(1, asked))


def recall_reach(
    stack: Sequence[MixerConfig],
    delays: Sequence[int],
    words: str,
    *,
    way: Way = "from scratch",
    steps: int = 300,
    width: int = 32,
    rate: float = 3e-3,
    seed: int = 0,
) -> DelayedRecall:
    """Return the largest delay at which layers learn to give back a symbol, and their gradient after training.

    Args:
        stack: The layers, bottom first.
        delays: Tried in this order, least first, until one is not solved.
        words: The layers, for people.
        way: Whether each delay starts from a fresh network.
        steps: Most optimiser steps for a delay.
        width: Model width.
        rate: Learning rate.
        seed: Of weights and sequences.
    """
    accuracy, used = list[float](), list[int]()
    network = best = _reader(stack, width, 2 * SYMBOLS + 1, SYMBOLS, seed)
    for delay in delays:
        if way == "from scratch":
            network = _reader(stack, width, 2 * SYMBOLS + 1, SYMBOLS, seed)
        draw = Generator().manual_seed(seed * UNLIKE + delay)
        used.append(_train(network, partial(delayed, ROWS, delay, draw), steps, rate))
        accuracy.append(_accuracy(network, delayed(TEST_ROWS, delay, Generator().manual_seed(seed + 10_000))))
        if accuracy[-1] < SOLVED:
            break
        best = network
    solved = [delay for delay, share in zip(delays, accuracy, strict=False) if share >= SOLVED]
    return DelayedRecall(
        words=words,
        way=way,
        delays=tuple(delays[: len(accuracy)]),
        accuracy=tuple(accuracy),
        optimiser_steps=tuple(used),
        reach_steps=max(solved, default=0),
        looked=max(delays),
        gradient=_gradient(best if solved else network, max(delays), words, seed),
    )


def recall_curve(
    stack: Sequence[MixerConfig],
    delay: int,
    marks: Sequence[int],
    *,
    symbols: int = SYMBOLS,
    width: int = 32,
    rate: float = 3e-3,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[float, ...]:
    """Return the accuracy of delayed recall on fresh sequences after each number of optimiser steps in `marks`.

    Args:
        stack: The layers, bottom first.
        delay: Steps from the symbol to the question.
        marks: Optimiser steps after which to look, least first; training goes on to the last.
        symbols: Of which one is to be given back; guessing is 1 / symbols.
        width: Model width.
        rate: Learning rate.
        seed: Of weights and sequences; other layers get the same sequences.
        device: Where it is trained.
    """
    network = _reader(stack, width, 2 * symbols + 1, symbols, seed).to(device)
    draw = Generator().manual_seed(seed * UNLIKE + delay)
    test = delayed(TEST_ROWS, delay, Generator().manual_seed(seed + 10_000), symbols)
    training = islice(_training(network, partial(delayed, ROWS, delay, draw, symbols), rate), marks[-1])
    return tuple(_accuracy(network, test) for step, _ in enumerate(training, 1) if step in marks)


def item_recall(
    stack: Sequence[MixerConfig],
    counts: Sequence[int],
    words: str,
    *,
    steps: int = 600,
    width: int = 32,
    rate: float = 1e-2,
    seed: int = 0,
) -> ItemRecall:
    """Return how well layers trained on sequences of `counts` items, drawn evenly, know each number of items.

    Args:
        stack: The layers, bottom first.
        counts: Numbers of items, at most `KEYS`.
        words: The layers, for people.
        steps: Optimiser steps.
        width: Model width.
        rate: Learning rate.
        seed: Of weights and sequences.

    Raises:
        ValueError: More items than keys.
    """
    if max(counts) > KEYS:
        raise ValueError(f"items have {KEYS} different keys, got {max(counts)} items. Ask for {KEYS} at most.")
    draw = Generator().manual_seed(seed)
    network = _reader(stack, width, KEYS, VALUES, seed)

    def batch() -> Batch:
        return items(ROWS, counts[int(torch.randint(len(counts), (1,), generator=draw))], draw)

    _train(network, batch, steps, rate, stop=False)
    test = Generator().manual_seed(seed + 10_000)
    layers = [block.mixer for block in network.backbone.stack()]
    return ItemRecall(
        words=words,
        items=tuple(counts),
        accuracy=tuple(_accuracy(network, items(TEST_ROWS, count, test)) for count in counts),
        state_numbers=tuple(sum(layer.state_bytes(count) // 4 for layer in layers) for count in counts),
    )


def _reader(stack: Sequence[MixerConfig], width: int, symbols: int, answers: int, seed: int) -> Reader:
    with seeded(seed):
        return Reader(stack, width, symbols, answers)


def _train(network: Reader, batch: Callable[[], Batch], steps: int, rate: float, stop: bool = True) -> int:
    """Train in place on fresh batches; return the optimiser steps taken, fewer than `steps` once it is solved."""
    running = 0.0
    for step, right in enumerate(islice(_training(network, batch, rate), steps), 1):
        running = SMOOTH * running + (1 - SMOOTH) * right
        if stop and running >= ENOUGH:
            return step
    return steps


def _training(network: Reader, batch: Callable[[], Batch], rate: float) -> Iterator[float]:
    """Train in place without end; yield the share of right answers in each batch, after the step on it."""
    decayed, kept = split_by_decay(network)
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": kept, "weight_decay": 0.0}]
    optimiser, device = torch.optim.AdamW(groups, lr=rate, betas=BETAS), network.out.weight.device
    while True:
        network.train()
        given = batch().to(device)
        logits = network(network.embed(given))[:, -given.targets.shape[1] :]
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(logits.flatten(0, 1), given.targets.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        yield float((logits.argmax(-1) == given.targets).double().mean())


@torch.no_grad()
def _accuracy(network: Reader, batch: Batch) -> float:
    """Return the share of questions answered rightly."""
    network.eval()
    batch = batch.to(network.out.weight.device)
    logits = network(network.embed(batch))[:, -batch.targets.shape[1] :]
    return float((logits.argmax(-1) == batch.targets).double().mean())


def _gradient(network: Reader, delay: int, words: str, seed: int) -> GradientReach:
    """Return how far back the logits at the question depend on the tokens."""
    with torch.no_grad(), _in_float64(network):
        tokens = network.embed(delayed(8, delay, Generator().manual_seed(seed + 20_000)))
        return reach_of(gradient_norms(network, tokens, seed=seed).flip(1), words, trained=True)


@contextmanager
def _in_float64(network: nn.Module) -> Iterator[None]:
    """Compute in float64 for a while: a gradient that vanishes is then not rounded to 0."""
    network.double().eval()
    try:
        yield
    finally:
        network.float()
