"""Contenders that are equal by construction, each with scores unit by unit as a search would hand them over.

Two kinds. Noise: scores are drawn. Fits: the same cheap learner is really fitted, each contender with seeds of its
own, to simulated series or labelled cases: random features (tanh of random projections) with ridge, or a small forest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from advisor.compare import Scores
from profiles.task import Task

FOLDS, ORIGINS = 5, 12
FEATURES = 40


@dataclass(frozen=True)
class Design:
    """One way in which data come about.

    Attributes:
        words: What is simulated.
        task: Whose metric.
        folds: That choose.
        draw: From a generator and the number of contenders to their scores.
    """

    words: str
    task: Task
    folds: int
    draw: Callable[[np.random.Generator, int], list[Scores]]


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], phi: float) -> np.ndarray:
    """Return AR(1) noise of unit variance along the last axis."""
    e = rng.normal(size=shape)
    for t in range(1, shape[-1]):
        e[..., t] = phi * e[..., t - 1] + np.sqrt(1 - phi**2) * e[..., t]
    return e


def noise(
    series: int,
    folds: int,
    origins: int,
    phi: float,
    *,
    taste: float = 0.0,
    shock: float = 0.0,
    seed_sd: float = 0.02,
) -> Callable[[np.random.Generator, int], list[Scores]]:
    """Return a drawer of scaled errors: difficulty shared by all; per contender taste for a series, AR noise, luck.

    Args:
        series: How many.
        folds: With `origins` forecast origins each.
        origins: In a fold.
        phi: Lag-1 autocorrelation of a contender's errors from origin to origin.
        taste: Deviation, as a share of its level, of how a series suits a contender. Only where there are many series:
            with few, what suits them better is better for them.
        shock: Deviation of what hits all series of a fold alike, another for each contender.
        seed_sd: Deviation of the mean error from one training seed to another.
    """

    def draw(rng: np.random.Generator, contenders: int) -> list[Scores]:
        steps = folds * origins
        fold = np.tile(np.repeat(np.arange(folds), origins), series)
        group = np.repeat(np.arange(series), steps)
        level = rng.gamma(4, 0.25, size=(series, 1)) + 0.3 * np.abs(autoregressive(rng, (series, steps), phi))
        out = []
        for _ in range(contenders):
            own = taste * level * rng.normal(size=(series, 1)) + 0.2 * autoregressive(rng, (series, steps), phi)
            own += shock * np.repeat(rng.normal(size=folds), origins)
            luck = seed_sd * rng.normal(size=(2, 1))
            out.append(Scores(np.abs((level + own).ravel() + luck), fold, group))  # an error has no sign
        return out

    return draw


def overlapping(
    folds: int, cuts: int, stride: int, horizon: int, phi: float, seed_sd: float = 0.02
) -> Callable[[np.random.Generator, int], list[Scores]]:
    """Return a drawer of scaled errors of one short series whose origins overlap; those of a fold are one score.

    Args:
        folds: Stretches of origins.
        cuts: Origins in each.
        stride: Steps from one origin to the next.
        horizon: Steps that an origin is judged on.
        phi: Lag-1 autocorrelation of errors from step to step.
        seed_sd: Deviation of the mean error from one training seed to another.
    """

    def draw(rng: np.random.Generator, contenders: int) -> list[Scores]:
        starts = stride * np.arange(folds * cuts)
        hard = rng.gamma(4, 0.25) + 0.3 * np.abs(autoregressive(rng, (int(starts[-1]) + horizon,), phi))
        out = []
        for _ in range(contenders):
            own = hard + 0.5 * autoregressive(rng, hard.shape, phi)
            errors = np.abs(own + seed_sd * rng.normal(size=(2, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(errors, horizon, axis=1)[:, starts].mean(2)
            scores = windows.reshape(2, folds, cuts).mean(2)
            out.append(Scores(scores, np.arange(folds), np.zeros(folds, np.int64)))
        return out

    return draw


def fitted_forecasts(series: int, phi: float, length: int = 240) -> Callable[[np.random.Generator, int], list[Scores]]:
    """Return a drawer that fits random features of the last 12 steps to AR series, once, before the first origin.

    One step ahead; two seeds each; 60 origins in 5 folds.
    """

    def draw(rng: np.random.Generator, contenders: int) -> list[Scores]:
        values = autoregressive(rng, (series, length + 12), phi) + np.sin(np.arange(length + 12) / 4)
        past = np.lib.stride_tricks.sliding_window_view(values[:, :-1], 12, axis=1)
        future = values[:, 12:]
        judged = FOLDS * ORIGINS
        scale = np.abs(np.diff(values[:, :-judged])).mean(1, keepdims=True)
        train_x, train_y = past[:, :-judged].reshape(-1, 12), future[:, :-judged].ravel()
        test_x = past[:, -judged:].reshape(-1, 12)
        fold = np.tile(np.repeat(np.arange(FOLDS), ORIGINS), series)
        group = np.repeat(np.arange(series), judged)
        out = []
        for _ in range(contenders):
            errors = []
            for _ in range(2):
                answer = random_ridge(rng, train_x, train_y, test_x).reshape(series, judged)
                errors.append((np.abs(answer - future[:, -judged:]) / scale).ravel())
            out.append(Scores(np.stack(errors), fold, group))
        return out

    return draw


def fitted_cases(
    task: Task, cases: int, folds: int, forest: bool = False
) -> Callable[[np.random.Generator, int], list[Scores]]:
    """Return a drawer that fits labelled cases of 10 numbers: on each fold afresh, or, with one fold, on as many more.

    With one fold two seeds each; with several one seed a fold.
    """

    def draw(rng: np.random.Generator, contenders: int) -> list[Scores]:
        x, y = labelled(rng, cases if folds > 1 else 2 * cases, task)
        fold = rng.permutation(np.arange(cases) % folds)
        out = []
        for _ in range(contenders):
            if folds > 1:
                scores = np.zeros((1, cases))
                for k in range(folds):
                    at = fold == k
                    scores[0, at] = score(rng, task, forest, x[~at], y[~at], x[at], y[at])
            else:
                scores = np.stack([score(rng, task, forest, x[cases:], y[cases:], x[:cases], y[:cases]) for _ in "ab"])
            out.append(Scores(scores, fold, np.arange(cases)))
        return out

    return draw


def labelled(rng: np.random.Generator, cases: int, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return x (N, 10) and y (N,): a class of two, or a number with heavy-tailed noise."""
    x = rng.normal(size=(cases, 10))
    signal = x[:, 0] * x[:, 1] + x[:, 2] + 0.5 * np.sin(2 * x[:, 3])
    if task == "regress":
        return x, signal + 0.5 * rng.standard_t(4, size=cases)
    return x, (signal + 0.5 * rng.normal(size=cases) > 0).astype(np.float64)


def score(
    rng: np.random.Generator,
    task: Task,
    forest: bool,
    x: np.ndarray,
    y: np.ndarray,
    new_x: np.ndarray,
    new_y: np.ndarray,
) -> np.ndarray:
    """Return the hits or squared errors on new cases of a learner fitted with a fresh seed."""
    if forest:
        model = ExtraTreesClassifier(4, max_depth=6, random_state=int(rng.integers(2**31)))
        return (model.fit(x, y).predict(new_x) == new_y).astype(np.float64)
    answer = random_ridge(rng, x, y, new_x)
    if task == "regress":
        return np.asarray((answer - new_y) ** 2)
    return np.asarray((answer > 0.5) == (new_y > 0.5), dtype=np.float64)


def random_ridge(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, new_x: np.ndarray) -> np.ndarray:
    """Return the answers of ridge on 40 random features of x (N, D), fitted to y (N,), for new_x (M, D)."""
    projection, shift = rng.normal(size=(x.shape[1], FEATURES)) / np.sqrt(x.shape[1]), rng.normal(size=FEATURES)
    features, new = np.tanh(2 * x @ projection + shift), np.tanh(2 * new_x @ projection + shift)
    middle = y.mean()
    weights = np.linalg.solve(features.T @ features + np.eye(FEATURES), features.T @ (y - middle))
    return np.asarray(new @ weights + middle)


DESIGNS: dict[str, Design] = {
    "one series": Design("one series, AR(0.8) errors, 5 x 12 origins", "forecast", 5, noise(1, 5, 12, 0.8)),
    "one short series": Design("one series, AR(0.3) errors, 5 x 1 origins", "forecast", 5, noise(1, 5, 1, 0.3)),
    "5 folds, overlapping": Design(
        "one series, AR(0.5) steps, 5 x 2 origins of 14 steps, 6 apart", "forecast", 5, overlapping(5, 2, 6, 14, 0.5)
    ),
    "8 series": Design(
        "8 series, AR(0.5) errors, shared shocks, 5 x 7", "forecast", 5, noise(8, 5, 7, 0.5, shock=0.05)
    ),
    "400 series": Design("400 series, one split of one origin", "forecast", 1, noise(400, 1, 1, 0.0, taste=0.15)),
    "400 series, folds": Design("400 series, 5 x 1 origins", "forecast", 5, noise(400, 5, 1, 0.3, taste=0.15)),
    "400 series, 3 origins": Design("400 series, 3 x 1 origins", "forecast", 3, noise(400, 3, 1, 0.3, taste=0.15)),
    "400 series, shocks": Design(
        "400 series, shocks shared by all", "forecast", 5, noise(400, 5, 1, 0.3, taste=0.15, shock=0.05)
    ),
    "fit: one AR series": Design("random ridge, one AR(0.8) series", "forecast", 5, fitted_forecasts(1, 0.8)),
    "fit: 40 AR series": Design("random ridge, 40 AR(0.8) series", "forecast", 5, fitted_forecasts(40, 0.8)),
    "fit: 60 cases": Design("random ridge, 60 cases, 5 folds", "classify", 5, fitted_cases("classify", 60, 5)),
    "fit: 300 cases": Design("random ridge, 300 cases, 5 folds", "classify", 5, fitted_cases("classify", 300, 5)),
    "fit: forest": Design("4 trees, 150 cases, 5 folds", "classify", 5, fitted_cases("classify", 150, 5, True)),
    "fit: numbers": Design("random ridge, 200 numbers, 5 folds", "regress", 5, fitted_cases("regress", 200, 5)),
    "fit: one split": Design("random ridge, 2000 cases, one split", "classify", 1, fitted_cases("classify", 2000, 1)),
}
