"""The gate of an export: a smooth model must agree, a model with steps may stand on either side of one it stands on.

What it compares on lies on the level of the model's own data, wherever the model keeps that.
"""

import numpy as np
import pytest
import torch
from torch import nn

from advisor import baselines
from advisor.ensemble import Ensemble
from advisor.export import export
from advisor.export.parity import TOLERANCE, Case, ExportError, cases, inputs, verify
from hybrids.committee import Committee
from tests.advisor.test_export import card, network, run_of

CASES = (Case(2, 16), Case(3, 30))
LEVEL = 1000.0


class Steps(nn.Module):
    """The mean of a row plus 1 where it is above a threshold, (B, 3, 3)."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x, lengths):
        """Return the mean, or 1 more."""
        mean = x.mean((1, 2))
        return (mean + (mean > self.threshold).float())[:, None, None].expand(-1, 3, 3)


def runner(model):
    return lambda x, lengths: {"quantiles": model(x, lengths).numpy()}


def first_mean(chosen=CASES):
    """Return the mean of the first row that the gate asks for."""
    return float(inputs(Steps(1e9), chosen[0], 1)[0][0].mean())


def test_a_model_on_a_step_may_answer_from_its_other_side():
    at = first_mean()
    model, other = (Steps(at + sign * 2e-8) for sign in (-1, 1))
    assert not np.array_equal(*(runner(one)(torch.full((1, 4, 1), at), None)["quantiles"] for one in (model, other)))
    checks = verify(model, card("forecast"), runner(other), CASES)
    assert all(check.passed and check.relative_error <= TOLERANCE for check in checks)


def test_a_step_at_another_place_is_refused():
    at = first_mean()
    with pytest.raises(ExportError, match="does not answer as the model does"):
        verify(Steps(at - 1e-3), card("forecast"), runner(Steps(at + 1e-3)), CASES)


def test_a_smooth_model_has_no_steps_to_hide_behind():
    class Off(Steps):
        def forward(self, x, lengths):
            return super().forward(x, lengths) * (1 + 1e-3)

    with pytest.raises(ExportError, match="relative"):
        verify(Steps(1e9), card("forecast"), runner(Off(1e9)), CASES)


def test_an_answer_that_is_no_number_is_refused():
    class Lost(Steps):
        def forward(self, x, lengths):
            return super().forward(x, lengths) * torch.nan

    with pytest.raises(ExportError, match="nan"):
        verify(Steps(1e9), card("forecast"), runner(Lost(1e9)), CASES)


def test_the_mean_of_a_long_row_may_be_rounded_to_the_other_side_of_a_step():
    chosen = (Case(1, 4096, 1.0, LEVEL),)
    at = first_mean(chosen)
    near, far = ([runner(Steps(at + sign * off)) for sign in (-1, 1)] for off in (2e-4, 5e-3))
    assert all(check.passed for check in verify(Steps(at + 2e-4), card("forecast"), near[0], chosen))
    with pytest.raises(ExportError, match="does not answer as the model does"):
        verify(Steps(at + 5e-3), card("forecast"), far[0], chosen)


def committee():
    """Return two networks for data of deviation 1."""
    members = [network("gru", "regress", seed, depth=1) for seed in (0, 1)]
    for member in members:
        member.frontend.fit(torch.full((2,), LEVEL), torch.ones(2))
        member.head.fit(LEVEL, 1.0)
    return Committee.of(members)


def fitted(kind, task="regress"):
    """Return a baseline that was fitted on data of level 1000 and deviation 1; a forecast has two covariates."""
    draw = np.random.default_rng(0)
    x = draw.normal(LEVEL, 1, (60, 60, 3 if task == "forecast" else 2)).astype(np.float32)
    y = draw.normal(LEVEL, 1, (60, 4)) if task == "forecast" else x.mean((1, 2)) + (x[:, :30, 0] > LEVEL).mean(1)
    return baselines.fit(
        kind, task, x, draw.integers(40, 61, 60), y, season=6, horizon=4 * (task == "forecast")
    ).eval()  # fmt: skip


def ensemble():
    return Ensemble.of("regress", [fitted("gradient_boosting"), committee(), fitted("linear")])


def trees_alone():
    return Ensemble.of("regress", [fitted("mean"), fitted("gradient_boosting")])


LEVELLED = {"committee": committee, "ensemble": ensemble, "trees": trees_alone}


@pytest.mark.parametrize("made", LEVELLED.values(), ids=LEVELLED)
def test_the_inputs_lie_on_the_level_of_the_data(made):
    x, _ = inputs(made(), Case(5, 64), 2)
    assert ((x.mean((0, 1)) - LEVEL).abs() < 0.5).all()
    assert ((x.std((0, 1)) > 0.3) & (x.std((0, 1)) < 3)).all()


@pytest.mark.parametrize("kind", ["linear_lags", "lag_boosting"])
def test_covariates_of_the_ridge_on_lags_lie_on_their_level_and_the_target_around_nought(kind):
    x, _ = inputs(fitted(kind, "forecast"), Case(5, 64), 3)
    assert ((x.mean((0, 1)) - torch.tensor([0.0, LEVEL, LEVEL])).abs() < 0.5).all()


@pytest.mark.slow
@pytest.mark.parametrize("made", LEVELLED.values(), ids=LEVELLED)
def test_a_right_export_passes_on_the_level_of_its_data(made, tmp_path):
    report = export(run_of(tmp_path, made(), "regress"), "onnx", tmp_path / "m.onnx")
    assert report.dynamic_length and all(check.passed for check in report.parity)


def off_by_a_tenth(model, where):
    """Return the answers of a wrong export: a tenth of a deviation off, in what it subtracts or in what it says."""
    shift = {"inputs": (0.1, 0.0), "answers": (0.0, 0.1)}[where]

    @torch.no_grad()
    def run(x, lengths):
        return {"value": (model(x + shift[0], lengths) + shift[1]).numpy()}

    return run


@pytest.mark.parametrize("where", ["inputs", "answers"])
@pytest.mark.parametrize("made", LEVELLED.values(), ids=LEVELLED)
def test_an_export_that_is_a_tenth_of_a_deviation_off_is_refused(made, where):
    model = made()
    with pytest.raises(ExportError, match="does not answer as the model does"):
        verify(model, card("regress"), off_by_a_tenth(model, where), cases(card("regress"), 70, True))


def test_far_from_its_data_a_committee_that_is_a_tenth_of_a_deviation_off_answers_the_same():
    model, x = committee(), torch.randn(3, 20, 2)
    lengths = torch.full((3,), 20)
    assert np.array_equal(*(off_by_a_tenth(model, "inputs")(x + d, lengths)["value"] for d in (0.0, 0.1)))


def off_at_first(model, times):
    """Return the answers of a right export that stands on other sides of thresholds the first times it is asked."""
    asked = []

    @torch.no_grad()
    def run(x, lengths):
        asked.append(x)
        return {"value": (model(x, lengths) + 0.1 * (len(asked) <= times)).numpy()}

    return run


def test_a_forest_that_is_off_on_some_inputs_must_answer_to_fresh_ones_as_the_model_does():
    model, chosen = fitted("gradient_boosting"), (Case(2, 16), Case(3, 30))
    checks = verify(model, card("regress"), off_at_first(model, 1), chosen)
    assert [check.drawn_again for check in checks] == [True, False] and all(check.passed for check in checks)
    assert not torch.equal(inputs(model, chosen[0], 2)[0], inputs(model, chosen[0]._replace(turn=1), 2)[0])
    with pytest.raises(ExportError, match="does not answer as the model does"):
        verify(model, card("regress"), off_at_first(model, 2), chosen)
    with pytest.raises(ExportError, match="does not answer as the model does"):
        verify(committee(), card("regress"), off_at_first(committee(), 1), chosen)
