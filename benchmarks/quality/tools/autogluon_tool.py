"""AutoGluon-TimeSeries, preset high_quality without the pretrained models; it knows that MASE is the score.

Two answers of one fit: the whole ensemble, and the one trained network that does best on its own validation part.
"""

from pathlib import Path

import pandas as pd
from autogluon.timeseries import TimeSeriesDataFrame, TimeSeriesPredictor

from benchmarks.quality.folder import Meta, Report, read_panel, timed

PRETRAINED = ["Chronos", "Chronos2", "Toto", "Toto2"]
NETWORKS = ("DeepAR", "TemporalFusionTransformer", "SimpleFeedForward", "DLinear", "PatchTST", "WaveNet", "TiDE")


def answer(folder: Path, meta: Meta, out: Path, seconds: int, seed: int) -> None:
    """Answer under the keys `ensemble` and `network`."""
    report = Report(out, ("autogluon.timeseries", "torch"))
    train, contexts = (panel(folder / f"{name}.csv") for name in ("train", "contexts"))
    predictor = TimeSeriesPredictor(
        prediction_length=meta.horizon,
        freq=meta.freq,
        eval_metric="MASE",
        eval_metric_seasonal_period=meta.season,
        path=str(out / "predictor"),
    )
    work = {"presets": "high_quality", "excluded_model_types": PRETRAINED, "time_limit": seconds, "random_seed": seed}
    _, fit_s = timed(lambda: predictor.fit(train, **work))
    board = predictor.leaderboard().set_index("model")["score_val"]
    networks = board[[name.startswith(NETWORKS) for name in board.index]]
    for key, name in (("ensemble", predictor.model_best), ("network", networks.idxmax() if len(networks) else None)):
        if name is None:
            report.note("no network was trained in the time")
            continue
        found, predict_s = timed(lambda name=name: predictor.predict(contexts, model=name, use_cache=False))
        frame = found.reset_index()[["item_id", "timestamp", "0.5"]]  # MASE is best at the median
        frame.columns = ["unique_id", "ds", "yhat"]
        report.add(key, frame, model=name, fit_s=fit_s, predict_s=predict_s)
    report.note(f"validation: {board.round(4).to_dict()}")


def panel(path: Path) -> TimeSeriesDataFrame:
    """Return a long panel as AutoGluon reads it; columns beside the target become past covariates."""
    frame: pd.DataFrame = read_panel(path).rename(columns={"y": "target"})
    return TimeSeriesDataFrame.from_data_frame(frame, id_column="unique_id", timestamp_column="ds")
