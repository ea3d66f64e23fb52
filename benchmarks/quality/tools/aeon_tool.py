"""aeon's MiniRocket and MultiRocket-Hydra with their defaults; they have no time limit and take what they take.

They read sequences of one length: shorter ones are filled with zeros at the end to the longest of both parts.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from aeon.classification.convolution_based import MiniRocketClassifier, MultiRocketHydraClassifier
from aeon.regression.convolution_based import MiniRocketRegressor, MultiRocketHydraRegressor

from benchmarks.quality.folder import Meta, Report, read_ts, timed

MODELS = {
    "classify": {"minirocket": MiniRocketClassifier, "multirocket_hydra": MultiRocketHydraClassifier},
    "regress": {"minirocket": MiniRocketRegressor, "multirocket_hydra": MultiRocketHydraRegressor},
}


def answer(folder: Path, meta: Meta, out: Path, seconds: int, seed: int) -> None:
    """Answer under the keys `minirocket` and `multirocket_hydra`."""
    report = Report(out, ("aeon", "torch", "numba", "scikit-learn"))
    train, test = read_ts(folder / "train.ts"), read_ts(folder / "test.ts")
    longest = max(len(s) for s in (*train.series, *test.series))
    x, asked = (np.stack([filled(s, longest) for s in part.series]) for part in (train, test))
    y = np.array(train.labels) if meta.task == "classify" else np.array(train.labels, dtype=float)
    for key, kind in MODELS[meta.task].items():
        model = kind(random_state=seed, n_jobs=-1)
        try:
            _, fit_s = timed(lambda model=model: model.fit(x, y))
            found, predict_s = timed(lambda model=model: model.predict(asked))
        except Exception as error:  # the other one may still answer
            report.note(f"{key}: {type(error).__name__}: {error}")
            continue
        frame = pd.DataFrame({"id": range(len(found)), "prediction": found})
        report.add(key, frame, model=kind.__name__, fit_s=fit_s, predict_s=predict_s)


def filled(series: np.ndarray, length: int) -> np.ndarray:
    """Return (channels, length)."""
    return np.pad(np.nan_to_num(series), ((0, length - len(series)), (0, 0))).T
