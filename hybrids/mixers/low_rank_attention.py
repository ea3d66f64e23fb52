"""Low-rank attention: every query looks at k mixtures of all keys instead of at the L keys themselves.

    k'_r = sum_t e_r(t) k_t        v'_r = sum_t f_r(t) v_t        y_t = W_o sum_r softmax_r(q_t . k'_r / sqrt(d)) v'_r

O(L (g + k) D) work and O(L k H) memory. It sees the whole sequence at once, so it neither streams nor forecasts step by
step, and it cannot pick one token out of many: a mixture has rank k.

Linformer (Wang et al. 2020, arXiv:2006.04768) learns e and f as matrices (k, L) for one fixed L. Here they are
functions of the relative position, given at g points and linear between: for a row of n valid steps

    e_r(t) = sqrt(g / n) E_r(g (t + 1/2) / n - 1/2)

So any length works and padding has no part; for n = g this is the paper's matrix E. The root keeps the variance of a
mixture of independent keys about the same at every length. Because all maps are linear, the sequence is brought to g
points first, and only those are projected.
"""

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hybrids.cache import attend
from hybrids.errors import ConfigError
from hybrids.mixer import Mixer, MixerConfig, State, Tune
from hybrids.positions import sinusoidal
from hybrids.scan import accumulator, full_precision, head_width
from hybrids.shapes import Heads, Lengths, Token, Tokens

Resampling = Float[Tensor, "b g L"]


class LowRankAttention(Mixer):
    """Mix tokens with multi-head attention to k mixtures of keys and values, the same mixtures for every head.

    Args:
        width: D, channels in and out.
        heads: H; must divide D.
        rank: k, mixtures.
        grid: g, points at which the mixing functions are given; as many as the usual sequence has steps, or fewer.

    Raises:
        ConfigError: `heads` does not divide the width, or there are more mixtures than points.

    Example:
        >>> mixer = LowRankAttention(width=8, heads=2, rank=4, grid=16)
        >>> y, _ = mixer(torch.zeros(2, 100, 8))
    """

    def __init__(self, width: int, heads: int, rank: int, grid: int) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"{heads} heads do not divide width {width}. Use a multiple of {heads} as width.")
        if rank > grid:
            raise ConfigError(f"{rank} mixtures of {grid} points are redundant. Set rank to at most {grid}.")
        self.width, self.heads, self.causal, self.rank, self.grid = width, heads, False, rank, grid
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.mixing = nn.Parameter(torch.randn(2, rank, grid) * grid**-0.5)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix whole sequences; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state."""
        self.check_width(x)
        if state:
            raise ConfigError("low-rank attention takes no state. Pass the whole sequence at once.")
        x = _placed(x)
        with full_precision(x.device):
            points = resampling(x.shape[1], self.grid, lengths, x) @ x.to(accumulator(x.dtype))
        y = attend(self._split(self.query(x)), *self._mixtures(points.to(x.dtype)))
        return self.out(y), ()

    def _mixtures(self, points: Float[Tensor, "B g D"]) -> tuple[Heads, Heads]:
        """Return k'_r and v'_r, (B, k, H, d) each, from the tokens at the points."""
        projected = self.key_value(points).unflatten(-1, (2, -1)).transpose(1, 2)
        k, v = (self.mixing.to(projected.dtype) @ projected).unbind(1)
        return self._split(k), self._split(v)

    def _split(self, x: Tokens) -> Heads:
        return x.reshape(*x.shape[:2], self.heads, -1)

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Raise `ConfigError`: there is no step."""
        raise ConfigError("low-rank attention needs the whole sequence and cannot step. Set a causal mixer instead.")

    def initial_state(self, batch: int) -> State:
        """Return nothing."""
        return ()

    def state_bytes(self, length: int) -> int:
        """Return 0."""
        return 0

    def flops(self, length: int) -> int:
        """Return the operations of the resampling, the projections, the mixing and the attention to k mixtures."""
        per_token = 2 * self.grid * self.width + 4 * self.width**2 + 4 * self.rank * self.width
        return length * per_token + 4 * self.grid * self.width**2 + 4 * self.rank * self.grid * self.width


def _placed(x: Tokens) -> Tokens:
    """Add sinusoids, so that a query knows where it stands; the mixtures know where their keys do."""
    return x + sinusoidal(torch.arange(x.shape[1], device=x.device)[None], x.shape[-1], x.dtype)


def resampling(length: int, grid: int, lengths: Lengths | None, like: Tensor) -> Resampling:
    """Return the weights of every step at every point: tents one point wide, times sqrt(g / n), 0 on padding.

    Args:
        length: L.
        grid: g.
        lengths: Valid steps of each row; None is all L, and one matrix for all rows.
        like: Gives device and precision, at least float32.
    """
    steps = torch.arange(length, device=like.device, dtype=accumulator(like.dtype))
    valid = steps.new_full((1,), length) if lengths is None else lengths.to(steps.dtype)
    scale = grid / valid.clamp(min=1)[:, None]
    at = ((steps + 0.5) * scale - 0.5).clamp(0, grid - 1)
    points = torch.arange(grid, device=like.device, dtype=steps.dtype)
    tents = (1 - (at[:, None] - points[:, None]).abs()).clamp(min=0)
    return tents * (scale.sqrt() * (steps < valid[:, None]))[:, None]


def low_rank_attention_reference(mixer: LowRankAttention, x: Tokens, lengths: Lengths) -> Tokens:
    """Compute the valid outputs of `mixer`, 0 elsewhere, mixture by mixture; the truth the tests compare with."""
    placed, y = _placed(x), torch.zeros_like(x)
    for row, n in enumerate(lengths.tolist()):
        q, (k, v) = mixer.query(placed[row, :n]), mixer.key_value(placed[row, :n]).chunk(2, -1)
        mixtures = [torch.zeros(2, mixer.width, dtype=x.dtype) for _ in range(mixer.rank)]
        for r in range(mixer.rank):
            for t in range(n):
                u = min(max((t + 0.5) * mixer.grid / n - 0.5, 0.0), mixer.grid - 1.0)
                left = min(int(u), mixer.grid - 2) if mixer.grid > 1 else 0
                right, share = min(left + 1, mixer.grid - 1), u - left
                e, f = (1 - share) * mixer.mixing[:, r, left] + share * mixer.mixing[:, r, right]
                mixtures[r] = mixtures[r] + (mixer.grid / n) ** 0.5 * torch.stack([e * k[t], f * v[t]])
        keys, values = torch.stack(mixtures, 1)
        heads = zip(*(t.chunk(mixer.heads, -1) for t in (q, keys, values)), strict=True)
        mixed = [((a @ b.mT) / a.shape[-1] ** 0.5).softmax(-1) @ c for a, b, c in heads]
        y[row, :n] = mixer.out(torch.cat(mixed, -1))
    return y


class LowRankAttentionConfig(MixerConfig):
    """Settings of `LowRankAttention`."""

    source: ClassVar[str] = "Wang et al. 2020, arXiv:2006.04768"
    kind: Literal["low_rank_attention"] = "low_rank_attention"
    head_dim: Annotated[int, Field(ge=4, le=64), Tune(log=True)] = 16
    """Wanted channels per head; the nearest divisor of the width is taken."""
    rank: Annotated[int, Field(ge=4, le=128), Tune(log=True)] = 32
    """k, mixtures of keys and values; no more than `grid` are made."""
    grid: Annotated[int, Field(ge=4, le=1024)] = 64
    """g, points at which the mixing functions are given; finer detail of the order is blurred."""

    def build(self, width: int) -> LowRankAttention:
        """Return low-rank attention with about D / head_dim heads."""
        return LowRankAttention(width, width // head_width(width, self.head_dim), min(self.rank, self.grid), self.grid)
