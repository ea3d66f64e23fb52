"""The verbs as functions: what the command line calls, and what `from advisor import ...` gives."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor import calibrations
from advisor.audit import Finding, audit
from advisor.data import Dataset, ReadOptions, read
from advisor.data.profile import profile_of
from advisor.errors import InputError
from advisor.records import Recommendation, Request
from advisor.rules import own_rules, scenario_key
from advisor.runs import Run
from profiles.budget import Budget
from profiles.calibration import Calibration
from profiles.data import DataProfile
from profiles.dependence import measure_dependence
from profiles.device import DeviceError, DeviceProfile, measure_device
from profiles.gradient_reach import GradientReach
from profiles.task import Task

PRESETS = {"fast": 120.0, "medium": 600.0, "best": 3600.0}


def quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Inspection:
    """What a file was taken for, before any training.

    Attributes:
        dataset: The sequences.
        profile: What was measured on them; without the dependence.
        findings: What the audit found, worst first.
    """

    dataset: Dataset
    profile: DataProfile
    findings: tuple[Finding, ...]


def inspect(
    data: str | Path,
    *,
    task: Task | None = None,
    target: Sequence[str] = (),
    time: str | None = None,
    id: str | None = None,
    known: Sequence[str] = (),
) -> Inspection:
    """Read and profile a file; nothing is trained.

    Raises:
        InputError: the file cannot be read as sequences.
    """
    options = ReadOptions(task=task, target=tuple(target), time=time, id=id, known=tuple(known))
    dataset = _read(Path(data), options)
    return Inspection(dataset, profile_of(dataset), audit(dataset))


def _read(data: Path, options: ReadOptions) -> Dataset:
    """Return what a file to learn from holds; what is to be known ahead asks for a forecast."""
    if options.known and options.task is None:
        options = options.model_copy(update={"task": "forecast"})
    dataset = read(data, options)
    if options.known and not dataset.known:
        raise InputError(f"{data} is no table with columns beside a target to forecast.", "leave out --known.")
    return dataset


def profile(dataset: Dataset, horizon: int | None = None, seconds: float = 10.0, seed: int = 0) -> DataProfile:
    """Return the measured facts of a dataset, with how far back its past matters.

    Args:
        dataset: What `inspect` read.
        horizon: Steps to forecast; None is one.
        seconds: About how long the dependence may take.
        seed: Of what is sampled.
    """
    found = profile_of(dataset)
    dependence = measure_dependence(
        dataset.series,
        dataset.task,
        dataset.labels,
        horizon=horizon,
        seasons=found.seasons,
        seconds=seconds,
        seed=seed,
    )
    return found.model_copy(update={"dependence": dependence})


def device_profile(device: str) -> DeviceProfile:
    """Measure the device.

    Raises:
        InputError: it is not there.
    """
    try:
        return measure_device(device)
    except DeviceError as error:
        raise InputError(str(error), error.hint) from error


def reaches(profile: DataProfile) -> dict[str, GradientReach]:
    """Return family -> how far its gradient reaches before training, at the median length of the data in tokens."""
    from profiles.reach import families_reach

    return families_reach(max(2, profile.length_p50))


def calibrate(device: str = "cpu", out: Path | None = None, say: Callable[[str], None] = quiet) -> Calibration:
    """Measure time and memory of every family against length on this device, and keep it for later runs.

    Args:
        device: cpu, cuda, cuda:0 or mps.
        out: A file to write too, for `recommend(target_device=...)` on another machine.
        say: Told a line at a time what happens.

    Raises:
        InputError: the device is not there.
    """
    from profiles import calibration

    try:
        found = calibration.calibrate(device, say=say)
    except DeviceError as error:
        raise InputError(str(error), error.hint) from error
    say(calibrations.store(found).says)
    if out is not None:
        calibration.write(found, out)
        say(f"written to {out}")
    return found


def load_run(path: str | Path) -> Recommendation:
    """Return the recommendation of a finished run.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    return Run(Path(path)).recommendation()


def recommend(
    data: str | Path,
    *,
    test: str | Path | None = None,
    task: Task | None = None,
    target: Sequence[str] = (),
    time_column: str | None = None,
    id_column: str | None = None,
    known: Sequence[str] = (),
    horizon: int | None = None,
    device: str = "cpu",
    budget: Budget | None = None,
    time_limit_s: float | None = None,
    trials: int | None = None,
    families: Sequence[str] = (),
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    scenario: str | None = None,
    rules: str | Path | None = None,
    target_device: str | Path | None = None,
    missing_operators: Sequence[str] = (),
    committee: int | None = None,
    networks_only: bool = False,
    store: bool = True,
    say: Callable[[str], None] = quiet,
    started: float | None = None,
) -> Recommendation:
    """Search, compare, choose and save a trained model for `data`.

    Args:
        data: The file.
        test: A file that no choice sees; None: a part of `data` is held out.
        task: None: guessed from the file.
        target: Label column, or the columns to forecast.
        time_column: Name of the time column.
        id_column: Name of the column that tells series apart.
        known: Columns beside the target whose values are known for the steps to forecast; `predict` then asks for
            `horizon` rows with them and a blank target.
        horizon: Steps to forecast; given without a task, a forecast is asked for.
        device: cpu, cuda, cuda:0 or mps.
        budget: Limits; None: no limit.
        time_limit_s: Seconds for everything; None with `trials` None: 600.
        trials: Networks to train instead of a time limit; the same seed then gives the same recommendation on CPU.
        families: Which to try; empty: all.
        seed: Of every random choice.
        out: Run folder; None: NAME-run beside the working directory's files.
        resume: Go on with what the run folder holds.
        scenario: SC1 to SC5, or its word; None: recognised.
        rules: TOML file of the user's own rules, heard beside the documents'.
        target_device: File that `advisor device --calibrate -o FILE` wrote on the device that the model is for;
            latencies are then predicted for it.
        missing_operators: What the target lacks, as ONNX or torch names it; counts against the families that use it.
        committee: Most networks of one kind that may answer together; 0 or 1: one model, no ensemble; None: what pays.
        networks_only: No baselines but the naive reference, and a network is recommended.
        store: Whether the best configurations of earlier runs on similar data are tried, and those of this one kept.
        say: Told a line at a time what happens.
        started: `time.monotonic()` at which the clock began; None: now.

    Raises:
        InputError: the file or an option cannot be used.
        NoCandidateError: nothing keeps the budget.
    """
    from hybrids.families import FAMILIES

    started = time.monotonic() if started is None else started
    unknown = [f for f in families if f not in FAMILIES]
    if unknown:
        raise InputError(f"no family is named {unknown[0]!r}.", f"choose from {', '.join(FAMILIES)}.")
    if trials is not None and time_limit_s is not None:
        raise InputError("trials and time_limit_s are given together.", "give one of them.")
    if trials is None and time_limit_s is None:
        time_limit_s = PRESETS["medium"]
    run = Run(Path(out) if out else Path(f"{Path(data).name.split('.')[0]}-run"))
    fresh(run, resume)
    own = own_rules(Path(rules)) if rules else ()
    scenario = None if scenario is None else scenario_key(scenario)
    if target_device:
        calibrations.load_target(Path(target_device))  # refused before anything is read
    if task is None and horizon is not None:
        task = "forecast"
    options = ReadOptions(task=task, target=tuple(target), time=time_column, id=id_column, known=tuple(known))
    dataset = _read(Path(data), options)
    say(f"data: {dataset.format}")
    for words in (*dataset.rivals, *dataset.notes):
        say(f"  {words}")
    held = read(Path(test), options, like=dataset) if test else None
    for words in held.notes if held else ():
        say(f"  test file: {words}")
    request = Request(
        data=str(Path(data).resolve()),
        test=str(Path(test).resolve()) if test else None,
        task=dataset.task,
        target=tuple(target),
        time=time_column,
        id=id_column,
        known=tuple(known),
        horizon=horizon,
        device=device,
        time_limit_s=None if trials is not None else time_limit_s,
        trials=trials,
        families=tuple(families),
        seed=seed,
        streaming=(budget or Budget()).streaming,
        scenario=scenario,
        rules=str(Path(rules).resolve()) if rules else None,
        target_device=str(Path(target_device).resolve()) if target_device else None,
        missing_operators=tuple(missing_operators),
        committee=committee,
        networks_only=networks_only,
        store=store,
    )
    from advisor.carry_out import carry_out

    machine = device_profile(device)
    return carry_out(run, dataset, held, own, machine, request, budget or Budget(), say, started)


def fresh(run: Run, resume: bool) -> None:
    """Make sure that the folder is free, or that there is something to go on with.

    Raises:
        InputError: a run is there already, or none is.
    """
    there = (run.path / "run.json").exists()
    if resume and not there:
        raise InputError(f"{run.path} holds no run to resume.", "leave out --resume to begin one.")
    if there and not resume:
        raise InputError(
            f"{run.path} holds a run already.",
            f"go on with `advisor resume {run.path}`, add --resume to go on with another budget, or say --out ANOTHER.",
        )
    if run.path.exists() and not run.path.is_dir():
        raise InputError(f"{run.path} is not a folder.", "say --out ANOTHER.")
