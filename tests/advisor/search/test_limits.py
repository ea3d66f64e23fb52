"""A run that is resumed with far more time has trainings of the final of its own for it."""

from types import SimpleNamespace

import pytest

from advisor.search.context import Context
from advisor.search.jobs import NetworkJob
from advisor.search.limits import counted_limit
from advisor.training.config import TrainConfig


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ((60.0,), None),
        ((60.0, 60.0), None),
        ((60.0, 100.0), None),
        ((60.0, 120.0), 120.0),
        ((60.0, 600.0, 60.0), 600.0),  # with less time it finds the longer ones
        ((60.0, 600.0, 1000.0), 600.0),
        ((60.0, None), None),
        ((None, None), None),
    ],
)
def test_a_limit_counts_from_twice_the_last_on(given, counted, tmp_path):
    found = [counted_limit(tmp_path / "limits.jsonl", limit_s) for limit_s in given]
    assert found[0] is None and found[-1] == counted


def test_without_a_limit_nothing_is_written(tmp_path):
    counted_limit(tmp_path / "limits.jsonl", None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fold", "judged", "own"), [(0, True, True), ("all", False, True), (0, False, False), (None, False, False)]
)
def test_the_final_and_the_last_training_have_keys_of_their_own_and_a_race_has_not(fold, judged, own, monkeypatch):
    monkeypatch.setattr("advisor.search.context.training", lambda *a: TrainConfig(seconds=5.0))
    monkeypatch.setattr("advisor.search.context.NetworkJob", NetworkJob.model_construct)
    at = SimpleNamespace(
        problem=SimpleNamespace(rows=()), plan=None, settings=SimpleNamespace(device="cpu"),
        clock=SimpleNamespace(end_of=lambda phase: 0.0), results=SimpleNamespace(files="jobs"),
    )  # fmt: skip
    gated = SimpleNamespace(family="gru", knobs=None, config=None)
    keys = set()
    for at.limit_s in (None, 600.0):
        keys.add(Context.network_job(at, gated, fold, 0, "refit", 5.0, 100, judged=judged).key())
    assert len(keys) == (2 if own else 1)
