"""Laws of fusion: it starts as the primary alone, a missing stream says nothing, causal means causal on the clock."""

from collections.abc import Sequence

import pytest
import torch

from hybrids.errors import ConfigError, ShapeError
from hybrids.fusion import CrossFusion, Fusion, FusionConfig, StreamConfig
from hybrids.layout import parse

LENGTHS = (6, 9, 4)
CHANNELS = (3, 2, 5)
BARE = tuple(StreamConfig(channels_in=c) for c in CHANNELS)
Streams = list[torch.Tensor]


def settings(causal: bool = False, kind: str = "cross") -> FusionConfig:
    layouts = ("attention", "gru", "conv")
    return FusionConfig(
        kind=kind,
        width=8,
        causal=causal,
        streams=tuple(
            StreamConfig(
                channels_in=c,
                layers=parse(layout, {"attention": {"causal": causal}, "conv": {"causal": causal, "kernel": 3}}),
                rate=rate,
            )
            for c, layout, rate in zip(CHANNELS, layouts, (2, 3, 1), strict=True)
        ),
    )


def built(config: FusionConfig, opened: bool = True) -> Fusion:
    torch.manual_seed(0)
    fusion = config.build().double().eval()
    if opened and isinstance(fusion, CrossFusion):
        with torch.no_grad():
            fusion.alphas.copy_(torch.tensor([0.7, -0.4]))
    return fusion


@pytest.fixture(params=["cross", "causal", "concat"], scope="module")
def fusion(request: pytest.FixtureRequest) -> Fusion:
    return built(settings(request.param == "causal", "concat" if request.param == "concat" else "cross"))


@pytest.fixture(scope="module")
def causal() -> Fusion:
    return built(settings(causal=True))


def streams(seed: int = 0, rows: int = 2) -> Streams:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, n, c, generator=g, dtype=torch.float64) for n, c in zip(LENGTHS, CHANNELS, strict=True)]


def full(rows: int = 2) -> list[torch.Tensor]:
    return [torch.full((rows,), n) for n in LENGTHS]


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


def test_cross_fusion_starts_as_the_encoder_of_the_primary():
    fusion, xs = built(settings(), opened=False), streams()
    primary = fusion.encoders[0]
    alone, _ = primary.backbone(primary.project(xs[0]))
    y, counts = fusion(xs, full())
    close(y, alone)
    assert counts.tolist() == [6, 6]


def test_the_first_optimiser_step_opens_the_gates_and_then_every_weight_learns(fusion):
    model = built(fusion.config, opened=False).train(False)
    present = torch.tensor([[True, True, True], [False, False, False]])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        model(streams(), full(), present)[0].pow(3).sum().backward()
        optimiser.step()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name


def test_while_the_gates_are_shut_only_they_learn_of_the_other_streams():
    model = built(settings(), opened=False)
    model(streams(), full())[0].pow(3).sum().backward()
    assert model.alphas.grad.all()
    assert not any(p.grad.any() for p in model.encoders[1].parameters())


@pytest.mark.parametrize("garbage", [1e3, torch.nan])
def test_padding_of_any_stream_changes_nothing_and_gets_no_gradient(fusion, garbage):
    xs, ends = streams(), [torch.tensor([4, 6]), torch.tensor([5, 9]), torch.tensor([1, 4])]
    padded = [x.clone() for x in xs]
    for x, end in zip(padded, ends, strict=True):
        x[0, int(end[0]) :] = garbage
        x.requires_grad_()
    y, counts = fusion(padded, ends)
    alone, count = fusion([x[:1, : int(end[0])] for x, end in zip(xs, ends, strict=True)], [end[:1] for end in ends])
    n = int(count)
    assert counts[0] == n
    close(y[0, :n], alone[0])
    y[0, :n].sum().backward()
    for x, end in zip(padded, ends, strict=True):
        assert not x.grad[0, int(end[0]) :].any() and not x.grad[1].any()


@pytest.mark.parametrize("gone", [0, 1, 2])
@pytest.mark.parametrize("garbage", [1e3, torch.nan])
def test_the_content_of_a_missing_stream_changes_nothing_and_gets_no_gradient(fusion, gone, garbage):
    present = torch.ones(2, 3, dtype=torch.bool)
    present[0, gone] = False
    xs, other = streams(), streams()
    other[gone][0] = garbage
    for x in other:
        x.requires_grad_()
    fusion.zero_grad()
    y, counts = fusion(other, full(), present)
    expected, expected_counts = fusion(xs, full(), present)
    close((y, counts), (expected, expected_counts))
    y.sum().backward()
    assert not other[gone].grad[0].any() and other[gone].grad[1].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())
    assert fusion.encoders[gone].stand_in.grad.any()
    assert not torch.allclose(expected[0], fusion(xs, full())[0][0])


def test_a_stream_of_length_zero_is_a_missing_one(fusion):
    present, ends = torch.ones(2, 3, dtype=torch.bool), full()
    present[0, 1], ends[1] = False, torch.tensor([0, 9])
    close(fusion(streams(), ends), fusion(streams(), full(), present))


def test_all_streams_may_be_missing_and_a_primary_of_no_steps_leaves_one_token(fusion):
    xs, none = streams(), [torch.zeros(2, dtype=torch.int64)] * 3
    y, counts = fusion(xs, none)
    assert counts.tolist() == [1, 1] and y.isfinite().all()
    empty, counts = fusion([x[:, :0] for x in xs], none)
    assert counts.tolist() == [1, 1]
    close(empty[:, 0], y[:, 0])


@pytest.mark.parametrize("is_causal", [False, True])
def test_a_missing_primary_keeps_its_clock_and_reads_the_others(is_causal):
    fusion, present, xs = built(settings(is_causal)), torch.tensor([[False, True, True]] * 2), streams()
    xs[1].requires_grad_()
    y, counts = fusion(xs, full(), present)
    assert counts.tolist() == [6, 6]
    (seen,) = torch.autograd.grad(y[:, -1].pow(3).sum(), xs[1])
    assert seen.any(-1).all()


def test_rows_are_fused_on_their_own(fusion):
    both = fusion(streams(), full())[0]
    alone = fusion([x[1:] for x in streams()], full(1))[0]
    close(both[1:], alone)


def seen_times(fusion: Fusion, at: int, ends: Sequence[torch.Tensor], **clock: object) -> list[list[int]]:
    """Return the indices of the tokens of each stream that output `at` of row 0 depends on."""
    xs = [x.requires_grad_() for x in streams()]
    y, _ = fusion(xs, ends, **clock)
    found = torch.autograd.grad(y[0, at].pow(3).sum(), xs)
    return [g[0].any(-1).nonzero().flatten().tolist() for g in found]


@pytest.mark.parametrize(("at", "seen"), [(0, [1, 1, 0]), (1, [2, 3, 1]), (3, [4, 6, 2]), (5, [6, 9, 3])])
def test_causal_fusion_sees_other_streams_up_to_the_present_by_their_rates(causal, at, seen):
    assert seen_times(causal, at, full()) == [list(range(n)) for n in seen]  # at 2, 3 and 1 tokens a second


def test_causal_fusion_sees_other_streams_up_to_the_present_by_given_times(causal):
    times = [
        torch.tensor([[0.0, 1, 2, 3, 4, 5]] * 2),
        torch.tensor([[0.5, 0.5, 0.5, 2.0, 2.0, 2.5, 9, 9, 9]] * 2),
        torch.tensor([[7.0, 7, 8, 9]] * 2),
    ]
    assert seen_times(causal, 0, full(), times=times) == [[0], [], []]
    assert seen_times(causal, 2, full(), times=times) == [[0, 1, 2], [0, 1, 2, 3, 4], []]
    assert seen_times(causal, 5, full(), times=times) == [list(range(6)), list(range(6)), []]


def test_fusion_that_is_not_causal_sees_everything():
    assert seen_times(built(settings()), 0, full()) == [list(range(n)) for n in LENGTHS]


def test_times_in_padding_or_of_a_missing_stream_do_not_matter(causal):
    ends, present = [torch.tensor([4, 6]), *full()[1:]], torch.tensor([[True, True, False]] * 2)
    times = [torch.arange(1.0, n + 1).repeat(2, 1) for n in LENGTHS]
    y, _ = causal(streams(), ends, present, times)
    times[0][0, 4:] = torch.nan
    times[2][:] = torch.nan
    close(causal(streams(), ends, present, times)[0][0, :4], y[0, :4])


def test_the_clock_tells_equal_tokens_apart_by_their_time():
    fusion = built(FusionConfig(width=8, streams=BARE))
    xs = streams()
    xs[0] = xs[0][:, :1].expand(-1, 6, -1)
    y, _ = fusion(xs, full())
    assert (y[:, 1:] - y[:, :1]).abs().amax(-1).gt(1e-6).all()


def test_late_fusion_gives_one_token_that_every_stream_enters():
    fusion, xs = built(settings(kind="concat")), [x.requires_grad_() for x in streams()]
    y, counts = fusion(xs, full())
    assert y.shape == (2, 1, 8) and counts.tolist() == [1, 1]
    assert all(g.any() for g in torch.autograd.grad(y.pow(3).sum(), xs))


def test_the_work_grows_with_every_length():
    fusion = built(settings())
    assert isinstance(fusion, CrossFusion)
    base = fusion.flops([6, 9, 4])
    assert base < fusion.flops([7, 9, 4]) < fusion.flops([7, 10, 4]) < fusion.flops([7, 10, 5])


def test_settings_survive_json_and_wrong_ones_are_refused():
    config = settings(causal=True)
    assert FusionConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ConfigError, match=r"stream 0 sees the future\. Use causal layers or set causal=False"):
        settings().model_copy(update={"causal": True}).build()
    with pytest.raises(ConfigError, match=r"whole streams\. Set causal=False or kind='cross'"):
        settings(causal=True, kind="concat").build()
    with pytest.raises(ShapeError, match=r"name 3 streams, got 2\. Pass all"):
        built(config)(streams()[:2], full()[:2])
    with pytest.raises(ShapeError, match=r"must have 3 channels, got \(2, 6, 2\)\. Set channels_in=2"):
        built(config)([x[..., :2] for x in streams()], full())


def test_cross_fusion_is_accepted_by_torch_export_at_any_batch_and_length():
    fusion, free = built(FusionConfig(width=8, streams=BARE)), torch.export.Dim.DYNAMIC
    present = torch.ones(2, 3, dtype=torch.bool)
    shapes = {
        "streams": tuple({0: free, 1: free} for _ in CHANNELS),
        "lengths": tuple({0: free} for _ in CHANNELS),
        "present": {0: free},
    }
    example = (tuple(streams()), tuple(full()), present)
    exported = torch.export.export(fusion, example, dynamic_shapes=shapes, strict=False).module()
    xs, ends = tuple(x[:, : 2 + i] for i, x in enumerate(streams(1, rows=3))), (torch.tensor([2, 1, 0]),) * 3
    absent = torch.tensor([[True, False, True], [False, True, True], [True, True, True]])
    close(exported(xs, ends, absent), fusion(xs, ends, absent))
