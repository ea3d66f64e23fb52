"""Latency-controlled bidirectional LSTM: it reads forward without end and backward over a bounded look-ahead.

    y_t = W_o [forward(x_1 .. x_t) ; backward_k(x_e .. x_t)] + b_o      k = t // C,  e = min((k + 1) C + R, L) - 1

Steps lie in chunks of C, counted from the start of the sequence. Inside chunk k the backward LSTM starts from zero R
steps past the chunk's end, so an answer waits for at most C - 1 + R steps and recognition can stream (SC1). The
forward LSTM carries its state over all chunks. The backward work is (C + R) / C times that of one LSTM; all windows of
all rows are one batch. Training with C = R = 16 takes 1.8 times as long as the bidirectional LSTM (1024 steps, CPU).
The last steps of a chunk see less of the future than the first.

Zhang et al. 2015, arXiv:1510.08983; Xue & Yan 2017, doi:10.1109/ICASSP.2017.7953176.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.mixer import DelayedMixer, MixerConfig, State, Tune
from hybrids.shapes import Lengths, Token, Tokens


class LatencyControlledBiLSTM(DelayedMixer):
    """Mix tokens with a forward LSTM and a backward LSTM that starts anew for every chunk.

    Args:
        width: D, channels in and out; both LSTMs have D hidden numbers.
        chunk: C, steps answered together.
        right: R, steps past a chunk that the backward LSTM reads first.

    Example:
        >>> mixer = LatencyControlledBiLSTM(width=4, chunk=8, right=4)
        >>> y, state = mixer.stream(torch.zeros(2, 21, 4))  # 16 answers: the next chunk is certain after 28 steps
        >>> rest = mixer.finish(state)  # the other 5
    """

    def __init__(self, width: int, chunk: int, right: int) -> None:
        super().__init__()
        self.width, self.chunk, self.right, self.look_ahead = width, chunk, right, chunk - 1 + right
        lstm = mixers.config("lstm")()
        self.onward, self.back = lstm.build(width), lstm.build(width)
        self.exports_any_length = False
        self.out = nn.Linear(2 * width, width)

    def forward(self, x: Tokens, state: State | None = None, lengths: Lengths | None = None) -> tuple[Tokens, State]:
        """Mix whole sequences; raise `ShapeError` if the last axis of `x` is not D, `ConfigError` for a state."""
        self.check_width(x)
        if state:
            raise ConfigError("forward of a latency-controlled BiLSTM takes no state. Use stream() to go on.")
        before, _ = self.onward(x)
        if lengths is None:
            lengths = x.new_full((x.shape[0],), x.shape[1], dtype=torch.int64)
        return self.out(torch.cat([before, self._backward(x, lengths, x.shape[1])], -1)), ()

    def _backward(self, x: Tokens, lengths: Lengths, done: int) -> Tokens:
        """Return the backward LSTM's first `done` outputs; every window is a row of one batch, last step first."""
        batch, length, width = x.shape
        count, span = (done + self.chunk - 1) // self.chunk, self.chunk + self.right
        row, time = torch.arange(batch, device=x.device)[:, None], torch.arange(done, device=x.device)
        begins = torch.arange(count, device=x.device) * self.chunk
        ends = torch.minimum(begins + span, lengths[:, None])
        read = (ends[..., None] - 1 - torch.arange(span, device=x.device)).clamp(min=0) + row[..., None] * length
        windows = x.flatten(0, 1).index_select(0, read.flatten()).view(-1, span, width)
        y, _ = self.back(windows)
        chunk = time // self.chunk
        written = (ends[:, chunk] - 1 - time).clamp(min=0) + (row * count + chunk) * span
        outputs: Tensor = y.flatten(0, 1).index_select(0, written.flatten())
        return outputs.view(batch, done, width)

    def stream(self, x: Tokens, state: State | None = None) -> tuple[Tokens, State]:
        """Take in a chunk of one step or more and return the outputs of the chunks that are now certain.

        Args:
            x: Tokens; every row is valid to the end.
            state: What `stream` returned before: the inputs not yet answered (B, < C + R, D), in float32 at least, and
                the forward LSTM's h and c after the last answer. None is the start.
        """
        self.check_width(x)
        pending, *carried = self._start(x) if state is None else state
        pending = torch.cat([pending, x.to(pending.dtype)], 1)
        done = max(0, (pending.shape[1] - self.right) // self.chunk) * self.chunk
        y, after = self._answer(pending[:, : done + self.right], tuple(carried), done)
        return y.to(x.dtype), (pending[:, done:], *after)

    def finish(self, state: State) -> Tokens:
        """Return the outputs still owed at the end of the stream."""
        pending, *carried = state
        return self._answer(pending, tuple(carried), pending.shape[1])[0]

    def _answer(self, x: Tokens, carried: State, done: int) -> tuple[Tokens, State]:
        """Return the first `done` outputs of `x`, which begins with a chunk, and the forward state after them."""
        x = x.to(self.out.weight.dtype)
        if done == 0:
            return x[:, :0], carried
        lengths = x.new_full((x.shape[0],), x.shape[1], dtype=torch.int64)
        before, carried = self.onward(x[:, :done], carried)
        return self.out(torch.cat([before, self._backward(x, lengths, done)], -1)), carried

    def _start(self, x: Tokens) -> tuple[Tensor, ...]:
        """Return no pending inputs and the forward LSTM's first state."""
        carried = self.onward.initial_state(x.shape[0])
        return x.new_zeros(x.shape[0], 0, self.width, dtype=carried[0].dtype), *carried

    def step(self, x_t: Token, state: State) -> tuple[Token, State]:
        """Raise `ConfigError`: an output waits for later steps."""
        raise ConfigError(
            "a latency-controlled BiLSTM answers whole chunks and cannot step. Set the layer to 'lstm' to answer "
            "every step, or use stream()."
        )

    def initial_state(self, batch: int) -> State:
        """Return nothing: `forward` keeps no state."""
        return ()

    def state_bytes(self, length: int) -> int:
        """Return 0: `forward` keeps no state."""
        return 0

    def flops(self, length: int) -> int:
        """Return the operations of the forward LSTM, of all backward windows and of the product that joins them."""
        windows = -(-length // self.chunk)
        both = self.onward.flops(length) + windows * self.back.flops(self.chunk + self.right)
        return both + 4 * length * self.width**2


class LatencyControlledBiLSTMConfig(MixerConfig):
    """Settings of `LatencyControlledBiLSTM`."""

    source: ClassVar[str] = "Zhang et al. 2015, arXiv:1510.08983"
    kind: Literal["lc_bilstm"] = "lc_bilstm"
    chunk: Annotated[int, Field(ge=1, le=256), Tune(log=True)] = 16
    """C, steps answered together; the worst delay is C - 1 + R steps."""
    right: Annotated[int, Field(ge=0, le=256)] = 16
    """R, steps past a chunk that are read before it is answered."""

    def build(self, width: int) -> LatencyControlledBiLSTM:
        """Return two LSTMs of D hidden numbers each, joined by a product."""
        return LatencyControlledBiLSTM(width, self.chunk, self.right)
