"""Time is measured fairly, and the verdicts of the claims about it follow from the numbers."""

import pytest
import torch

from advisor.lab import recurrent, speed, timing, training
from advisor.lab.claim import Conditions
from advisor.lab.judging import judge
from advisor.lab.passes import LAYERS, RECURRENT, Bench, config, listed, parameters, same_work
from advisor.lab.timing import Work, least_ms, threads
from profiles import clock

CPU = torch.device("cpu")
BENCH = Bench(CPU, width=8, rounds=1)


def along_time(power: float, price: float, share: float) -> dict[str, float]:
    """Return made-up numbers of CL1 and CL2: one value for all recurrent layers; scan and attention at 1."""
    numbers = {"price of the chain, minGRU (scan)": 1.0, "share of matrix speed, attention": 1.0}
    for name in RECURRENT:
        numbers |= {f"exponent, {name}": power, f"price of the chain, {name}": price}
        numbers[f"share of matrix speed, {name}"] = share
    return numbers


@pytest.mark.parametrize(
    ("power", "price", "share", "verdict"),
    [
        (1.0, 5.0, 0.1, "holds here"),
        (1.0, 1.0, 0.9, "depends"),
        (0.3, 1.0, 0.9, "does not hold"),
        (1.0, 5.0, 0.9, "depends"),
    ],
)
def test_an_rnn_is_sequential_by_growth_chain_and_idle_device(power, price, share, verdict):
    numbers = along_time(power, price, share)
    assert judge(speed.sequential_parts(numbers) | speed.idle_parts(numbers)) == verdict


@pytest.mark.parametrize(
    ("attention", "rnn", "part"), [(1.8, 1.1, True), (1.8, 1.6, False), (1.1, 1.0, None), (4.0, 1.0, None)]
)
def test_threads_are_judged_only_where_they_help_attention_as_much_as_they_can(attention, rnn, part):
    numbers = along_time(1.0, 5.0, 0.1) | {f"gain by threads, {name}": rnn for name in RECURRENT}
    parts = speed.idle_parts(numbers | {"gain by threads, attention": attention, "threads compared": 2.0})
    judged = [true for said, true in parts.items() if said.startswith("more threads")]
    assert judged == ([] if part is None else [part])


@pytest.mark.parametrize(
    ("batch", "length", "scan", "verdict"),
    [(8.0, 1.1, 3.0, "holds here"), (1.2, 4.0, 3.0, "does not hold"), (8.0, 4.0, 3.0, "depends")],
)
def test_the_batch_is_the_only_axis_by_both_gains(batch, length, scan, verdict):
    numbers = {"gain from length, minGRU (scan)": scan}
    for name in ("GRU", "LSTM"):
        numbers |= {f"gain from the batch, {name}": batch, f"gain from length, {name}": length}
    assert judge(speed.batch_parts(numbers)) == verdict


@pytest.mark.parametrize(
    ("ratios", "verdict"), [((5.0, 40.0), "holds here"), ((0.2, 4.9), "does not hold"), ((1.0, 7.0), "depends")]
)
def test_a_transformer_is_faster_where_every_cell_says_so(ratios, verdict):
    numbers = {f"times as fast as LSTM, batch 8, length {i}": ratio for i, ratio in enumerate(ratios)}
    assert judge(training.speed_parts(numbers | {"parameters, LSTM": 9.0})) == verdict


def gates(operations: tuple[float, float], times: tuple[float, float]) -> dict[str, float]:
    numbers = dict(zip(("GRU", "LSTM"), operations, strict=True))
    found = {f"operations of a step over those of the RNN, {name}": count for name, count in numbers.items()}
    for what in recurrent.PASSES:
        found |= {f"{what} over that of the RNN, {n}": t for n, t in zip(("GRU", "LSTM"), times, strict=True)}
    return found


def test_gates_cost_by_count_and_by_time():
    assert judge(recurrent.gate_parts(gates((3, 4), (2.5, 3.1)))) == "holds here"
    assert judge(recurrent.gate_parts(gates((3, 4), (2.5, 2.1)))) == "depends"
    assert judge(recurrent.gate_parts(gates((2, 2), (0.9, 2.1)))) == "does not hold"


def balance(accuracy: tuple[float, ...], cost: tuple[float, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, quality, price in zip(RECURRENT, accuracy, cost, strict=True):
        found |= {f"accuracy, {name}": quality, f"training pass in ms, {name}": price, f"parameters, {name}": price}
    return found


def test_the_gru_balances_by_quality_and_cost():
    assert judge(recurrent.balance_parts(balance((0.1, 0.97, 1.0), (1, 3, 4)))) == "holds here"
    assert judge(recurrent.balance_parts(balance((0.1, 0.97, 1.0), (1, 5, 4)))) == "depends"
    assert judge(recurrent.balance_parts(balance((0.5, 0.5, 1.0), (1, 5, 4)))) == "does not hold"


def test_the_least_of_the_rounds_counts_and_preparing_does_not(monkeypatch):
    now, lasts = [0.0], iter([0.5, 0.3, 0.2, 0.4])

    def prepare() -> str:
        now[0] += 100
        return "prepared"

    def run(given: object) -> None:
        assert given == "prepared"
        now[0] += next(lasts)

    monkeypatch.setattr(clock.time, "process_time", lambda: now[0])
    assert least_ms([Work(run, prepare)], CPU, rounds=3) == [pytest.approx(200)]


def test_works_take_turns_and_a_short_one_has_several_calls_a_turn(monkeypatch):
    now, order = [0.0], []

    def work(name: str, seconds: float) -> Work:
        def run(_: object) -> None:
            order.append(name)
            now[0] += seconds

        return Work(run)

    monkeypatch.setattr(clock.time, "process_time", lambda: now[0])
    assert least_ms([work("a", 1.0), work("b", timing.TURN_MS / 2e3)], CPU, rounds=2)[0] == pytest.approx(1000)
    assert "".join(order) == "ab" + "abb" * 2


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_cutting_a_row_keeps_the_number_of_steps():
    cells = same_work(2048, 64)
    assert cells == [(1, 2048), (4, 512), (16, 128), (64, 32)]


def test_every_layer_can_be_timed_forward_backward_and_in_training():
    for name in LAYERS:
        for make in (BENCH.forward, BENCH.backward, BENCH.training):
            work = make(name, 2, 5)
            work.run(work.before())
    table = BENCH.table(["GRU", "LSTM"], [(1, 4), (2, 8)], BENCH.training)
    assert set(table) == {"GRU", "LSTM"} and all(len(ms) == 2 and min(ms) > 0 for ms in table.values())


def test_a_streaming_step_follows_the_steps_before_it():
    for name in ("GRU", "LSTM", "attention", "selective SSM", "diagonal SSM"):
        BENCH.step(name, 1, 7).run(None)


def test_figures_are_listed_with_their_layers():
    assert listed({"power, GRU": 1.0, "power, LSTM": 2.345, "other, GRU": 3.0}, "power") == "GRU 1.00, LSTM 2.35"


def test_the_models_of_equal_parameters_are_equal_within_3_percent():
    models = training.equal_models(Bench(CPU, width=32, rounds=1))
    wanted = parameters(models["Transformer"])
    assert list(models) == ["Transformer", *RECURRENT, training.LOOP]
    assert all(abs(parameters(model) / wanted - 1) < 0.03 for model in models.values())


def test_the_lstm_called_step_by_step_is_the_same_lstm():
    models = training.equal_models(BENCH)
    models["LSTM"].load_state_dict({k.removeprefix("inner."): v for k, v in models[training.LOOP].state_dict().items()})
    x = torch.randn(2, 6, models["LSTM"].width)
    torch.testing.assert_close(models["LSTM"](x)[0], models[training.LOOP](x)[0])


def test_operations_of_a_step_are_counted_as_1_to_3_to_4():
    counted = [recurrent.operations(config(name).build(16)) for name in RECURRENT]
    assert counted == [4 * 16**2 * gates for gates in (1, 3, 4)]


def test_quick_conditions_make_fewer_rounds():
    assert Bench.under(Conditions(quick=True)).rounds < Bench.under(Conditions()).rounds
