"""NeuralForecast's AutoGRU, AutoNHITS and AutoPatchTST with their own search spaces, a third of the time each.

An Auto model has no limit that holds: its time budget only keeps it from starting another trial, and it trains its best
setting again afterwards. So every fit ends at a deadline: a trial takes at most a third of the model's share, trials
end after two thirds of it, and the last fit gets the rest, which is as much as any trial had. Where the set has
covariates, the models that can read them get them, and the calendar.
"""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytorch_lightning as pl
from neuralforecast import NeuralForecast
from neuralforecast.auto import AutoGRU, AutoNHITS, AutoPatchTST
from neuralforecast.common._base_auto import OptunaOptions

from benchmarks.quality.folder import Meta, Report, read_panel, timed

MODELS = {"gru": AutoGRU, "nhits": AutoNHITS, "patchtst": AutoPatchTST}
MOST_TRIALS = 1000  # the time ends the search, not the number
PERIODS = {"hour": 24.0, "dayofweek": 7.0, "dayofyear": 365.25}
CALENDAR = [f"{name}_{wave}" for name in PERIODS for wave in ("sin", "cos")]


class Deadlines(pl.Callback):
    """Ends each fit in time; one object for all of an Auto model's fits, so copies of it are itself."""

    def __init__(self, share: float) -> None:
        self.most = share / 3
        self.search_ends = time.monotonic() + 2 * self.most
        self.until = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> "Deadlines":
        """Return itself."""
        return self

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the end of this fit: of a trial before the search ends, of the last fit afterwards."""
        now = time.monotonic()
        self.until = now + self.most if now >= self.search_ends else min(now + self.most, self.search_ends)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop after this step if the time is over; Lightning still validates."""
        if time.monotonic() >= self.until:
            trainer.should_stop = True


def answer(folder: Path, meta: Meta, out: Path, seconds: int, seed: int) -> None:
    """Answer under the keys `gru`, `nhits`, `patchtst`, and `best`: the one with the least error in validation."""
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    report = Report(out, ("neuralforecast", "torch", "optuna", "pytorch-lightning"))
    train, contexts = (readable(folder / f"{name}.csv", meta) for name in ("train", "contexts"))
    found: dict[str, tuple[float, pd.DataFrame, float]] = {}
    spent = 0.0
    for key, kind in MODELS.items():
        try:
            value, frame, fit_s, predict_s, trials = one(kind, train, contexts, meta, seconds / len(MODELS), seed)
        except Exception as error:  # the others may still answer
            report.note(f"{key}: {type(error).__name__}: {error}")
            continue
        spent += fit_s
        found[key] = (value, frame, predict_s)
        report.add(key, frame, model=kind.__name__, fit_s=fit_s, predict_s=predict_s)
        report.note(f"{key}: {trials} trials, validation {value:.5g}")
    if found:
        best = min(found, key=lambda key: found[key][0])
        _, frame, predict_s = found[best]
        report.add("best", frame, model=MODELS[best].__name__, fit_s=spent, predict_s=predict_s)


def one(
    kind: type, train: pd.DataFrame, contexts: pd.DataFrame, meta: Meta, share: float, seed: int
) -> tuple[float, pd.DataFrame, float, float, int]:
    """Return one Auto model's validation error, forecasts, seconds of fit and of prediction, and finished trials."""
    deadlines = Deadlines(share)
    space = kind.get_default_config(h=meta.horizon, backend="optuna")
    fixed: dict[str, Any] = {"callbacks": [deadlines], "enable_progress_bar": False, "logger": False}
    if meta.covariates and kind is not AutoPatchTST:
        fixed |= {"hist_exog_list": list(meta.covariates), "futr_exog_list": CALENDAR}
    model = kind(
        h=meta.horizon,
        backend="optuna",
        config=lambda trial: {**space(trial), **fixed},
        search_alg=optuna.samplers.TPESampler(seed=seed),
        num_samples=MOST_TRIALS,
        time_budget=2 * share / 3,
        optuna_options=OptunaOptions(study_kwargs={"catch": (Exception,)}),
    )
    forecaster = NeuralForecast(models=[model], freq=meta.freq)
    _, fit_s = timed(lambda: forecaster.fit(train, val_size=meta.horizon))
    ahead = calendar(forecaster.make_future_dataframe(contexts)) if meta.covariates else None
    frame, predict_s = timed(lambda: forecaster.predict(contexts, futr_df=ahead))
    study = forecaster.models[0].results
    done = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    frame = frame.rename(columns={kind.__name__: "yhat"})[["unique_id", "ds", "yhat"]]
    return float(study.best_value), frame, fit_s, predict_s, len(done)


def readable(path: Path, meta: Meta) -> pd.DataFrame:
    """Return a long panel without gaps, the last known value in them; with the calendar where there are covariates."""
    frame = read_panel(path)
    columns = ["y", *meta.covariates]
    frame[columns] = frame.groupby("unique_id", sort=False)[columns].transform(lambda s: s.ffill().bfill())
    return calendar(frame) if meta.covariates else frame


def calendar(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the panel with sine and cosine of hour, day of the week and day of the year."""
    stamps = frame["ds"].dt
    for name, period in PERIODS.items():
        angle = 2 * np.pi * getattr(stamps, name) / period
        frame[f"{name}_sin"], frame[f"{name}_cos"] = np.sin(angle), np.cos(angle)
    return frame
