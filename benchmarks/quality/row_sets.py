"""The classification and regression sets, with the split that is official or, where none is, the one said here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.quality.folder import Rows, Task, read_ts

CAPPED_AT = 125  # cycles; remaining lives above are not told apart (Heimes 2008), as in the figures of the set's README
PREFIXES = 6  # training rows an engine


@dataclass(frozen=True)
class Labelled:
    """A training and a test part."""

    task: Task
    train: Rows
    test: Rows


def ts_files(folder: str, name: str, task: Task, data: Path) -> Labelled:
    """Return the official split of an archive set in .ts files."""
    return Labelled(task, *(read_ts(data / folder / f"{name}_{part}.ts") for part in ("TRAIN", "TEST")))


def tsv_files(folder: str, name: str, data: Path) -> Labelled:
    """Return the official split of an archive set in .tsv files, label first."""
    parts = []
    for part in ("TRAIN", "TEST"):
        table = pd.read_csv(data / folder / f"{name}_{part}.tsv", sep="\t", header=None)
        series = tuple(row[:, None] for row in table.iloc[:, 1:].to_numpy(dtype=float))
        parts.append(Rows(series, tuple(str(int(label)) for label in table[0])))
    return Labelled("classify", *parts)


def indoor_movement(data: Path) -> Labelled:
    """Train on the rooms 1 and 2, test on room 3, as the set's paper does on the unseen room."""
    home = data / "indoor_movement_rss"
    labels = pd.read_csv(home / "dataset/MovementAAL_target.csv", skipinitialspace=True, index_col=0).iloc[:, 0]
    rooms = pd.read_csv(home / "groups/MovementAAL_DatasetGroup.csv", skipinitialspace=True, index_col=0).iloc[:, 0]

    def part(chosen: pd.Series) -> Rows:
        keys = chosen.index[chosen]
        read = [pd.read_csv(home / f"dataset/MovementAAL_RSS_{key}.csv").to_numpy(dtype=float) for key in keys]
        return Rows(tuple(read), tuple(str(labels[key]) for key in keys))

    return Labelled("classify", part(rooms != 3), part(rooms == 3))


def magic_wand(data: Path) -> Labelled:
    """Digits drawn by one person; of each digit, 70 strokes drawn by lot to train and 30 to test."""
    rng, parts = np.random.default_rng(0), ([], [])
    for digit in range(10):
        strokes = json.loads((data / f"magic_wand_digits/petewarden_{digit}.json").read_text())["strokes"]
        for place, i in enumerate(rng.permutation(len(strokes))):
            points = np.array([[p["x"], p["y"]] for p in strokes[i]["strokePoints"]])
            parts[place >= 0.7 * len(strokes)].append((points, str(strokes[i]["label"])))
    return Labelled("classify", *(Rows(*map(tuple, zip(*part, strict=True))) for part in parts))


def cmapss(data: Path) -> Labelled:
    """Cycles left of an engine from all its cycles so far, at most 125, from 3 settings and 21 sensors.

    Train: of each of the 100 engines, 6 beginnings of random length (at least 30 cycles, or what there is), spread
    evenly. Test: the official 100 beginnings.
    """
    home, rng = data / "cmapss_fd001_rul", np.random.default_rng(0)

    def engines(part: str) -> list[np.ndarray]:
        table = pd.read_csv(home / f"{part}_FD001.txt", sep=r"\s+", header=None)
        return [own.iloc[:, 2:].to_numpy(dtype=float) for _, own in table.groupby(0)]

    rows, labels = [], []
    for engine in engines("train"):
        edges = np.linspace(30, len(engine), PREFIXES + 1)
        for length in (int(rng.uniform(low, high)) for low, high in pairwise(edges)):
            rows.append(engine[:length])
            labels.append(str(float(min(CAPPED_AT, len(engine) - length))))
    left = np.loadtxt(home / "RUL_FD001.txt")
    test = Rows(tuple(engines("test")), tuple(str(float(min(CAPPED_AT, n))) for n in left))
    return Labelled("regress", Rows(tuple(rows), tuple(labels)), test)


ARCHIVE = (
    "ArrowHead", "BasicMotions", "GunPoint", "ItalyPowerDemand", "JapaneseVowels", "OSULeaf", "PickupGestureWiimoteZ",
)  # fmt: skip

ROW_SETS: dict[str, Callable[[Path], Labelled]] = {
    **{f"ucr_uea/{name}": partial(ts_files, f"ucr_uea/{name}", name, "classify") for name in ARCHIVE},
    "ecg_ucr/ECG200": partial(tsv_files, "ecg_ucr/ECG200", "ECG200"),
    "ecg_ucr/ECGFiveDays": partial(tsv_files, "ecg_ucr/ECGFiveDays", "ECGFiveDays"),
    "acsf1_long": partial(ts_files, "acsf1_long", "ACSF1", "classify"),
    "indoor_movement": indoor_movement,
    "magic_wand": magic_wand,
    "covid3month": partial(ts_files, "covid3month_regression", "Covid3Month", "regress"),
    "cmapss": cmapss,
}
