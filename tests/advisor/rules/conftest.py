"""A plain situation to change, shared by the tests of the rules."""

from collections.abc import Callable

import pytest

from advisor.rules import Facts

PLAIN = {"task": "classify", "samples": 50_000, "length_p50": 700}


@pytest.fixture(scope="session")
def situation() -> Callable[..., Facts]:
    """Return a function from changes to facts: 50,000 series of 700 steps to classify, no limits, unless changed."""
    return lambda **changes: Facts(**(PLAIN | changes))
