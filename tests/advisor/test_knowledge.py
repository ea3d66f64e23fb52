"""What is known before training: facts of the part that may be learnt from, the user's wishes, and refusals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from advisor import api, knowledge
from advisor.calibrations import store
from advisor.cli import main
from advisor.data import read
from advisor.errors import InputError
from advisor.records import Request
from advisor.rules import own_rules
from advisor.runs import Run
from advisor.search.prepare import prepare
from hybrids.families import FAMILIES
from profiles.budget import Budget
from profiles.calibration import Shape, calibrate
from profiles.device import measure_device

ROWS = 60


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Rows whose label is the sign of the value 5 steps before the end."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, 24))
    frame = pd.DataFrame(values.round(4), columns=[f"t{i}" for i in range(24)])
    frame.insert(0, "label", np.where(values[:, -5] > 0, "up", "down"))
    path = tmp_path_factory.mktemp("data") / "waves.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def known(waves):
    """Return a function from changes of the request to what is known, with one measured device."""
    machine, dataset = measure_device("cpu"), read(waves)
    profile = api.inspect(waves).profile

    def ask(test_noise: float = 0.0, own=(), **request):
        asked = Request(data=str(waves), task="classify", time_limit_s=20, **request)
        problem = prepare(dataset, None, 1, None, 0)
        spoilt = replace(problem.test, x=problem.test.x + np.float32(test_noise))
        return knowledge.know(
            profile, machine, (), replace(problem, test=spoilt), asked, Budget(), tuple(FAMILIES), own
        )

    return ask


def test_the_dependence_is_measured_without_the_test_part(known):
    first, second = (known(noise).profile.dependence.model_copy(update={"seconds": 0.0}) for noise in (0.0, 99.0))
    assert first == second
    assert known().facts.reach == first.reach_steps


def test_the_rules_of_the_user_are_heard(known, tmp_path):
    (tmp_path / "mine.toml").write_text('[OURS1]\nsays = "We know conv."\nfamilies = { conv = 1.0 }\n')
    without, with_them = known(), known(own=own_rules(tmp_path / "mine.toml"))
    assert "OURS1" not in {one.key for one in without.advice.fired}
    assert "OURS1" in {one.key for one in with_them.advice.fired}
    place = [[one.family for one in found.advice.ranking].index("conv") for found in (without, with_them)]
    assert place[1] < place[0]


def test_a_scenario_that_is_named_fires(known):
    assert "SC5" in {one.key for one in known(scenario="SC5").advice.fired}
    assert "SC5" not in {one.key for one in known().advice.fired}


def test_a_calibrated_device_replaces_the_lengths_of_the_documents(known, tmp_path, monkeypatch):
    assert any("not calibrated" in line for line in knowledge.words(known()))
    monkeypatch.setenv("ADVISOR_CACHE", str(tmp_path))
    store(calibrate(seconds=20, families=("gru", "transformer"), lengths=(16, 64, 128), shape=Shape(width=16, depth=1)))
    found = known()
    assert found.facts.crossovers == found.calibration.crossovers
    assert any(found.calibration.crossovers.says in line for line in knowledge.words(found))


def test_every_part_is_saved(known, tmp_path):
    found = known()
    found.save(Run(tmp_path))
    names = {"data_profile.json", "device_profile.json", "facts.json", "advice.json", "audit.json", "turns.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scenario": "SC9"}, "SC9"),
        ({"rules": "nowhere.toml"}, "nowhere.toml"),
        ({"target_device": "nowhere.json"}, "nowhere.json"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anything_is_written(waves, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        api.recommend(waves, trials=1, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_target_that_cannot_be_learnt_is_refused_with_the_cure(tmp_path):
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=200, freq="D"), "y": 3.0})
    frame.to_csv(tmp_path / "flat.csv", index=False)
    done = CliRunner().invoke(main, ["recommend", str(tmp_path / "flat.csv"), "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "nothing to learn" in done.output and "hint: " in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rules", "--task", "forecast", "--length", "700", "--horizon", "12"], "SC3"),
        (["rules", "--task", "transcribe", "--modality", "audio", "--streaming"], "lc_bilstm"),
        (["rules", "--explain", "LEN1"], "Fires when"),
        (["rules", "--task", "classify", "--max-latency-ms", "inf"], "hint: give a finite number"),
        (["device", "-o", "here.json"], "add --calibrate"),
        (["lab", "CL99"], "Did you mean"),
    ],
)
def test_the_command_line_says(words, said):
    assert said in CliRunner().invoke(main, words).output
