"""Claims about distance: the probes on cases whose answer is known, and the quick claims in full."""

import math

import pytest
import torch

from advisor.lab import distance
from advisor.lab.claim import Conditions, Finding
from advisor.lab.judging import judge
from hybrids import parse
from profiles.recall import KEYS, VALUES, ItemRecall, delayed, item_recall, items, recall_curve, recall_reach

QUICK = Conditions(quick=True)
CLAIMS = {
    "CL4": distance.plain_rnn_reaches_tens_to_hundreds,
    "CL5": distance.gates_extend_the_reach,
    "CL6": distance.a_fixed_state_dilutes,
    "CL7": distance.the_path_is_long_or_one,
}


def test_delayed_recall_asks_for_the_first_symbol_after_the_delay():
    batch = delayed(5, 9, torch.Generator().manual_seed(0))
    assert batch.symbols.shape == (5, 10)
    assert torch.equal(batch.targets, batch.symbols[:, :1])
    assert not bool((batch.symbols[:, 1:] < 4).any())
    more = delayed(50, 9, torch.Generator().manual_seed(0), symbols=8)
    assert torch.equal(more.targets, more.symbols[:, :1]) and int(more.targets.max()) == 7
    assert bool((more.symbols[:, 1:-1] >= 8).all()) and bool((more.symbols[:, -1] == 16).all())


def test_a_learning_curve_is_one_training_looked_at_on_the_way():
    gru = parse("gru")
    curve = recall_curve(gru, 2, (20, 60), symbols=3, width=8, rate=0.03)
    assert curve[-1] > 0.9 and curve == recall_curve(gru, 2, (20, 60), symbols=3, width=8, rate=0.03)
    assert curve[:1] == recall_curve(gru, 2, (20,), symbols=3, width=8, rate=0.03)
    assert curve != recall_curve(gru, 2, (20, 60), symbols=3, width=8, rate=0.03, seed=1)


def test_every_item_asked_for_was_told():
    batch = items(20, 6, torch.Generator().manual_seed(0))
    told = [dict(zip(k[:6], v[:6], strict=True)) for k, v in zip(*(t.tolist() for t in batch[:2]), strict=True)]
    asked = zip(told, batch.symbols[:, 6:].tolist(), batch.targets.tolist(), strict=True)
    assert all([known[key] for key in keys] == answers for known, keys, answers in asked)
    assert bool((batch.values[:, 6:] == VALUES).all())
    assert all(len(known) == 6 for known in told)


def test_more_items_than_keys_are_refused():
    with pytest.raises(ValueError, match="different keys"):
        item_recall(parse("gru"), (1, KEYS + 1), "")


def test_guessing_knows_no_item_and_certainty_all_of_them():
    kept = ItemRecall(words="", items=(4, 4, 4), accuracy=(0.25, 1.0, 0.1), state_numbers=(1, 1, 1)).kept
    assert kept == pytest.approx((0, 4, 0))


def test_a_recurrence_learns_a_short_delay_and_repeats_itself():
    first = recall_reach(parse("gru"), (3,), "GRU", steps=120, width=16)
    assert first.reach_steps == 3 == first.looked
    assert first == recall_reach(parse("gru"), (3,), "GRU", steps=120, width=16)
    assert first.optimiser_steps[0] < 120, "it ends early once solved"
    assert first.gradient.trained and first.gradient.looked == 3


def test_layers_that_see_four_steps_recall_no_further():
    conv = parse("conv", {"conv": {"causal": True, "kernel": 4, "scales": 1}})
    found = recall_reach(conv, (3, 8), "conv", steps=120, width=16)
    assert found.reach_steps == 3 and found.delays == (3, 8)
    assert found.gradient.reach_steps <= 3


def test_a_rotation_scaled_down_shrinks_the_gradient_of_a_quiet_network_by_that_factor():
    record, factor = distance._scaled_rnn(0.5, 1e-4, 100, (0, 1))
    assert factor == pytest.approx(0.5, abs=0.01)
    assert abs(record.reach_steps - math.log(0.01) / math.log(0.5)) <= 1


def test_large_recurrent_weights_make_the_gradient_explode():
    assert distance._scaled_rnn(4.0, 1.0, 100, (0,))[1] > 1.1


@pytest.mark.parametrize(
    ("recurrent", "attention", "verdict"),
    [(1e-9, 0.9, "holds here"), (0.5, 0.9, "depends"), (1e-9, 0.01, "depends"), (0.5, 0.01, "does not hold")],
)
def test_the_path_is_judged_by_the_gradient_alone(recurrent, attention, verdict):
    ratio = dict.fromkeys(("plain RNN", "GRU", "LSTM"), recurrent) | {"attention": attention, "diagonal SSM": 0.3}
    assert judge(distance.path_parts(ratio)) == verdict


def checked(key: str) -> Finding:
    found = CLAIMS[key](QUICK)
    assert (CLAIMS[key].__doc__ or "").startswith(f"{key}: ")
    assert found.key == key and found.charts
    assert all(math.isfinite(value) for value in found.numbers.values())
    for chart in found.charts:
        assert all(len(line.x) == len(line.y) > 0 for line in chart.lines)
        assert all(x > 0 for line in chart.lines for x in line.x)
    assert Finding.model_validate_json(found.model_dump_json()) == found
    return found


@pytest.mark.slow
def test_gradients_of_a_plain_rnn_vanish_and_explode():
    factors = [v for name, v in checked("CL4").numbers.items() if name.startswith("factor")]
    assert min(factors) < 0.6 and max(factors) > 1.2


@pytest.mark.slow
def test_open_gates_reach_further_than_a_plain_rnn():
    numbers = checked("CL5").numbers
    for name in ("GRU", "LSTM"):
        assert numbers[f"delay learnt, {name}, gates open, steps"] > numbers["delay learnt, plain RNN, steps"]
        assert (
            numbers[f"reach at initialisation, {name}, gates open, steps"]
            > 10 * numbers["reach at initialisation, plain RNN, steps"]
        )


@pytest.mark.slow
def test_attention_keeps_every_item_and_a_fixed_state_does_not():
    shares = {name: value for name, value in checked("CL6").numbers.items() if "at 16 items" in name}
    attention = next(value for name, value in shares.items() if ", attention," in name)
    assert attention > 0.9 > max(value for name, value in shares.items() if ", attention," not in name)


@pytest.mark.slow
def test_the_gradient_fades_least_in_attention_and_most_in_a_plain_rnn():
    numbers = checked("CL7").numbers
    fade = {name.rpartition(", ")[2]: value for name, value in numbers.items() if name.startswith("gradient at")}
    order = sorted(fade, key=lambda name: fade[name])
    assert order[0] == "plain RNN" and order[-1] == "attention"
    assert fade["plain RNN"] < fade["GRU"] < fade["selective SSM"] < fade["diagonal SSM"] < fade["attention"]
