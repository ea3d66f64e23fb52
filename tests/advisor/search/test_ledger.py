"""A trial keeps its number, and its last verdict counts."""

import pytest

from advisor.runs import Run
from advisor.search.jobs import Result
from advisor.search.ledger import Ledger
from profiles.budget import Budget

RIGHT, WRONG = Result(folds={0: 0.5}, seconds=1.0), Result(failed="memory ran out", infeasible=True)


@pytest.fixture
def part(tmp_path):
    """Return a function that begins another part of the same run."""
    run = Run(tmp_path)
    return lambda: Ledger(run, run.trials(), Budget(), 0)


def judge(ledger, name, result):
    state = "infeasible" if result.failed else "complete"
    ledger.record_baseline(name, state, result, None, result.failed)


def lines(tmp_path):
    return len((tmp_path / "trials.jsonl").read_text().splitlines())


def test_another_verdict_of_a_later_part_replaces_the_first(part, tmp_path):
    first = part()
    judge(first, "drift", WRONG)
    judge(first, "theta", RIGHT)
    later = part()
    judge(later, "theta", RIGHT)
    judge(later, "drift", RIGHT)
    assert lines(tmp_path) == 3
    assert [(t.number, t.family, t.state) for t in later.trials] == [(0, "drift", "complete"), (1, "theta", "complete")]
    assert Run(tmp_path).trials() == later.trials


def test_the_same_verdict_is_not_written_twice_and_a_part_records_a_trial_once(part, tmp_path):
    judge(part(), "drift", RIGHT)
    later = part()
    judge(later, "drift", RIGHT.model_copy(update={"seconds": 9.0}))
    judge(later, "drift", WRONG)
    assert lines(tmp_path) == 1 and later.trials[0].state == "complete"
