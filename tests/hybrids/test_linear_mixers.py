"""What is special to each mixer with a matrix memory, and that one exported graph serves every length."""

import copy
import io

import numpy as np
import onnxruntime as ort
import pytest
import torch

from hybrids import mixers
from hybrids.decay import undecayed
from hybrids.mixers.kernel_attention import (
    FEATURE_MAPS,
    attend_all,
    feature_size,
    kernel_attention_reference,
    ratio,
    taylor_features,
    with_ones,
)
from hybrids.scan import decayed_attention

WIDTH = 8
KINDS = ["ssm", "linear_attention", "gated_delta", "kernel_attention"]


def built(kind: str, **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return mixers.config(kind)(**settings).build(WIDTH).eval()


def forget_fast(mixer: torch.nn.Module) -> None:
    """Let some heads forget within a step and others remember for hundreds."""
    with torch.no_grad():
        if hasattr(mixer, "A_log"):
            mixer.A_log.copy_(torch.linspace(-3, 6, mixer.heads))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_one_onnx_graph_serves_every_length_and_strong_decays(kind):
    mixer = built(kind, head_dim=4)
    forget_fast(mixer)
    free = torch.export.Dim.DYNAMIC
    shapes = {"x": {0: free, 1: free}, "state": None, "lengths": {0: free}}
    example = (torch.randn(3, 70, WIDTH), None, torch.tensor([70, 5, 33]))
    file = io.BytesIO()
    torch.onnx.export(mixer, example, dynamic_shapes=shapes, dynamo=True, verbose=False).save(file)
    session = ort.InferenceSession(file.getvalue())
    names = [entry.name for entry in session.get_inputs()]
    for length in (1, 64, 500):
        g = torch.Generator().manual_seed(length)
        x, valid = torch.randn(2, length, WIDTH, generator=g), torch.tensor([length, (length + 1) // 2])
        with torch.no_grad():
            y, state = mixer(x, lengths=valid)
        steps = (torch.arange(length)[None] < valid[:, None]).numpy()
        outputs = session.run(None, dict(zip(names, (x.numpy(), valid.numpy()), strict=True)))
        pairs = [(outputs[0][steps], y.numpy()[steps])]
        pairs += zip(outputs[1:], (s.numpy() for s in state), strict=True)
        for exported, eager in pairs:
            np.testing.assert_allclose(exported, eager, rtol=0, atol=5e-6 * max(1, np.abs(eager).max()))


def test_what_gated_delta_must_not_decay_is_marked():
    copied = copy.deepcopy(built("gated_delta"))
    assert undecayed(copied) == {"A_log", "dt_bias", "norm"} and set(copied.no_weight_decay) == {"A_log", "dt_bias"}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_16_bits_still_keep_states_of_32(kind):
    mixer = built(kind).bfloat16()
    _, state = mixer(torch.randn(2, 5, WIDTH).bfloat16())
    assert {s.dtype for s in [*state, *mixer.initial_state(2)]} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_number_in_the_padding_reaches_no_valid_output_and_no_state(kind):
    mixer, x, valid = built(kind), torch.randn(2, 40, WIDTH), torch.tensor([40, 3])
    y, state = mixer(x, lengths=valid)
    x[1, 3:] = torch.nan
    spoiled, after = mixer(x, lengths=valid)
    torch.testing.assert_close((spoiled[0], spoiled[1, :3], after), (y[0], y[1, :3], state))


def test_a_mean_over_one_key_is_its_value_however_small_the_features():
    value = torch.tensor([3.0, -2.0]).reshape(1, 1, 1, 2)
    for at in (-10.0, -40.0):
        q = torch.full((1, 1, 1, 8), at, requires_grad=True)
        features = FEATURE_MAPS["elu"](q)
        y = attend_all(features, features, value)
        torch.testing.assert_close(y, value)
        assert torch.autograd.grad(y.sum(), q)[0].isfinite().all()


def test_where_every_feature_is_lost_the_mean_is_zero_and_its_gradient_finite():
    q = torch.full((1, 1, 1, 8), -200.0, requires_grad=True)
    y = attend_all(FEATURE_MAPS["elu"](q), FEATURE_MAPS["elu"](q), torch.full((1, 1, 1, 2), 50.0))
    assert not y.any() and torch.autograd.grad(1e3 * y.sum(), q)[0].isfinite().all()


def test_the_elu_feature_is_elu_plus_one_with_its_gradient():
    x = torch.tensor([-5.0, -1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    y, expected = FEATURE_MAPS["elu"](x), torch.nn.functional.elu(x) + 1
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(*(torch.autograd.grad(t.sum(), x) for t in (y, expected)))


def test_products_of_taylor_features_are_the_start_of_the_exponential():
    q, k = torch.randn(2, 7, 5, dtype=torch.float64).unbind(0)
    s = (q * k).sum(-1) / 5**0.5
    torch.testing.assert_close((taylor_features(q) * taylor_features(k)).sum(-1), 1 + s + s**2 / 2)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("feature", list(FEATURE_MAPS))
def test_kernel_attention_is_a_mean_of_values_with_all_weights_written_out(feature, causal):
    g = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 41, 3, 4, generator=g, dtype=torch.float64).requires_grad_() for _ in range(3))
    q, k = FEATURE_MAPS[feature](query), FEATURE_MAPS[feature](key)
    assert q.shape[-1] == feature_size(feature, 4)
    if causal:
        still, start = value.new_zeros(2, 41, 3), value.new_zeros(2, 3, q.shape[-1], 5)
        y = ratio(decayed_attention(q, k, with_ones(value), still, start)[0])
    else:
        y = attend_all(q, k, value)
    slow = kernel_attention_reference(q, k, value, causal)
    torch.testing.assert_close(y, slow, rtol=0, atol=1e-9)
    weights = torch.randn(y.shape, generator=g, dtype=torch.float64)
    grads = [torch.autograd.grad((t * weights).sum(), (query, key, value), retain_graph=True) for t in (y, slow)]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-9)
