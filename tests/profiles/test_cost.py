"""Costs known without a computer: sizes, operations and memory by formula, latencies in order."""

import pytest
import torch
from torch import nn

from profiles.budget import Budget
from profiles.cost import Cost, measure, stored_bytes
from profiles.device import MIB

B, L, IN, OUT = 2, 50, 8, 16


class Dense(nn.Module):
    """One linear layer at every step."""

    channels_in = IN

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(IN, OUT)

    def forward(self, x, lengths):
        """Return (B, L, OUT)."""
        assert lengths.shape == x.shape[:1] and lengths.dtype == torch.int64
        return self.linear(x)


class Hungry(nn.Module):
    """Holds 16 MiB in the middle of its pass."""

    channels_in = 1

    def forward(self, x, lengths):
        """Return a scalar."""
        return x.new_zeros(16 * MIB // 4).sum() + x.sum()


@pytest.fixture(scope="module")
def dense() -> Cost:
    return measure(Dense(), B, L, seconds=0.05)


def test_parameter_bytes_of_a_linear_layer(dense):
    assert dense.parameter_bytes == 4 * (IN * OUT + OUT)
    assert dense.size_mib == dense.parameter_bytes / MIB


def test_half_precision_is_stored_as_float32():
    assert stored_bytes(Dense().half()) == stored_bytes(Dense())


def test_a_shared_weight_counts_once():
    model = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    model[1].weight = model[0].weight
    assert stored_bytes(model) == 4 * (16 + 4 + 4)


def test_operations_of_a_linear_layer(dense):
    assert dense.flops == 2 * B * L * IN * OUT


def test_the_models_own_formula_is_used_for_each_sequence():
    model = Dense()
    model.flops = lambda length: 10 * length
    assert measure(model, 3, 7, seconds=0.01).flops == 3 * 7 * 10


def test_latency_percentiles_are_ordered_and_rest_on_20_runs(dense):
    assert 0 < dense.latency_ms("p50") <= dense.latency_ms("p95") <= dense.latency_ms("p99")
    assert dense.runs >= 20


def test_the_peak_of_a_known_temporary_is_seen():
    assert measure(Hungry(), 1, 10, seconds=0.01).peak_memory_mib == pytest.approx(16, rel=0.2)


def test_the_peak_counts_weights_input_and_output(dense):
    least = dense.parameter_bytes + 4 * B * L * (IN + OUT)
    assert least <= dense.peak_memory_mib * MIB <= 1.2 * least


def test_more_sequences_need_more_memory(dense):
    assert measure(Dense(), 8 * B, L, seconds=0.01).peak_memory_mib > 4 * dense.peak_memory_mib


def test_mode_threads_and_gradients_are_put_back():
    model, threads = Dense().train(), torch.get_num_threads()
    measure(model, 1, 5, seconds=0.01, threads=2)
    assert model.training and model.linear.training and torch.get_num_threads() == threads
    assert model.linear.weight.requires_grad and model(torch.zeros(1, 5, IN), torch.tensor([5])).requires_grad


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (1, 0)])
def test_an_empty_input_is_refused(batch, length):
    with pytest.raises(ValueError, match="at least 1"):
        measure(Dense(), batch, length)


def test_unknown_channels_are_refused():
    with pytest.raises(ValueError, match="channels known"):
        measure(nn.Identity(), 1, 5)


def test_a_measured_cost_is_judged_by_a_budget(dense):
    assert Budget(max_latency_ms=1e6, max_memory_mib=1e6, max_model_mib=1).misses(dense) == ()
    (miss,) = Budget(max_model_mib=dense.size_mib / 2).misses(dense)
    assert miss.ratio == pytest.approx(2)


def test_a_cost_survives_json(dense):
    assert Cost.model_validate_json(dense.model_dump_json()) == dense


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_the_peak_of_a_known_temporary_is_seen_on_a_gpu():
    assert measure(Hungry(), 1, 10, device="cuda", seconds=0.05).peak_memory_mib == pytest.approx(16, rel=0.2)
