"""From a step function to sequences: greedy search and beam search over any model with an explicit state.

    score(y) = sum_t log p(y_t | y_<t) / ((5 + |y|) / 6)^penalty

The length penalty is that of Wu et al. 2016 (arXiv:1609.08144); 0 scores by probability alone. A beam keeps the best
`width` hypotheses of every row, finished ones among them, and stops when none still open can beat those asked for.
Greedy search is a beam of 1, without the reordering. A beam finds the best sequence for sure only if no ancestor of
that sequence falls out of it.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hybrids.errors import ConfigError, HybridError
from hybrids.mixer import State

Step = Callable[[Int[Tensor, " B"], State], tuple[Float[Tensor, "B V"], State]]
"""From the last symbols and a state (tensors, batch first) to log-probabilities of the next ones and the new state."""


class Hypotheses(NamedTuple):
    """The N best sequences of every row, best first.

    Attributes:
        ids: Symbols without the start symbol, with the end symbol where it was reached; then the end symbol again.
        lengths: Symbols of each sequence, end symbol included.
        scores: Penalised log-probability; -inf where fewer than N sequences exist.
    """

    ids: Int[Tensor, "B N T"]
    lengths: Int[Tensor, "B N"]
    scores: Float[Tensor, "B N"]


def penalised(total: Float[Tensor, "*shape"], lengths: Int[Tensor, "*#shape"], power: float) -> Float[Tensor, "*shape"]:
    """Return the scores of sequences with these log-probabilities and lengths."""
    return total / ((5 + lengths.to(total.dtype)) / 6) ** power


@torch.no_grad()
def greedy(
    step: Step, state: State, first: Int[Tensor, " B"], end: int, longest: int, penalty: float = 0.0
) -> Hypotheses:
    """Take the most probable symbol at every step; on a tie the smallest.

    Args:
        step: The model.
        state: Its state before the first symbol.
        first: The start symbol of every row.
        end: The symbol that ends a sequence.
        longest: Most symbols of a sequence, end symbol included.
        penalty: Power of the length penalty in the returned scores.
    """
    _check(longest, penalty)
    last, closed = first, torch.zeros_like(first, dtype=torch.bool)
    lengths, ids = torch.zeros_like(first), []
    total = torch.zeros(first.shape, device=first.device)
    for _ in range(longest):
        log_p, state = _called(step, last, state)
        last = log_p.argmax(1)
        total = total + log_p.gather(1, last[:, None])[:, 0].masked_fill(closed, 0)
        last = last.masked_fill(closed, end)
        ids.append(last)
        lengths = lengths + ~closed
        closed = closed | (last == end)
        if bool(closed.all()):
            break
    scores = penalised(total, lengths, penalty)
    return Hypotheses(torch.stack(ids, 1)[:, None], lengths[:, None], scores[:, None])


@torch.no_grad()
def beam(
    step: Step,
    state: State,
    first: Int[Tensor, " B"],
    end: int,
    longest: int,
    width: int = 4,
    penalty: float = 0.0,
    best: int = 1,
) -> Hypotheses:
    """Keep the `width` best hypotheses at every step; on a tie the earlier one, then the smaller symbol.

    Args:
        step: The model; it is called with B * width rows.
        state: Its state before the first symbol, B rows.
        first: The start symbol of every row.
        end: The symbol that ends a sequence.
        longest: Most symbols of a sequence, end symbol included; what is open then counts as it is.
        width: Hypotheses kept for every row.
        penalty: Power of the length penalty, at least 0; more of it favours longer sequences.
        best: N, sequences returned for every row.

    Raises:
        ConfigError: a number is out of range.
        HybridError: the model returned a log-probability that is nan.
    """
    _check(longest, penalty)
    if not 1 <= best <= width:
        raise ConfigError(f"a beam of {width} cannot return {best} sequences. Set width to at least best, both from 1.")
    rows, device = first.shape[0], first.device
    offset = torch.arange(rows, device=device)[:, None] * width
    state = tuple(s.repeat_interleave(width, 0) for s in state)
    ids = first[:, None, None].expand(-1, width, 1)
    lengths = torch.zeros(rows, width, dtype=torch.int64, device=device)
    closed = torch.zeros(rows, width, dtype=torch.bool, device=device)
    total = torch.full((rows, width), -torch.inf, device=device)
    furthest = torch.full_like(first[:, None], longest)
    total[:, 0] = 0  # at the start all hypotheses are the same one
    for _ in range(longest):
        log_p, state = _called(step, ids[..., -1].flatten(), state)
        candidates, reached = _extend(log_p.reshape(rows, width, -1), total, lengths, closed, end)
        scores = penalised(candidates, reached, penalty)
        order = top(scores.flatten(1), width)
        parent, symbol = order // log_p.shape[-1], order % log_p.shape[-1]
        total = candidates.flatten(1).gather(1, order)
        lengths = reached.expand_as(candidates).flatten(1).gather(1, order)
        closed = closed.gather(1, parent) | (symbol == end)
        ids = torch.cat([ids.gather(1, parent[..., None].expand_as(ids)), symbol[..., None]], -1)
        state = tuple(s.index_select(0, (offset + parent).flatten()) for s in state)
        scores, done = scores.flatten(1).gather(1, order), closed | (total == -torch.inf)
        if bool(_settled(scores, penalised(total, furthest, penalty), done, best).all()):
            break
    return Hypotheses(ids[:, :best, 1:], lengths[:, :best], penalised(total, lengths, penalty)[:, :best])


def _extend(
    log_p: Float[Tensor, "B K V"], total: Tensor, lengths: Tensor, closed: Tensor, end: int
) -> tuple[Float[Tensor, "B K V"], Int[Tensor, "B K 1"]]:
    """Return the log-probability of every hypothesis with every symbol, and the lengths reached.

    A closed hypothesis goes on in one way only: with the end symbol, at no cost and no length.
    """
    is_end = torch.arange(log_p.shape[-1], device=log_p.device) == end
    stay = torch.zeros_like(log_p).masked_fill(~is_end, -torch.inf)
    return total[..., None] + torch.where(closed[..., None], stay, log_p), (lengths + ~closed)[..., None]


def _settled(scores: Tensor, bound: Tensor, done: Bool[Tensor, "B K"], best: int) -> Bool[Tensor, " B"]:
    """Return the rows whose `best` first hypotheses are closed and above all that an open one can still reach.

    `bound` is the score of each hypothesis if it went on to the greatest length at no cost: it can reach no more.
    """
    reachable = bound.masked_fill(done, -torch.inf).amax(1)
    return done.all(1) | (done[:, :best].all(1) & (scores[:, best - 1] > reachable))


def top(scores: Float[Tensor, "B M"], count: int) -> Int[Tensor, "B count"]:
    """Return where the `count` largest scores of each row are, largest first, equal ones in the order they stand.

    `torch.topk` promises no order among equal scores.
    """
    least = scores.topk(count, 1).values[:, -1:]
    above, equal = scores > least, scores == least
    room = count - above.sum(1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(1) <= room))
    at = chosen.nonzero()[:, 1].reshape(-1, count)
    return at.gather(1, scores.gather(1, at).argsort(dim=1, descending=True, stable=True))


def _called(step: Step, last: Int[Tensor, " B"], state: State) -> tuple[Float[Tensor, "B V"], State]:
    log_p, state = step(last, state)
    if bool(log_p.isnan().any()):
        raise HybridError("a log-probability is nan. Check the weights of the model: its training has diverged.")
    return log_p, state


def _check(longest: int, penalty: float) -> None:
    if longest < 1:
        raise ConfigError(f"a sequence of at most {longest} symbols is none. Set longest to 1 or more.")
    if penalty < 0:
        raise ConfigError(f"length penalty {penalty} rewards short sequences without bound. Use 0 or more.")
