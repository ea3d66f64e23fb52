"""The pooled stack against a plain loop over rows and windows, at every phase."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.layout import parse
from hybrids.mixers.pooled import Pooled, PooledConfig

WIDTH = 6


def built(
    of: str = "attention", stride: int = 3, causal: bool = True, settings: dict[str, Any] | None = None
) -> Pooled:
    torch.manual_seed(0)
    config = PooledConfig(of=parse(of, {of: settings or {}}), stride=stride, causal=causal)
    return config.build(WIDTH).double().eval()


def tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=generator)


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


def reference(mixer: Pooled, row: torch.Tensor) -> torch.Tensor:
    """Return the outputs (L, D) for one row without padding, window by window."""
    length, stride = len(row), mixer.stride
    windows = [row[begin : begin + stride] for begin in range(0, length, stride)]
    if mixer.causal:
        windows = [window for window in windows if len(window) == stride]
    if not windows:
        return torch.zeros_like(row)
    z = mixer.out(mixer.stack(torch.stack([window.mean(0) for window in windows])[None])[0])[0]
    source = [(t + 1) // stride - 1 if mixer.causal else t // stride for t in range(length)]
    return torch.stack([z[k] if k >= 0 else torch.zeros_like(row[0]) for k in source])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("stride", [2, 3, 5])
@pytest.mark.parametrize("of", ["attention", "gru", "conv"])
def test_outputs_and_gradients_equal_a_loop_over_rows_and_windows(of, stride, causal):
    mixer, x, ends = built(of, stride, causal), tokens(4, 11).requires_grad_(), [11, 7, 1, 5]
    y = mixer(x, lengths=torch.tensor(ends))[0]
    fast = torch.cat([y[b, :end] for b, end in enumerate(ends)])
    slow = torch.cat([reference(mixer, x[b, :end]) for b, end in enumerate(ends)])
    close(fast, slow)
    wanted = [x, *mixer.parameters()]
    grads = [torch.autograd.grad(out.square().sum(), wanted) for out in (fast, slow)]
    close(*grads)
    close(mixer(x)[0], torch.stack([reference(mixer, row) for row in x]))


@pytest.mark.parametrize(
    "mixer",
    [
        built(),
        built(settings={"window": 3}),
        built("lstm + gru", 4),
        built("conv + ssm", 2),
        built("pooled", 2, settings={"of": parse("gru")}),
    ],
    ids=["attention", "window", "rnn", "conv", "nested"],
)
@given(first=st.lists(st.integers(0, 8), min_size=3, max_size=3), second=st.integers(1, 6), seed=st.integers(0, 99))
def test_rows_at_any_phase_go_on_by_chunks_or_by_steps_as_if_read_at_once(mixer, first, second, seed):
    past, x, rest = tokens(3, 8, seed), tokens(3, second, seed + 1), tokens(3, 4, seed + 2)
    _, state = mixer(past, lengths=torch.tensor(first))
    chunk, after = mixer(x, state)
    steps = []
    for t in range(second):
        y_t, state = mixer.step(x[:, t], state)
        steps.append(y_t)
    close((torch.stack(steps, 1), state), (chunk, after))
    y = torch.cat([chunk, mixer(rest, after)[0]], 1)
    for b, begin in enumerate(first):
        close(y[b], reference(mixer, torch.cat([past[b, :begin], x[b], rest[b]]))[begin:])


def test_the_stack_runs_only_when_a_window_is_complete(monkeypatch):
    mixer, runs, x = built("gru", 4), [], tokens(2, 12)
    step = mixer.stack.step
    monkeypatch.setattr(mixer.stack, "step", lambda *args: (runs.append(t), step(*args))[1])
    state = mixer.initial_state(2)
    for t in range(12):
        _, state = mixer.step(x[:, t], state)
    assert runs == [3, 7, 11]


def test_without_a_state_to_keep_the_layers_read_each_batch_at_once(monkeypatch):
    mixer, calls, x = built("lstm", 2, causal=False), [], tokens(6, 12)
    kernel = torch.nn.LSTM.forward
    monkeypatch.setattr(torch.nn.LSTM, "forward", lambda *args: (calls.append(1), kernel(*args))[1])
    mixer(x, lengths=torch.arange(2, 14, 2))
    assert len(calls) == 1


def test_a_half_precision_stack_takes_a_chunk_that_completes_no_window():
    mixer, x = built("lstm", 4).bfloat16(), tokens(2, 7).bfloat16()
    y, state = mixer(x[:, :3])
    assert y.dtype == torch.bfloat16 and not y.any()
    close(mixer(x[:, 3:], state), (mixer(x)[0][:, 3:], mixer(x)[1]))


def test_an_answer_comes_with_the_last_step_of_its_window_and_holds_until_the_next():
    y, _ = built(stride=4)(tokens(1, 11))
    assert not y[:, :3].any()
    assert (y[:, 3:7] == y[:, 3:4]).all() and (y[:, 7:] == y[:, 7:8]).all() and (y[:, 3] != y[:, 7]).all()


def test_an_exported_step_serves_every_phase_of_every_row():
    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixer = mixer

        def forward(self, x_t: torch.Tensor, state: tuple[torch.Tensor, ...]) -> object:
            return mixer.step(x_t, state)

    mixer, x = built(stride=4), tokens(2, 20)
    _, state = mixer(x[:, :9], lengths=torch.tensor([9, 6]))
    free = {1: torch.export.Dim.DYNAMIC}
    shapes = ({}, tuple(free if s.ndim == 4 else {} for s in state))
    state = tuple(s.detach() for s in state)
    exported = torch.export.export(Step(), (x[:, 9], state), dynamic_shapes=shapes, strict=False).module()
    own = state
    for t in range(9, 20):
        y, state = mixer.step(x[:, t], state)
        served, own = exported(x[:, t], own)
        close(served, y)
    for grown, exact in zip(own, state, strict=True):
        close(grown[:, : exact.shape[1]] if exact.ndim == 4 else grown, exact)


def test_causal_pooling_makes_layers_causal_and_refuses_those_that_cannot_be():
    assert built(causal=True).stack.causal and not built(causal=False).stack.causal
    with pytest.raises(ConfigError, match=r"Attention looks ahead\. Use causal layers or causal=False\."):
        Pooled(WIDTH, parse("attention"), stride=2, causal=True)


def test_the_layers_below_the_rate_are_part_of_the_settings():
    config = PooledConfig(of=parse("2*gru + attention"), stride=5)
    assert PooledConfig.model_validate_json(config.model_dump_json()) == config
    (_, layer) = parse("gru + pooled", {"pooled": {"of": parse("ssm")}})
    assert layer == mixers.config("pooled")(of=parse("ssm"))
