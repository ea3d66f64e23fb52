"""A stack of layers at a lower rate: s steps are joined to one token, mixed by the stack, and handed back to the steps.

    p_k = mean of x_t over k s <= t < (k + 1) s          z = W_o stack(p)
    y_t = z_[t / s]                 not causal: a window reads all its steps, and answers all of them
    y_t = z_[(t + 1) / s - 1]       causal: a window answers from its last step until the next one is complete; 0 before

With recurrent layers below, "gru + pooled", this is the hierarchy of local features below and global ones above: O(L)
work per step, and attention over L / s tokens only. What happens inside a window reaches the rest as a mean; the
residual path around the mixer keeps the full rate. A causal stack streams: the layers run once in s steps.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from hybrids import mixers
from hybrids.backbone import Backbone, States
from hybrids.block import Block
from hybrids.errors import ConfigError
from hybrids.layout import Layer
from hybrids.mixer import Mixer, MixerConfig, State, Tune, reads_whole
from hybrids.scan import accumulator, pad_end
from hybrids.shapes import Lengths, Token, Tokens


class Pooled(Mixer):
    """Mix tokens with a stack of layers that runs once in `stride` steps.

    Rows may be at different phases of their windows. Under `torch.export` a step runs the stack at every step and keeps
    what is due; caches of inner attention then have a slot more after every step, unused ones last.

    Args:
        width: D, channels in and out, of the stack too.
        layers: Settings of the stack's mixers, bottom first.
        stride: s, steps joined to one token.
        causal: Answer with complete windows only; then every layer must be causal, and the mixer streams.
        expansion: Inner width of each layer's feed-forward part over D; 0 leaves it out.
        dropout: Share of channels dropped inside the stack.

    Raises:
        ConfigError: causal, with a layer that is not.

    Example:
        >>> mixer = Pooled(width=4, layers=[mixers.config("gru")()], stride=2, causal=True)
        >>> y, state = mixer(torch.zeros(2, 11, 4))
        >>> y_t, state = mixer.step(torch.zeros(2, 4), state)
    """

    def __init__(
        self,
        width: int,
        layers: Sequence[MixerConfig],
        stride: int,
        causal: bool = False,
        expansion: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.stride, self.causal = width, stride, causal
        self.stack = Backbone(layers, width, expansion, dropout)
        self.out = nn.Linear(width, width)
        self._cuts = (0, *accumulate(len(state) for state in self.stack.initial_state(1)))
        if not causal:
            reads_whole(self.stack)
        for mixer in self._inner():
            if causal and not mixer.causal:
                name = type(mixer).__name__
                raise ConfigError(f"causal pooling, but {name} looks ahead. Use causal layers or causal=False.")
        self.exports_any_length = all(mixer.exports_any_length for mixer in self._inner())

    def _inner(self) -> list[Mixer]:
        return [block.mixer for block in self.stack.blocks if isinstance(block, Block)]

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix a chunk; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state it cannot use."""
        self.check_width(x)
        if self.causal:
            return self._mix_past(x, self.initial_state(x.shape[0]) if state is None else state, lengths)
        if state:
            raise ConfigError("pooling over the whole sequence takes no state. Set causal=True to work in chunks.")
        length, stride = x.shape[1], self.stride
        windows = self._windows(length)
        phase = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        ends = phase + length if lengths is None else lengths
        first = torch.arange(windows, device=x.device) * stride
        steps = (ends[:, None] - first).clamp(1, stride)
        pooled = self._sums(x, phase, ends, windows) / steps[..., None]
        z, _ = self.stack(pooled.to(x.dtype), None, None if lengths is None else (lengths + stride - 1) // stride)
        window = torch.arange(length, device=x.device) // stride
        return self.out(z).index_select(1, window), ()

    def _mix_past(self, x: Tokens, state: State, lengths: Lengths | None) -> tuple[Tokens, State]:
        """Run the stack on the windows that are completed in this chunk, of each row its own number."""
        partial, phase, held, *flat = state
        length = x.shape[1]
        windows = self._windows(length)  # as many as can be completed, whatever the phase
        ends = torch.full_like(phase, length) if lengths is None else lengths.to(phase.dtype)
        completed = (phase + ends) // self.stride
        sums = self._sums(x, phase, ends, windows + 1)
        sums = torch.cat([sums[:, :1] + partial[:, None], sums[:, 1:]], 1)
        pooled = (sums[:, :-1] / self.stride).to(x.dtype)
        z, inner = self.stack(pooled, self._unflatten(flat), completed)
        answers = torch.cat([held[:, None], self.out(z).to(held.dtype)], 1)
        t = torch.arange(length, device=x.device)
        y = _pick(answers, (phase[:, None] + t + 1) // self.stride).to(x.dtype)
        last = completed[:, None]
        after = (_pick(sums, last)[:, 0], phase + ends - completed * self.stride, _pick(answers, last)[:, 0])
        return y, (*after, *_flatten(inner))

    def _windows(self, length: int) -> int:
        """Return ceil(L / s), of positive numbers only: ONNX rounds a negative quotient towards 0."""
        return (length + self.stride - 1) // self.stride

    def _sums(
        self, x: Tokens, phase: Int[Tensor, " B"], ends: Int[Tensor, " B"], windows: int
    ) -> Float[Tensor, "B W D"]:
        """Return the sum over each window of the valid steps of `x`, which starts `phase` steps into the first."""
        step = torch.arange(windows * self.stride, device=x.device) - phase[:, None]
        taken = _pick(x.to(accumulator(x.dtype)), step.clamp(0, x.shape[1] - 1))
        real = (step >= 0) & (step < ends[:, None])
        return taken.masked_fill(~real[..., None], 0).reshape(-1, windows, self.stride, self.width).sum(2)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Mix one time step; raise `ConfigError` if not causal."""
        if not self.causal:
            raise ConfigError("pooling over the whole sequence cannot step. Set causal=True to stream.")
        self.check_width(x_t)
        partial, phase, held, *flat = state
        partial, phase = partial + x_t, phase + 1
        due = phase == self.stride
        z, flat = self._run_due((partial / self.stride).to(x_t.dtype), flat, due)
        if z is not None:
            held = torch.where(due[:, None], self.out(z).to(held.dtype), held)
        after = (partial.masked_fill(due[:, None], 0), phase.masked_fill(due, 0), held)
        return held.to(x_t.dtype), (*after, *flat)

    def _run_due(self, pooled: Token, flat: list[Tensor], due: Bool[Tensor, " B"]) -> tuple[Token | None, list[Tensor]]:
        """Advance the stack in the rows whose window is complete; no output where there is none."""
        if torch.compiler.is_exporting():
            z, after = self.stack.step(pooled, self._unflatten(flat))
            return z, [_merge(due, new, old) for new, old in zip(_flatten(after), flat, strict=True)]
        if not due.any():
            return None, flat
        if due.all():
            z, after = self.stack.step(pooled, self._unflatten(flat))
            return z, _flatten(after)
        z, after = self.stack(pooled[:, None], self._unflatten(flat), due.long())
        return z[:, 0], _flatten(after)

    def _unflatten(self, flat: list[Tensor]) -> States:
        """Return the states of the stack, one tuple a layer."""
        return tuple(tuple(flat[begin:end]) for begin, end in pairwise(self._cuts))

    def initial_state(self, batch: int) -> State:
        """Return the sum of the open window (B, D), its steps (B,), the answer held (B, D), and the stack's states.

        Nothing if not causal.
        """
        if not self.causal:
            return ()
        weight = self.out.weight
        zeros = weight.new_zeros(batch, self.width, dtype=accumulator(weight.dtype))
        phase = torch.zeros(batch, dtype=torch.int64, device=weight.device)
        return zeros, phase, zeros.clone(), *_flatten(self.stack.initial_state(batch))

    def state_bytes(self, length: int) -> int:
        """Return the bytes of 2 D numbers, of one count and of the stack after length / s tokens; 0 if not causal."""
        if not self.causal:
            return 0
        own = 2 * self.width * accumulator(self.out.weight.dtype).itemsize + 8
        return own + sum(mixer.state_bytes(length // self.stride) for mixer in self._inner())

    def flops(self, length: int) -> int:
        """Return the operations of the stack and the projection over ceil(L / s) tokens."""
        windows = self._windows(length)
        return self.stack.flops(windows) + 2 * windows * self.width**2


def _flatten(states: States) -> list[Tensor]:
    return [tensor for state in states for tensor in state]


def _pick(x: Float[Tensor, "B N D"], at: Int[Tensor, "B M"]) -> Float[Tensor, "B M D"]:
    """Return the entries of each row at its own places."""
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[2]))


def _merge(due: Bool[Tensor, " B"], new: Tensor, old: Tensor) -> Tensor:
    """Return the new state in the rows that are due, else the old one; a cache that grew is left-aligned."""
    if new.ndim > 1 and (grown := new.shape[1] - old.shape[1]):
        old = pad_end(old, grown)
    return torch.where(due.reshape(-1, *[1] * (new.ndim - 1)), new, old)


class PooledConfig(MixerConfig):
    """Settings of `Pooled`."""

    source: ClassVar[str] = "hierarchy of D4 3.1 (LEN3); pooled and upsampled stack: Dai et al. 2020, arXiv:2006.03236"
    kind: Literal["pooled"] = "pooled"
    of: Annotated[tuple[Layer, ...], Field(min_length=1)] = Field(
        default_factory=lambda: (mixers.config("attention")(),) * 2
    )
    """Layers that run at the lower rate, bottom first; with `causal`, those that can be causal are made so."""
    stride: Annotated[int, Field(ge=2, le=16), Tune(log=True)] = 2
    """s, steps joined to one token."""
    causal: bool = False
    """Answer with complete windows only; needed to stream and to forecast step by step."""
    expansion: Annotated[float, Field(ge=0, le=8)] = 2.0
    """Inner width of each layer's feed-forward part over the model width; 0 leaves the part out."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of channels dropped inside the stack."""

    def build(self, width: int) -> Pooled:
        """Return the stack and its pooling; raise `ConfigError` if it must be causal and a layer cannot."""
        layers = [
            layer.model_copy(update={"causal": True}) if self.causal and "causal" in type(layer).model_fields else layer
            for layer in self.of
        ]
        return Pooled(width, layers, self.stride, self.causal, self.expansion, self.dropout)
