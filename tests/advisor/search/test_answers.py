"""Jobs leave the answers that were scored; an ensemble of them is scored as the model that is kept."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from advisor import metrics
from advisor.baselines.simple import LastValue
from advisor.ensemble import Ensemble
from advisor.search.ensembles import Ensembles, Voice
from advisor.search.gate import cost_of
from advisor.search.jobs import TEST, BaselineJob, NetworkJob, answers_of, fold_name
from advisor.search.outcome import Contender, load_baseline, mean_folds
from advisor.search.prepare import prepare
from advisor.search.recipes import build, start, training
from advisor.search.windows import test_rows as rows_of_the_test
from advisor.search.work import committee, run
from advisor.search.worker import failure
from advisor.training.loop import answering
from profiles.budget import Budget
from tests.advisor.search.test_problem import counting, labelled

LOOK_BACK = 16
BASELINES = {"forecast": ("last_value", "drift"), "classify": ("majority", "linear")}


@pytest.fixture(params=["forecast", "classify"])
def problem(request):
    if request.param == "forecast":
        return prepare(counting(), None, 1, 4, seed=0)
    return prepare(labelled(), None, 1, None, seed=0)


def baseline_job(problem, folder, name):
    return BaselineJob(name=name, look_back=LOOK_BACK, seed=0, folder=str(folder), deadline=time.monotonic() + 600)


def network_jobs(problem, folder):
    """Return trainings of two steps as in a final: two seeds of a forecaster, one training a fold of a classifier."""
    plan, knobs = problem.plan, start("mlp", problem.plan)
    units = len(problem.rows)
    heats = [(0, 1), (0, 2)] if plan.task == "forecast" else [(k, 1) for k in range(plan.folds)]
    return [
        NetworkJob(
            model=build("mlp", knobs, plan, causal=False), train=training("mlp", knobs, plan, units, None, 2),
            fold=fold, seed=seed, folder=str(folder), deadline=time.monotonic() + 600, test=True, units=True,
        )
        for fold, seed in heats
    ]  # fmt: skip


def truth(problem, name):
    return problem.test if name == TEST else problem.judged(int(name.split()[1]), 1)


def test_the_answers_on_disk_give_the_scores_of_the_result(problem, tmp_path):
    task = problem.plan.task
    jobs = [baseline_job(problem, tmp_path, name) for name in BASELINES[task]] + network_jobs(problem, tmp_path)
    for job in jobs:
        result, answers = run(job, problem), load_file(answers_of(tmp_path, job.key()))
        assert set(answers) == {TEST, *map(fold_name, result.folds)}
        scored = {fold_name(k): scores for k, scores in result.units.items()} | {TEST: result.test}
        for name, answer in answers.items():
            rows = truth(problem, name)
            assert metrics.units(task, answer, rows.y, rows.scale) == pytest.approx(scored[name])


def test_an_answer_with_one_step_that_is_no_number_fails_the_job(tmp_path, monkeypatch):
    problem = prepare(counting(), None, 1, 4, seed=0)
    true = LastValue.median

    def broken(self, x, lengths):
        answer = true(self, x, lengths)
        answer[-1, -1] = torch.nan
        return answer

    monkeypatch.setattr(LastValue, "median", broken, raising=True)
    with pytest.raises(FloatingPointError, match="answers to fold 0 are not finite") as raised:
        run(baseline_job(problem, tmp_path, "last_value"), problem)
    assert "not finite" in failure(raised.value).failed


def contender(name, jobs, results, weights=""):
    cost = SimpleNamespace(length=LOOK_BACK)
    return Contender(name, name != "mlp", cost, mean_folds(results), [], {}, weights, 1.0, heats=results,
                     keys=tuple(job.key() for job in jobs))  # fmt: skip


def test_an_ensemble_is_scored_as_the_model_that_is_kept(problem, tmp_path):
    plan = problem.plan
    fits = [baseline_job(problem, tmp_path, name) for name in BASELINES[plan.task]]
    heats = network_jobs(problem, tmp_path)
    results = {job.key(): run(job, problem) for job in (*fits, *heats)}
    parts = [contender(job.name, [job], (results[job.key()],), str(job.weights())) for job in fits]
    network = contender("mlp", heats, tuple(results[job.key()] for job in heats))
    network.gated = SimpleNamespace(config=heats[0].model)
    measured = []

    def cost(build, length, name):
        """Measure it as the gate does."""
        measured.append(cost_of(build(), length, Budget(), "cpu", 0.01))
        return measured[-1]

    at = SimpleNamespace(
        plan=plan, problem=problem, metric=metrics.METRICS[plan.task], results=SimpleNamespace(files=tmp_path),
        gate=SimpleNamespace(cost=cost), by_trials=False, settings=SimpleNamespace(workers=2, committee=None),
    )  # fmt: skip
    made = Ensembles(at, None)
    voices = [
        Voice(one, made._answers(one, [answers_of(tmp_path, key) for key in one.keys])) for one in (*parts, network)
    ]
    together = made._contender(voices)
    two = committee(heats[0].model, [job.weights() for job in heats[:2]])
    kept = Ensemble.of(plan.task, [*(load_baseline(part.weights) for part in parts), two])
    assert together.counts == (1, 1, 2) and together.cost is measured[0]
    assert together.config["model"] == kept.config.model_dump(mode="json")
    look_back = heats[0].model.head.look_back if plan.task == "forecast" else LOOK_BACK
    scores = problem.score(answering(kept), rows_of_the_test(problem, look_back))
    assert together.test == pytest.approx(list(scores), rel=1e-5)
    assert set(together.folds) == set(range(plan.folds)) and np.isfinite(together.mean)
    assert not any(torch.isnan(t).any() for t in kept.state_dict().values() if t.is_floating_point())
