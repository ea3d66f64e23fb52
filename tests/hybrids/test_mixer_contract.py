"""Laws that hold for every token mixer: a new file in hybrids/mixers/ is tested with no edit here.

Float64 and tiny sizes: a law holds to 1e-9 or it does not hold. Every mixer is tested with its default settings and
with every boolean setting (causal, ...) the other way round.
"""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hybrids import mixers
from hybrids.decay import undecayed
from hybrids.errors import ConfigError, ShapeError
from hybrids.mixer import DelayedMixer, Mixer, MixerConfig, Tune

BATCH, WIDTH = 2, 6
BFLOAT16_ERROR = 0.03  # RMS of the error over RMS of the output, one layer, 29 steps: 8 bits round by 0.4 % each time
MORE = {
    "bidirectional": [{"of": {"kind": "gru"}}],
    "gru": [{"init": "chrono"}],
    "lc_bilstm": [{"chunk": 4, "right": 3}, {"chunk": 3, "right": 0}],
    "lstm": [{"init": "chrono"}],
    "rnn": [{"init": "identity"}],
    "attention": [
        {"causal": True, "window": 4},
        {"causal": True, "positions": "learned", "head_dim": 4, "group": 2},
        {"positions": "sinusoidal", "head_dim": 4},
    ],
    "attention_rnn": [{"window": 4}, {"window": 4, "feedback": True}],
    "low_rank_attention": [{"rank": 4, "grid": 5, "head_dim": 4}],
    "conv": [{"causal": True, "kernel": 5, "dilation": 2}],
    "kernel_attention": [{"feature": "elu"}],
    "ssm": [{"expansion": 2}],
    "mingru": [{"kernel": 1, "expansion": 2}],
    "minlstm": [{"kernel": 1}],
    "moe_rnn": [{"active": 1}],
    "pooled": [{"causal": True, "stride": 4, "of": [{"kind": "gru"}]}],
}
lengths = st.integers(min_value=1, max_value=17)  # odd and 1: where chunked code breaks
seeds = st.integers(min_value=0, max_value=2**16)


def variants() -> list[MixerConfig]:
    """Return every mixer's default config, each boolean turned round, and the settings listed in MORE."""
    found = []
    for name in mixers.names():
        config = mixers.config(name)
        flags = [{f: not info.default} for f, info in config.model_fields.items() if info.annotation is bool]
        found += [config(**settings) for settings in [{}, *flags, *MORE.get(name, [])]]
    return found


def label(config: MixerConfig) -> str:
    return "-".join([config.kind, *(f"{k}={v}" for k, v in config.model_dump(exclude_defaults=True).items())])


def built(config: MixerConfig) -> Mixer:
    torch.manual_seed(0)
    return config.build(WIDTH).double().eval()


CAUSAL = [c for c in variants() if built(c).causal]
OTHER = [c for c in variants() if not built(c).causal]
DELAYED = [c for c in OTHER if isinstance(built(c), DelayedMixer)]


@pytest.fixture(params=variants(), ids=label, scope="module")
def mixer(request: pytest.FixtureRequest) -> Mixer:
    return built(request.param)


@pytest.fixture(params=CAUSAL, ids=label, scope="module")
def causal(request: pytest.FixtureRequest) -> Mixer:
    return built(request.param)


@pytest.fixture(params=DELAYED, ids=label, scope="module")
def delayed(request: pytest.FixtureRequest) -> DelayedMixer:
    return built(request.param)


@pytest.fixture(params=OTHER, ids=label, scope="module")
def acausal(request: pytest.FixtureRequest) -> Mixer:
    return built(request.param)


def tokens(length: int, seed: int, batch: int = BATCH) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=generator)


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@given(length=lengths, seed=seeds, data=st.data())
def test_cutting_a_sequence_anywhere_changes_nothing(causal, length, seed, data):
    x, cut = tokens(length + 1, seed), data.draw(st.integers(1, length))
    left, state = causal(x[:, :cut])
    right, end = causal(x[:, cut:], state)
    close((torch.cat([left, right], dim=1), end), causal(x))


def test_a_chunked_form_survives_many_chunks(causal):
    x = tokens(150, seed=1)
    left, state = causal(x[:, :70])
    right, end = causal(x[:, 70:], state)
    close((torch.cat([left, right], dim=1), end), causal(x))


@given(length=lengths, seed=seeds)
def test_steps_equal_one_forward(causal, length, seed):
    x, state, steps = tokens(length, seed), causal.initial_state(BATCH), []
    for t in range(length):
        y, state = causal.step(x[:, t], state)
        steps.append(y)
    close((torch.stack(steps, dim=1), state), causal(x))


@given(length=lengths, seed=seeds)
def test_no_output_sees_the_future(causal, length, seed):
    x, at = tokens(length, seed).requires_grad_(), length // 2
    (seen,) = torch.autograd.grad(causal(x)[0][0, at].sum(), x)
    assert not seen[0, at + 1 :].any()


@given(length=lengths, seed=seeds)
def test_no_output_sees_another_row(mixer, length, seed):
    x = tokens(length, seed).requires_grad_()
    (seen,) = torch.autograd.grad(mixer(x)[0][0].sum(), x)
    assert not seen[1].any()


@given(length=lengths, seed=seeds, pad=st.integers(1, 9))
def test_right_padding_changes_no_valid_output_and_no_state(mixer, length, seed, pad):
    short, x = tokens(length, seed, batch=1), tokens(17 + pad, seed + 1, batch=3) * 1e3
    x[0, :length] = short[0]
    x[1], x[2] = x[1] / 1e3, x[2] / 1e3
    y, state = mixer(x, lengths=torch.tensor([length, 17 + pad, 2]))
    alone, end = mixer(short)
    close(y[:1, :length], alone)
    for padded, exact in zip(state, end, strict=True):
        held = padded[:1, : exact.shape[1]] if exact.ndim > 1 else padded[:1]  # caches of longer rows are longer
        close(held, exact)


@given(seed=seeds, first=st.integers(0, 5), second=st.integers(0, 5))
def test_ragged_rows_go_on_from_their_own_end(causal, seed, first, second):
    chunks = [tokens(5, seed), tokens(5, seed + 1), tokens(3, seed + 2)]
    ends = [torch.tensor([first, 5]), torch.tensor([second, 1])]
    state = None
    for x, end in zip(chunks[:2], ends, strict=True):
        _, state = causal(x, state, lengths=end)
    y, _ = causal(chunks[2], state)
    whole = torch.cat([chunks[0][:1, :first], chunks[1][:1, :second], chunks[2][:1]], 1)
    close(y[:1], causal(whole)[0][:, -3:])
    whole = torch.cat([chunks[0][1:], chunks[1][1:, :1], chunks[2][1:]], 1)
    close(y[1:], causal(whole)[0][:, -3:])


def test_padding_gets_no_gradient_and_gives_none(mixer):
    x, valid = tokens(9, seed=4).requires_grad_(), torch.tensor([4, 9])
    y, _ = mixer(x, lengths=valid)
    (seen,) = torch.autograd.grad(y[0, :4].sum() + y[1].sum(), x)
    assert not seen[0, 4:].any()
    assert seen.isfinite().all() and seen[0, :4].any()


def test_what_must_not_be_decayed_is_marked():
    mixer = mixers.config("s4d")().build(WIDTH)
    wide = {n for n, p in mixer.named_parameters() if p.ndim > 1}
    assert wide - undecayed(copy.deepcopy(mixer)) == {"C", "out.weight"}


def test_an_lstm_that_needs_no_state_gives_the_same_outputs_in_one_call():
    lstm, x, valid = built(mixers.config("lstm")()), tokens(7, seed=0), torch.tensor([3, 7])
    exact, _ = lstm(x, lengths=valid)
    lstm.needs_state = False
    quick, _ = lstm(x, lengths=valid)
    close((quick[0, :3], quick[1]), (exact[0, :3], exact[1]))


def test_every_weight_learns(mixer):
    mixer.zero_grad()
    mixer(tokens(41, seed=0))[0].square().sum().backward()
    for name, weight in mixer.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name


@pytest.mark.parametrize("length", [1, 3, 64])
def test_state_bytes_is_what_the_state_weighs(mixer, length):
    _, state = mixer(tokens(length, seed=0, batch=1))
    assert mixer.state_bytes(length) == sum(s.numel() * s.element_size() for s in state)


@pytest.mark.parametrize("valid", [None, [200, 150]])
@pytest.mark.parametrize("learning", [True, False])
def test_a_kept_state_keeps_nothing_else_in_memory(causal, learning, valid):
    with torch.set_grad_enabled(learning):
        _, state = causal(tokens(200, seed=0), lengths=None if valid is None else torch.tensor(valid))
    for s in state:
        assert s.untyped_storage().nbytes() <= s.nbytes


def test_the_work_grows_with_the_length(mixer):
    assert 0 < mixer.flops(1) < mixer.flops(100) < mixer.flops(10_000)


def test_a_mixer_that_sees_the_future_refuses_to_step_or_continue(acausal):
    assert acausal.initial_state(BATCH) == acausal(tokens(3, 0))[1] == ()
    with pytest.raises(ConfigError, match=r"cannot step\. Set "):
        acausal.step(tokens(1, 0)[:, 0], ())
    with pytest.raises(ConfigError, match="takes no state"):
        acausal(tokens(3, 0), (torch.zeros(1),))


def test_a_mixer_that_says_it_is_not_causal_does_see_the_future(acausal):
    x = tokens(9, seed=0).requires_grad_()
    (seen,) = torch.autograd.grad(acausal(x)[0][0, 4].sum(), x)
    assert seen[0, 5:].any()


@given(seed=seeds, cuts=st.lists(st.integers(1, 25), min_size=1, max_size=6))
def test_a_stream_in_chunks_and_its_end_equal_one_forward(delayed, seed, cuts):
    x, state, pieces, given = tokens(sum(cuts), seed), None, [], 0
    for part in x.split(cuts, dim=1):
        y, state = delayed.stream(part, state)
        pieces.append(y)
        given += part.shape[1]
        assert sum(p.shape[1] for p in pieces) >= given - delayed.look_ahead
    close(torch.cat([*pieces, delayed.finish(state)], dim=1), delayed(x)[0])


def test_a_stream_changes_no_state_in_place(delayed):
    x = tokens(2 * delayed.look_ahead + 3, seed=3)
    _, state = delayed.stream(x[:, :-2])
    before = tuple(s.clone() for s in state)
    delayed.stream(x[:, -2:], state)
    delayed.finish(state)
    close(state, before)


def test_the_look_ahead_is_true_and_reached(delayed):
    x = tokens(2 * delayed.look_ahead + 2, seed=0).requires_grad_()
    y, reached = delayed(x)[0], []
    for t in range(delayed.look_ahead + 1):
        (seen,) = torch.autograd.grad(y[0, t].sum(), x, retain_graph=True)
        reached.append(int(seen[0].any(-1).nonzero().max()) - t)
    assert max(reached) == delayed.look_ahead


def test_a_wrong_width_is_named_with_its_cure(mixer):
    with pytest.raises(ShapeError, match=r"width 6, got \(2, 3, 5\)\. Project the input"):
        mixer(torch.zeros(BATCH, 3, WIDTH - 1, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(0, 3), (BATCH, 0)])
def test_an_empty_batch_or_chunk_is_refused_by_name(mixer, shape):
    with pytest.raises(ShapeError, match=r"1 row and 1 step at least, got .*\. Leave out empty chunks\."):
        mixer(torch.zeros(*shape, WIDTH, dtype=torch.float64))


def test_an_empty_batch_is_refused_by_a_step(causal):
    with pytest.raises(ShapeError, match="1 row and 1 step at least"):
        causal.step(torch.zeros(0, WIDTH, dtype=torch.float64), causal.initial_state(0))


@pytest.mark.parametrize("config", variants(), ids=label)
def test_a_config_survives_json_and_knows_its_kind_and_source(config):
    assert TypeAdapter(type(config)).validate_json(config.model_dump_json()) == config
    assert config.kind in mixers.names() and config.source
    for name, field in type(config).model_fields.items():
        if any(isinstance(m, Tune) for m in field.metadata):
            assert {"Ge", "Le"} <= {type(m).__name__ for m in field.metadata}, f"{name} needs ge= and le="


@pytest.mark.parametrize("width", [2, 6, 22, 40])
@pytest.mark.parametrize("name", mixers.names())
def test_every_even_width_can_be_built(name, width):
    y, _ = mixers.config(name)().build(width)(torch.zeros(1, 3, width))
    assert y.shape == (1, 3, width)


def error(y: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the RMS of the error over that of the exact output."""
    return ((y.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()).item()


@pytest.mark.parametrize("learning", [True, False])
def test_under_bfloat16_autocast_states_stay_float32_and_outputs_stay_close(mixer, learning):
    single, x = copy.deepcopy(mixer).float(), tokens(29, seed=7)
    exact = mixer(x)[0].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(learning):
        y, state = single(x.float())
    assert all(s.dtype in (torch.float32, torch.int64) for s in state)
    assert error(y, exact) < BFLOAT16_ERROR


@pytest.mark.parametrize("learning", [True, False])
def test_under_bfloat16_autocast_steps_give_what_one_forward_gives(causal, learning):
    single, x, steps = copy.deepcopy(causal).float(), tokens(29, seed=7), []
    exact, state = causal(x)[0].detach(), single.initial_state(BATCH)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(learning):
        for x_t in x.float().unbind(1):
            y_t, state = single.step(x_t, state)
            steps.append(y_t)
        y, _ = single(x.float())
    assert y_t.dtype == y.dtype
    assert all(s.dtype in (torch.float32, torch.int64) for s in state)
    assert error(torch.stack(steps, 1), exact) < BFLOAT16_ERROR


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_an_accelerator_gives_what_the_cpu_gives(causal):
    x, valid = tokens(29, seed=7), torch.tensor([29, 8])
    _, state = causal(x, lengths=valid)
    expected, end = causal.step(x[:, 0], state)
    there = copy.deepcopy(causal).cuda()
    _, state = there(x.cuda(), lengths=valid.cuda())
    y_t, state = there.step(x[:, 0].cuda(), state)
    close((y_t.cpu(), tuple(s.cpu() for s in state)), (expected, end))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        y, state = there.float()(x.cuda().float())
    assert all(s.dtype in (torch.float32, torch.int64) for s in state)
    assert error(y.cpu(), causal(x)[0].detach()) < BFLOAT16_ERROR


def test_steps_give_the_same_gradients_as_one_forward(causal):
    x, weights = tokens(9, seed=5), list(causal.parameters())
    state, steps = causal.initial_state(BATCH), []
    for t in range(x.shape[1]):
        y, state = causal.step(x[:, t], state)
        steps.append(y)
    y, end = causal(x)
    slow = torch.stack(steps, 1).square().sum() + sum(s.double().sum() for s in state)
    fast = y.square().sum() + sum(s.double().sum() for s in end)
    close(torch.autograd.grad(fast, weights), torch.autograd.grad(slow, weights))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights:UserWarning")  # what nn.GRU and nn.LSTM do
def test_the_whole_sequence_form_is_accepted_by_torch_export(mixer):
    x, valid = tokens(11, seed=0, batch=3), torch.tensor([11, 5, 7])
    fixed_length = not all(m.exports_any_length for m in mixer.modules() if isinstance(m, Mixer))
    free = torch.export.Dim.DYNAMIC
    shapes = {"x": {0: free} if fixed_length else {0: free, 1: free}, "state": None, "lengths": {0: free}}
    exported = torch.export.export(mixer, (x, None, valid), dynamic_shapes=shapes, strict=False).module()
    x, valid = tokens(11 if fixed_length else 150, seed=1, batch=5), torch.tensor([11, 1, 9, 3, 4])
    steps = torch.arange(x.shape[1])[None] < valid[:, None]
    close(exported(x, None, valid)[0][steps], mixer(x, lengths=valid)[0][steps])


def test_one_step_is_accepted_by_torch_export(causal):
    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixer = causal

        def forward(self, x_t: torch.Tensor, state: tuple[torch.Tensor, ...]) -> object:
            return causal.step(x_t, state)

    state = tuple(s.detach() for s in causal(tokens(5, seed=0, batch=3))[1])
    exported = torch.export.export(Step(), (tokens(1, seed=1, batch=3)[:, 0], state), strict=False).module()
    x_t = tokens(1, seed=2, batch=3)[:, 0]
    close(exported(x_t, state), causal.step(x_t, state))
