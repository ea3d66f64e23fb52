"""Routing of tokens to experts: which ones a token gets, how evenly they are used, and the losses that keep it even.

    p = softmax(W x)        chosen = the k experts of largest p, the lower number first among equals
    weight of a chosen expert = its p if k = 1, its p over the sum of the chosen if k > 1

Probabilities are float32 at least. With k = 1 the weight is not normalised: it would be 1, and the router would learn
nothing. No expert has a capacity, so no token is dropped. Left alone, a router may send everything to a few experts;
the trainer adds `balance_loss` (times about 1e-2) and, against large logits, `z_loss` (times about 1e-3).

Fedus et al. 2021, arXiv:2101.03961 (balance); Zoph et al. 2022, arXiv:2202.08906 (z).
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hybrids.errors import ConfigError
from hybrids.scan import accumulator, full_precision
from hybrids.shapes import Tokens

Probabilities = Float[Tensor, "*N E"]
Choice = Int[Tensor, "*N k"]
Weights = Float[Tensor, "*N k"]


class Routing(NamedTuple):
    """How one router spread the tokens of its most recent whole-sequence call.

    Attributes:
        shares: Of all assignments of a token to an expert, the part each expert got; they sum to 1.
        entropy: Mean entropy of a token's probabilities in nats: log E is undecided, 0 is certain.
    """

    shares: tuple[float, ...]
    entropy: float


class Router(nn.Module):
    """Choose experts for every token.

    Args:
        width: D, channels of a token.
        experts: E.
        active: k, experts a token gets.

    Raises:
        ConfigError: k is not in 1 to E.
    """

    def __init__(self, width: int, experts: int, active: int) -> None:
        super().__init__()
        if not 1 <= active <= experts:
            raise ConfigError(f"a token cannot get {active} of {experts} experts. Set active to 1 to {experts}.")
        self.experts, self.active = experts, active
        self.logits = nn.Linear(width, experts, bias=False)
        self.losses: tuple[Tensor, Tensor] | None = None
        self.statistics: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tokens, valid: Bool[Tensor, "B L"] | None = None) -> tuple[Choice, Weights]:
        """Choose for whole sequences, and keep losses (when training) and statistics over the valid tokens."""
        logits = self._score(x)
        p, chosen, weights = self._choose(logits)
        if not torch.compiler.is_exporting():
            real = torch.ones_like(chosen[..., 0]) if valid is None else valid
            mask = real.to(p.dtype)
            with torch.no_grad():
                self.statistics = shares(chosen, mask, self.experts), _mean(torch.special.entr(p).sum(-1), mask)
            if self.training:
                self.losses = balance(p, chosen, mask), _mean(logits.logsumexp(-1).square(), mask)
        return chosen, weights

    def route(self, x: Float[Tensor, "*N D"]) -> tuple[Choice, Weights]:
        """Choose for tokens of any arrangement; keep nothing."""
        return self._choose(self._score(x))[1:]

    def _score(self, x: Tensor) -> Tensor:
        dtype = accumulator(x.dtype)
        with full_precision(x.device):
            return F.linear(x.to(dtype), self.logits.weight.to(dtype))

    def _choose(self, logits: Tensor) -> tuple[Probabilities, Choice, Weights]:
        p = logits.softmax(-1)
        left, best = p.detach(), []
        for _ in range(self.active):
            best.append(left.argmax(-1, keepdim=True))
            left = left.scatter(-1, best[-1], -1.0)
        chosen = torch.cat(best, -1)
        weights = p.gather(-1, chosen)
        return p, chosen, weights if self.active == 1 else weights / weights.sum(-1, keepdim=True)

    def train(self, mode: bool = True) -> "Router":
        """Set the mode; leaving training forgets the losses."""
        if not mode:
            self.losses = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to one call: tensors with a graph cannot be copied."""
        return {**self.__dict__, "losses": None, "statistics": None}


def shares(chosen: Choice, mask: Float[Tensor, "*N"], experts: int) -> Float[Tensor, " E"]:
    """Return f: the part of all assignments that each expert got, over the tokens where `mask` is 1."""
    assigned = mask[..., None].expand(chosen.shape).flatten()
    return mask.new_zeros(experts).index_add(0, chosen.flatten(), assigned) / assigned.sum().clamp(min=1)


def balance(p: Probabilities, chosen: Choice, mask: Float[Tensor, "*N"]) -> Float[Tensor, ""]:
    """Return E * sum_e f_e P_e, P_e the mean probability of expert e: 1 if all are used alike, E if one gets all."""
    mean = (p * mask[..., None]).flatten(0, -2).sum(0) / mask.sum().clamp(min=1)
    experts = p.shape[-1]
    return experts * (shares(chosen, mask, experts) * mean).sum()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _routers(model: nn.Module) -> list[Router]:
    return [part for part in model.modules() if isinstance(part, Router)]


def _total(model: nn.Module, which: int) -> Tensor:
    kept = [router.losses[which] for router in _routers(model) if router.losses is not None]
    if kept:
        return torch.stack(kept).sum()
    return torch.zeros((), device=next((p.device for p in model.parameters()), None))


def balance_loss(model: nn.Module) -> Float[Tensor, ""]:
    """Return the sum of the balance losses of every router's most recent call in training mode; 0 if there is none.

    Differentiable: add it to the loss of the task before the backward pass. With k active experts a router adds 1 at
    perfect balance and at most E / k.
    """
    return _total(model, 0)


def z_loss(model: nn.Module) -> Float[Tensor, ""]:
    """Return the sum of mean(logsumexp(W x)^2) over every router's most recent call in training mode; 0 if none."""
    return _total(model, 1)


def routing(model: nn.Module) -> list[Routing]:
    """Return how each router, in the order of the model's parts, spread its most recent call; none before a call."""
    kept = [router.statistics for router in _routers(model) if router.statistics is not None]
    return [Routing(tuple(share.tolist()), entropy.item()) for share, entropy in kept]
