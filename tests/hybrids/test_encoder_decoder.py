"""Laws of cross-attention, of the decoder with every causal mixer, and of the whole sequence-to-sequence model."""

import pytest
import torch
import torch.nn.functional as F

from hybrids import mixers
from hybrids.cross_attention import CrossAttention, cross_attention_reference
from hybrids.decoder import Decoder
from hybrids.decoding import beam
from hybrids.encoder_decoder import DECODERS, EncoderDecoder, EncoderDecoderConfig, family, shifted
from hybrids.errors import ConfigError, ShapeError
from hybrids.frontends.series import SeriesConfig
from hybrids.frontends.tokens import TokensConfig, TokensFrontend
from hybrids.mixer import MixerConfig
from hybrids.mixers.mlp import MLP
from hybrids.scan import flip_valid

WIDTH, MEMORY_WIDTH, VOCABULARY = 6, 5, 7


def causal_layers() -> list[MixerConfig]:
    """Return every mixer that can look back only, set to do so."""
    found = []
    for name in mixers.names():
        config = mixers.config(name)
        layer = config(**({"causal": True} if "causal" in config.model_fields else {}))
        found += [layer] if layer.build(WIDTH).causal else []
    return found


@pytest.fixture(params=causal_layers(), ids=lambda layer: layer.kind, scope="module")
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    return Decoder((request.param,) * 2, WIDTH, MEMORY_WIDTH, head_dim=3).double().eval()


@pytest.fixture
def attention() -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(WIDTH, MEMORY_WIDTH, heads=3).double()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


def seen_tokens(lengths: list[int], size: int) -> torch.Tensor:
    return (torch.arange(size)[None] < torch.tensor(lengths)[:, None])[:, None]


def test_cross_attention_equals_the_slow_form_in_values_and_gradients(attention):
    x, memory = normal(2, 3, WIDTH, seed=1).requires_grad_(), normal(2, 7, MEMORY_WIDTH, seed=2).requires_grad_()
    visible = torch.rand(2, 3, 7, generator=torch.Generator().manual_seed(3)) < 0.5
    visible[1, 1] = False
    inputs = [x, memory, *attention.parameters()]
    fast = attention(x, *attention.project(memory), visible)
    slow = cross_attention_reference(attention, x, memory, visible)
    close(fast, slow)
    close(torch.autograd.grad(fast.square().sum(), inputs), torch.autograd.grad(slow.square().sum(), inputs))


def test_without_a_mask_all_of_the_memory_is_seen(attention):
    x, (keys, values) = normal(2, 3, WIDTH), attention.project(normal(2, 4, MEMORY_WIDTH))
    close(attention(x, keys, values), attention(x, keys, values, seen_tokens([4, 4], 4)))


def test_a_reader_of_an_empty_memory_gets_exactly_zero_and_no_gradient_flows(attention):
    memory = (normal(2, 4, MEMORY_WIDTH) * 1e3).requires_grad_()
    y = attention(normal(2, 3, WIDTH), *attention.project(memory), seen_tokens([0, 4], 4))
    assert not y[0].any() and y[1].any()
    (seen,) = torch.autograd.grad(y.sum(), memory)
    assert not seen[0].any() and seen.isfinite().all()
    assert not attention(normal(2, 3, WIDTH), *attention.project(memory[:, :0]), seen_tokens([0, 0], 0)).any()


def test_equal_keys_read_the_mean_of_the_values(attention):
    with torch.no_grad():
        attention.key.weight.zero_()
    memory = normal(1, 5, MEMORY_WIDTH)
    y = attention(normal(1, 2, WIDTH), *attention.project(memory))
    close(y, attention.out(attention.value(memory.mean(1, keepdim=True))).expand(1, 2, WIDTH))


def test_a_clock_is_added_to_the_keys_and_not_to_the_values(attention):
    memory, clock = normal(1, 5, MEMORY_WIDTH), normal(1, 5, MEMORY_WIDTH, seed=1)
    (keys, values), plain = attention.project(memory, clock), attention.project(memory)
    close((keys, values), (attention.project(memory + clock)[0], plain[1]))


def test_cross_attention_names_a_wrong_width_and_wrong_heads(attention):
    with pytest.raises(ShapeError, match=r"width 5, got \(2, 3, 6\)\. Set memory_width=6"):
        attention.project(normal(2, 3, 6))
    with pytest.raises(ShapeError, match=r"width 6, got \(2, 3, 5\)\. Project"):
        attention(normal(2, 3, 5), *attention.project(normal(2, 3, MEMORY_WIDTH)))
    with pytest.raises(ConfigError, match=r"4 heads do not divide width 6\. Use a multiple of 4"):
        CrossAttention(6, 6, heads=4)


def started(decoder: Decoder, lengths: tuple[int, ...] = (5, 3), seed: int = 9) -> tuple[torch.Tensor, ...]:
    return decoder.start(normal(len(lengths), 5, MEMORY_WIDTH, seed=seed), torch.tensor(lengths))


def test_decoder_steps_equal_one_forward_in_values_state_and_gradients(decoder):
    x, steps = normal(2, 7, WIDTH), []
    state = started(decoder)
    for t in range(7):
        y, state = decoder.step(x[:, t], state)
        steps.append(y)
    whole, end = decoder(x, started(decoder))
    close((torch.stack(steps, 1), state), (whole, end))
    weights = list(decoder.parameters())
    slow, fast = torch.stack(steps, 1).pow(3).sum(), whole.pow(3).sum()
    close(torch.autograd.grad(slow, weights), torch.autograd.grad(fast, weights))


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_decoder_can_be_cut_anywhere(decoder, cut):
    x = normal(2, 9, WIDTH)
    left, state = decoder(x[:, :cut], started(decoder))
    right, end = decoder(x[:, cut:], state)
    close((torch.cat([left, right], 1), end), decoder(x, started(decoder)))


def test_a_decoder_sees_no_future_and_no_other_row(decoder):
    x = normal(2, 7, WIDTH).requires_grad_()
    memory = normal(2, 5, MEMORY_WIDTH).requires_grad_()
    y, _ = decoder(x, decoder.start(memory, torch.tensor([5, 3])))
    target, source = torch.autograd.grad(y[0, 3].pow(3).sum(), [x, memory])
    reached = 3 if isinstance(decoder.blocks[0].past.mixer, MLP) else 0  # which looks at no other token
    assert target[0, reached:4].any(-1).all() and not target[0, 4:].any() and not target[1].any()
    assert source[0].any(-1).all() and not source[1].any()


def test_padding_of_the_memory_changes_nothing_and_gets_no_gradient(decoder):
    x, memory = normal(2, 4, WIDTH), normal(2, 5, MEMORY_WIDTH)
    alone, _ = decoder(x[:1], decoder.start(memory[:1, :2], torch.tensor([2])))
    padded = torch.cat([memory[:, :2], 1e3 * memory[:, 2:]], 1).requires_grad_()
    y, _ = decoder(x, decoder.start(padded, torch.tensor([2, 5])))
    close(y[:1], alone)
    (seen,) = torch.autograd.grad(y.sum(), padded)
    assert not seen[0, 2:].any() and seen.isfinite().all()


def test_padding_of_the_targets_changes_no_output_and_rows_go_on_from_their_own_end(decoder):
    x, more = normal(2, 6, WIDTH), normal(2, 3, WIDTH, seed=1)
    x[0, 2:] *= 1e3
    y, state = decoder(x, started(decoder), torch.tensor([2, 6]))
    y_more, _ = decoder(more, state)
    for row, end in enumerate([2, 6]):
        memory, lengths = normal(2, 5, MEMORY_WIDTH, seed=9)[row : row + 1], torch.tensor([[5, 3][row]])
        whole, _ = decoder(torch.cat([x[row, :end], more[row]])[None], decoder.start(memory, lengths))
        close(torch.cat([y[row, :end], y_more[row]])[None], whole)


def test_a_state_reordered_by_rows_continues_the_reordered_rows(decoder):
    x, rows = normal(2, 4, WIDTH), torch.tensor([1, 1, 0])
    _, state = decoder(x, started(decoder))
    y, _ = decoder.step(x[rows, 0], tuple(s.index_select(0, rows) for s in state))
    close(y, decoder.step(x[:, 0], state)[0][rows])


def test_a_decoder_without_memory_runs_on_its_past_alone(decoder):
    x = normal(1, 4, WIDTH)
    close(decoder(x, started(decoder, (0,), seed=1))[0], decoder(x, started(decoder, (0,), seed=2))[0])


def test_every_weight_of_a_decoder_learns_and_the_state_weighs_what_it_says(decoder):
    decoder.zero_grad()
    y, state = decoder(normal(1, 41, WIDTH), started(decoder, (5,)))
    y.pow(3).sum().backward()
    for name, weight in decoder.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name
    assert decoder.state_bytes(41, 5) == sum(s.numel() * s.element_size() for s in state)
    assert 0 < decoder.flops(1, 5) < decoder.flops(9, 5) < decoder.flops(9, 50)


def test_a_decoder_refuses_layers_that_see_the_future_and_no_layers():
    with pytest.raises(ConfigError, match=r"sees the future\. Set it to be causal"):
        Decoder((mixers.config("attention")(causal=False),), WIDTH, MEMORY_WIDTH)
    with pytest.raises(ConfigError, match="at least one causal mixer"):
        Decoder((), WIDTH, MEMORY_WIDTH)


@pytest.mark.parametrize("name", ["lstm", "ssm"])
def test_a_step_with_a_state_of_fixed_size_is_accepted_by_torch_export(name):
    model = whole_model("encoder_decoder", decoder=(mixers.config(name)(),))

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, last: torch.Tensor, state: tuple[torch.Tensor, ...]) -> object:
            return model.step(last, state)

    batch = torch.export.Dim.DYNAMIC
    state = tuple(s.detach() for s in model.start(*source()))
    shapes = {"last": {0: batch}, "state": tuple({0: batch} for _ in state)}
    exported = torch.export.export(Step(), (torch.tensor([1, 1]), state), dynamic_shapes=shapes, strict=False).module()
    rows = torch.tensor([0, 1, 1])
    state = tuple(s.index_select(0, rows) for s in state)
    for last in (torch.tensor([1, 1, 1]), torch.tensor([3, 4, 5])):
        expected, after = model.step(last, state)
        close(exported(last, state), (expected, after))
        state = after


def test_a_transformer_pair_is_accepted_by_torch_export_at_any_length():
    model, free = whole_model("encoder_decoder"), torch.export.Dim.DYNAMIC
    example = (*source(), torch.ones(2, 4, dtype=torch.int64))
    shapes = ({0: free, 1: free}, {0: free}, {0: free, 1: free})
    exported = torch.export.export(model, example, dynamic_shapes=shapes, strict=False).module()
    other = (torch.randint(3, VOCABULARY, (3, 11)), torch.tensor([11, 1, 6]), torch.ones(3, 9, dtype=torch.int64))
    close(exported(*other), model(*other))


def whole_model(name: str, **settings: object) -> EncoderDecoder:
    torch.manual_seed(0)
    tokens = TokensConfig(vocabulary=VOCABULARY)
    config = family(name, tokens, tokens, width=8, depth=1).model_copy(update=settings)
    return config.build().double().eval()


def source() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[3, 4, 5, 6, 3], [5, 5, 4, 0, 0]]), torch.tensor([5, 3])


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "learned"])
@pytest.mark.parametrize("name", DECODERS)
def test_model_steps_give_the_log_probabilities_of_one_forward(name, positions):
    model = whole_model(name, target=TokensConfig(vocabulary=VOCABULARY, positions=positions))
    target = torch.tensor([[1, 3, 4, 6, 3], [1, 6, 6, 5, 4]])
    state, steps = model.start(*source()), []
    for t in range(5):
        log_p, state = model.step(target[:, t], state)
        steps.append(log_p)
    never = torch.tensor([model.config.target.pad, model.config.bos])
    logits = model(*source(), target).index_fill(-1, never, -torch.inf)  # neither is ever an answer
    close(torch.stack(steps, 1), logits.log_softmax(-1))


def test_a_model_in_training_mode_refuses_to_generate():
    with pytest.raises(ConfigError, match=r"drops out what it writes with\. Call eval"):
        whole_model("transformer_gru").train().generate(*source(), longest=3)


@pytest.mark.parametrize("name", DECODERS)
def test_every_weight_of_a_model_learns_and_padding_of_the_source_changes_nothing(name):
    model, (ids, lengths), target = whole_model(name), source(), torch.tensor([[1, 3, 4], [1, 6, 6]])
    model(ids, lengths, target).square().sum().backward()
    for label, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.any(), label
    alone = model(ids[1:, :3], lengths[1:], target[1:])
    ids[1, 3:] = 6
    close(model(ids, lengths, target)[1:], alone)


def test_output_weights_are_the_embeddings_when_tied_and_their_own_when_not():
    tied, free = whole_model("transformer_rnn"), whole_model("transformer_rnn", tied=False)
    assert free.output is not None and tied.output is None
    assert sum(p.numel() for p in free.parameters()) == sum(p.numel() for p in tied.parameters()) + 8 * VOCABULARY
    assert free(*source(), torch.ones(2, 3, dtype=torch.int64)).shape == (2, 3, VOCABULARY)


def test_a_source_can_be_a_series_or_come_through_a_front_end_of_the_callers_own():
    target, lengths = torch.ones(2, 3, dtype=torch.int64), torch.tensor([7, 4])
    series = whole_model("encoder_decoder", source=SeriesConfig(channels_in=2, patch=2))
    assert series(normal(2, 7, 2), lengths, target).shape == (2, 3, VOCABULARY)
    assert [n.tolist() for n in series.encode(normal(2, 7, 2), lengths)[1:]] == [[4, 2]]

    class Halved(torch.nn.Module):
        def forward(self, x: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x[:, ::2], (valid + 1) // 2

    own = series.config.model_copy(update={"source": None})
    model = EncoderDecoder(own, Halved()).double().eval()
    assert model(normal(2, 7, 8), lengths, target).shape == (2, 3, VOCABULARY)
    for config, frontend in [(own, None), (series.config, Halved())]:
        with pytest.raises(ConfigError, match=r"one front end\. Set config.source or pass frontend"):
            EncoderDecoder(config, frontend)


def test_settings_survive_json_and_special_symbols_must_differ():
    config = whole_model("transformer_rnn").config
    assert EncoderDecoderConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValueError, match=r"\(0, 1, 1\) must be three symbols of a vocabulary of 7\. Reserve"):
        EncoderDecoderConfig.model_validate({**config.model_dump(), "eos": 1})
    with pytest.raises(ConfigError, match="no family named 'gru' writes sequences; known: encoder_decoder"):
        family("gru", None, TokensConfig(vocabulary=9), 8, 1)


def test_the_work_of_a_model_grows_with_both_lengths():
    model = whole_model("encoder_decoder")
    assert model.flops(5, 5) < model.flops(50, 5) < model.flops(50, 50)
    assert whole_model("encoder_decoder", source=SeriesConfig(channels_in=2, patch=2)).flops(8, 5) > 0


def test_targets_are_shifted_by_one_with_bos_before_and_eos_after():
    given, answer = shifted(torch.tensor([[5, 6], [4, 9]]), torch.tensor([2, 1]), whole_model("transformer_rnn").config)
    assert given.tolist() == [[1, 5, 6], [1, 4, 0]]
    assert answer.tolist() == [[5, 6, 2], [4, 2, 0]]


def test_under_bfloat16_autocast_the_floating_state_stays_float32():
    model = whole_model("encoder_decoder").float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        state = model.start(*source())
        _, state = model.step(torch.tensor([1, 1]), state)
    assert {s.dtype for s in state} == {torch.float32, torch.int64}


def test_generated_targets_equal_a_beam_of_one_and_rows_do_not_mix():
    model = whole_model("transformer_rnn")
    both = model.generate(*source(), longest=6)
    close(both, beam(model.step, model.start(*source()), torch.tensor([1, 1]), end=2, longest=6, width=1))
    ids, lengths = source()
    alone = model.generate(ids[1:, :3], lengths[1:], longest=6)
    n = int(alone.lengths)
    assert both.ids[1, 0, :n].tolist() == alone.ids[0, 0].tolist()
    close(both.scores[1], alone.scores[0])


def test_embeddings_are_scaled_padding_is_zero_and_learns_nothing():
    torch.manual_seed(0)
    frontend = TokensFrontend(TokensConfig(vocabulary=500, pad=4, positions="none"), width=64)
    ids = torch.arange(500)[None]
    tokens, counts = frontend(ids)
    assert counts.tolist() == [500] and not tokens[0, 4].any()
    assert abs(tokens.std().item() - 1) < 0.02 and abs(frontend.table.weight.std().item() - 1 / 8) < 0.01
    tokens.sum().backward()
    assert not frontend.table.weight.grad[4].any()
    cut, counts = frontend(ids[:, :5], torch.tensor([3]))
    assert counts.tolist() == [3] and not cut[0, 3:].any() and cut[0, :3].any(-1).all()


def test_positions_go_on_where_a_row_stands_and_learned_ones_end():
    frontend = TokensFrontend(TokensConfig(vocabulary=5, positions="learned", max_positions=4), width=6).double()
    ids = torch.tensor([[1, 2, 3, 4]])
    close(frontend.embed(ids[:, 2:], torch.tensor([2])), frontend(ids)[0][:, 2:])
    with pytest.raises(ShapeError, match=r"end at 4, got a sequence of length 5\. Set max_positions=5"):
        frontend.embed(ids, torch.tensor([1]))
    with pytest.raises(ValueError, match="pad id 7 is no symbol of a vocabulary of 5"):
        TokensConfig(vocabulary=5, pad=7)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [True, False], ids=["reverse", "copy"])
@pytest.mark.parametrize("name", DECODERS)
def test_a_small_model_learns_to_write_a_sequence_backwards_or_again(name, reverse):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    tokens = TokensConfig(vocabulary=13)
    config = family(name, tokens, tokens, width=32, depth=1).model_copy(update={"dropout": 0.0})
    model = config.build()

    def pairs(count: int) -> tuple[torch.Tensor, ...]:
        lengths = torch.randint(5, 9, (count,), generator=generator)
        ids = torch.randint(3, 13, (count, 8), generator=generator)
        ids = ids.masked_fill(torch.arange(8)[None] >= lengths[:, None], 0)
        return ids, lengths, flip_valid(ids[..., None], lengths)[..., 0] if reverse else ids

    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=600, pct_start=0.2)
    for _ in range(600):
        ids, lengths, target = pairs(128)
        given, answer = shifted(target, lengths, config)
        loss = F.cross_entropy(model(ids, lengths, given).flatten(0, 1), answer.flatten(), ignore_index=0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    ids, lengths, target = pairs(500)
    model.eval()
    for beams in (1, 3):
        found = model.generate(ids, lengths, longest=12, beams=beams)
        wanted = shifted(target, lengths, config)[1]
        written = F.pad(found.ids[:, 0], (0, 12))[:, : wanted.shape[1]].masked_fill(wanted == 0, 0)
        exact = (written == wanted).all(1) & (found.lengths[:, 0] == lengths + 1)
        assert exact.double().mean() > 0.95
