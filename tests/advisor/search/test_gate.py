"""Who is let into the race: limits of cost, time and number of trials."""

import time
from concurrent.futures import Future

import numpy as np
import pytest

from advisor import carry_out
from advisor.carry_out import refuse_if_nothing_fits
from advisor.data.rows import Rows
from advisor.data.stack import SeriesStack
from advisor.errors import NoCandidateError
from advisor.runs import Run
from advisor.search import driver, gate
from advisor.search.baseline_round import BaselineRound
from advisor.search.clock import Clock
from advisor.search.context import Settings
from advisor.search.driver import Search
from advisor.search.knobs import smaller
from advisor.search.outcome import Contender, Outcome
from advisor.search.problem import Plan, Problem
from advisor.search.racing import Racing
from advisor.search.recipes import start
from advisor.search.rungs import Rungs
from hybrids.families import FAMILIES
from profiles.budget import Budget, Miss
from profiles.cost import Cost

PLAN = Plan(task="classify", channels=1, classes=2, folds=2, length=50, test_words="t")
NOTHING = Budget(max_model_mib=1e-7)
COST = Cost(
    latency_p50_ms=1, latency_p95_ms=2, latency_p99_ms=2, runs=20, peak_memory_mib=0, parameter_bytes=0,
    size_mib=0, flops=1, batch=1, length=50, device="cpu", threads=1,
)  # fmt: skip


class Idle:
    """A pool that takes every job and does none."""

    def __init__(self, *settings: object) -> None:
        self.jobs = []

    def submit(self, job, keep, first):
        """Keep the job."""
        self.jobs.append(job)
        return Future()


@pytest.fixture
def search(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "LocalPool", Idle)
    rows = Rows(np.zeros((10, 50, 1), np.float32), np.full(10, 50), np.arange(10) % 2, np.ones(10), np.arange(10))

    def build(families=tuple(FAMILIES), budget=NOTHING, limit_s=60.0, trials=None):
        problem = Problem(PLAN, rows, np.arange(10) % 2, SeriesStack.of([]), np.zeros(0), rows)
        settings = Settings(budget, "cpu", 0, trials, 2)
        made = Search(problem, settings, Clock(time.monotonic(), None if trials else limit_s), Run(tmp_path), print)
        made.context.families = families
        return made

    return build


def test_a_short_limit_lets_the_best_of_every_kind_start_and_says_so_of_the_others(search):
    asked = search(budget=Budget(), limit_s=150.0)
    racing = Racing(asked.context, {})
    admitted = [one.family for one in racing.start()]
    kinds = {row.kind for row in FAMILIES.values()}
    assert len(kinds) <= len(admitted) < len(FAMILIES) - 2
    assert {FAMILIES[name].kind for name in admitted} == kinds
    assert set(admitted) | set(asked.outcome.not_tried) == set(FAMILIES)
    assert asked.outcome.not_tried["cross_fusion"] == "it needs several streams a sample"
    assert [job.model.family for job in asked.context.pool.jobs] == admitted


def test_as_many_families_start_as_there_are_trials(search):
    asked = search(budget=Budget(), trials=3)
    assert len(Racing(asked.context, {}).start()) == 3
    assert "the 3 trials were used up" in asked.outcome.not_tried.values()


def test_a_measurement_is_taken_over_by_a_later_part_of_the_run(search):
    parts = [search(families=("gru",), budget=Budget(), trials=1) for _ in range(2)]
    costs = [part.context.gate.admit_or_shrink("gru")[-1].cost for part in parts]
    assert costs[0] != costs[1]  # two clocks
    later = search(families=("gru",), budget=Budget(), trials=1)
    assert later.context.gate.admit_or_shrink("gru")[-1].cost == costs[1]


@pytest.mark.parametrize(
    ("measured", "latency_ms"),
    [
        ([8.0, 9.0, 7.0, 12.0, 6.0], 12.0),  # near the limit: the worst round counts, and the first above it ends them
        ([8.0, 9.0, 7.0, 9.5, 6.0], 9.5),
        ([4.0], 4.0),  # far from it
        ([11.0], 11.0),  # above it
    ],
)
def test_a_latency_near_its_limit_must_keep_it_in_several_rounds(measured, latency_ms, search, monkeypatch):
    rounds = iter(measured)
    monkeypatch.setattr(gate, "cost_of", lambda *a: COST.model_copy(update={"latency_p95_ms": next(rounds)}))
    keeper = search(budget=Budget(max_latency_ms=10.0)).context.gate
    assert keeper.cost(lambda: None, 50).latency_p95_ms == latency_ms


def test_a_slow_model_near_its_limit_is_measured_twice_at_least(search, monkeypatch):
    rounds = iter([8.0, 9.0])  # a third round would find nothing
    monkeypatch.setattr(gate, "cost_of", lambda *a: COST.model_copy(update={"latency_p95_ms": next(rounds)}))
    keeper = search(budget=Budget(max_latency_ms=10.0)).context.gate
    assert keeper.cost(lambda: None, 50, seconds=0.0).latency_p95_ms == 9.0


@pytest.mark.parametrize("families", [("encoder_decoder",), ("gru",)])
def test_where_nothing_can_keep_the_budget_the_nearest_miss_is_named_before_anything_is_fitted(search, families):
    asked = search(families=families)
    with pytest.raises(NoCandidateError, match=r"max_model_mib: .* measured") as refused:
        refuse_if_nothing_fits(asked.context.run, PLAN, NOTHING, "cpu")
    assert refused.value.hint.startswith("relax --max-model-mib above that")
    assert not Racing(asked.context, {}).start()
    assert not asked.context.pool.jobs


def test_the_trivial_answer_is_measured_on_the_steps_that_it_reads(tmp_path, monkeypatch):
    plan, read = PLAN.model_copy(update={"task": "forecast", "horizon": 4, "length": 10**6}), []
    monkeypatch.setattr(carry_out, "cost_of", lambda model, length, *a: read.append(length) or COST)
    refuse_if_nothing_fits(Run(tmp_path), plan, Budget(max_memory_mib=1.0), "cpu")
    assert set(read) == {16}  # four horizons, not the whole past


def test_one_slow_measurement_of_the_trivial_answer_refuses_no_run(tmp_path, monkeypatch):
    costs = [COST.model_copy(update={"latency_p95_ms": ms}) for ms in (12.0, 9.0, 11.0)]
    monkeypatch.setattr(carry_out, "cost_of", lambda *a: costs.pop())
    refuse_if_nothing_fits(Run(tmp_path), PLAN, Budget(max_latency_ms=10.0), "cpu")
    assert not costs


def test_a_refused_budget_of_a_run_that_was_begun_is_relaxed_with_resume(tmp_path):
    Run(tmp_path).write("run", {})
    with pytest.raises(NoCandidateError) as refused:
        refuse_if_nothing_fits(Run(tmp_path), PLAN, NOTHING, "cpu")
    assert refused.value.hint.endswith("; say --resume too, or --out ANOTHER.")


def test_what_does_not_stream_is_infeasible_where_streaming_is_asked(search):
    asked = search(families=("transformer",), budget=Budget(streaming=True))
    assert not Racing(asked.context, {}).start()
    assert "STR1" in asked.outcome.infeasible["transformer"]


def test_where_streaming_is_asked_no_baseline_that_reads_the_whole_series_races(search):
    asked = search(families=("gru",), budget=Budget(streaming=True))
    BaselineRound(asked.context).begin()
    raced = {job.name for job in asked.context.pool.jobs}
    assert raced == {"majority"} and "cannot answer step by step (STR1)" in asked.outcome.infeasible["hydra"]
    assert {t.family for t in asked.outcome.trials if t.state == "infeasible"} >= {"hydra", "gradient_boosting"}


def test_rungs_are_planned_without_the_families_that_cannot_race(search):
    families = ("gru", "lstm", "transformer", "cross_fusion")  # the last two: no stream, several streams a sample
    racing = Racing(search(families=families, budget=Budget(streaming=True), limit_s=600.0).context, {})
    assert racing.race.rungs.sizes == (2,)
    assert [one.family for one in racing.start()] == ["gru", "lstm"]
    none = Racing(search(families=("cross_fusion",), budget=Budget()).context, {})
    assert none.race.rungs.sizes == (1,) and not none.start()


@pytest.mark.parametrize(("refused", "sizes"), [((), (3, 2)), (("conv",), (2,)), (("conv", "mlp"), (1,))])
def test_under_a_latency_limit_the_rungs_are_those_of_the_families_that_keep_it(refused, sizes, search, monkeypatch):
    asked = search(families=("gru", "conv", "mlp"), budget=Budget(max_latency_ms=1e6), limit_s=600.0)
    racing = Racing(asked.context, {})
    admitted = racing._admitted
    monkeypatch.setattr(racing, "_admitted", lambda family: None if family in refused else admitted(family))
    racing.start()
    shape, jobs = racing.race.rungs, asked.context.pool.jobs
    assert shape.sizes == sizes and len(jobs) == 3 - len(refused)
    assert {(job.train.until, job.train.seconds) for job in jobs} == {(shape.until(0), shape.whole_s)}


def test_under_a_latency_limit_new_configurations_are_measured_before_any_of_them_trains(search, monkeypatch):
    asked = search(families=("gru",), budget=Budget(max_latency_ms=1e6))
    racing = Racing(asked.context, {})
    racing.start()
    first = racing.race.all[0]
    racing._fill()
    assert len(racing.race.all) == 1  # it trains: nothing can be measured in quiet
    racing._running.clear()
    first.running, first.values = False, [0.5]
    racing.race.rungs = Rungs((1,), 1.0, 100)
    before, admit = len(asked.context.pool.jobs), asked.context.gate.admit
    monkeypatch.setattr(
        asked.context.gate, "admit", lambda *a: (admit(*a), pytest.fail("one trains") if racing._running else None)[0]
    )
    racing._fill()
    assert [c.extra for c in racing.race.all] == [False, True, True]
    assert len(asked.context.pool.jobs) == before + 2


def test_what_breaks_the_budget_in_the_end_is_put_aside_for_the_next_best(search):
    budget = Budget(max_latency_ms=1.0)
    asked = search(budget=budget)
    dearer = COST.model_copy(update={"latency_p95_ms": 3})
    best, other = (
        Contender(name, True, c, {0: 0.9}, [], {}, "", 1.0) for name, c in (("ridge", COST), ("majority", dearer))
    )
    asked.outcome.contenders += [best, other]
    assert asked.put_aside(best, budget.misses(best.cost))
    assert asked.outcome.contenders == [other] and "measured again" in asked.outcome.infeasible["ridge"]
    assert not asked.put_aside(other, budget.misses(other.cost))
    error = asked.outcome.no_candidate()
    assert "nearest is ridge with max_latency_ms: 2 ms" in error.message
    assert error.hint.startswith("relax --max-latency-ms above") and "say --resume too" in error.hint


def test_an_ensemble_goes_with_the_part_that_broke_the_budget(search):
    asked = search(budget=Budget(max_model_mib=1.0))
    a, b, c = (Contender(name, False, None, {0: 0.9}, [], {}, name, 1.0) for name in ("gru", "conv", "mlp"))
    ab, bc = (Contender("ensemble", False, None, {0: 0.9}, [], {}, "", 1.0, parts=two) for two in ((a, b), (b, c)))
    asked.outcome.contenders += [a, b, c, ab, bc]
    miss = Miss(name="max_model_mib", limit=1.0, measured=2.0, ratio=2.0)
    assert asked.put_aside(a, (miss,))
    assert [one is other for one, other in zip(asked.outcome.contenders, (b, c, bc), strict=True)] == [True] * 3
    assert "its part gru" in asked.outcome.infeasible["ensemble"]


@pytest.mark.parametrize(("names", "seeded"), [(("theta", "drift"), False), (("theta", "gru"), True)])
def test_an_ensemble_depends_on_the_seed_if_a_part_does(names, seeded):
    parts = tuple(Contender(name, name != "gru", None, {}, [], {}, "", 1.0) for name in names)
    assert Contender("ensemble", False, None, {}, [], {}, "", 1.0, parts=parts).seeded == seeded


def test_where_nothing_could_be_trained_in_time_more_time_is_the_cure():
    error = Outcome().no_candidate()
    assert error.message == "no candidate could be trained: the time was too short."
    assert "--time-limit" in error.hint and "--resume" in error.hint


def test_what_no_limit_names_is_no_option_to_relax():
    outcome = Outcome()
    outcome.came_near(1.0, "gru", "it cannot be built: too deep")
    assert outcome.no_candidate().hint.startswith("relax the budget")


def test_every_shrunken_candidate_is_another_width_or_depth():
    knobs, seen = start("gru", PLAN), []
    while knobs is not None:
        seen.append((knobs.width // 8 * 8, knobs.depth))
        knobs = smaller(knobs)
    assert len(set(seen)) == len(seen)
