"""All sets by name, and how one is written into the neutral folder with its truth beside it."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.quality.folder import Meta, Rows, Task, write_meta, write_ts
from benchmarks.quality.forecast_sets import FORECAST_SETS
from benchmarks.quality.row_sets import ROW_SETS

NAMES = (*FORECAST_SETS, *ROW_SETS)
REGRESSION = ("covid3month", "cmapss")


def task_of(name: str) -> Task:
    """Return the task of a set."""
    if name in FORECAST_SETS:
        return "forecast"
    return "regress" if name in REGRESSION else "classify"


def chosen(words: Sequence[str]) -> list[str]:
    """Return the sets named: by name, by group (ucr_uea), or by task (forecast, classify, regress); all if none.

    Raises:
        ValueError: A word names nothing.
    """
    found = []
    for name in NAMES:
        if not words or {name, name.split("/")[0], task_of(name)} & set(words):
            found.append(name)
    known = {word for name in NAMES for word in (name, name.split("/")[0], task_of(name))}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise ValueError(f"no such set: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return found


def prepare(name: str, data: Path, home: Path) -> Meta:
    """Write `home/data`, which tools see, and `home/truth.csv`, which only the scorer sees."""
    folder = home / "data"
    folder.mkdir(parents=True, exist_ok=True)
    if name in FORECAST_SETS:
        source = FORECAST_SETS[name](data)
        for file, panel in zip(("data/train", "data/contexts", "truth"), source.parts(), strict=True):
            panel.to_csv(home / f"{file}.csv", index=False)
        covariates = tuple(source.panel.columns[3:])
        meta = Meta(name, "forecast", source.horizon, source.season, source.freq, covariates)
    else:
        labelled = ROW_SETS[name](data)
        meta = Meta(name, labelled.task)
        title = name.rpartition("/")[2]
        write_ts(folder / "train.ts", title, labelled.train, labelled.task)
        write_ts(folder / "test.ts", title, Rows(labelled.test.series), labelled.task)
        told = pd.DataFrame({"id": range(len(labelled.test.labels)), "label": labelled.test.labels})
        told.to_csv(home / "truth.csv", index=False)
    write_meta(folder, meta)
    return meta
