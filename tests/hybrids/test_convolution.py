"""The causal convolution and the tail it carries; what the multi-scale mixer makes of it."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from hybrids.convolution import causal_conv
from hybrids.mixers.conv import Conv

seeds = st.integers(0, 2**16)


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("taps", [1, 3, 11])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_causal_convolution_is_the_weighted_sum_of_the_past(taps, dilation):
    x, w = torch.randn(2, 7, 3, dtype=torch.float64), torch.randn(3, taps, dtype=torch.float64)
    y, _ = causal_conv(x, w, x.new_zeros(2, (taps - 1) * dilation, 3), dilation=dilation)
    for t in range(7):
        past = [x[:, t - i * dilation] * w[:, taps - 1 - i] for i in range(taps) if t >= i * dilation]
        close(y[:, t], torch.stack(past).sum(0))


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_causal_convolution_has_exact_first_and_second_gradients_and_can_be_mapped(dilation):
    g = torch.Generator().manual_seed(0)
    x, w, tail = (
        torch.randn(*s, generator=g, dtype=torch.float64).requires_grad_()
        for s in [(2, 4, 2), (2, 3), (2, 2 * dilation, 2)]
    )

    def conv(x, w, tail):
        return causal_conv(x, w, tail, dilation=dilation)

    assert torch.autograd.gradcheck(conv, (x, w, tail)) and torch.autograd.gradgradcheck(conv, (x, w, tail))
    pair = torch.stack([w, 2 * w])
    close(torch.func.vmap(conv, (None, 0, None))(x, pair, tail)[0][1], conv(x, 2 * w, tail)[0])


@given(cut=st.integers(1, 8), seed=seeds)
def test_the_tail_of_a_ragged_convolution_holds_each_rows_last_valid_inputs(cut, seed):
    g = torch.Generator().manual_seed(seed)
    x, w = torch.randn(2, 9, 3, generator=g), torch.randn(3, 4, generator=g)
    start = torch.randn(2, 3, 3, generator=g)
    _, tail = causal_conv(x, w, start, torch.tensor([cut, 0]))
    _, alone = causal_conv(x[:1, :cut], w, start[:1])
    torch.testing.assert_close(tail, torch.cat([alone, start[1:]]))


@pytest.mark.parametrize("taps", [3, 11])
def test_a_kept_tail_does_not_keep_the_whole_chunk(taps):
    _, tail = causal_conv(torch.zeros(1, 500, 3), torch.zeros(3, taps), torch.zeros(1, taps - 1, 3))
    assert tail.untyped_storage().nbytes() == tail.nbytes


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (4, 2), (5, 1), (9, 2), (39, 1)])
@pytest.mark.parametrize("causal", [True, False])
def test_kernels_of_all_scales_are_parts_of_one_kernel_of_the_longest_size(kernel, dilation, causal):
    torch.manual_seed(0)
    mixer, x = Conv(7, kernel, dilation, causal=causal).double(), torch.randn(2, 17, 7, dtype=torch.float64)
    whole = []
    for taps in mixer.taps:
        room = kernel - taps.shape[1]
        after = 0 if causal else room // 2
        whole.append(F.pad(taps, (room - after, after)))
    ahead = 0 if causal else mixer.reach // 2
    seen = F.pad(mixer.project(x), (0, 0, mixer.reach - ahead, ahead)).mT
    slow = F.conv1d(seen, torch.cat(whole)[:, None], dilation=dilation, groups=7).mT
    y, _ = mixer(x)
    close(y, mixer.out(F.silu(slow + mixer.bias)))


def test_the_work_of_several_scales_is_less_than_that_of_the_longest_kernel_alone():
    one, three = Conv(12, 40, scales=1), Conv(12, 40, scales=3)
    assert one.flops(10) - three.flops(10) == 2 * 10 * 12 * 40 - 2 * 10 * 4 * (40 + 20 + 10)


def test_under_autocast_a_short_causal_convolution_multiplies_in_float32():
    torch.manual_seed(0)
    mixer, x = Conv(6, 5, causal=True), torch.randn(2, 9, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        u = mixer.project(x)
        assert u.dtype == torch.bfloat16
        seen = F.pad(u.float(), (0, 0, mixer.reach, 0))
        assert mixer._convolve(seen).dtype == torch.float32
        y, (tail,) = mixer(x)
        expected = mixer.out(F.silu(mixer._convolve(seen) + mixer.bias))
    assert tail.dtype == torch.float32
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
