"""The fast scan equals the slow one in values and gradients, in every form it takes: loop, two levels, exported."""

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybrids.diagonal import LEVELS, SEQUENTIAL, linear_scan, linear_scan_reference

WIDTH = 3
ODD_LENGTHS = [1, 2, 3, 17, SEQUENTIAL, SEQUENTIAL + 1, SEQUENTIAL + 2, 127, 150]
free = torch.export.Dim.DYNAMIC


class Scan(torch.nn.Module):
    """What is exported."""

    def forward(self, decay: torch.Tensor, drive: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Return every h."""
        return linear_scan(decay, drive, start)


def inputs(length: int, seed: int = 0, batch: int = 2, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    decay = torch.rand(batch, length, WIDTH, generator=g, dtype=dtype)
    drive = torch.randn(batch, length, WIDTH, generator=g, dtype=dtype)
    return [t.requires_grad_() for t in (decay, drive, torch.randn(batch, WIDTH, generator=g, dtype=dtype))]


def exported(**dynamic: object) -> torch.export.ExportedProgram:
    return torch.export.export(Scan(), tuple(inputs(11)), strict=False, **dynamic)


def close(actual: object, expected: object, atol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("length", ODD_LENGTHS)
def test_the_fast_scan_equals_the_slow_one_in_values_and_gradients(length):
    given_ = inputs(length)
    fast, slow = linear_scan(*given_), linear_scan_reference(*given_)
    close(fast, slow)
    weights = torch.randn(fast.shape, dtype=fast.dtype, generator=torch.Generator().manual_seed(1))
    close(torch.autograd.grad((fast * weights).sum(), given_), torch.autograd.grad((slow * weights).sum(), given_))


def test_gradients_agree_with_finite_differences():
    assert torch.autograd.gradcheck(linear_scan, inputs(SEQUENTIAL + 3, batch=1))


@given(first=st.integers(1, 90), second=st.integers(1, 90), seed=st.integers(0, 2**16))
def test_a_scan_goes_on_where_another_ended(first, second, seed):
    decay, drive, start = inputs(first + second, seed)
    left = linear_scan(decay[:, :first], drive[:, :first], start)
    right = linear_scan(decay[:, first:], drive[:, first:], left[:, -1])
    close(torch.cat([left, right], 1), linear_scan(decay, drive, start))


@pytest.mark.parametrize("length", ODD_LENGTHS)
def test_steps_of_decay_one_and_drive_zero_keep_the_state(length):
    _, _, start = inputs(length)
    kept = linear_scan(torch.ones(2, length, WIDTH), torch.zeros(2, length, WIDTH).double(), start)
    assert torch.equal(kept, start[:, None].expand_as(kept))


def test_a_constant_drive_adds_up_to_a_geometric_sum():
    t = torch.arange(1, 201, dtype=torch.float64)[None, :, None]
    decay = torch.tensor([0.5, 0.9, 0.99], dtype=torch.float64).expand(1, 200, -1)
    h = linear_scan(decay, torch.ones_like(decay), torch.zeros_like(decay[:, 0]))
    close(h, (1 - decay**t) / (1 - decay))


def test_in_float32_no_decay_is_too_small_and_no_memory_too_long():
    decay, drive, start = (t.detach() for t in inputs(4000, dtype=torch.float32))
    decay[..., 0], decay[..., 1] = 1e-30, 0.9999
    exact = linear_scan_reference(decay.double(), drive.double(), start.double())
    assert ((linear_scan(decay, drive, start) - exact).abs() <= 1e-5 * exact.abs().amax(1, keepdim=True)).all()


def test_sums_stay_in_float32_whatever_comes_in():
    coarse = [t.detach().bfloat16() for t in inputs(100)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = linear_scan(*coarse)
    assert h.dtype == torch.float32
    assert torch.equal(h, linear_scan(*[t.float() for t in coarse]))


def test_the_inputs_are_left_as_they_were():
    given_ = inputs(100)
    copies = [t.detach().clone() for t in given_]
    linear_scan(*given_).sum().backward()
    assert all(torch.equal(t, copy) for t, copy in zip(given_, copies, strict=True))


def test_a_second_derivative_is_refused():
    decay, drive, start = inputs(5)
    (grad,) = torch.autograd.grad(linear_scan(decay, drive, start).square().sum(), decay, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_an_exported_scan_takes_any_length_and_reaches_back_as_far_as_its_levels():
    program = exported(dynamic_shapes=({0: free, 1: free}, {0: free, 1: free}, {0: free})).module()
    for length in (2, 11, 150):
        given_ = inputs(length, batch=4)
        close(program(*given_), linear_scan_reference(*given_))
    ones = torch.ones(1, 2**LEVELS + 5, inputs(1)[0].shape[2], dtype=torch.float64)
    counted = program(ones, ones, torch.zeros_like(ones[:, 0]))[0, :, 0]
    assert counted[[0, 2**LEVELS - 1, -1]].tolist() == [1, 2**LEVELS, 2**LEVELS]


def test_a_scan_exported_at_one_length_has_no_more_levels_than_it_needs():
    program = exported()
    close(program.module()(*inputs(11, seed=1)), linear_scan_reference(*inputs(11, seed=1)))
    assert sum("addcmul" in str(node.target) for node in program.graph.nodes) == 4 + 1  # 2^4 >= 11, and the start


@pytest.mark.slow
def test_onnx_gives_the_same_numbers_at_another_length():
    ort = pytest.importorskip("onnxruntime")
    axes = ({0: free, 1: free}, {0: free, 1: free}, {0: free})
    example = tuple(t.detach() for t in inputs(11, batch=3, dtype=torch.float32))
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(Scan(), example, dynamo=True, dynamic_shapes=axes, verbose=False)
    session = ort.InferenceSession(program.model_proto.SerializeToString())
    for length in (1, 3, 150):
        given_ = [t.detach() for t in inputs(length, dtype=torch.float32)]
        names = [i.name for i in session.get_inputs()]
        (h,) = session.run(None, {n: t.numpy() for n, t in zip(names, given_, strict=True)})
        close(torch.from_numpy(h), linear_scan_reference(*given_), atol=1e-5)
