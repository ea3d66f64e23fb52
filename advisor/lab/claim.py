"""What a measured claim is: under what conditions it was run, what came out, and the chart of it."""

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from advisor.records import Record
from advisor.report.charts import Chart


class Conditions(Record):
    """Where and how thoroughly the claims are measured."""

    device: str = "cpu"
    quick: bool = False
    """Fewer lengths, seeds and repetitions: all thirteen claims in less than two minutes on two cores."""
    threads: int = Field(default=1, ge=1)
    """Threads of torch on a CPU."""
    seed: int = 0


class Finding(Record):
    """One claim of the documents beside its measurement."""

    key: str
    document: str
    says: str
    """The claim, in our own words."""
    how: str
    """What was measured, with sizes, lengths, seeds and threads: enough to do it again."""
    result: str
    """What came out, with its numbers, in one to three sentences."""
    verdict: Literal["holds here", "does not hold", "depends"]
    charts: tuple[Chart, ...] = ()
    numbers: dict[str, float] = Field(default_factory=dict)
    """The figures that the verdict rests on, by name."""
    seconds: float = 0.0
    under: Conditions | None = None
    """The conditions; filled by `run_lab`, None in files of older versions."""


Claim = Callable[[Conditions], Finding]
"""A claim is a public function of a module of this package; its docstring is its page and opens with its key."""
