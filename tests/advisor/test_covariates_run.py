"""From a table with covariates to a saved model, its predictions and its exported file."""

import json

import numpy as np
import pandas as pd
import pytest

from advisor import recommend
from advisor.errors import InputError
from advisor.export import export
from advisor.predict import predict


@pytest.mark.slow
def test_a_run_on_a_table_with_covariates_predicts_and_exports(tmp_path):
    steps = np.arange(400)
    rng = np.random.default_rng(0)
    temp = np.sin(2 * np.pi * steps / 24) + 0.1 * rng.normal(size=400)
    table = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=400, freq="h"), "load": 5 + np.roll(temp, 3), "temp": temp,
            "wind": rng.choice(["N", "S", "W"], 400),
        }
    )  # fmt: skip
    table.to_csv(tmp_path / "load.csv", index=False)
    told = []
    found = recommend(
        tmp_path / "load.csv", target=("load",), horizon=6, trials=1, families=("gru",), out=tmp_path / "run",
        say=told.append,
    )  # fmt: skip
    assert "covariates: temp, wind=N, wind=S, wind=W (past only); calendar: hour of day, day of week" in told
    card = json.loads((tmp_path / "run" / "model" / "card.json").read_text())
    assert card["channels"][:2] == ["y", "temp"]
    assert len(card["channels"]) == 9
    assert card["calendar"] == card["channels"][5:]
    frame = predict(tmp_path / "run", tmp_path / "load.csv")
    assert len(frame) == 6
    assert np.isfinite(frame["yhat"]).all()
    table.drop(columns="temp").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(InputError, match="lacks 1 columns that the model reads beside the target: 'temp'"):
        predict(tmp_path / "run", tmp_path / "less.csv")
    written = export(tmp_path / "run", "onnx", tmp_path / "model.onnx")
    assert all(check.passed for check in written.parity)
    assert written.inputs["x"][-1] == 9
    assert found.family


@pytest.mark.slow
def test_a_run_with_a_column_that_is_known_ahead_uses_it_asks_for_it_and_exports_it(tmp_path):
    rng = np.random.default_rng(0)
    sale = (rng.random(420) < 0.3).astype(float)
    table = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=420, freq="D"), "sale": sale,
            "sold": 20 + 10 * sale + rng.normal(size=420),
        }
    )  # fmt: skip
    table.loc[414:, "sold"] = np.nan
    table.to_csv(tmp_path / "shop.csv", index=False)
    told = []
    found = recommend(
        tmp_path / "shop.csv", target=("sold",), known=("sale",), horizon=6, trials=1, families=("mlp",),
        out=tmp_path / "run", say=told.append,
    )  # fmt: skip
    assert "covariates: sale (known ahead: sale); calendar: day of week" in told
    frame = predict(tmp_path / "run", tmp_path / "shop.csv")
    np.testing.assert_allclose(frame["yhat"], 20 + 10 * sale[414:], atol=4)
    assert {one.family for one in found.ranking if one.quality and one.quality.value < 0.5} >= {
        "mlp",
        "linear_lags",
        "lag_boosting",
    }
    table.iloc[:417].to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(InputError, match="sale for 3 steps after its last value, the model reads 6"):
        predict(tmp_path / "run", tmp_path / "less.csv")
    written = export(tmp_path / "run", "onnx", tmp_path / "model.onnx")
    assert all(check.passed for check in written.parity)
