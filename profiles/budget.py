"""What the user can spend on one answer, and by how much a measured cost misses it. No torch."""

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

LatencyStat = Literal["p50", "p95", "p99"]


class Measured(Protocol):
    """What a budget reads of a cost; `profiles.cost.Cost` is one."""

    @property
    def peak_memory_mib(self) -> float:
        """MiB."""

    @property
    def size_mib(self) -> float:
        """MiB."""

    def latency_ms(self, stat: LatencyStat) -> float:
        """Return a percentile of the latency in milliseconds."""


class Miss(BaseModel):
    """One limit that a cost breaks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: Literal["max_latency_ms", "max_memory_mib", "max_model_mib"]
    limit: float
    measured: float
    ratio: float
    """Measured over limit, above 1."""

    def __str__(self) -> str:
        """Return the miss in words, with its numbers."""
        unit = "ms" if self.name.endswith("ms") else "MiB"
        return f"{self.name}: {self.measured:.3g} {unit} measured, {self.limit:.3g} {unit} allowed ({self.ratio:.2f}x)"


class Budget(BaseModel):
    """Limits on one trained model; None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    max_latency_ms: float | None = Field(default=None, gt=0)
    """Of one answer for a batch, which reads the whole series."""
    latency_stat: LatencyStat = "p95"
    """Which percentile of the latency must keep the limit."""
    batch_size: int = Field(default=1, ge=1)
    """Series answered at once."""
    streaming: bool = False
    """Answers are wanted step by step, before the series has ended."""
    max_memory_mib: float | None = Field(default=None, gt=0)
    """Peak of one answer: weights, input and temporaries."""
    max_model_mib: float | None = Field(default=None, gt=0)
    """Of the stored weights."""

    def misses(self, cost: Measured) -> tuple[Miss, ...]:
        """Return every limit that the cost breaks, the worst first; empty where it keeps them all."""
        measured = (
            ("max_latency_ms", self.max_latency_ms, cost.latency_ms(self.latency_stat)),
            ("max_memory_mib", self.max_memory_mib, cost.peak_memory_mib),
            ("max_model_mib", self.max_model_mib, cost.size_mib),
        )
        broken = [
            Miss.model_validate({"name": name, "limit": limit, "measured": value, "ratio": value / limit})
            for name, limit, value in measured
            if limit is not None and value > limit
        ]
        return tuple(sorted(broken, key=lambda miss: -miss.ratio))
