"""A bank of classical forecasts, each a linear map of the window, so that all are one matrix product.

With fixed parameters every additive exponential smoothing (Hyndman and Khandakar 2008, JSS 27(3)), the drift and the
theta method (Assimakopoulos and Nikolopoulos 2000; as smoothing with half the slope: Hyndman and Billah 2003) maps the
window linearly to the future, so its matrix is what it makes of the unit vectors. On logarithms the same matrices give
multiplicative seasons and trends. Built in O(K L^2) for K forecasts of windows of L steps.
"""

import itertools

import numpy as np

LEVELS = (0.1, 0.3, 0.6, 1.0)
PACES = (0.2, 0.6)
TRENDS = (0.05, 0.2)
DAMPINGS = (0.9, 0.98)
SEASONS = (0.05, 0.3)


def bank(length: int, horizon: int, season: int) -> np.ndarray:
    """Return the maps (K, length, horizon) float64; K depends on how many seasons fit into the window.

    The drift, and smoothing with none and half of the slope, of the window and of the seasonally adjusted window;
    damped trends with a season that adapts; the last season and means of the last few. All continue a constant window.
    """
    window = np.eye(length)
    found = [drift(window, horizon)]
    found += [smoothed(window, horizon, alpha, share) for alpha in LEVELS for share in (0.0, 0.5)]
    season = season if length >= 2 * season else 1
    if season > 1:
        shape = seasonal_shape(length, horizon, season)
        past, ahead = shape[:length], shape[length:]
        found.append(drift(window - past, horizon) + ahead)
        found += [smoothed(window - past, horizon, alpha, share) + ahead for alpha in LEVELS for share in (0.0, 0.5)]
        place = np.arange(horizon) % season
        lags = [window[length - k * season + place] for k in range(1, length // season + 1)]
        found += [np.mean(lags[:k], axis=0) for k in (1, 2, 4, 8) if k <= len(lags)]
        found += lags[6:7]  # the same day of the week, where a season is a day
    settings = itertools.product(PACES, TRENDS, DAMPINGS, SEASONS if season > 1 else (0.0,))
    found += [holt_winters(window, horizon, season, *each) for each in settings]
    return np.stack(found).transpose(0, 2, 1)


def theta(length: int, horizon: int, season: int) -> np.ndarray:
    """Return the maps (4, length, horizon) of the theta method at each of `LEVELS`, seasonally adjusted."""
    window = np.eye(length)
    shape = (
        seasonal_shape(length, horizon, season) if length >= 2 * season > 2 else np.zeros((length + horizon, length))
    )
    maps = [smoothed(window - shape[:length], horizon, alpha, 0.5) + shape[length:] for alpha in LEVELS]
    return np.stack(maps).transpose(0, 2, 1)


def drift(window: np.ndarray, horizon: int) -> np.ndarray:
    """Return the last value moved on by the mean change, (H, columns), of each column of the window (L, columns)."""
    change = (window[-1] - window[0]) / max(len(window) - 1, 1)
    return np.asarray(window[-1] + np.arange(1, horizon + 1)[:, None] * change)


def smoothed(window: np.ndarray, horizon: int, alpha: float, share: float) -> np.ndarray:
    """Return simple exponential smoothing plus a share of the least-squares slope b, (H, columns).

    l + share b (h - 1 + (1 - (1 - alpha)^L) / alpha): the theta method where share is 1/2.
    """
    length = len(window)
    time = np.arange(length) - (length - 1) / 2
    slope = time @ window / max(float(time @ time), 1.0)
    level = window[0]
    for value in window[1:]:
        level = level + alpha * (value - level)
    steps = np.arange(horizon)[:, None] + (1 - (1 - alpha) ** length) / alpha
    return np.asarray(level + share * steps * slope)


def holt_winters(
    window: np.ndarray, horizon: int, season: int, alpha: float, beta: float, phi: float, gamma: float
) -> np.ndarray:
    """Return the forecasts (H, columns) of smoothed level, damped trend and additive season of each column.

    l = p + alpha e, b = phi b + alpha beta e, s = s + gamma (1 - alpha) e, where p = l + phi b and e = value - p - s.
    They start from the first two seasons (a few steps where there is no season): means, and what those leave.

    Args:
        window: Values (L, columns); at least two seasons.
        horizon: H.
        season: Steps in one season; 1: none.
        alpha: How fast the level follows, 0 to 1.
        beta: How fast the trend follows the level, 0 to 1.
        phi: What a step leaves of the trend, 0 to 1.
        gamma: How fast the season follows, 0 to 1.
    """
    span = season if season > 1 else max(1, min(4, len(window) // 2))
    first = window[:span].mean(0)
    trend = (window[span : 2 * span].mean(0) - first) / span if len(window) > 1 else 0.0 * first
    level = first - trend * (span + 1) / 2
    shape = np.zeros((season, window.shape[1]))
    if season > 1:
        place = np.arange(1, 2 * season + 1)[:, None]
        shape = (window[: 2 * season] - level - trend * place).reshape(2, season, -1).mean(0)
    for t, value in enumerate(window):
        expected = level + phi * trend
        error = value - expected - shape[t % season]
        level, trend = expected + alpha * error, phi * trend + alpha * beta * error
        shape[t % season] += gamma * (1 - alpha) * error
    damped = np.cumsum(phi ** np.arange(1, horizon + 1))[:, None]
    return np.asarray(level + damped * trend + shape[(len(window) + np.arange(horizon)) % season])


def seasonal_shape(length: int, horizon: int, season: int) -> np.ndarray:
    """Return the map (length + horizon, length) from a window to its season by least squares, continued.

    The season is what `season` indicators explain beside a straight line; its mean over one season is 0.
    """
    place = np.arange(length + horizon)
    seasons = np.eye(season)[place % season] - 1 / season
    line = np.stack([np.ones(length + horizon), place / length], 1)
    coefficients = np.linalg.pinv(np.concatenate([line, seasons], 1)[:length])
    return np.asarray(seasons @ coefficients[2:])
