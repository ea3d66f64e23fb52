"""Public layers to compare with, each a module (x, lengths) -> y; see `benchmarks.peers` for where they come from."""

import math
from collections.abc import Callable
from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HEAD = 16


class Recurrent(nn.Module):
    """torch's own recurrent layer."""

    def __init__(self, kind: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.rnn = kind(width, width, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        return self.rnn(x)[0]


class Bidirectional(nn.Module):
    """torch's own recurrent layer in both directions; ragged rows are packed, as its documentation says."""

    def __init__(self, kind: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.rnn, self.join = kind(width, width, batch_first=True, bidirectional=True), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        if lengths is None:
            return self.join(self.rnn(x)[0])
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.join(y)


class PooledEncoder(nn.Module):
    """Means of windows of steps, two layers of nn.TransformerEncoder over them, and every window's answer repeated."""

    def __init__(self, width: int, stride: int, causal: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, width // HEAD, 2 * width, batch_first=True, norm_first=True)
        self.stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.stride, self.causal = stride, causal

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layers; the causal form answers one window late."""
        pooled = F.avg_pool1d(x.mT, self.stride).mT
        mask = nn.Transformer.generate_square_subsequent_mask(pooled.shape[1]) if self.causal else None
        y = self.stack(pooled, mask=mask, is_causal=self.causal).repeat_interleave(self.stride, 1)
        return F.pad(y, (0, 0, self.stride - 1, 0))[:, : x.shape[1]] if self.causal else y


class TorchAttention(nn.Module):
    """nn.MultiheadAttention, which nn.TransformerEncoderLayer uses too."""

    def __init__(self, width: int, length: int, causal: bool, window: int | None = None) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, width // HEAD, bias=False, batch_first=True)
        mask = torch.ones(length, length, dtype=torch.bool).triu(1) if causal else None
        if mask is not None and window is not None:
            mask |= torch.ones_like(mask).tril(-window)
        self.register_buffer("mask", mask)
        self.hint = causal and window is None

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Attend to all, or to the past."""
        return self.attention(x, x, x, attn_mask=self.mask, is_causal=self.hint, need_weights=False)[0]


class XAttention(nn.Module):
    """x-transformers' attention over torch's fused kernel, with rotary positions."""

    def __init__(self, width: int, length: int, causal: bool, window: int | None = None) -> None:
        super().__init__()
        library = import_module("x_transformers.x_transformers")
        self.attention = library.Attention(
            dim=width, dim_head=HEAD, heads=width // HEAD, causal=causal, flash=True, max_attend_past=window
        )
        self.rotary, self.length = library.RotaryEmbedding(HEAD), length

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Attend to all, or to the past."""
        out = self.attention(x, rotary_pos_emb=self.rotary.forward_from_seq_len(self.length))
        return out[0] if isinstance(out, tuple) else out


class Package(nn.Module):
    """A layer of a package, called with the tokens only."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        return self.layer(x)


class MinGRUScan(nn.Module):
    """A minimal GRU over mambapy's parallel scan in linear space: faster than the scan in logarithms."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(width, 2 * inner), nn.Linear(inner, width)
        self.scan = import_module("mambapy.pscan").pscan

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        value, gate = self.project(x).chunk(2, -1)
        z = gate.sigmoid()
        return self.out(self.scan((1 - z)[..., None], (z * value)[..., None])[..., 0])


class MatrixMemory(nn.Module):
    """The layer around a linear-attention kernel as published: projections, short convolution, gated norm.

    `rule(q, k, v, log_decay, beta)` returns the outputs; all are (B, L, H, d), the last two (B, L, H).
    """

    def __init__(self, width: int, rule: Callable[..., Tensor]) -> None:
        super().__init__()
        self.heads, self.rule = width // HEAD, rule
        self.qkv, self.gate = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.scalars = nn.Linear(width, 2 * self.heads)
        self.conv = nn.Conv1d(3 * width, 3 * width, 4, groups=3 * width, padding=3, bias=False)
        self.norm, self.out = nn.RMSNorm(HEAD), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        mixed = F.silu(self.conv(self.qkv(x).mT)[..., : x.shape[1]].mT)
        q, k, v = (t.unflatten(-1, (self.heads, HEAD)) for t in mixed.chunk(3, -1))
        decay, beta = self.scalars(x).chunk(2, -1)
        y = self.rule(F.normalize(q, dim=-1), F.normalize(k, dim=-1), v, F.logsigmoid(decay) / 16, beta.sigmoid())
        return self.out(self.norm(y).flatten(-2) * F.silu(self.gate(x)))


class KernelAttention(nn.Module):
    """Causal attention with a feature map, elu + 1 or Taylor's, over flash-linear-attention's chunked reference."""

    def __init__(self, width: int, rule: Callable[..., Tensor], feature: str) -> None:
        super().__init__()
        self.feature = _elu if feature == "elu" else _taylor
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.rule = rule

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        q, k, v = (t.unflatten(-1, (-1, HEAD)) for t in self.qkv(x).chunk(3, -1))
        return self.out(self.rule(self.feature(q), self.feature(k), v, normalize=True).flatten(-2))


def _elu(x: Tensor) -> Tensor:
    return F.elu(x) + 1


def _taylor(x: Tensor) -> Tensor:
    """Return 1, x and all products of two channels, scaled: the usual form of the map of arXiv:2402.18668."""
    squares = (x[..., :, None] * x[..., None, :]).flatten(-2)
    return torch.cat([torch.ones_like(x[..., :1]), x / x.shape[-1] ** 0.25, squares / (2 * x.shape[-1]) ** 0.5], -1)


class Mamba2(nn.Module):
    """Mamba-2 (state space duality) over flash-linear-attention's chunked reference for scalar decays."""

    def __init__(self, width: int, inner: int, states: int, rule: Callable[..., tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.inner, self.states, self.heads = inner, states, inner // HEAD
        self.project = nn.Linear(width, 2 * inner + 2 * states + self.heads, bias=False)
        self.conv = nn.Conv1d(inner + 2 * states, inner + 2 * states, 4, groups=inner + 2 * states, padding=3)
        self.A_log, self.D = nn.Parameter(torch.zeros(self.heads)), nn.Parameter(torch.ones(self.heads))
        self.norm, self.out = nn.RMSNorm(inner), nn.Linear(inner, width, bias=False)
        self.rule = rule

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        sizes = [self.inner, self.inner + 2 * self.states, self.heads]
        z, mixed, dt = self.project(x).split(sizes, -1)
        mixed = F.silu(self.conv(mixed.mT)[..., : x.shape[1]].mT)
        u, b, c = mixed.split([self.inner, self.states, self.states], -1)
        u, dt = u.unflatten(-1, (self.heads, HEAD)), F.softplus(dt)
        b, c = (t[:, :, None].expand(-1, -1, self.heads, -1) for t in (b, c))
        y, _ = self.rule(c, b, u * dt[..., None], -self.A_log.exp() * dt, scale=1.0)
        return self.out(self.norm((y + self.D[:, None] * u).flatten(-2) * F.silu(z)))


class S4DByFFT(nn.Module):
    """The diagonal state space layer as usually written: the whole kernel, then one FFT convolution (2206.11893)."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.log_dt = nn.Parameter(torch.empty(width).uniform_(math.log(1e-3), math.log(1e-1)))
        self.log_decay = nn.Parameter(torch.full((width, modes), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(modes).repeat(width, 1))
        self.C, self.D = nn.Parameter(torch.randn(width, modes, 2)), nn.Parameter(torch.randn(width))
        self.out = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        n = x.shape[1]
        A = torch.complex(-self.log_decay.exp(), self.frequency)
        dt_A = A * self.log_dt.exp()[:, None]
        C = torch.view_as_complex(self.C) * (dt_A.exp() - 1) / A
        powers = torch.exp(dt_A[..., None] * torch.arange(n, device=x.device))
        kernel = 2 * torch.einsum("dn,dnl->dl", C, powers).real
        u = x.mT
        y = torch.fft.irfft(torch.fft.rfft(u, 2 * n) * torch.fft.rfft(kernel, 2 * n), 2 * n)[..., :n]
        return F.glu(self.out(F.gelu(y + self.D[:, None] * u).mT), -1)


class Inception(nn.Module):
    """Three depthwise nn.Conv1d of 39, 19 and 9 taps over a third of the channels each, between two projections."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.causal, self.shares = causal, [width // 3 + (i < width % 3) for i in range(3)]
        self.project, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.convs = nn.ModuleList(nn.Conv1d(n, n, k, groups=n) for n, k in zip(self.shares, (39, 19, 9), strict=True))

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        parts = []
        for u, conv in zip(self.project(x).mT.split(self.shares, 1), self.convs, strict=True):
            taps = conv.kernel_size[0] - 1
            parts.append(conv(F.pad(u, (taps, 0) if self.causal else (taps // 2, taps - taps // 2))))
        return self.out(F.silu(torch.cat(parts, 1)).mT)


class DenseMixture(nn.Module):
    """A mixture of recurrent experts as usually written: every expert reads every token, a softmax weighs them."""

    def __init__(self, width: int, experts: int, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts)
        self.experts = nn.ModuleList(Recurrent(kind, width) for _ in range(experts))

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        weights = self.router(x).softmax(-1)
        return sum(expert(x, None) * weights[..., i : i + 1] for i, expert in enumerate(self.experts))


class AttentionIntoRecurrent(nn.Module):
    """nn.MultiheadAttention over the past whose output, beside the input, drives a torch recurrent layer."""

    def __init__(self, width: int, length: int, window: int | None) -> None:
        super().__init__()
        self.attention = TorchAttention(width, length, True, window)
        self.rnn = nn.LSTM(2 * width, width, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the layer."""
        return self.rnn(torch.cat([x, self.attention(x, None)], -1))[0]
