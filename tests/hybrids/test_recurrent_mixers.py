"""What the recurrent mixers and their bidirectional forms promise beyond the contract of every mixer."""

import copy
import math

import pytest
import torch

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.layout import parse, render
from hybrids.mixer import Mixer, MixerConfig

WIDTH, LONGEST = 6, 200


def built(name: str, width: int = WIDTH, **settings: object) -> Mixer:
    torch.manual_seed(0)
    return mixers.config(name)(**settings).build(width).double().eval()


def causal_configs() -> list[MixerConfig]:
    """Return every mixer's default config, or its causal one, if it is causal."""
    found = [mixers.config(name) for name in mixers.names()]
    every = [c(causal=True) if "causal" in c.model_fields else c() for c in found]
    return [config for config in every if config.build(WIDTH).causal]


def tokens(length: int, batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(length))


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("config", causal_configs(), ids=lambda config: config.kind)
def test_bidirectional_equals_each_row_read_alone_from_both_ends(config):
    both, x, valid = built("bidirectional", of=config), tokens(13), [13, 1, 8]
    y, _ = both(x, lengths=torch.tensor(valid))
    for row, length in enumerate(valid):
        alone = x[row : row + 1, :length]
        before, after = both.onward(alone)[0], both.back(alone.flip(1))[0].flip(1)
        close(y[row : row + 1, :length], both.out(torch.cat([before, after], -1)))
    close(both(x[:1])[0], y[:1])


@pytest.mark.parametrize("of", [{"kind": "bidirectional"}, {"kind": "attention", "causal": False}])
def test_only_a_causal_mixer_can_be_run_in_two_directions(of):
    with pytest.raises(ConfigError, match=r"sees both sides already\. Run a causal mixer"):
        mixers.config("bidirectional")(of=of).build(WIDTH)


def test_a_layout_can_say_what_runs_in_two_directions():
    layers = parse("2*bidirectional", {"bidirectional": {"of": {"kind": "gru"}}})
    assert layers[0].of == mixers.config("gru")() and render(layers) == "2*bidirectional"


def test_bidirectional_exports_what_the_mixer_inside_exports():
    assert not built("bidirectional").exports_any_length
    assert built("bidirectional", of={"kind": "conv", "causal": True}).exports_any_length


@pytest.mark.parametrize("length", [1, 4, 7, 8, 21])
@pytest.mark.parametrize(("chunk", "right"), [(4, 3), (4, 0), (1, 2), (3, 5)])
def test_lc_bilstm_equals_a_loop_over_chunks(chunk, right, length):
    mixer, x = built("lc_bilstm", chunk=chunk, right=right), tokens(length)
    after = []
    for begin in range(0, length, chunk):
        window = x[:, begin : begin + chunk + right]
        after.append(mixer.back(window.flip(1))[0].flip(1)[:, : min(chunk, length - begin)])
    close(mixer(x)[0], mixer.out(torch.cat([mixer.onward(x)[0], torch.cat(after, 1)], -1)))


def test_lc_bilstm_with_one_chunk_for_all_is_a_bilstm():
    mixer, x, valid = built("lc_bilstm", chunk=32), tokens(11), torch.tensor([11, 2, 7])
    both = built("bidirectional")
    both.load_state_dict(mixer.state_dict())
    close(mixer(x, lengths=valid)[0][0], both(x, lengths=valid)[0][0])
    close(mixer(x, lengths=valid)[0][2, :7], both(x, lengths=valid)[0][2, :7])


def test_an_lc_bilstm_stream_keeps_less_than_a_window_whatever_the_length():
    mixer = built("lc_bilstm", chunk=4, right=3)
    state = None
    for _ in range(50):
        _, state = mixer.stream(tokens(3), state)
        assert state[0].shape[1] < 4 + 3
    assert all(s.dtype == torch.float64 for s in state)


def test_an_lc_bilstm_in_half_precision_streams():
    mixer, x = built("lc_bilstm", chunk=4, right=3).bfloat16(), tokens(14).bfloat16()
    y, state = mixer.stream(x)
    y = torch.cat([y, mixer.finish(state)], 1)
    torch.testing.assert_close(y, mixer(x)[0])


def test_no_chunk_of_a_stream_needs_a_minimum_length():
    mixer = built("lc_bilstm")
    y, state = mixer.stream(tokens(1))
    assert y.shape == (3, 0, WIDTH)
    close(mixer.finish(state), mixer(tokens(1))[0])


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_chrono_gates_forget_over_the_wanted_time_scales(name):
    width = 400
    mixer = built(name, width=width, init="chrono", longest_memory=LONGEST)
    keep = mixer.rnn.all_weights[0][2][width : 2 * width]
    scale = 1 / (1 - torch.sigmoid(keep))
    assert scale.min() >= 2 and scale.max() <= LONGEST
    assert abs(scale.mean() - (2 + LONGEST) / 2) < 4 * (LONGEST - 2) / math.sqrt(12 * width)  # 4 standard errors
    if name == "lstm":
        close(mixer.rnn.all_weights[0][2][:width], -keep)


def test_a_chrono_lstm_left_alone_forgets_as_its_time_scale_says():
    mixer = built("lstm", width=1, init="chrono", longest_memory=LONGEST)
    for weight in mixer.rnn.all_weights[0][:2]:
        torch.nn.init.zeros_(weight)
    scale = 1 / (1 - torch.sigmoid(mixer.rnn.all_weights[0][2][1]))
    _, (_, cell) = mixer(torch.zeros(1, 50, 1, dtype=torch.float64), (torch.zeros(1, 1), torch.ones(1, 1).double()))
    close(cell.item(), (1 - 1 / scale.item()) ** 50)


def test_an_identity_rnn_copies_a_small_state():
    mixer = built("rnn", init="identity")
    start = torch.full((1, WIDTH), 1e-4, dtype=torch.float64)
    _, (end,) = mixer(torch.zeros(1, 20, WIDTH, dtype=torch.float64), (start,))
    close(end, start)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_recurrent_mixer_in_half_precision_keeps_a_single_precision_state(name):
    mixer, x = built(name).bfloat16(), tokens(9).bfloat16()
    y, state = mixer(x, lengths=torch.tensor([9, 1, 4]))
    y_t, state = mixer.step(x[:, 0], state)
    assert y.dtype == y_t.dtype == torch.bfloat16
    assert all(s.dtype == torch.float32 for s in state)


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_recurrent_mixer_in_half_precision_adds_up_in_single_precision(name, learning):
    half, x = built(name).bfloat16(), tokens(29).bfloat16()
    _, exact = copy.deepcopy(half).double()(x.double())
    with torch.set_grad_enabled(learning):
        _, ends = half(x)
        stepped = half.initial_state(3)
        for x_t in x.unbind(1):
            _, stepped = half.step(x_t, stepped)
    for end, last, truth in zip(ends, stepped, exact, strict=True):
        torch.testing.assert_close(end.double(), truth, rtol=0, atol=1e-5)
        torch.testing.assert_close(last.double(), truth, rtol=0, atol=1e-5)


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("x_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "moe_rnn", "attention_rnn"])
def test_under_autocast_outputs_have_the_precision_of_the_inputs(name, x_dtype, learning):
    mixer, x = built(name).float(), tokens(9).to(x_dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(learning):
        y, state = mixer(x, lengths=torch.tensor([9, 1, 4]))
        y_t, _ = mixer.step(x[:, 0], state)
    assert y.dtype == y_t.dtype == x_dtype


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_inputs_of_another_precision_are_taken_in_that_of_the_weights(name, learning):
    mixer, x = built(name), tokens(9).float()
    with torch.set_grad_enabled(learning):
        y, state = mixer(x)
        exact, end = mixer(x.double())
    assert y.dtype == torch.float32
    close((y, state), (exact.float(), end))


@pytest.mark.parametrize("name", ["lstm", "attention_rnn"])
def test_rows_without_a_valid_step_keep_their_state_and_give_outputs_with_a_graph(name):
    mixer, x = built(name), tokens(5).requires_grad_()
    _, state = mixer(tokens(7))
    y, after = mixer(x, state, torch.zeros(3, dtype=torch.int64))
    assert y.shape == x.shape and y.requires_grad
    close(after, state)
