"""Mixture of recurrent experts: a router sends every token to a few of E GRUs, each with a memory of its own.

    h^e_t = GRU_e(x_t, h^e_{t-1}) where x_t is routed to e, else h^e_{t-1}
    y_t = sum over the chosen e of weight_e(x_t) h^e_t  [+ h_t of a shared GRU that sees every token]

E times the parameters of a GRU for the work of k: O(L k D^2), and O(k D^2) per step. An expert's memory holds only what
was routed to it. A whole sequence is computed by compaction: the tokens of an expert become short left-aligned rows,
one GRU call an expert, and the outputs go back to their places; that is exact, not an approximation. How many rows
meet an expert depends on the data, so under `torch.export` every expert gets rows of full length, and an exported step
computes all experts. Routing is not differentiable, only its weights are: see `hybrids.moe` for the losses.
"""

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from hybrids.mixer import Mixer, MixerConfig, State, Tune, valid_steps
from hybrids.moe import Choice, Router, Weights
from hybrids.recurrence import gated_recurrence, gated_step, init_gates, run
from hybrids.scan import accumulator
from hybrids.shapes import Lengths, Token, Tokens

GATES = 3
Hidden = Float[Tensor, "B E D"]


class MoERNN(Mixer):
    """Mix tokens with routed GRUs of hidden width D.

    Args:
        width: D, channels in and out.
        experts: E, GRUs to choose from.
        active: k, GRUs a token is routed to.
        shared: Add one more GRU that every token passes.

    Example:
        >>> mixer = MoERNN(width=4, experts=4, active=2)
        >>> y, state = mixer(torch.zeros(2, 10, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(self, width: int, experts: int, active: int, shared: bool = False) -> None:
        super().__init__()
        self.width, self.exports_any_length = width, False
        self.router = Router(width, experts, active)
        self.experts = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(experts))
        self.shared = nn.GRU(width, width, batch_first=True) if shared else None
        for rnn in self._rnns():
            init_gates(rnn)

    def _rnns(self) -> list[nn.GRU]:
        """Return the experts in order, then the shared GRU if there is one."""
        return [rnn for rnn in (*self.experts, self.shared) if isinstance(rnn, nn.GRU)]

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D."""
        self.check_width(x)
        (start,) = self.initial_state(x.shape[0]) if state is None else state
        valid = None if lengths is None else valid_steps(x, lengths)
        chosen, weights = self.router(x, valid)
        routed = self._routed(chosen, valid)
        count, rank = routed.sum(1), routed.cumsum(1) - 1
        exporting = torch.compiler.is_exporting()
        sizes = [x.shape[1]] * len(self.experts) if exporting else count.amax(0).clamp(min=1).tolist()
        rnns, outputs, ends = self._rnns(), [], []
        starts = start.transpose(0, 1).contiguous()  # the loop that ONNX makes of a GRU wants dense states
        for e, size in enumerate(sizes):
            rows = _compact(x, routed[..., e], rank[..., e], size)
            h, end = run(rnns[e], gated_recurrence, rows, starts[e], count[:, e])
            outputs.append(h)
            ends.append(end)
        first = torch.tensor([0, *sizes[:-1]], device=x.device).cumsum(0)
        place = first[chosen] + rank.gather(2, chosen)
        if valid is not None:
            place = place.where(valid[..., None], 0)
        h = _take(torch.cat(outputs, 1), place.flatten(1)).reshape(*chosen.shape, self.width)
        y = (h * weights[..., None]).sum(2)
        if self.shared is not None:
            h, end = run(self.shared, gated_recurrence, x, starts[-1], lengths)
            y = y + h
            ends.append(end)
        return y.to(x.dtype), (torch.stack(ends, 1),)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; only the experts that some row has chosen are computed."""
        self.check_width(x_t)
        chosen, weights = self.router.route(x_t)
        if torch.compiler.is_exporting():
            return self._step_all(x_t, state, chosen, weights)
        (hidden,) = state
        rnns, after = self._rnns(), list(hidden.unbind(1))
        choices = chosen.tolist()
        for e in {e for row in choices for e in row}:
            rows = [i for i, row in enumerate(choices) if e in row]
            if len(rows) == len(choices):
                after[e] = _run_step(rnns[e], x_t, after[e])
            else:
                at = torch.tensor(rows, device=x_t.device)
                after[e] = after[e].index_copy(0, at, _run_step(rnns[e], x_t[at], after[e][at]))
        if self.shared is not None:
            after[-1] = _run_step(self.shared, x_t, after[-1])
        return self._mix(x_t, torch.stack(after, 1), chosen, weights)

    def _step_all(
        self, x_t: Token, state: State, chosen: Choice, weights: Weights, valid: Bool[Tensor, " B"] | None = None
    ) -> tuple[Token, State]:
        """Compute one step of every expert and keep it where the token is valid and was routed there."""
        (hidden,) = state
        kept = self._routed(chosen[:, None], None if valid is None else valid[:, None])[:, 0]
        if self.shared is not None:
            every = torch.ones_like(kept[:, :1]) if valid is None else valid[:, None]
            kept = torch.cat([kept, every], 1)
        after = [_run_step(rnn, x_t, hidden[:, e]) for e, rnn in enumerate(self._rnns())]
        return self._mix(x_t, torch.where(kept[..., None], torch.stack(after, 1), hidden), chosen, weights)

    def _mix(self, x_t: Token, hidden: Hidden, chosen: Choice, weights: Weights) -> tuple[Token, State]:
        """Return the weighted sum of the chosen memories, and the state."""
        y = (_take(hidden, chosen) * weights[..., None]).sum(1)
        return (y if self.shared is None else y + hidden[:, -1]).to(x_t.dtype), (hidden,)

    def _routed(self, chosen: Choice, valid: Bool[Tensor, "B L"] | None) -> Bool[Tensor, "B L E"]:
        """Return which tokens go to which expert; padding goes nowhere."""
        numbers = torch.arange(len(self.experts), device=chosen.device)
        routed = (chosen[..., None] == numbers).any(2)
        return routed if valid is None else routed & valid[..., None]

    def initial_state(self, batch: int) -> State:
        """Return h_0 = 0 of every expert and of the shared GRU last (B, E or E + 1, D), float32 at least."""
        weight = self.router.logits.weight
        count = len(self.experts) + (self.shared is not None)
        return (weight.new_zeros(batch, count, self.width, dtype=accumulator(weight.dtype)),)

    def state_bytes(self, length: int) -> int:
        """Return the bytes of D numbers an expert, whatever the length."""
        (hidden,) = self.initial_state(1)
        return hidden.numel() * hidden.element_size()

    def flops(self, length: int) -> int:
        """Return the operations of the router, of k experts a token and of the shared GRU."""
        running = self.router.active + (self.shared is not None)
        return 2 * length * self.width * (len(self.experts) + running * GATES * 2 * self.width)


def forward_reference(
    mixer: MoERNN, x: Tokens, state: State | None = None, lengths: Lengths | None = None
) -> tuple[Tokens, State]:
    """Compute the same as `forward`, one step at a time, every expert at every step; the truth of the tests."""
    state = mixer.initial_state(x.shape[0]) if state is None else state
    steps = []
    for t in range(x.shape[1]):
        valid = None if lengths is None else lengths > t
        y, state = mixer._step_all(x[:, t], state, *mixer.router.route(x[:, t]), valid)
        steps.append(y)
    return torch.stack(steps, 1), state


def _compact(x: Tokens, routed: Bool[Tensor, "B L"], rank: Tensor, size: int) -> Tokens:
    """Return the routed tokens of each row, left-aligned in `size` slots; what fills the rest has no meaning."""
    slot = rank.where(routed, size)
    time = torch.arange(x.shape[1], device=x.device).expand_as(slot)
    source = torch.zeros_like(slot[:, :1]).expand(-1, size + 1).scatter(1, slot, time)
    return _take(x, source[:, :size])


def _take(x: Tokens, at: Tensor) -> Tokens:
    """Return the tokens of each row at its own places `at` (B, N), as (B, N, D)."""
    row = torch.arange(x.shape[0], device=x.device)[:, None] * x.shape[1]
    return x.flatten(0, 1).index_select(0, (at + row).flatten()).reshape(*at.shape, x.shape[2])


def _run_step(rnn: nn.GRU, x_t: Token, h: Token) -> Token:
    """Return h_t of one GRU, in the precision of h."""
    return gated_step(x_t, h, rnn.all_weights[0]).to(h.dtype)


class MoERNNConfig(MixerConfig):
    """Settings of `MoERNN`."""

    source: ClassVar[str] = "Shazeer et al. 2017, arXiv:1701.06538; Fedus et al. 2021, arXiv:2101.03961"
    kind: Literal["moe_rnn"] = "moe_rnn"
    experts: Annotated[int, Field(ge=2, le=16), Tune(log=True)] = 4
    """E, GRUs to choose from."""
    active: Annotated[int, Field(ge=1, le=2), Tune()] = 2
    """k, GRUs a token is routed to."""
    shared: bool = False
    """Add one more GRU that every token passes."""

    def build(self, width: int) -> MoERNN:
        """Return routed GRUs of D hidden numbers each."""
        return MoERNN(width, self.experts, self.active, self.shared)
