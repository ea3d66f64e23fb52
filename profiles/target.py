"""Latency on another device, predicted from what was measured on this one: search here, judge there.

    there = here * curve_there(family, tokens) / curve_here(family, tokens)

with the fits of inference time against length of two calibrations of equal width and depth. The latency here is
measured for the candidate itself; only the ratio of the devices is taken from the curves. Its error is that of the two
fits together (root of the sum of squares). What has no curve on both, such as a baseline, takes the geometric mean of
two ratios, of the speed of matrix products and of the convolution curves; half of their distance joins the error.
"""

import math

from pydantic import BaseModel, ConfigDict

from profiles.calibration import Calibration
from profiles.cost import Cost

STAND_IN = "conv"
"""Family whose curve speaks for what has none."""


class TargetError(ValueError):
    """Two calibrations cannot be compared. `hint` names the cure."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class Target(BaseModel):
    """A device to judge for, and the calibration of the device that is measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    there: Calibration
    here: Calibration
    """Measured with as many threads as the candidates are."""

    @property
    def name(self) -> str:
        """Return the name of the device that is judged for."""
        return self.there.device.name

    def cannot_run(self, family: str) -> str:
        """Return why a family cannot run on the target; empty where it can, or where that is not known."""
        return self.there.failed.get(family, "")

    def ratio(self, family: str | None, tokens: int) -> tuple[float, float]:
        """Return the time on the target over the time here, and its relative error.

        Args:
            family: None for a model that is not of a family.
            tokens: Steps that the layers see: the length over the patch of the front end.
        """
        if family in self.there.inference and family in self.here.inference:
            return self._by_curve(family, tokens)
        products = self.here.device.matmul_gflops / self.there.device.matmul_gflops
        if STAND_IN not in self.there.inference or STAND_IN not in self.here.inference:
            return products, 1.0
        curves, error = self._by_curve(STAND_IN, tokens)
        return math.sqrt(products * curves), math.hypot(error, math.expm1(abs(math.log(products / curves)) / 2))

    def predict(self, cost: Cost, family: str | None, tokens: int) -> Cost:
        """Return a measured cost with the latencies of the target; memory and size stay as measured here."""
        ratio, error = self.ratio(family, tokens)
        return cost.model_copy(
            update={
                "latency_p50_ms": cost.latency_p50_ms * ratio,
                "latency_p95_ms": cost.latency_p95_ms * ratio,
                "latency_p99_ms": cost.latency_p99_ms * ratio,
                "device": self.name,
                "threads": self.there.threads,
                "predicted": True,
                "error": error,
            }
        )

    def _by_curve(self, family: str, tokens: int) -> tuple[float, float]:
        there, here = self.there.inference[family].fit, self.here.inference[family].fit
        return there.at(tokens) / here.at(tokens), math.hypot(there.error_percent, here.error_percent) / 100


def target(there: Calibration, here: Calibration) -> Target:
    """Return the target of two calibrations.

    Raises:
        TargetError: width or depth of what was measured differ.
    """
    if (there.shape.width, there.shape.depth) != (here.shape.width, here.shape.depth):
        shapes = (f"{c.shape.depth} layers of width {c.shape.width}" for c in (there, here))
        raise TargetError(
            f"the target was calibrated with {next(shapes)}, this device with {next(shapes)}.",
            "calibrate both with the same width and depth.",
        )
    return Target(there=there, here=here)
