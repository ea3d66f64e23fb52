"""A budget names what a cost breaks, with the numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from profiles.budget import Budget


class Spent:
    """A cost with round numbers."""

    peak_memory_mib = 100.0
    size_mib = 3.0

    def latency_ms(self, stat):
        """Return ten milliseconds at p95."""
        return {"p50": 5.0, "p95": 10.0, "p99": 20.0}[stat]


def test_no_limit_is_never_missed():
    assert Budget().misses(Spent()) == ()


def test_a_limit_that_is_just_met_is_no_miss():
    assert Budget(max_latency_ms=10, max_memory_mib=100, max_model_mib=3).misses(Spent()) == ()


def test_misses_name_limit_and_measure_the_worst_first():
    speed, size = Budget(max_latency_ms=2, max_model_mib=2, max_memory_mib=200).misses(Spent())
    assert (speed.name, speed.limit, speed.measured, speed.ratio) == ("max_latency_ms", 2, 10, 5)
    assert size.name == "max_model_mib"
    assert str(speed) == "max_latency_ms: 10 ms measured, 2 ms allowed (5.00x)"


@pytest.mark.parametrize(("stat", "count"), [("p50", 0), ("p95", 1), ("p99", 1)])
def test_the_asked_percentile_decides(stat, count):
    assert len(Budget(max_latency_ms=7, latency_stat=stat).misses(Spent())) == count


@given(limit=st.floats(0.01, 1000), more=st.floats(1, 10))
def test_a_wider_budget_never_misses_more(limit, more):
    tight, wide = Budget(max_memory_mib=limit), Budget(max_memory_mib=limit * more)
    assert len(wide.misses(Spent())) <= len(tight.misses(Spent()))


@pytest.mark.parametrize("wrong", [{"max_latency_ms": 0}, {"max_model_mib": -1}, {"max_memory_mib": float("nan")}])
@pytest.mark.parametrize("more", [{"batch_size": 0}, {"latency_stat": "mean"}, {"limit": 1}])
def test_a_limit_without_sense_is_refused(wrong, more):
    for options in (wrong, more):
        with pytest.raises(ValidationError):
            Budget(**options)


def test_a_budget_survives_json():
    budget = Budget(max_latency_ms=5, streaming=True)
    assert Budget.model_validate_json(budget.model_dump_json()) == budget
