"""Memory is counted, and the verdicts of the claims about growth with length follow from the numbers."""

import pytest
import torch
from torch.nn.attention import SDPBackend

from advisor.lab import memory
from advisor.lab.judging import judge
from advisor.lab.passes import Bench

BENCH = Bench(torch.device("cpu"), width=16, rounds=1)


@pytest.mark.parametrize(
    ("chosen", "written", "verdict"), [(1.9, 2.0, "holds here"), (1.0, 2.0, "depends"), (1.0, 1.1, "does not hold")]
)
def test_attention_memory_depends_on_its_kernel(chosen, written, verdict):
    powers = {memory.ATTENTION: chosen, memory.HELD: written}
    numbers = {f"{what} exponent, {n}": p for what in ("training", "forward") for n, p in powers.items()}
    assert judge(memory.square_parts(numbers)) == verdict


@pytest.mark.parametrize(
    ("softmax", "linear", "verdict"), [(1.8, 1.0, "holds here"), (1.0, 2.0, "does not hold"), (1.8, 2.0, "depends")]
)
def test_linear_attention_is_judged_by_all_its_exponents(softmax, linear, verdict):
    numbers = {f"{what} exponent, {name}": linear for what in ("time", "memory") for name in memory.LINEAR}
    numbers[f"time exponent, {memory.ATTENTION}"] = softmax
    assert judge(memory.linear_parts(numbers)) == verdict


@pytest.mark.parametrize(
    ("power", "price", "late", "state", "difference", "verdict"),
    [
        (1.0, 1.2, 1.0, 1.0, 1e-7, "holds here"),
        (2.0, 9.0, 3.0, 8.0, 0.1, "does not hold"),
        (1.0, 9.0, 1.0, 1.0, 1e-7, "depends"),
    ],
)
def test_a_state_space_is_judged_as_recurrence_and_as_parallel_layer(power, price, late, state, difference, verdict):
    numbers = {f"price of the chain, {memory.GRU}": 8.0}
    for name in memory.SPACES:
        numbers |= {f"time exponent, {name}": power, f"price of the chain, {name}": price}
        numbers |= {f"late step over early step, {name}": late, f"late state over early state, {name}": state}
        numbers[f"difference of step and forward, {name}"] = difference
    assert judge(memory.state_space_parts(numbers)) == verdict


def test_a_crossover_is_where_it_stays_faster():
    assert memory.faster_from([1, 2, 4, 8], [9, 1, 3, 4], [2, 2, 2, 5]) == 8
    assert memory.faster_from([1, 2], [1, 1], [2, 2]) == 1
    assert memory.faster_from([1, 2], [1, 3], [2, 2]) is None


def test_the_plain_kernel_holds_a_matrix_for_every_head():
    lengths = (128, 256)
    written = memory.peaks(BENCH, memory.ATTENTION, lengths, BENCH.training, SDPBackend.MATH)
    spared = memory.peaks(BENCH, memory.GRU, lengths, BENCH.training)
    assert written[1] > 256**2 * 4 / 2**20 and written[1] / written[0] > 3
    assert spared[1] / spared[0] < 2.2


def test_memory_is_the_same_when_counted_again():
    first, second = (memory.peaks(BENCH, "low-rank attention", (64, 128), BENCH.forward) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", memory.SPACES)
def test_steps_of_a_state_space_give_what_its_parallel_pass_gives(name):
    torch.manual_seed(0)
    assert memory.step_difference(BENCH, name, 20) < memory.SAME
