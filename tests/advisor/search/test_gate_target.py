"""With a target device the gate judges by the latency predicted for there."""

import pytest

from advisor.ensemble import Ensemble
from advisor.search.gate import admit, cost_of, predicted, trivial
from advisor.search.gatekeeper import Gatekeeper
from advisor.search.problem import Plan
from advisor.search.recipes import start
from hybrids.committee import CommitteeConfig
from profiles.budget import Budget
from profiles.calibration import Calibration, Shape, calibrate
from profiles.cost import measure
from profiles.curves import curve
from profiles.target import Target, target

PLAN = Plan(task="classify", channels=1, classes=2, folds=2, length=96, test_words="t")


@pytest.fixture(scope="module")
def slow() -> Target:
    """A device a hundred thousand times slower than this one."""
    here = calibrate(
        seconds=20, families=("gru", "conv"), lengths=(16, 32, 64), shape=Shape(width=16, depth=1, batch=2)
    )
    slower = {n: curve(c.lengths, [1e5 * v for v in c.values]).model_dump() for n, c in here.inference.items()}
    device = {**here.device.model_dump(), "name": "abacus", "matmul_gflops": here.device.matmul_gflops / 1e5}
    there = Calibration.model_validate({**here.model_dump(), "inference": slower, "device": device})
    return target(there, here)


def test_a_candidate_is_judged_by_the_latency_of_the_target(slow):
    budget = Budget(max_latency_ms=10_000.0)
    assert not admit("gru", start("gru", PLAN), PLAN, budget, "cpu").misses
    judged = admit("gru", start("gru", PLAN), PLAN, budget, "cpu", target=slow)
    assert judged.cost.predicted and judged.cost.device == "abacus"
    assert [miss.name for miss in judged.misses] == ["max_latency_ms"]


def test_shrinking_is_judged_there_too(slow, tmp_path):
    keeper = Gatekeeper(tmp_path, PLAN, Budget(max_latency_ms=10_000.0), "cpu")
    keeper.target = slow
    tried = keeper.admit_or_shrink("gru")
    assert len(tried) > 1 and all(one.cost.predicted for one in tried)


def test_a_baseline_is_predicted_with_a_wider_error(slow):
    model, _ = trivial(PLAN)
    found = cost_of(model, PLAN.length, Budget(), "cpu", 0.01, slow)
    assert found.predicted and found.error is not None


class TwoTimes:
    """A device that is ten times slower at networks and twice as slow at the rest."""

    def predict(self, cost, family, tokens):
        """Return the cost there."""
        return cost.model_copy(update={"latency_p95_ms": cost.latency_p95_ms * (10 if family else 2)})


def test_an_ensemble_is_predicted_as_if_it_were_its_part_that_suffers_most():
    network = admit("gru", start("gru", PLAN), PLAN, Budget(), "cpu").config.build()
    whole = Ensemble.of("classify", [trivial(PLAN)[0], network, trivial(PLAN)[0]])
    cost = measure(whole, 1, PLAN.length, seconds=0.01)
    assert predicted(whole, cost, PLAN.length, TwoTimes()).latency_p95_ms == 10 * cost.latency_p95_ms


def test_without_a_target_the_cost_is_measured():
    model, _ = trivial(PLAN)
    found = cost_of(model, PLAN.length, Budget(), "cpu", 0.01)
    assert not found.predicted and found.error is None and found.device == "cpu"


def test_a_committee_is_predicted_as_the_family_of_its_members(slow):
    config = admit("gru", start("gru", PLAN), PLAN, Budget(), "cpu").config
    one, two = (
        cost_of(model, PLAN.length, Budget(), "cpu", 0.05, slow)
        for model in (config.build(), CommitteeConfig(member=config, count=2).build())
    )
    assert two.error == one.error
