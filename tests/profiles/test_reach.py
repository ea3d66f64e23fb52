"""Reach: closed forms of linear systems, the future that a causal layer cannot see, whole models on their rows."""

import math

import pytest
import torch
from torch import Tensor

from hybrids import mixers
from hybrids.errors import ConfigError
from hybrids.families import FAMILIES, layers
from hybrids.frontends.series import SeriesConfig
from hybrids.heads.forecast import ForecastConfig
from hybrids.heads.pooled import ClassifyConfig, RegressConfig
from hybrids.model import Head, ModelConfig, SequenceModel
from profiles.gradient_reach import GradientReach, compare
from profiles.reach import Network, families_reach, family_reach, gradient_norms, layers_reach, model_reach, reach_of

STACKS = [name for name, family in FAMILIES.items() if family.variants]


def decaying(x: Tensor, keep: float) -> Tensor:
    """Return every h_t = keep h_{t-1} + x_t."""
    h, states = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = keep * h + x[:, t]
        states.append(h)
    return torch.stack(states, 1)


def profiled(network: Network, length: int, channels: int, rows: int = 8) -> GradientReach:
    """Return the reach of the last output on normal inputs."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, length, channels, generator=draw, dtype=torch.float64)
    return reach_of(gradient_norms(network, x).flip(1), "network", trained=False)


def model(family: str, head: Head, **frontend: object) -> SequenceModel:
    torch.manual_seed(0)
    forecast = isinstance(head, ForecastConfig)
    settings = {"normalise": "none", "causal": True} if forecast else {}
    return ModelConfig(
        family=family, channels_in=1 if forecast else 2, width=8, layers=layers(family, 1, forecast), head=head,
        frontend=SeriesConfig(channels_in=2, **{**settings, **frontend}),
    ).build()  # fmt: skip


def rows(channels: int = 2, steps: int = 60) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(6, steps, channels, generator=draw), torch.tensor([steps, steps, steps // 2, steps, 7, steps])


def record(reach: int, looked: int, answer: int | None = None) -> GradientReach:
    return GradientReach(
        words="GRU", trained=True, reach_steps=reach, looked=looked, distances=(), norms=(), fade=0.0,
        answer_steps=answer, rows=1,
    )  # fmt: skip


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.97])
def test_a_linear_recurrence_reaches_the_logarithm_of_a_hundredth_over_that_of_its_factor(keep):
    found = profiled(lambda x: decaying(x, keep), 500, 2)
    assert abs(found.reach_steps - math.log(0.01) / math.log(keep)) <= 1
    assert found.fade == pytest.approx(keep**498)
    assert not found.all_the_way


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_its_gradient_at_every_distance_is_the_factor_to_that_power(keep):
    norms = gradient_norms(lambda x: decaying(x, keep), torch.randn(1, 20, 1, dtype=torch.float64)).flip(1)[0]
    torch.testing.assert_close(norms / norms[0], keep ** torch.arange(20, dtype=torch.float64))


def test_a_recurrence_that_explodes_reaches_as_far_as_was_looked():
    found = profiled(lambda x: decaying(x, 1.1), 100, 1)
    assert found.all_the_way and found.fade == pytest.approx(1.1**98)


@pytest.mark.parametrize("window", [1, 5, 50])
def test_a_moving_sum_reaches_its_window(window):
    found = profiled(lambda x: x[:, -window:].sum(1, keepdim=True), 200, 3)
    assert found.reach_steps == window - 1


def test_uniform_attention_is_flat_and_reaches_all_the_way():
    found = profiled(lambda x: x + x.mean(1, keepdim=True), 400, 2)
    assert found.all_the_way and found.fade == pytest.approx(1)


def test_one_strong_step_far_back_is_reached():
    assert profiled(lambda x: x[:, -1:] + x[:, -81:-80], 100, 1).reach_steps == 80


def test_an_output_that_reads_nothing_reaches_nothing_and_says_so():
    found = profiled(lambda x: x * 0, 10, 1, rows=3)
    assert (found.reach_steps, found.rows, found.fade) == (0, 0, None)
    assert found.notes == ("3 of 3 rows have no gradient at all and are left out.",)


def test_a_row_that_is_not_finite_is_left_out_and_counted():
    found = reach_of(torch.tensor([[1.0, 1.0, 0.0], [float("nan"), 1.0, 1.0]]), "", trained=False)
    assert (found.reach_steps, found.rows) == (1, 1)
    assert found.notes == ("1 of 2 rows have a gradient that is not a finite number and are left out.",)


def test_rows_weigh_the_same_however_large_their_gradient():
    small, large = [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1e9, 1e9]
    assert reach_of(torch.tensor([small, large]), "", trained=False).norms == (1, 1, 1, 1)


def test_a_short_row_does_not_thin_out_the_distances_it_lacks():
    curves = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.25, 0.0, 0.0, 0.0]])
    both = reach_of(curves, "", trained=False, lengths=torch.tensor([4, 1]))
    assert both.norms[1:] == pytest.approx([both.norms[1]] * 3)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "attention", "ssm", "s4d", "linear_attention", "conv"])
def test_no_gradient_comes_from_the_future_of_a_causal_layer(name):
    torch.manual_seed(0)
    settings = {"causal": True} if name in ("attention", "conv") else {}
    mixer = mixers.config(name)(**settings).build(8).double()
    norms = gradient_norms(lambda x: mixer(x)[0], torch.randn(2, 20, 8, dtype=torch.float64), at=12)
    assert bool((norms[:, 13:] == 0).all()) and bool((norms[:, 12] > 0).all())


def test_layers_without_memory_reach_no_further_than_their_token():
    assert family_reach("mlp", 40, width=8, seeds=(0,), rows=2).reach_steps == 0


@pytest.mark.parametrize("name", [name for name in STACKS if name != "mlp"])
def test_every_family_has_a_reach_that_a_seed_repeats(name):
    found = family_reach(name, 40, width=8, seeds=(0,), rows=2)
    assert 0 < found.reach_steps <= found.looked == 39
    assert found == family_reach(name, 40, width=8, seeds=(0,), rows=2)


def test_all_families_that_are_a_stack_have_a_reach_by_their_first_variant():
    found = families_reach(40, width=8)
    assert list(found) == STACKS
    assert found["ssm"] == family_reach("ssm", 40, width=8, seeds=(0,))
    assert all(one.looked == 39 and not one.trained and not one.notes for one in found.values())


def test_named_families_come_in_their_order_and_a_long_series_is_cut_and_said():
    found = families_reach(3000, ("rnn", "gru"), width=8)
    assert list(found) == ["rnn", "gru"]
    assert all(one.looked == 511 and one.notes == ("512 of 3000 tokens were looked at.",) for one in found.values())


def test_a_family_that_is_not_a_stack_is_refused_by_name():
    with pytest.raises(ConfigError, match="encoder_decoder"):
        families_reach(10, ("gru", "encoder_decoder"), width=8)


def test_the_caller_keeps_its_random_numbers():
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    family_reach("gru", 10, width=8)
    assert torch.rand(1) == wanted


def test_gates_that_start_open_reach_further():
    (closed,), (opened,) = (layers("gru", 1, True), (mixers.config("gru")(init="chrono"),))
    assert layers_reach((opened,), 200, "").reach_steps > 3 * layers_reach((closed,), 200, "").reach_steps


@pytest.mark.parametrize("family", ["gru", "transformer", "bilstm", "conv", "ssm"])
@pytest.mark.parametrize("head", [ClassifyConfig(classes=3), RegressConfig(), ForecastConfig(horizon=4, look_back=50)])
def test_a_whole_model_has_a_reach_in_raw_steps(family, head):
    network = model(family, head, patch=4, kernel=6)
    x, lengths = rows(1 if isinstance(head, ForecastConfig) else 2)
    found = model_reach(network, x, lengths, trained=False)
    assert 0 < found.reach_steps <= found.looked == (49 if isinstance(head, ForecastConfig) else 59)
    assert not found.trained and found.rows == 6 and not found.notes
    assert network.training and all(p.grad is None for p in network.parameters())


def test_a_longer_patch_makes_a_recurrence_reach_further():
    x, lengths = rows(steps=400)
    short, long = (model_reach(model("gru", ClassifyConfig(classes=2), patch=p), x, lengths) for p in (1, 8))
    assert long.reach_steps > 3 * short.reach_steps


def test_a_pooling_head_reads_past_the_reach_of_its_layers():
    x, lengths = rows(steps=400)
    found = model_reach(model("gru", ClassifyConfig(classes=2)), x, lengths)
    assert found.reach_steps < 30 and (found.answer_steps or 0) > 380
    assert "Its head reads" in compare(found, 300)


def test_a_fresh_forecaster_answers_by_its_linear_path_one_season_back():
    x, lengths = rows(1, 200)
    found = model_reach(model("gru", ForecastConfig(horizon=1, look_back=100, season=24)), x, lengths)
    assert found.answer_steps == 23


def test_a_head_that_starts_at_zero_has_no_reach_of_its_own():
    assert model_reach(model("gru", RegressConfig()), *rows()).answer_steps is None


def test_constant_rows_and_unknown_numbers_do_no_harm():
    x, lengths = rows()
    x[0], x[1, 3] = 5.0, float("nan")
    found = model_reach(model("gru", ClassifyConfig(classes=2)), x, lengths)
    assert found.rows == 5 and "1 of 6" in found.notes[0]


def test_padding_is_not_read():
    x, lengths = rows()
    other = torch.where(torch.arange(60)[None, :, None] < lengths[:, None, None], x, 9.0)
    network = model("lstm", ClassifyConfig(classes=2))
    assert model_reach(network, x, lengths) == model_reach(network, other, lengths)


def test_a_model_without_rows_is_refused():
    with pytest.raises(ValueError, match="one row of one step at least"):
        model_reach(model("gru", RegressConfig()), torch.zeros(0, 5, 2), torch.zeros(0))


@pytest.mark.parametrize(
    ("found", "needed", "says"),
    [
        (record(140, 500), 400, "reaches 140 steps; your data needs 400."),
        (record(1, 500), 400, "reaches 1 step; your data needs 400."),
        (record(495, 499), 400, "reaches as far back as it is given (499 steps); your data needs 400."),
        (record(495, 499), 600, "your data needs 600: it would have to be given more."),
        (record(140, 500, 490), 400, "needs 400. Its head reads 490 steps back, but each for itself."),
        (record(140, 500, 490), 100, "reaches 140 steps; your data needs 100."),
    ],
)
def test_reach_and_need_make_a_sentence(found, needed, says):
    sentence = compare(found, needed)
    assert sentence.startswith("This model (GRU) reaches") and sentence.endswith(says)


def test_a_record_survives_json():
    found = profiled(lambda x: x * 0, 10, 1)
    assert GradientReach.model_validate_json(found.model_dump_json()) == found
