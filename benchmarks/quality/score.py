"""The one scorer: MASE and sMAPE of forecasts, accuracy of classes, RMSE of numbers.

    MASE  = mean |y - f| over a series and cut / mean |c_t - c_(t-m)| in its context c, m steps a season (Hyndman 2006)
    sMAPE = 100 * mean 2 |y - f| / (|y| + |f|)                                            (Makridakis 2020, M4)

Both are means over series and cuts; steps without a true value do not count.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.quality.folder import Meta, Task, read_panel

Scores = dict[str, float]
METRICS: dict[Task, tuple[str, ...]] = {"forecast": ("mase", "smape"), "classify": ("accuracy",), "regress": ("rmse",)}


def score(meta: Meta, folder: Path, truth: Path, answer: Path) -> Scores:
    """Return the scores of the answer file.

    Args:
        meta: Of the data set.
        folder: The neutral folder.
        truth: `truth.csv`.
        answer: A tool's answer.

    Raises:
        ValueError: An answer is missing or not finite.
    """
    if meta.task == "forecast":
        return forecast_scores(read_panel(folder / "contexts.csv"), read_panel(truth), read_panel(answer), meta.season)
    told = pd.read_csv(truth, dtype=str).set_index("id")["label"]
    given = pd.read_csv(answer, dtype=str).set_index("id")["prediction"].reindex(told.index)
    if given.isna().any():
        raise ValueError(f"{int(given.isna().sum())} of {len(told)} rows have no answer")
    if meta.task == "regress":
        return {"rmse": float(np.sqrt(np.mean((given.astype(float) - told.astype(float)) ** 2)))}
    return {"accuracy": float(np.mean([_name(a) == _name(b) for a, b in zip(given, told, strict=True)]))}


def _name(label: str) -> str:
    """Return one spelling of a class, so that "1" and "1.0" are one."""
    try:
        return repr(float(label))
    except ValueError:
        return label.strip()


def forecast_scores(contexts: pd.DataFrame, truth: pd.DataFrame, answer: pd.DataFrame, season: int) -> Scores:
    """Return `mase`, `smape`, and `unscored`: how many series and cuts have no scale or no true value.

    Args:
        contexts: What was known, a long panel.
        truth: What came, a long panel; NaN is not known.
        answer: `unique_id, ds, yhat`.
        season: m.

    Raises:
        ValueError: A step has no forecast, or one that is not finite.
    """
    both = truth.merge(answer[["unique_id", "ds", "yhat"]], on=["unique_id", "ds"], how="left")
    lost = ~np.isfinite(both["yhat"].to_numpy(dtype=float))
    if lost.any():
        raise ValueError(
            f"{int(lost.sum())} of {len(both)} steps have no finite forecast, such as {both[lost].iloc[0].to_dict()}"
        )
    error = (both["y"] - both["yhat"]).abs()
    size = (both["y"].abs() + both["yhat"].abs()).where(lambda s: s > 0, 1.0)
    mae, smape = (part.groupby(both["unique_id"]).mean() for part in (error, 200 * error / size))
    scale = contexts.groupby("unique_id")["y"].apply(lambda y: seasonal_error(y.to_numpy(dtype=float), season))
    mase = (mae / scale.reindex(mae.index)).replace([np.inf, -np.inf], np.nan)
    return {"mase": float(mase.mean()), "smape": float(smape.mean()), "unscored": float(mase.isna().sum())}


def seasonal_error(values: np.ndarray, season: int) -> float:
    """Return the mean absolute seasonal difference of (L,), NaN steps left out; at lag 1 where L is within a season."""
    lag = season if len(values) > season else 1
    differences = np.abs(values[lag:] - values[:-lag])
    return float(np.nanmean(differences)) if np.isfinite(differences).any() else float("nan")
