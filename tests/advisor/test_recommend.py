"""The whole way on the bundled examples: a recommendation whose numbers stand in the run folder."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from advisor import load_run, recommend
from advisor.cli import main
from advisor.errors import InputError
from advisor.predict import predict
from advisor.runs import Run

SMALL = 40


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Two kinds of waves, as wide labelled rows."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    labels = np.arange(SMALL) % 2
    values = np.sin(np.arange(20)[None] * (0.5 + labels[:, None])) + 0.1 * rng.normal(size=(SMALL, 20))
    frame = pd.DataFrame(values.round(4), columns=[f"t{i}" for i in range(20)])
    frame.insert(0, "label", np.where(labels == 1, "fast", "slow"))
    frame.to_csv(folder / "waves.csv", index=False)
    return folder / "waves.csv"


@pytest.fixture(scope="module")
def run(waves, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    recommend(waves, families=("gru", "conv"), trials=3, out=out)
    return out


def test_the_run_folder_holds_what_was_promised(run):
    for name in ("run", "data_profile", "device_profile", "budget", "advice", "recommendation"):
        assert json.loads((run / f"{name}.json").read_text())
    for name in ("study.journal", "trials.jsonl", "report.html", "log.txt", "model/config.json", "model/card.md"):
        assert (run / name).exists(), name
    assert (run / "model/weights.safetensors").exists()


def test_every_family_and_baseline_is_accounted_for(run):
    found = load_run(run)
    families = {row.family for row in found.ranking}
    assert {"gru", "conv", "majority", "linear", "gradient_boosting", "random_convolutions"} <= families
    assert all(row.reason for row in found.ranking)
    assert found.ranking[0].state == "recommended"


def test_the_number_of_trials_is_kept(run):
    networks = [t for t in Run(run).trials() if not t.baseline and t.state in ("complete", "pruned", "failed")]
    assert len(networks) == 3


def test_the_recommended_model_predicts(run, waves):
    frame = predict(run, waves, None)
    assert len(frame) == SMALL
    truth = pd.read_csv(waves)["label"]
    assert (frame["prediction"].to_numpy() == truth.to_numpy()).mean() > 0.9


@pytest.mark.slow
def test_the_same_seed_gives_the_same_recommendation(run, waves, tmp_path):
    again = recommend(waves, families=("gru", "conv"), trials=3, out=tmp_path / "again")
    first = load_run(run)
    assert again.family == first.family
    assert again.config == first.config
    assert again.quality == first.quality
    assert {r.family: r.validation for r in again.ranking} == {r.family: r.validation for r in first.ranking}


def test_a_finished_folder_is_not_overwritten(run, waves):
    with pytest.raises(InputError, match="holds a run already"):
        recommend(waves, trials=1, out=run)


@pytest.mark.slow
def test_resuming_trains_nothing_again(run, waves, tmp_path):
    before = len(Run(run).trials())
    with (run / "trials.jsonl").open("a") as file:
        file.write('{"number": 99, "fam')  # as a crash leaves it
    answer = CliRunner().invoke(main, ["resume", str(run), "--json"])
    assert answer.exit_code == 0, answer.output
    assert len(Run(run).trials()) == before


def test_an_impossible_budget_names_the_nearest_miss_and_trains_nothing(waves, tmp_path):
    out = tmp_path / "none"
    answer = CliRunner().invoke(main, ["recommend", str(waves), "--max-latency-ms", "0.0001", "--out", str(out)])
    assert answer.exit_code == 3
    assert "nearest is" in answer.stderr
    assert "hint: relax --max-latency-ms above that, or give a faster device.\n" in answer.stderr
    assert not out.exists()  # so that the same command with another budget can begin


def test_a_missing_file_is_one_line_and_a_hint(tmp_path):
    answer = CliRunner().invoke(main, ["recommend", str(tmp_path / "nothing.csv")])
    assert answer.exit_code == 2
    assert answer.stderr.startswith("error: ")
    assert "\nhint: " in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_forecast_goes_end_to_end_and_predicts_the_next_stamps(tmp_path):
    data = Path(__file__).parents[2] / "examples" / "sunspots_yearly.csv"
    found = recommend(data, horizon=5, families=("gru",), trials=1, out=tmp_path / "run")
    assert found.quality.metric == "mase"
    frame = predict(tmp_path / "run", data, None)
    assert list(frame.columns) == ["unique_id", "ds", "yhat", "yhat-lo-80", "yhat-hi-80"]
    assert len(frame) == 5
    assert (frame["yhat-lo-80"] <= frame["yhat"]).all()
    assert (frame["yhat"] <= frame["yhat-hi-80"]).all()


def test_a_horizon_without_a_task_asks_for_a_forecast(monkeypatch, tmp_path):
    asked = []

    def read(path, options):
        asked.append(options.task)
        raise InputError("enough", "was seen")

    monkeypatch.setattr("advisor.api.read", read)
    for horizon, task in ((6, None), (None, None)):
        with pytest.raises(InputError, match="enough"):
            recommend("any.csv", horizon=horizon, task=task, out=tmp_path / "run")
    assert asked == ["forecast", None]
