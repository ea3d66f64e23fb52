"""A device that is three times slower takes three times as long, and what is predicted says so."""

import pytest
import torch
from torch import nn

from profiles.calibration import Calibration, Shape, calibrate
from profiles.cost import Cost, measure
from profiles.curves import Curve, curve
from profiles.target import TargetError, target

SHAPE = Shape(width=16, depth=1, batch=2)


class Last(nn.Module):
    """The last step through a linear layer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, x, lengths):
        """Return (B, 3)."""
        return self.linear(x[:, -1])


@pytest.fixture(scope="module")
def here() -> Calibration:
    return calibrate(seconds=20, families=("gru", "conv"), lengths=(16, 32, 64), shape=SHAPE)


@pytest.fixture(scope="module")
def cost() -> Cost:
    return measure(Last(), 1, 40, channels=2, seconds=0.01)


def slowed(curves: dict[str, Curve], times: float) -> dict[str, Curve]:
    return {name: curve(one.lengths, [times * value for value in one.values]) for name, one in curves.items()}


def slower(here: Calibration, times: float, **changes: object) -> Calibration:
    device = here.device.model_copy(
        update={"name": "raspberry", "matmul_gflops": here.device.matmul_gflops / times, "threads": 4}
    )
    changes = {"device": device, "threads": 4, "inference": slowed(here.inference, times), **changes}
    return Calibration.model_validate({**here.model_dump(), **{k: _plain(v) for k, v in changes.items()}})


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value.model_dump() if hasattr(value, "model_dump") else value


@pytest.mark.parametrize("family", ["gru", "conv", "lstm", None])
@pytest.mark.parametrize("tokens", [4, 24, 40, 500])
def test_a_device_three_times_slower_takes_three_times_as_long(here, cost, family, tokens):
    found = target(slower(here, 3.0), here).predict(cost, family, tokens)
    assert found.latency_p50_ms == pytest.approx(3 * cost.latency_p50_ms)
    assert found.latency_p95_ms == pytest.approx(3 * cost.latency_p95_ms)
    assert found.latency_p99_ms == pytest.approx(3 * cost.latency_p99_ms)


def test_a_prediction_says_that_it_is_one_for_whom_and_how_wrong_it_may_be(here, cost):
    found = target(slower(here, 3.0), here).predict(cost, "gru", 40)
    fit = here.inference["gru"].fit.error_percent / 100
    assert found.predicted and found.device == "raspberry" and found.threads == 4
    assert found.error == pytest.approx(fit * 2**0.5)
    assert (found.peak_memory_mib, found.size_mib, found.flops) == (cost.peak_memory_mib, cost.size_mib, cost.flops)
    assert not cost.predicted and cost.error is None
    assert Cost.model_validate_json(found.model_dump_json()) == found


def test_each_family_has_its_own_ratio(here, cost):
    there = slower(here, 3.0)
    mixed = {**there.inference, "gru": slowed(here.inference, 12.0)["gru"]}
    asked = target(slower(here, 3.0, inference=mixed), here)
    assert asked.ratio("gru", 40)[0] == pytest.approx(12.0)
    assert asked.ratio("conv", 40)[0] == pytest.approx(3.0)


def test_a_baseline_takes_the_mean_of_two_ratios_and_their_distance_as_error(here):
    device = here.device.model_copy(update={"matmul_gflops": here.device.matmul_gflops / 27})
    ratio, error = target(slower(here, 3.0, device=device), here).ratio(None, 40)
    assert ratio == pytest.approx(9.0)
    assert error == pytest.approx(2.0, rel=0.05)  # a factor of 3 up or down, and a little for the fits


def test_without_any_common_curve_the_speed_of_products_is_all_there_is(here):
    ratio, error = target(slower(here, 3.0, inference={}), here).ratio("gru", 40)
    assert ratio == pytest.approx(3.0) and error == 1.0


def cut(calibration: Calibration, points: int) -> dict[str, Curve]:
    """Return the curves at the first lengths only."""
    return {name: curve(one.lengths[:points], one.values[:points]) for name, one in calibration.inference.items()}


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("tokens", [16, 336, 1000])
def test_curves_of_one_or_two_points_leave_the_speed_of_products_with_an_error_of_the_whole(here, points, tokens):
    short_there, short_here = (
        slower(here, 3.0, inference=cut(here, points)),
        slower(here, 1.0, inference=cut(here, points)),
    )
    assert target(short_there, here).ratio("gru", tokens) == (pytest.approx(3.0), 1.0)
    assert target(slower(here, 3.0), short_here).ratio("gru", tokens) == (pytest.approx(3.0), 1.0)


def test_a_family_without_a_curve_of_its_own_has_an_error_of_the_whole_at_least(here):
    ratio, error = target(slower(here, 3.0), here).ratio("lstm", 40)
    assert ratio == pytest.approx(3.0) and error == 1.0


def planted(here: Calibration, lengths: tuple[int, ...], power: float = 1.0) -> Calibration:
    inference = {name: curve(lengths, [n**power / 64 for n in lengths]) for name in here.inference}
    return slower(here, 1.0, inference=inference)


def test_outside_the_lengths_measured_on_both_the_ratio_is_that_of_the_nearest_and_the_error_grows(here):
    asked = target(planted(here, (16, 32, 64, 128)), planted(here, (16, 32, 64)))
    assert asked.ratio("gru", 40)[1] == pytest.approx(0.0, abs=1e-6)
    near, far, below = (asked.ratio("gru", tokens) for tokens in (128, 1000, 4))
    assert near[0] == far[0] == below[0] == pytest.approx(1.0)
    assert near[1] == pytest.approx(2**0.25 - 1) and far[1] == pytest.approx((1000 / 64) ** 0.25 - 1)
    assert below[1] == pytest.approx(4**0.25 - 1)


def test_the_error_grows_as_the_measured_ratio_goes_with_the_length(here):
    asked = target(planted(here, (16, 32, 64, 128), power=2.0), planted(here, (16, 32, 64)))
    ratio, error = asked.ratio("gru", 256)
    assert ratio == pytest.approx(64.0) and error == pytest.approx(4.0 - 1)


def test_noise_in_few_points_cannot_turn_one_device_into_another(here):
    lengths = (16, 32, 64, 128, 256)
    fast = slower(here, 1.0, inference={"conv": curve(lengths, (1.0, 1.1, 1.2, 1.3, 1.4))})
    steep = slower(here, 1.0, inference={"conv": curve(lengths[:3], (1.0, 1.3, 1.9))})
    ratio, error = target(steep, fast).ratio("conv", 1000)
    assert 1 / (1 + error) < ratio < 2.0 and error > 0.5


def test_curves_without_a_common_length_are_not_compared(here):
    asked = target(planted(here, (128, 256, 512)), planted(here, (16, 32, 64)))
    assert asked.ratio("gru", 100)[1] == 1.0


def test_what_failed_there_cannot_run_there(here):
    asked = target(slower(here, 3.0, failed={"ssm": "no such operator"}), here)
    assert asked.cannot_run("ssm") == "no such operator" and asked.cannot_run("gru") == ""


def test_calibrations_of_other_sizes_are_not_compared(here):
    with pytest.raises(TargetError, match="1 layers of width 64, this device with 1 layers of width 16") as refused:
        target(slower(here, 3.0, shape=SHAPE.model_copy(update={"width": 64})), here)
    assert refused.value.hint


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_is_a_target_of_the_processor(here, cost):
    there = calibrate("cuda", seconds=20, families=("gru", "conv"), lengths=(16, 32, 64), shape=SHAPE)
    assert target(there, here).predict(cost, "gru", 40).latency_p50_ms > 0
