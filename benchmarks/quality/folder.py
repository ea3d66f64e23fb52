"""The folder that every tool is given, and how it answers; standard library, NumPy and pandas only.

forecast: `train.csv` and `contexts.csv` are long panels `unique_id, ds, y, covariates`; asked are the `horizon` values
after each id of `contexts.csv` (an id is a series and a cut, such as OT@3). Answers: `unique_id, ds, yhat`.
classify, regress: `train.ts` and `test.ts`, the latter without labels (sktime's .ts format). Answers: `id, prediction`,
where the id is the row number from 0. What a tool must not see, the truth, lies outside the folder.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

T = TypeVar("T")
Task = Literal["forecast", "classify", "regress"]


@dataclass(frozen=True)
class Meta:
    """What a tool is told beside the data.

    Attributes:
        name: Of the data set.
        task: forecast, classify or regress.
        horizon: Steps asked; 0 where nothing is forecast.
        season: Steps of the season that the error is scaled with; 1: none.
        freq: pandas offset of the stamps, such as "h" or "MS".
        covariates: Columns that are known up to the cut only.
    """

    name: str
    task: Task
    horizon: int = 0
    season: int = 1
    freq: str = ""
    covariates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Labelled sequences: `series` float64 (length, channels) each; `labels` in the same order, empty if not told."""

    series: tuple[np.ndarray, ...]
    labels: tuple[str, ...] = ()


def write_meta(folder: Path, meta: Meta) -> None:
    """Write `meta.json`."""
    (folder / "meta.json").write_text(json.dumps(asdict(meta)))


def read_meta(folder: Path) -> Meta:
    """Read `meta.json`."""
    found = json.loads((folder / "meta.json").read_text())
    return Meta(**{**found, "covariates": tuple(found["covariates"])})


def read_panel(path: Path) -> pd.DataFrame:
    """Return a long panel with dates in `ds` and text in `unique_id`."""
    return pd.read_csv(path, dtype={"unique_id": str}, parse_dates=["ds"])


def write_ts(path: Path, name: str, rows: Rows, task: Task) -> None:
    """Write sequences in the .ts format; without labels, the header says so."""
    channels = rows.series[0].shape[1]
    lengths = {len(s) for s in rows.series}
    lines = [f"@problemName {name}", "@timeStamps false", "@missing false", f"@univariate {_word(channels == 1)}"]
    lines += [f"@dimensions {channels}", f"@equalLength {_word(len(lengths) == 1)}"]
    lines += [f"@seriesLength {max(lengths)}"] if len(lengths) == 1 else []
    if task == "regress":
        lines.append(f"@targetLabel {_word(bool(rows.labels))}")
    else:
        classes = sorted(set(rows.labels))
        lines.append(" ".join(["@classLabel", _word(bool(classes)), *classes]))
    lines.append("@data")
    for i, values in enumerate(rows.series):
        cells = [",".join(map(repr, map(float, column))) for column in values.T]
        lines.append(":".join(cells + ([rows.labels[i]] if rows.labels else [])))
    path.write_text("\n".join(lines) + "\n")


def _word(yes: bool) -> str:
    return "true" if yes else "false"


def read_ts(path: Path) -> Rows:
    """Read a .ts file; steps missing at the end of a sequence in every channel are cut off.

    Raises:
        ValueError: A header without @data, or channels of unequal length.
    """
    labelled, series, labels, data = False, [], [], False
    for raw in path.read_text(errors="replace").splitlines():
        line = raw.strip()
        lower = line.lower()
        if data and line and not line.startswith("#"):
            parts = line.split(":")
            if labelled:
                labels.append(parts.pop().strip())
            columns = [np.array([_number(cell) for cell in part.split(",")]) for part in parts]
            series.append(_trimmed(np.stack(columns, axis=1)))
        elif lower.startswith(("@classlabel", "@targetlabel")):
            labelled = lower.split()[1] == "true"
        elif lower == "@data":
            data = True
    if not data:
        raise ValueError(f"{path} has no @data line")
    return Rows(tuple(series), tuple(labels))


def _number(cell: str) -> float:
    return float("nan") if cell.strip() in ("?", "") else float(cell)


def _trimmed(values: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: known[-1] + 1] if known.size else values[:1]


class Report:
    """Collects a tool's answers in a folder: `<key>.csv` each, and `answer.json` with seconds and versions.

    Every answer is written at once, so that those given before a failure count.
    """

    def __init__(self, out: Path, packages: Sequence[str]) -> None:
        self.out = out
        self.record: dict[str, Any] = {
            "versions": {name: version(name) for name in packages},
            "models": {},
            "notes": [],
        }
        self._write()

    def add(self, key: str, answer: pd.DataFrame, *, model: str, fit_s: float, predict_s: float) -> None:
        """Record an answer.

        Args:
            key: Which of the tool's answers it is.
            answer: `unique_id, ds, yhat`, or `id, prediction`.
            model: The tool's own name for what answered.
            fit_s: Seconds until it was ready, whatever else was tried meanwhile.
            predict_s: Seconds of the answers.
        """
        answer.to_csv(self.out / f"{key}.csv", index=False)
        self.record["models"][key] = {"model": model, "fit_s": round(fit_s, 2), "predict_s": round(predict_s, 2)}
        self._write()

    def note(self, message: str) -> None:
        """Record what did not go as asked."""
        self.record["notes"].append(message)
        self._write()

    def _write(self) -> None:
        (self.out / "answer.json").write_text(json.dumps(self.record, indent=1))


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of `work` and its seconds."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began
