"""Calibrations on disk: the cache of this user, and target files.

The cache has one file a device, number of cores, torch version and thread count. One that noise makes useless never
replaces one that can be relied on.

The folder is ADVISOR_CACHE/calibrations, else XDG_CACHE_HOME/advisor/calibrations, else ~/.cache/advisor/calibrations.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from advisor.errors import InputError
from profiles.calibration import Calibration, calibrate, write
from profiles.crossover import why_none
from profiles.device import DeviceProfile, measure_device

if TYPE_CHECKING:
    from profiles.target import Target

THREADS = 1
"""Threads that candidates are measured with."""
QUICK_LEAST_S, QUICK_SECONDS = 10.0, 30.0
"""Least and most for a calibration only for the ratio to a target; with less, curves have too few points."""
QUICK_LENGTHS = (16, 32, 64, 128, 256, 512)
"""Of such a calibration: candidates see few tokens, and the error of longer ones is widened."""
HOW = "write one there with `advisor device --calibrate -o FILE` or `python -m profiles.calibration -o FILE`."


class Stored(NamedTuple):
    """What became of a calibration that was to be kept."""

    path: Path
    """File of this device in the cache."""
    replaced: bool
    """Whether the file is the new calibration; if not, the earlier one was kept."""
    says: str
    """The above in words."""


def folder() -> Path:
    """Return where calibrations are kept; it need not exist."""
    if own := os.environ.get("ADVISOR_CACHE"):
        return Path(own) / "calibrations"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "advisor" / "calibrations"


def path_of(device: DeviceProfile, threads: int = THREADS) -> Path:
    """Return the file of a device, number of cores, torch version and thread count."""
    key = "|".join((device.kind, device.name, str(device.cores), device.torch, str(threads)))
    words = re.sub(r"[^a-z0-9.]+", "-", f"{device.kind} {device.name} torch {device.torch} {threads}".lower())
    return folder() / f"{words.strip('-')[:80]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.json"


def cached(device: DeviceProfile, threads: int = THREADS) -> Calibration | None:
    """Return the calibration of a device; None where there is none that this version can read."""
    try:
        return Calibration.model_validate_json(path_of(device, threads).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def store(calibration: Calibration) -> Stored:
    """Keep a calibration for the next time, unless it is too noisy and an earlier one is not."""
    path = path_of(calibration.device, calibration.threads)
    earlier = cached(calibration.device, calibration.threads)
    if earlier is not None and calibration.noise.too_noisy and not earlier.noise.too_noisy:
        return Stored(path, False, f"not kept, too noisy; the calibration of {earlier.date} stays in {path}")
    write(calibration, path)
    return Stored(path, True, f"kept in {path}")


def said_of(device: DeviceProfile) -> str:
    """Return in one line whether a device is calibrated, and what that says."""
    found = cached(device)
    if found is None:
        return "not calibrated: advisor device --calibrate takes two minutes"
    if found.noise.too_noisy:
        return f"calibrated {found.date}, too noisy to rely on the crossovers: repeat advisor device --calibrate"
    return f"calibrated {found.date}: {found.crossovers.says if found.crossovers else why_none(found.training)}"


def load_target(path: str | Path) -> Calibration:
    """Return the calibration in a file.

    Raises:
        InputError: no such file, not JSON, or not a calibration of this version.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"there is no target device file {file}.", HOW) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the target device file {file} cannot be read: {error}.", HOW) from error
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"the target device file {file} is not JSON: {error}.", HOW) from error
    try:
        return Calibration.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(
            f"the target device file {file} is not a calibration of this version: {where}: {first['msg']}.", HOW
        ) from error


def target_of(
    path: str | Path,
    device: str,
    families: Sequence[str],
    *,
    seconds: float = QUICK_SECONDS,
    say: Callable[[str], None] = lambda words: None,
) -> "Target":
    """Return what is needed to judge for the device of a file while measuring on `device`.

    This device's side comes from the cache where width and depth are those of the file; else the families are
    calibrated now, at few lengths, which is not kept.

    Args:
        path: Calibration of the target.
        device: Where candidates are measured.
        families: That may be judged.
        seconds: For a calibration of this device, if one is needed; at least 10 and at most 30 are taken.
        say: Told what is done.

    Raises:
        InputError: the file cannot be used.
        DeviceError: this machine has no such device.
    """
    from hybrids.families import FAMILIES
    from profiles.target import STAND_IN, target

    there = load_target(path)
    here = cached(measure_device(device), THREADS)
    sizes = (there.shape.width, there.shape.depth)
    if here is None or (here.shape.width, here.shape.depth) != sizes:
        seconds = min(max(seconds, QUICK_LEAST_S), QUICK_SECONDS)
        known = [name for name in families if name in FAMILIES and FAMILIES[name].variants]
        needed = tuple(dict.fromkeys([*known, STAND_IN]))
        say(f"no calibration of this device is cached: {len(needed)} families are timed, at most {seconds:.0f} s")
        here = calibrate(
            device, seconds, families=needed, lengths=QUICK_LENGTHS, shape=there.shape, threads=THREADS, say=say
        )
    return target(there, here)
