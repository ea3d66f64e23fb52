"""Plain scikit-learn and naive answers: what every search must beat.

forecast: last value, seasonal naive; ridge from a scaled window to all steps ahead; histogram gradient boosting of one
step from the values a season before it and the latest ones. classify and regress: majority class or mean; ridge and
boosting on the values of each sequence, stretched to one length.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge, RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.quality.folder import Meta, Report, read_panel, read_ts, timed

MOST_WINDOWS = 4000  # drawn at random over all series
MOST_STEPS = 128  # of a stretched sequence; boosting on more columns takes minutes
LATEST = 8  # last values that boosting sees
FAR = 10.0  # scaled targets end here: windows without change have next to no deviation
ALPHAS = np.logspace(-3, 3, 7)
Ahead = Callable[[np.ndarray], np.ndarray]


def answer(folder: Path, meta: Meta, out: Path, seconds: int, seed: int) -> None:
    """Answer under the keys `naive`, `ridge`, `boosting`, and `last` where something is forecast."""
    report = Report(out, ("scikit-learn", "numpy"))
    if meta.task == "forecast":
        forecast(folder, meta, report, seed)
    else:
        rows(folder, meta, report, seed)


def forecast(folder: Path, meta: Meta, report: Report, seed: int) -> None:
    """Answer for each series after its context."""
    contexts = [(name, own) for name, own in read_panel(folder / "contexts.csv").groupby("unique_id", sort=False)]
    known = [known_values(own) for _, own in contexts]
    look_back = min(2 * meta.season + meta.horizon, *map(len, known))

    def told(values: np.ndarray) -> pd.DataFrame:
        parts = []
        for (name, own), yhat in zip(contexts, values, strict=True):
            ds = pd.date_range(own["ds"].iloc[-1], periods=meta.horizon + 1, freq=meta.freq)[1:]
            parts.append(pd.DataFrame({"unique_id": name, "ds": ds, "yhat": yhat}))
        return pd.concat(parts)

    for key, lag in (("last", 1), ("naive", meta.season)):
        values, predict_s = timed(lambda lag=lag: np.stack([repeated(k, lag, meta.horizon) for k in known]))
        report.add(key, told(values), model=f"the value {lag} steps before", fit_s=0.0, predict_s=predict_s)
    train = [known_values(own) for _, own in read_panel(folder / "train.csv").groupby("unique_id", sort=False)]
    x, y = windows(train, look_back, meta.horizon, seed)
    asked = np.stack([k[-look_back:] for k in known])
    for key, fit in (("ridge", ridge_ahead), ("boosting", boosting_ahead)):
        model, fit_s = timed(lambda fit=fit: fit(x, y, meta.season, seed))
        values, predict_s = timed(lambda model=model: model(asked))
        report.add(key, told(values), model=f"{key} on {look_back} lags", fit_s=fit_s, predict_s=predict_s)


def known_values(own: pd.DataFrame) -> np.ndarray:
    """Return a series without gaps: the last known value in them."""
    return own["y"].ffill().bfill().to_numpy(dtype=float)


def repeated(values: np.ndarray, lag: int, horizon: int) -> np.ndarray:
    """Return the last `lag` values over and over."""
    return np.resize(values[-lag:] if len(values) >= lag else values[-1:], horizon)


def windows(train: list[np.ndarray], look_back: int, horizon: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return windows (N, look_back) and what follows them (N, horizon), at most `MOST_WINDOWS`; short series filled."""
    width = look_back + horizon
    filled = [np.pad(s, (max(0, width - len(s)), 0), mode="edge") for s in train]
    starts = np.array([(i, j) for i, s in enumerate(filled) for j in range(len(s) - width + 1)])
    picked = np.random.default_rng(seed).permutation(len(starts))[:MOST_WINDOWS]
    both = np.stack([filled[i][j : j + width] for i, j in starts[picked]])
    return both[:, :look_back], both[:, look_back:]


def scaling(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each window, (N, 1) both."""
    mean = x.mean(1, keepdims=True)
    return mean, x.std(1, keepdims=True) + 1e-6 * (1 + np.abs(mean))


def ridge_ahead(x: np.ndarray, y: np.ndarray, season: int, seed: int) -> Ahead:
    """Return the function of scaled windows that a ridge regression found."""
    mean, deviation = scaling(x)
    model = Ridge(alpha=1.0).fit((x - mean) / deviation, np.clip((y - mean) / deviation, -FAR, FAR))

    def ahead(asked: np.ndarray) -> np.ndarray:
        mean, deviation = scaling(asked)
        return model.predict((asked - mean) / deviation) * deviation + mean

    return ahead


def boosting_ahead(x: np.ndarray, y: np.ndarray, season: int, seed: int) -> Ahead:
    """Return the function of windows that gradient boosting found; one row a window and step ahead."""
    horizon = y.shape[1]

    def table(asked: np.ndarray) -> np.ndarray:
        mean, deviation = scaling(asked)
        scaled = (asked - mean) / deviation
        past = np.stack([np.resize(row[-min(season, len(row)) :], horizon) for row in scaled])
        latest = np.repeat(scaled[:, None, -LATEST:], horizon, axis=1)
        step = np.broadcast_to(np.arange(horizon)[None, :, None], (len(asked), horizon, 1))
        return np.concatenate([past[..., None], latest, step], axis=2).reshape(-1, latest.shape[2] + 2)

    mean, deviation = scaling(x)
    model = HistGradientBoostingRegressor(loss="absolute_error", random_state=seed)
    model.fit(table(x), ((y - mean) / deviation).ravel())

    def ahead(asked: np.ndarray) -> np.ndarray:
        mean, deviation = scaling(asked)
        return model.predict(table(asked)).reshape(len(asked), horizon) * deviation + mean

    return ahead


def rows(folder: Path, meta: Meta, report: Report, seed: int) -> None:
    """Answer for each row of the test part."""
    train, test = read_ts(folder / "train.ts"), read_ts(folder / "test.ts")
    steps = min(MOST_STEPS, max(len(s) for s in train.series))
    x, asked = (np.stack([stretched(s, steps) for s in part.series]) for part in (train, test))
    classify = meta.task == "classify"
    y = np.array(train.labels, dtype=str if classify else float)
    usual = pd.Series(y).mode()[0] if classify else y.mean()
    told = pd.DataFrame({"id": range(len(asked)), "prediction": usual})
    report.add("naive", told, model="majority class" if classify else "mean", fit_s=0.0, predict_s=0.0)
    linear = RidgeClassifierCV(ALPHAS) if classify else RidgeCV(ALPHAS)
    trees = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    for key, model in (
        ("ridge", make_pipeline(StandardScaler(), linear)),
        ("boosting", trees(random_state=seed)),
    ):
        _, fit_s = timed(lambda model=model: model.fit(x, y))
        found, predict_s = timed(lambda model=model: model.predict(asked))
        told = pd.DataFrame({"id": range(len(found)), "prediction": found})
        report.add(key, told, model=f"{key} on {x.shape[1]} values", fit_s=fit_s, predict_s=predict_s)


def stretched(series: np.ndarray, steps: int) -> np.ndarray:
    """Return the channels of (length, channels) interpolated at `steps` even places, one after the other."""
    places = np.linspace(0, len(series) - 1, steps)
    return np.concatenate([np.interp(places, np.arange(len(series)), np.nan_to_num(c)) for c in series.T])
