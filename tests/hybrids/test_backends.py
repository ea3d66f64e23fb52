"""Kernels are asked at one place, only where they fit, and a kernel that fails is replaced by PyTorch."""

import sys
import warnings
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch

from hybrids import backends
from hybrids.delta import delta_rule, delta_rule_reference
from hybrids.scan import decayed_attention, decayed_attention_reference, unit_norm

FORMS = {"decayed_attention": decayed_attention, "delta_rule": delta_rule}
REFERENCES = {"decayed_attention": decayed_attention_reference, "delta_rule": delta_rule_reference}
names = pytest.mark.parametrize("name", list(backends.KERNELS))
WITHOUT_KERNELS = (
    "needs a CUDA device" if not torch.cuda.is_available() else "" if find_spec("fla") else "needs fla-core"
)


def rule_inputs(name: str, length: int = 37, size: int = 5, depth: int = 7, heads: int = 4) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    groups = heads if name == "delta_rule" else heads // 2
    query, key = (unit_norm(torch.randn(2, length, groups, size, generator=g)) for _ in range(2))
    gates = [-torch.rand(2, length, heads, generator=g), torch.rand(2, length, heads, generator=g)]
    value, start = torch.randn(2, length, heads, depth, generator=g), torch.randn(2, heads, size, depth, generator=g)
    return [query, key, value, *gates[: len(backends.KERNELS[name].gates)], start]


@pytest.fixture
def fake(monkeypatch):
    """Pretend that CPU tensors lie on CUDA and that the package is there; return the list of calls it gets."""
    calls = []

    def pretend(name, fails=False):
        kernel = backends.KERNELS[name]

        def function(q, k, v, *, scale, initial_state, output_final_state, **gates):
            calls.append((q, v, initial_state, scale, output_final_state))
            if fails:
                raise RuntimeError("no such instruction")
            return REFERENCES[name](q, k, v, *(gates[g] for g in kernel.gates), initial_state)

        module = ModuleType(kernel.module)
        setattr(module, kernel.function, function)
        parts = kernel.module.split(".")
        for end in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(parts[end - 1]))
        monkeypatch.setitem(sys.modules, kernel.module, module)
        return calls

    monkeypatch.setattr(backends, "on_cuda", lambda x: True)
    monkeypatch.setattr(backends, "installed", lambda: True)
    monkeypatch.setattr(backends, "_failed", set())
    monkeypatch.setattr(backends, "tf32_allowed", lambda: True)
    monkeypatch.delenv(backends.SWITCH, raising=False)
    return pretend


@names
def test_a_kernel_gets_padded_heads_and_gives_what_pytorch_gives(fake, name):
    calls, inputs = fake(name), rule_inputs(name)
    torch.testing.assert_close(FORMS[name](*inputs), REFERENCES[name](*inputs), rtol=0, atol=1e-4)
    ((q, v, start, scale, final),) = calls
    assert q.shape == (2, 37, 4, 16) and v.shape == (2, 37, 4, 16) and start.shape == (2, 4, 16, 16)
    assert scale == 1 and final is True


@names
def test_under_autocast_a_kernel_gets_16_bits_and_float32_memory(fake, name, monkeypatch):
    calls = fake(name)
    monkeypatch.setattr(backends, "tf32_allowed", lambda: False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, last = FORMS[name](*rule_inputs(name))
    ((q, v, start, *_),) = calls
    assert q.dtype == v.dtype == torch.bfloat16 and start.dtype == y.dtype == last.dtype == torch.float32


@names
def test_no_kernel_where_it_would_be_less_exact_than_asked_for(fake, name, monkeypatch):
    calls, inputs = fake(name), rule_inputs(name)
    FORMS[name](*(t.double() for t in inputs))
    monkeypatch.setattr(backends, "tf32_allowed", lambda: False)
    FORMS[name](*inputs)
    assert not calls


@pytest.mark.parametrize(("setting", "allowed"), [("tf32", True), ("ieee", False)])
def test_the_precision_asked_for_is_understood_from_the_new_setting(setting, allowed):
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = setting
        assert backends.tf32_allowed() is allowed
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


@pytest.mark.parametrize(("setting", "allowed"), [("high", True), ("highest", False)])
def test_the_precision_asked_for_is_understood_from_the_old_setting(setting, allowed):
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(setting)
        assert backends.tf32_allowed() is allowed
    finally:
        torch.set_float32_matmul_precision(before)


@names
def test_no_kernel_for_heads_that_are_too_large(fake, name):
    calls = fake(name)
    FORMS[name](*rule_inputs(name, length=2, depth=300))
    assert not calls


@names
def test_no_kernel_in_an_exported_graph(fake, name):
    class Form(torch.nn.Module):
        def forward(self, *inputs):
            return FORMS[name](*inputs)

    calls, inputs = fake(name), tuple(rule_inputs(name))
    exported = torch.export.export(Form(), inputs, strict=False).module()
    torch.testing.assert_close(exported(*inputs), REFERENCES[name](*inputs), rtol=0, atol=1e-4)
    assert not calls


@names
def test_the_environment_can_switch_kernels_off(fake, name, monkeypatch):
    calls = fake(name)
    monkeypatch.setenv(backends.SWITCH, "torch")
    FORMS[name](*rule_inputs(name))
    assert not calls


@names
def test_a_kernel_that_fails_is_named_once_and_pytorch_goes_on(fake, name):
    calls, inputs = fake(name, fails=True), rule_inputs(name)
    with pytest.warns(
        RuntimeWarning, match=rf"{name} failed.*RuntimeError: no such instruction.*HYBRIDS_BACKEND=torch"
    ):
        y, _ = FORMS[name](*inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FORMS[name](*inputs)
    assert len(calls) == 1
    torch.testing.assert_close(y, REFERENCES[name](*inputs)[0], rtol=0, atol=1e-4)


def test_memory_that_runs_out_is_not_hidden(fake, monkeypatch):
    def out_of_memory(*_):
        raise torch.OutOfMemoryError("too long")

    fake("delta_rule")
    monkeypatch.setattr(backends, "_call", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        delta_rule(*rule_inputs("delta_rule"))


def test_without_cuda_nothing_is_asked_and_nothing_imported(monkeypatch):
    monkeypatch.setattr(backends, "_usable", lambda *_: pytest.fail("asked"))
    decayed_attention(*rule_inputs("decayed_attention"))


@pytest.mark.gpu
@pytest.mark.skipif(bool(WITHOUT_KERNELS), reason=WITHOUT_KERNELS or "runs")
@names
@pytest.mark.parametrize("length", [1, 64, 333])
def test_the_real_kernel_equals_pytorch_in_values_last_state_and_gradients(name, length, monkeypatch):
    monkeypatch.setattr(backends, "_failed", set())
    monkeypatch.setattr(backends, "tf32_allowed", lambda: True)
    inputs = [t.cuda().requires_grad_() for t in rule_inputs(name, length=length, size=17, depth=32)]
    fast = FORMS[name](*inputs)
    monkeypatch.setenv(backends.SWITCH, "torch")
    exact = FORMS[name](*inputs)
    assert not backends._failed
    results = [[*out, *torch.autograd.grad(sum(t.square().sum() for t in out), inputs)] for out in (fast, exact)]
    for kernel, pytorch in zip(*results, strict=True):
        error = (kernel - pytorch).square().mean().sqrt() / pytorch.square().mean().sqrt()
        assert error < 0.01  # TensorFloat-32 keeps 10 bits
