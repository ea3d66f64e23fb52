"""What the diagonal recurrent mixers compute, by closed forms; the laws of all mixers are in test_mixer_contract.py."""

import cmath
import copy
import math
import warnings

import pytest
import torch

from hybrids.decay import split_by_decay, undecayed
from hybrids.diagonal import DiagonalMixer
from hybrids.mixers.mingru import MinGRU
from hybrids.mixers.minlstm import MinLSTM
from hybrids.mixers.s4d import CHUNK, S4D, oscillate, oscillate_reference

WIDTH, STATES = 3, 4
free = torch.export.Dim.DYNAMIC


def close(actual: object, expected: object, atol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def bare(mixer: DiagonalMixer) -> DiagonalMixer:
    """Return `mixer` with gates of 1/2, the value that of x, and the state read as it is."""
    values = slice(-mixer.inner, None)
    with torch.no_grad():
        mixer.project.weight.zero_()
        mixer.project.bias.zero_()
        mixer.project.weight[values] = torch.eye(mixer.inner, mixer.width)
        mixer.out.weight.copy_(torch.eye(mixer.width, mixer.inner))
        mixer.out.bias.zero_()
    return mixer


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
def test_an_impulse_fades_by_half_each_step_when_the_gates_are_half_open(kind):
    x = torch.zeros(1, 4, 1)
    x[0, 0] = 1
    y, _ = bare(kind(width=1, inner=1, kernel=1))(x)
    assert y.flatten().tolist() == [1 / 2, 1 / 4, 1 / 8, 1 / 16]


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
def test_decay_and_share_of_the_value_add_up_to_one_so_a_constant_is_held(kind):
    torch.manual_seed(0)
    mixer, x = kind(width=4, inner=4, kernel=1).double(), 10 * torch.randn(1, 200, 4).double()
    decay, drive = mixer.gates(mixer.project(x))
    close(drive, (1 - decay) * mixer.project(x)[..., -4:])
    assert (decay >= 0).all() and (decay <= 1).all()
    _, (h,) = bare(mixer)(torch.full_like(x, -3.0))
    close(h, torch.full_like(x[:, 0], -3.0))


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
def test_memory_times_start_evenly_in_logarithms_from_10_to_1000_steps(kind):
    mixer = kind(width=4, inner=5, kernel=4)
    decay, _ = mixer.gates(mixer.project.bias)
    close(torch.log10(1 / (1 - decay)), torch.linspace(1, 3, 5), atol=1e-4)


def test_shut_gates_of_a_minlstm_divide_nothing_by_zero():
    projected = torch.full((1, 6), -500.0, requires_grad=True)
    decay, drive = MinLSTM(width=2, inner=2, kernel=1).gates(projected)
    assert torch.equal(decay, torch.full((1, 2), 0.5))
    (grad,) = torch.autograd.grad(decay.sum() + drive.sum(), projected)
    assert grad.isfinite().all()


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
def test_a_kept_state_does_not_keep_the_whole_chunk(kind):
    _, state = kind(width=4, inner=4, kernel=4)(torch.zeros(1, 1000, 4))
    assert all(s.untyped_storage().nbytes() == s.nbytes for s in state)


def system(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return tuple(t.detach() for t in S4D(WIDTH, STATES).double()._system(torch.float64))


def driven(length: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    u = torch.randn(2, length, WIDTH, generator=g, dtype=torch.float64)
    return u, torch.randn(2, WIDTH, 2 * STATES, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("length", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_the_chunked_oscillators_equal_the_slow_ones_in_values_states_and_gradients(length):
    given = [t.requires_grad_() for t in (driven(length)[0], *system(), driven(length)[1])]
    fast, slow = oscillate(*given), oscillate_reference(*given)
    close(fast, slow)
    g = torch.Generator().manual_seed(2)
    weights = [torch.randn(t.shape, generator=g, dtype=t.dtype) for t in fast]
    scores = [sum((t * w).sum() for t, w in zip(found, weights, strict=True)) for found in (fast, slow)]
    close(torch.autograd.grad(scores[0], given), torch.autograd.grad(scores[1], given), atol=1e-8)


@pytest.mark.parametrize("resting", [True, False])
def test_ragged_rows_end_in_the_state_at_their_own_end_in_any_chunk(resting):
    length = 2 * CHUNK + 9
    u, start = driven(length)
    ends = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, length]
    u, begin = u[:1].repeat(len(ends), 1, 1), start[:1].repeat(len(ends), 1, 1)
    v, last = oscillate(u, *system(), None if resting else begin, torch.tensor(ends))
    at_rest = torch.zeros_like(begin) if resting else begin
    close(v, oscillate_reference(u, *system(), at_rest)[0])
    close(last[0], at_rest[0])
    for row, end in enumerate(ends[1:], 1):
        close(last[row : row + 1], oscillate_reference(u[:1, :end], *system(), at_rest[:1])[1])


def test_an_impulse_gives_the_kernel_of_the_state_space_model():
    torch.manual_seed(0)
    model = S4D(1, STATES).double()
    with torch.no_grad():
        model.D.zero_()
    u = torch.zeros(1, 100, 1, dtype=torch.float64)
    u[0, 0] = 1
    v, _ = oscillate(u, *model._system(torch.float64))
    dt = math.exp(model.log_dt.item())
    kernel = torch.zeros(100, dtype=torch.float64)
    for n in range(STATES):
        a = complex(-math.exp(model.A_log[0, n].item()), model.A_imag[0, n].item())
        c = complex(model.C[0, n].item(), model.C[0, STATES + n].item()) * (cmath.exp(dt * a) - 1) / a
        kernel += torch.tensor([2 * (c * cmath.exp(j * dt * a)).real for j in range(100)], dtype=torch.float64)
    close(v.flatten(), kernel)


def test_a_constant_input_settles_where_the_continuous_system_does_whatever_the_step_size():
    torch.manual_seed(0)
    model = S4D(WIDTH, STATES).double()
    c, a = model.C.chunk(2, -1), (-model.A_log.exp(), model.A_imag)
    settled = -2 * ((c[0] * a[0] + c[1] * a[1]) / (a[0].square() + a[1].square())).sum(-1) + model.D
    with torch.no_grad():
        model.log_dt.copy_(torch.tensor([0.03, 0.1, 0.3]).log())
        v, _ = oscillate(torch.ones(1, 4000, WIDTH, dtype=torch.float64), *model._system(torch.float64))
    close(v[0, -1], settled)


def test_tiny_step_sizes_lose_no_digits_in_float32():
    torch.manual_seed(0)
    model = S4D(WIDTH, STATES)
    with torch.no_grad():
        model.log_dt.fill_(math.log(1e-6))
    exact = [t.float() for t in model._system(torch.float64)]
    torch.testing.assert_close(model._system(torch.float32), tuple(exact), rtol=2e-6, atol=0)


def test_what_must_not_be_decayed_is_marked():
    assert undecayed(copy.deepcopy(S4D(WIDTH, STATES))) == {"A_log", "A_imag", "log_dt", "D", "out.bias"}
    for mixer in (MinGRU(4, 4, 4), MinLSTM(4, 4, 4)):
        assert set(mixer.no_weight_decay) == {"project.bias"} <= undecayed(mixer)


def test_the_parameters_are_split_by_decay_without_loss_also_inside_a_model_and_where_they_are_shared():
    model = torch.nn.ModuleList([S4D(WIDTH, STATES), MinGRU(WIDTH, 4, 4)])
    model.append(model[0])
    decayed, still = split_by_decay(copy.deepcopy(model))
    assert len(decayed) + len(still) == len(list(model.parameters()))
    assert sorted(tuple(p.shape) for p in decayed) == sorted(
        tuple(p.shape)
        for p in (model[0].C, model[0].out.weight, model[1].taps, model[1].project.weight, model[1].out.weight)
    )


@pytest.mark.parametrize("build", [lambda: S4D(WIDTH, STATES), lambda: MinGRU(WIDTH, 4, 4)], ids=["s4d", "mingru"])
def test_a_mixer_that_needs_no_state_gives_the_same_valid_outputs(build):
    torch.manual_seed(0)
    mixer, (x, _), ends = build().double(), driven(CHUNK + 5), torch.tensor([9, CHUNK + 5])
    exact, _ = mixer(x, lengths=ends)
    mixer.needs_state = False
    quick, _ = mixer(x, lengths=ends)
    close((quick[0, :9], quick[1]), (exact[0, :9], exact[1]))


@pytest.mark.slow
def test_an_exported_s4d_keeps_no_complex_number():
    x = torch.randn(1, 11, WIDTH, generator=torch.Generator().manual_seed(0))
    mixer = S4D(WIDTH, STATES)
    program = torch.export.export(mixer, (x,), dynamic_shapes={"x": {1: free}}, strict=False)
    assert not any("complex" in str(node.target) for node in program.graph.nodes)


@pytest.mark.slow
def test_onnx_gives_the_same_numbers_at_another_length():
    ort = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    mixer = S4D(WIDTH, STATES).eval()
    axes = {"x": {0: free, 1: free}, "state": None, "lengths": {0: free}}
    example = (torch.randn(3, 11, WIDTH), None, torch.tensor([11, 4, 5]))
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(mixer, example, dynamo=True, dynamic_shapes=axes, verbose=False)
    session = ort.InferenceSession(program.model_proto.SerializeToString())
    for length in (1, CHUNK, 2 * CHUNK + 1, 500):
        x, ends = torch.randn(2, length, WIDTH), torch.tensor([length, (length + 1) // 2])
        y, last = session.run(None, {"x": x.numpy(), "lengths": ends.numpy()})
        expected, (state,) = mixer(x, lengths=ends)
        close((torch.from_numpy(y), torch.from_numpy(last)), (expected.detach(), state.detach()), atol=1e-4)
