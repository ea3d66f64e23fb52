"""Simple models that race against the networks: fitted once, then modules like any other.

`names` lists the kinds of a task, `fit` fits one, `build` makes an empty one to load a state dict into.
"""

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from advisor.baselines.base import QUANTILES, Baseline, BaselineConfig, Training
from advisor.baselines.boosting import GradientBoosting
from advisor.baselines.forecaster import Forecaster
from advisor.baselines.hydra import Hydra
from advisor.baselines.lag_boosting import LagBoosting
from advisor.baselines.lags import LinearLags
from advisor.baselines.linear import Linear
from advisor.baselines.random_convolutions import PooledConvolutions, RandomConvolutions
from advisor.baselines.simple import Drift, LastValue, Majority, Mean, SeasonalNaive
from advisor.baselines.smoothing import Smoothing, Theta
from advisor.errors import InputError
from hybrids.square_root import signed_root
from profiles.task import Task

__all__ = ["QUANTILES", "Baseline", "BaselineConfig", "build", "fit", "names"]

_KINDS: dict[str, type[Baseline]] = {
    "majority": Majority,
    "mean": Mean,
    "last_value": LastValue,
    "seasonal_naive": SeasonalNaive,
    "drift": Drift,
    "theta": Theta,
    "linear": Linear,
    "linear_lags": LinearLags,
    "exponential_smoothing": Smoothing,
    "lag_boosting": LagBoosting,
    "gradient_boosting": GradientBoosting,
    "random_convolutions": RandomConvolutions,
    "hydra": Hydra,
    "pooled_convolutions": PooledConvolutions,
}


def names(task: Task) -> tuple[str, ...]:
    """Return the kinds that can do `task`, cheapest first."""
    return tuple(kind for kind, model in _KINDS.items() if task in model.tasks)


def _transforms(kind: str) -> bool:
    """Return whether the kind is fitted to the square root of a target that is never negative."""
    model = _KINDS[kind]
    return issubclass(model, Forecaster) and model.transforms


def build(config: BaselineConfig) -> Baseline:
    """Return an unfitted baseline whose buffers have the shapes of `config`, ready for `load_state_dict`."""
    if config.kind not in names(config.task):
        raise InputError(
            f"No baseline is named {config.kind!r} for task {config.task}.",
            f"Choose from {', '.join(names(config.task))}.",
        )
    return _KINDS[config.kind](config).eval()


def fit(
    kind: str,
    task: Task,
    x: np.ndarray,
    lengths: np.ndarray,
    y: np.ndarray,
    *,
    classes: int = 0,
    season: int = 1,
    horizon: int = 0,
    ahead: int = 0,
    square_root: bool = False,
    seed: int = 0,
    threads: int = 1,
) -> Baseline:
    """Fit a baseline in seconds; the same seed gives the same numbers.

    Args:
        kind: One of `names(task)`.
        task: What is asked.
        x: Raw values (N, L, C) float32, right-padded with anything; for forecasts windows with the target
            in channel 0, then covariates, calendar and what is known ahead.
        lengths: Valid steps of each row (N,), 1 to L.
        y: classify: class indices (N,). regress: numbers (N,). forecast: raw futures (N, horizon).
        classes: K of classify.
        season: Steps in one season, for forecasts; 1: none.
        horizon: H of forecast.
        ahead: How many of the last channels hold at each step what is known for H steps later.
        square_root: Fit to the square root of the target where the kind learns from it; for targets never negative.
        seed: Of every random draw.
        threads: CPU threads for the fit.

    Raises:
        InputError: The kind does not do the task, the shapes do not fit, or only one class is seen.
    """
    if kind not in names(task):
        raise InputError(f"No baseline is named {kind!r} for task {task}.", f"Choose from {', '.join(names(task))}.")
    expected = (len(x), horizon) if task == "forecast" else (len(x),)
    if x.ndim != 3 or len(x) == 0 or lengths.shape != (len(x),) or y.shape != expected:
        raise InputError(
            f"{kind} needs x (N, L, C), lengths (N,) and y {expected}, got {x.shape}, {lengths.shape} and {y.shape}.",
            "Pass one length and one target for each row, and at least one row.",
        )
    if lengths.min() < 1 or lengths.max() > x.shape[1]:
        raise InputError(
            f"Lengths must lie in 1 to {x.shape[1]}, got {lengths.min()} to {lengths.max()}.", "Leave out empty rows."
        )
    config = BaselineConfig(
        kind=kind,
        task=task,
        channels_in=x.shape[2],
        classes=classes,
        horizon=horizon,
        season=season,
        ahead=ahead,
        length=int(lengths.max()),
        square_root=square_root and _transforms(kind),
    )
    values = np.ascontiguousarray(x[:, : config.length], np.float32)
    if config.square_root:
        values, y = values.copy(), _rooted(y)
        values[..., 0] = _rooted(values[..., 0])
    data = Training(values, lengths.astype(np.int64), y, config, seed)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad(), threadpool_limits(threads):
            return _KINDS[kind].fit(data).eval()
    finally:
        torch.set_num_threads(before)


def _rooted(target: np.ndarray) -> np.ndarray:
    """Return the signed square root of an array."""
    return np.asarray(signed_root(torch.from_numpy(np.ascontiguousarray(target))).numpy())
