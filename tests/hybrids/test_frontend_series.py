"""A front end never reads the padding, looks ahead only where it may, and normalises as the formulas say."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from hybrids.frontends.series import SeriesConfig, SeriesFrontend
from hybrids.frontends.stem import BatchNorm, ConvStem, StemConfig, StridedConv

LENGTHS = torch.tensor([53, 40, 7, 1])


def frontend(causal=False, channels=2, stride=2, **changes):
    """Return a front end with a convolutional stem, three strides a patch, that has seen some data."""
    torch.manual_seed(0)
    settings = {"normalise": "channel" if causal else "both", "convolution": StemConfig(stride=stride), **changes}
    made = SeriesFrontend(SeriesConfig(channels_in=channels, patch=3 * stride, causal=causal, **settings), 16)
    made.fit(torch.full((channels,), 1.0), torch.full((channels,), 3.0))
    made(series(channels), LENGTHS)
    return made


def series(channels=2, seed=1):
    return 1 + 3 * torch.randn(4, 53, channels, generator=torch.Generator().manual_seed(seed))


def dirty(x):
    padding = torch.arange(x.shape[1]) >= LENGTHS[:, None]
    return x.masked_fill(padding[..., None], 1e4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_padding_changes_nothing(causal, training):
    made = frontend(causal).train(training)
    tokens, counts = made(series(), LENGTHS)
    other, _ = made(dirty(series()), LENGTHS)
    assert counts.tolist() == [9, 7, 2, 1]
    assert torch.equal(tokens, other)
    assert all(not row[count:].any() for row, count in zip(tokens, counts, strict=True))


@pytest.mark.parametrize("causal", [True, False])
def test_a_row_alone_is_answered_as_among_others(causal):
    made = frontend(causal).eval()
    together, counts = made(series(), LENGTHS)
    for i, size in enumerate(LENGTHS):
        alone, _ = made(series()[i : i + 1, :size], LENGTHS[i : i + 1])
        torch.testing.assert_close(alone[0], together[i, : counts[i]], rtol=1e-4, atol=1e-5)


def test_a_causal_token_never_sees_steps_after_its_patch():
    made, changed, lengths = frontend(causal=True).eval(), series(), torch.full((4,), 53)
    changed[:, 30:] += 5
    moved = (made(series(), lengths)[0] - made(changed, lengths)[0]).abs().amax((0, 2))
    assert moved[:5].max() == 0
    assert moved[5:].min() > 0


def test_many_channels_are_mixed_down_first():
    made = frontend(channels=12)
    assert made.mix is not None and made.mix.weight.shape == (16, 36)
    assert made(series(12), LENGTHS)[0].shape == (4, 9, 16)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(9, 4), (4, 9), (1, 9), (9, 9), (3, 47)])
@pytest.mark.parametrize("length", [1, 8, 9, 31, 100])
@torch.no_grad()
def test_every_stride_has_one_window_that_is_centred_on_it_or_ends_with_it(causal, kernel, stride, length):
    conv = StridedConv(1, 1, kernel, causal, stride=stride)
    conv.weight.fill_(1.0)
    before = kernel - stride if causal else (kernel - stride) // 2
    found = conv(torch.arange(1.0, length + 1)[None, None])[0, 0]
    steps = [range(i * stride - before, i * stride - before + kernel) for i in range(-(-length // stride))]
    expected = [sum(t + 1.0 for t in window if 0 <= t < length) for window in steps]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("causal", [True, False])
def test_unfolded_windows_are_a_convolution(causal, stride):
    torch.manual_seed(0)
    conv, x = StridedConv(3, 8, 9, causal, stride=stride), torch.randn(2, 3, 31, requires_grad=True)
    fast = conv.train()(x)
    slow = conv.eval()(x)
    assert fast.shape == (2, 8, -(-31 // stride))
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), (x, conv.weight)) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lengths", [[7, 7], [7, 2]])
def test_the_statistics_are_those_of_the_valid_tokens(lengths):
    torch.manual_seed(0)
    norm, x = BatchNorm(4), torch.randn(2, 4, 7)
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    valid = x.mT[mask]
    expected = (valid - valid.mean(0)) / torch.sqrt(valid.var(0, unbiased=False) + 1e-5)
    found = norm(x, mask[:, None])
    torch.testing.assert_close(found.mT[mask], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.mean, 0.1 * valid.mean(0))
    seen = F.batch_norm(valid, norm.mean, norm.variance)
    torch.testing.assert_close(norm.eval()(x, mask[:, None]).mT[mask], seen, rtol=1e-4, atol=1e-5)
    if mask.all():
        torch.testing.assert_close(BatchNorm(4)(x, None), found, rtol=1e-4, atol=1e-5)


def test_a_batch_of_one_token_can_be_trained_on():
    out, _ = frontend().train()(series()[:1, :1], torch.ones(1, dtype=torch.int64))
    assert out.isfinite().all()


def test_the_view_by_series_forgets_level_and_size():
    made = frontend()
    mask = torch.ones(4, 53, 1, dtype=torch.bool)
    views = [made._views(x, mask, torch.full((4,), 53))[..., 2:4] for x in (series(), 70 + 9 * series())]
    torch.testing.assert_close(views[0], views[1], rtol=1e-3, atol=1e-3)


def test_the_first_layer_shares_out_the_channels_and_counts_its_operations():
    stem = ConvStem(StemConfig(kernels=(9, 3), stride=2, blocks=1, kernel=5), channels=3, width=7, causal=False)
    assert [conv.weight.shape for conv in stem.first] == [(4, 3, 9), (3, 3, 3)]
    assert stem.flops(11) == 2 * 6 * (4 * 3 * 9 + 3 * 3 * 3 + 7 * 7 * 5)


def test_a_config_from_before_the_stem_builds_the_same_weights():
    old = SeriesConfig.model_validate({"channels_in": 2, "patch": 2, "kernel": 5, "stem": 1, "normalise": "channel"})
    names = set(SeriesFrontend(old, 8).state_dict())
    assert {name.split(".")[0] for name in names} == {"mean", "scale", "embed", "stem"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patch": 5, "convolution": StemConfig(stride=2)}, "no multiple"),
        ({"causal": True, "normalise": "both"}, "reads the whole series"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        SeriesConfig(channels_in=1, **settings)
