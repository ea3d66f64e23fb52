"""The advisor, as a user types it: recommend the training file, then predict for the other; the test part is not given.

Its cache is a new one each time: no warm start from another set, as on a new machine.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from benchmarks.quality.folder import Meta, Report, timed

NETWORKS_ONLY = "--networks-only"


def answer(folder: Path, meta: Meta, out: Path, seconds: int, seed: int, *options: str) -> None:
    """Let the best of everything answer, under the key `model`."""
    report = Report(out, ("sequence-architecture-advisor",))
    forecast = meta.task == "forecast"
    train, asked = (folder / name for name in (("train.csv", "contexts.csv") if forecast else ("train.ts", "test.ts")))
    asks = ["--task", meta.task, *(["--horizon", str(meta.horizon)] if forecast else [])]
    search = [*asks, "--time-limit", f"{seconds}s", "--seed", str(seed), "--out", str(out / "run"), *options]
    _, fit_s = timed(lambda: advisor(out, "recommend", str(train), *search))
    _, predict_s = timed(lambda: advisor(out, "predict", str(out / "run"), str(asked), "-o", str(out / "raw.csv")))
    found = json.loads((out / "run" / "recommendation.json").read_text())
    frame = pd.read_csv(out / "raw.csv", dtype={"unique_id": str, "id": str, "prediction": str})
    columns = ["unique_id", "ds", "yhat"] if forecast else ["id", "prediction"]
    report.add("model", frame[columns], model=found["family"], fit_s=fit_s, predict_s=predict_s)


def advisor(out: Path, *arguments: str) -> None:
    """Run one verb of the command line; what it says is added to `advisor.txt`.

    Raises:
        RuntimeError: It did not end well; the message is its own.
    """
    environment = {**os.environ, "ADVISOR_CACHE": str(out / "cache")}
    told = out / "advisor.txt"
    with told.open("a") as log:
        command = [sys.executable, "-m", "advisor", *arguments]
        code = subprocess.run(command, check=False, env=environment, stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        errors = [line for line in told.read_text(errors="replace").splitlines() if line.startswith("error:")]
        raise RuntimeError(f"advisor {arguments[0]} ended with {code}: {errors[-1] if errors else 'no message'}")
