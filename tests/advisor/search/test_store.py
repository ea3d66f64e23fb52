"""What earlier runs found is tried on similar data, inside today's space, and the file stays small."""

from pathlib import Path

import numpy as np
import pytest

from advisor.carry_out import _learn
from advisor.data.rows import Rows
from advisor.data.stack import SeriesStack
from advisor.search import store
from advisor.search.gate import Gated
from advisor.search.knobs import Knobs
from advisor.search.problem import Plan, Problem
from advisor.search.race import Candidate, Race
from advisor.search.recipes import start
from advisor.search.rungs import Rungs


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVISOR_CACHE", str(tmp_path))


def problem(rows=100, length=50):
    part = Rows(np.zeros((rows, 1, 1), np.float32), np.ones(rows), np.zeros(rows), np.ones(rows), np.arange(rows))
    plan = Plan(task="classify", channels=1, classes=2, folds=2, length=length, test_words="t")
    return Problem(plan, part, np.zeros(rows), SeriesStack.of([]), np.zeros(0), part)


def raced(width=32, value=0.9):
    """Return a race in which a configuration of this width has `value` and the default has 0.8."""
    race = Race(Rungs((1,), None, 1), True)
    first = Gated("gru", start("gru", problem().plan), None, None, ())
    race.all = [Candidate(0, first, False, [0.8])]
    race.all += [Candidate(1, Gated("gru", Knobs(width=width, variant="gru"), None, None, ()), True, [value])]
    return race


def test_what_beat_its_default_is_tried_on_similar_data_and_nowhere_else():
    assert store.keep(problem(), raced()) == 1
    assert [k.width for k in store.warm_start(problem(rows=130), ("gru",))["gru"]] == [32]
    assert store.warm_start(problem(rows=100_000, length=5000), ("gru",)) == {}
    assert store.warm_start(problem(), ("lstm",)) == {}


def test_a_default_that_won_leaves_nothing_to_keep():
    assert store.keep(problem(), raced(value=0.7)) == 0
    assert not store.path().exists()


def test_the_file_is_bounded_and_a_damaged_one_is_as_good_as_none(monkeypatch):
    monkeypatch.setattr(store, "MOST", 3)
    for width in range(16, 80, 8):
        store.keep(problem(), raced(width))
    assert [e.knobs.width for e in store.load().entries] == [56, 64, 72]
    store.path().write_text("{")
    assert store.warm_start(problem(), ("gru",)) == {}


def test_a_stored_point_outside_of_the_space_is_moved_to_its_edge():
    store.keep(problem(), raced())
    text = store.path().read_text().replace('"dropout": 0.1', '"dropout": 0.4')
    store.path().write_text(text)
    assert store.warm_start(problem(), ("gru",))["gru"][0].dropout <= 0.4


def no_home():
    """Raise what `Path.home` does for a user without one."""
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("has_home", [True, False])
def test_where_the_file_cannot_be_written_that_is_said_and_the_run_goes_on(has_home, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ADVISOR_CACHE", str(tmp_path / "file/cache"))
    if not has_home:
        monkeypatch.delenv("ADVISOR_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", no_home)
    said = []
    _learn(problem(), raced(), said.append)
    assert len(said) == 1 and said[0].startswith("store: nothing is kept for later runs (")
    assert store.warm_start(problem(), ("gru",)) == {}


def test_what_was_kept_is_said_and_nothing_is_where_nothing_was():
    said = []
    _learn(problem(), raced(value=0.7), said.append)
    assert not said
    _learn(problem(), raced(), said.append)
    assert "1 configurations better than their default are kept" in said[0]
