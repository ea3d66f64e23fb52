"""`make bench`: forward and backward time of every mixer beside torch's own layer of its kind, in one run.

Prints one line a mixer and length: milliseconds, the peer's milliseconds, their ratio. Constant tokens per batch.
Nothing else may run meanwhile.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hybrids import mixers

TOKENS, WIDTH, LENGTHS, ROUNDS = 4096, 64, (64, 256, 1024), 5


def peer_of(name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """Return torch's own layer that does the job of mixer `name`, and its name."""
    if name == "gru":
        gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        return "nn.GRU", lambda x: gru(x)[0]
    if name in ("lstm", "linear_attention", "ssm"):
        lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        return "nn.LSTM", lambda x: lstm(x)[0]
    if name == "attention":
        attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        return "nn.MultiheadAttention", lambda x: attention(x, x, x, need_weights=False)[0]
    conv = nn.Conv1d(WIDTH, WIDTH, 39, padding="same")
    return "nn.Conv1d(39)", lambda x: conv(x.transpose(1, 2)).transpose(1, 2)


def seconds_of(run: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return the time of one forward and backward pass."""
    began = time.perf_counter()
    run(x).square().mean().backward()
    return time.perf_counter() - began


def main() -> None:
    """Measure every mixer."""
    torch.set_num_threads(1)
    out = sys.stdout.write
    out(f"{'mixer':18}{'length':>8}{'ms':>10}  {'peer':24}{'ms':>10}{'ratio':>8}\n")
    for name in mixers.names():
        mixer = mixers.config(name)().build(WIDTH)
        peer_name, peer = peer_of(name)
        for length in LENGTHS:
            x = torch.randn(TOKENS // length, length, WIDTH, requires_grad=True)
            ours, theirs = [], []
            for _ in range(ROUNDS):  # interleaved, so that what else the machine does meets both
                ours.append(seconds_of(lambda z: mixer(z)[0], x))  # noqa: B023
                theirs.append(seconds_of(peer, x))
            a, b = min(ours) * 1e3, min(theirs) * 1e3
            out(f"{name:18}{length:>8}{a:>10.1f}  {peer_name:24}{b:>10.1f}{a / b:>8.2f}\n")


if __name__ == "__main__":
    main()
