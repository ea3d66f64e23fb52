"""Who is let into the race: limits of cost, time and number of trials, and what an earlier part of the run finished."""

import time

import numpy as np
import pytest

from advisor.carry_out import refuse_if_nothing_fits
from advisor.errors import NoCandidateError
from advisor.records import Trial
from advisor.runs import Run
from advisor.search import driver
from advisor.search.clock import Clock
from advisor.search.driver import Search
from advisor.search.knobs import smaller, start
from advisor.search.problem import Plan, Problem, Rows
from hybrids.families import FAMILIES
from profiles.budget import Budget

PLAN = Plan(task="classify", channels=1, classes=2, folds=2, length=50, test_words="t")
NOTHING = Budget(max_model_mib=1e-7)


class Idle:
    """A pool that is never asked to work."""

    def __init__(self, *settings: object) -> None:
        self.settings = settings

    def start(self) -> None:
        """Do nothing."""


@pytest.fixture
def search(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "LocalPool", Idle)
    rows = Rows(np.zeros((10, 50, 1), np.float32), np.full(10, 50), np.arange(10) % 2, np.ones(10), np.arange(10))

    def build(families=tuple(FAMILIES), budget=NOTHING, limit_s=60.0, trials=None):
        run = Run(tmp_path)
        run.work.mkdir(parents=True, exist_ok=True)
        return Search(
            Problem(PLAN, rows, np.arange(10) % 2, (), rows), families=families, budget=budget, device="cpu",
            clock=Clock(time.monotonic(), None if trials else limit_s), run=run, seed=0, trials=trials, workers=2,
            say=lambda words: None,
        )  # fmt: skip

    return build


def test_a_short_limit_lets_the_best_of_every_kind_start_and_says_so_of_the_others(search):
    asked = search(budget=Budget())
    admitted = asked.gate()
    assert len(admitted) == 8
    assert {FAMILIES[name].kind for name in admitted} == {row.kind for row in FAMILIES.values()}
    assert set(admitted) | set(asked.outcome.not_tried) == set(FAMILIES)
    assert asked.outcome.not_tried["cross_fusion"] == "it needs several streams a sample"


def test_as_many_families_start_as_there_are_trials(search):
    asked = search(budget=Budget(), trials=3)
    assert len(asked.gate()) == 3
    assert "the 3 trials were used up" in asked.outcome.not_tried.values()


def test_what_an_earlier_part_finished_is_kept_however_short_the_limit_is_now(search):
    asked = search(budget=Budget(), limit_s=15.0)
    done = ("lstm", "rnn", "bigru", "bilstm", "lc_bilstm")
    for number, name in enumerate(done):
        config = {"knobs": start(name).model_dump()}
        facts = {"latency_ms": 1.0, "memory_mib": 1.0, "size_mib": 1.0, "train_s": 1.0}
        trial = Trial(number=number, family=name, config=config, seed=0, state="complete", quality=0.9, **facts)
        asked.outcome.trials.append(trial)
        (asked.run.work / f"trial-{number}.safetensors").touch()
    asked._take_up(asked.gate())
    assert set(asked.best) == set(done)


@pytest.mark.parametrize(
    ("families", "budget"),
    [
        (("encoder_decoder",), NOTHING),
        (("transformer",), NOTHING.model_copy(update={"streaming": True})),
        (("gru",), NOTHING),
    ],
)
def test_where_nothing_can_keep_the_budget_the_nearest_miss_is_named_before_anything_is_fitted(
    search, families, budget
):
    asked = search(families=families, budget=budget)
    assert not asked.gate()
    with pytest.raises(NoCandidateError, match=r"max_model_mib: .* measured") as refused:
        refuse_if_nothing_fits(asked, budget)
    assert refused.value.hint.startswith("relax max-model-mib above that")


def test_every_shrunken_candidate_is_another_width_or_depth():
    knobs, seen = start("gru"), []
    while knobs is not None:
        seen.append((knobs.width // 8 * 8, knobs.depth))
        knobs = smaller(knobs)
    assert len(set(seen)) == len(seen)
