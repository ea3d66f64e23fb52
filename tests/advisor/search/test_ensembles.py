"""Which contenders join an ensemble: those whose errors differ, as long as it pays and the budget allows it."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from advisor.data.rows import Rows
from advisor.metrics import METRICS
from advisor.records import ENSEMBLE
from advisor.search import ensembles
from advisor.search.ensembles import MOST_PARTS, Ensembles
from advisor.search.jobs import TEST, answers_of, fold_name
from advisor.search.ledger import Ledger
from advisor.search.outcome import Contender, Outcome
from advisor.search.problem import Plan
from advisor.search.refit import Finished
from profiles.budget import Budget
from profiles.cost import Cost
from tests.advisor.test_ensemble import fitted
from tests.hybrids.test_committee import members

FOLDS, UNITS = 2, 60
RNG = np.random.default_rng(0)
TRUTH = {k: RNG.normal(size=UNITS) for k in range(FOLDS)} | {TEST: RNG.normal(size=UNITS)}


def cost(size_mib=1.0):
    return Cost(
        latency_p50_ms=1, latency_p95_ms=1, latency_p99_ms=1, runs=20, peak_memory_mib=1, parameter_bytes=4,
        size_mib=size_mib, flops=1, batch=1, length=1, device="cpu", threads=1,
    )  # fmt: skip


def judged(k, look_back=1):
    zero = np.zeros((UNITS, 1, 1), np.float32)
    return Rows(zero, np.ones(UNITS, np.int64), TRUTH[k], np.ones(UNITS), np.arange(UNITS))


def context(folder, errors, *, budget=None, networks_only=False, committee=None, size_mib=3.0):
    """Return a search with a contender for each of `errors`, name -> what it adds to the truth, (FOLDS + 1, UNITS)."""
    outcome = Outcome()
    for name, error in errors.items():
        answers = {fold_name(k): (TRUTH[k] + error[k]).astype(np.float32) for k in range(FOLDS)}
        save_file(answers | {TEST: (TRUTH[TEST] + error[-1]).astype(np.float32)}, answers_of(folder, name))
        folds = {k: float(np.sqrt(np.mean(error[k] ** 2))) for k in range(FOLDS)}
        outcome.contenders.append(
            Contender(name, not name.startswith("net"), cost(), folds, [0.0] * UNITS, {}, "", 1.0, keys=(name,))
        )
    said = []
    return SimpleNamespace(
        plan=Plan(task="regress", channels=1, folds=FOLDS, length=1, test_words=""), metric=METRICS["regress"],
        problem=SimpleNamespace(judged=judged, test=judged(TEST), rows=range(FOLDS * UNITS)), by_trials=False,
        outcome=outcome, results=SimpleNamespace(files=folder), say=said.append, said=said,
        settings=SimpleNamespace(
            budget=budget or Budget(), workers=2, committee=committee, networks_only=networks_only
        ),
        ledger=Ledger(SimpleNamespace(add_trial=lambda _: None), outcome.trials, budget or Budget(), 0),
        gate=SimpleNamespace(cost=lambda build, length, name: cost(size_mib * name.count(" of "))),
    )  # fmt: skip


class Proposing(Ensembles):
    """Has no models behind its contenders, only their answers."""

    def _config(self, parts):
        return SimpleNamespace(build=None, model_dump=lambda mode: {"parts": [part.family for part in parts]})


def proposed(at):
    """Return the ensemble that was added to the contenders; None where there is none."""
    before = len(at.outcome.contenders)
    Proposing(at, None).propose()
    return at.outcome.contenders[before] if len(at.outcome.contenders) > before else None


def noise(seed, size=1.0):
    return size * np.random.default_rng(seed).normal(size=(FOLDS + 1, UNITS))


def test_two_that_err_in_opposite_ways_answer_together_without_error(tmp_path):
    error = noise(1)
    found = proposed(context(tmp_path, {"net": error, "linear": -error, "mean": noise(2, 5.0)}))
    assert found.family == ENSEMBLE and {part.family for part in found.parts} == {"net", "linear"}
    assert found.mean == pytest.approx(0.0, abs=1e-6)
    assert found.test == pytest.approx([0.0] * UNITS, abs=1e-6)


def test_equals_gain_nothing_from_each_other(tmp_path):
    error = noise(1)
    assert proposed(context(tmp_path, {"net": error, "linear": error, "hydra": 1.001 * error})) is None


def test_two_that_always_say_the_same_join_once(tmp_path):
    error = noise(1)
    found = proposed(context(tmp_path, {"last_value": error, "seasonal_naive": error, "net": -1.1 * error}))
    assert {part.family for part in found.parts} == {"last_value", "net"}


@pytest.mark.parametrize(("gain", "parts"), [(0.008, 0), (0.012, 2)])
def test_all_parts_together_must_gain_more_than_the_margin(tmp_path, gain, parts):
    error = noise(1)
    error /= np.sqrt((error**2).mean(1, keepdims=True))
    other = noise(2)
    other -= (other * error).mean(1, keepdims=True) * error
    other /= np.sqrt((other**2).mean(1, keepdims=True))
    alike = 2 * (1 - gain) ** 2 - 1  # the correlation at which the mean of two of one size gains that
    other = alike * error + np.sqrt(1 - alike**2) * other
    found = proposed(context(tmp_path, {"net": error, "linear": other}))
    assert (len(found.parts) if found else 0) == parts
    if found:
        assert found.mean == pytest.approx(1 - gain)


@pytest.mark.parametrize(("size", "joins"), [(1.1, True), (1.3, False)])
def test_what_is_far_worse_alone_does_not_join_though_it_would_help(tmp_path, size, joins):
    error = noise(1)
    assert (proposed(context(tmp_path, {"net": error, "linear": -size * error})) is not None) == joins


def test_independent_errors_of_one_size_shrink_with_the_root_of_their_number(tmp_path):
    at = context(tmp_path, {f"net{i}": noise(i) for i in range(8)})
    found = proposed(at)
    assert len(found.parts) == MOST_PARTS
    assert found.mean == pytest.approx(1 / np.sqrt(MOST_PARTS), rel=0.15)


@pytest.mark.parametrize(("limit", "parts"), [(7.0, 2), (10.0, 3), (4.0, 0)])
def test_the_last_to_join_leave_until_the_budget_is_kept(tmp_path, limit, parts):
    at = context(tmp_path, {f"net{i}": noise(i) for i in range(3)}, budget=Budget(max_model_mib=limit))
    found = proposed(at)
    assert (len(found.parts) if found else 0) == parts
    assert (ENSEMBLE in at.outcome.infeasible) == (parts == 0)
    (trial,) = at.outcome.trials  # one of them is told, the kept one or the smallest that was refused
    assert trial.state == ("complete" if parts else "infeasible") and trial.size_mib == 3.0 * max(parts, 2)


def test_where_networks_alone_are_asked_for_no_baseline_joins(tmp_path):
    error = noise(1)
    errors = {"net1": error, "net2": 0.9 * noise(3), "linear": -error}
    found = proposed(context(tmp_path, errors, networks_only=True))
    assert {part.family for part in found.parts} == {"net1", "net2"}


@pytest.mark.parametrize("asked", [{"committee": 0}, {"committee": 1}, {"budget": Budget(streaming=True)}])
def test_one_model_alone_and_a_streaming_one_are_left_alone_and_it_is_said(tmp_path, asked):
    error = noise(1)
    at = context(tmp_path, {"net": error, "linear": -error}, **asked)
    assert proposed(at) is None
    assert at.said[0].startswith("no ensemble")


def test_contenders_of_a_run_that_kept_no_answers_are_passed_over(tmp_path):
    error = noise(1)
    at = context(tmp_path, {"net": error, "linear": -error})
    answers_of(tmp_path, "linear").unlink()
    assert proposed(at) is None
    assert "without linear" in at.said[0]


def test_every_part_is_trained_for_the_last_time_and_networks_share_the_time_that_is_left(tmp_path, monkeypatch):
    asked = []
    network = members("regress", 1)[0]

    class Refit:
        """Remembers what it may take."""

        def __init__(self, context, part, share, members):
            self.part, self.may = part, (share, members)

        def run(self):
            """Return an untrained network."""
            asked.append((self.part.family, *self.may))
            return Finished(network, 1, [], (f"{self.part.family} was trained.",))

    monkeypatch.setattr(ensembles, "Refit", Refit)
    linear = fitted("regress")
    baselines = SimpleNamespace(finish=lambda part: Finished(linear, 1, [], ("It was fitted.",)))
    at = context(tmp_path, {"net1": noise(1), "linear": noise(2), "net2": noise(3)})
    chosen = Contender(
        ENSEMBLE, False, cost(), {}, [1.0], {}, "", 1.0, parts=tuple(at.outcome.contenders), counts=(2, 1, 1)
    )
    done = Ensembles(at, baselines).finish(chosen)
    assert asked == [("net1", 0.5, 2), ("net2", 1.0, 1)]
    assert [type(part) for part in done.model.parts] == [type(network), type(linear), type(network)]
    assert done.members == 2 and done.test == [1.0]
    assert "linear: It was fitted." in done.says and "net1: net1 was trained." in done.says
