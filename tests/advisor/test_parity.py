"""The gate of an export: a smooth model must agree, a model with steps may stand on either side of one it stands on."""

import numpy as np
import pytest
import torch
from torch import nn

from advisor.export.parity import TOLERANCE, Case, ExportError, verify
from tests.advisor.test_export import card

CASES = (Case(2, 16), Case(3, 30))


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


def first_mean():
    """Return the mean of the first row that the gate asks for."""
    seen = []
    verify(Steps(1e9), card("forecast"), lambda x, n: (seen.append(x), runner(Steps(1e9))(x, n))[1], CASES)
    return float(seen[0][0].mean())


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
