"""Latency on another device, predicted from what was measured on this one: search here, judge there.

    there = here * curve_there(family, tokens) / curve_here(family, tokens)

with the fits of inference time against length of two calibrations of equal width and depth. The latency here is
measured for the candidate itself; only the ratio of the devices is taken from the curves. Its error is that of the two
fits together (root of the sum of squares). Outside the lengths measured on both devices the ratio is that at the
nearest of them, L, and the error is widened by the factor (tokens / L)^p, with p of ratio ~ length^p over the lengths
measured on both, and at least 0.25.

What has no curve on both, such as a baseline, takes the geometric mean of two ratios, of the speed of matrix products
and of the convolution curves; half of their distance joins the error. So does a family whose curve has fewer than three
points on one of them, but its error is at least 1; without convolution curves either, the products speak alone.
"""

import math

from pydantic import BaseModel, ConfigDict

from profiles.calibration import Calibration
from profiles.cost import Cost
from profiles.curves import exponent

STAND_IN = "conv"
"""Family whose curve speaks for what has none."""
UNKNOWN = 1.0
"""Relative error where nothing was measured that could give one."""
LEAST_DRIFT = 0.25
"""The ratio of two devices is taken to go with at least this power of the length outside what was measured."""


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
        if family is not None and (own := self._by_curve(family, tokens)):
            return own
        products = self.here.device.matmul_gflops / self.there.device.matmul_gflops
        stand_in = self._by_curve(STAND_IN, tokens)
        if stand_in is None:
            return products, UNKNOWN
        curves, error = stand_in
        error = math.hypot(error, math.expm1(abs(math.log(products / curves)) / 2))
        return math.sqrt(products * curves), error if family is None else max(error, UNKNOWN)

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

    def _by_curve(self, family: str, tokens: int) -> tuple[float, float] | None:
        """Return the ratio of two curves and its error; None where either has too few points or they do not overlap."""
        there, here = self.there.inference.get(family), self.here.inference.get(family)
        if there is None or here is None or not (there.is_judged and here.is_judged):
            return None
        shortest, longest = max(there.lengths[0], here.lengths[0]), min(there.lengths[-1], here.lengths[-1])
        if shortest > longest:
            return None
        length = min(max(tokens, shortest), longest)
        both = [n for n in there.lengths if n in here.lengths]
        power = exponent(both, [there.at(n) / here.at(n) for n in both]) or 0.0
        drift = max(LEAST_DRIFT, abs(power))
        outside = math.expm1(drift * abs(math.log(tokens / length)))
        error = math.hypot(there.fit.error_percent / 100, here.fit.error_percent / 100, outside)
        return there.fit.at(length) / here.fit.at(length), error


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
