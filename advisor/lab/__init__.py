"""The documents' claims CL1 to CL13 as small experiments on the user's device: `run_lab`, `page.write_page`.

A claim is a public function of one of `MODULES` that takes conditions; its key opens its docstring, which is its page.
"""

import inspect
import re
import time
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from advisor.errors import InputError
from advisor.lab.claim import Claim, Conditions, Finding
from advisor.report.charts import Chart, Line
from advisor.runs import write_text
from profiles.device import DeviceError, resolve

__all__ = [
    "Chart",
    "Claim",
    "Conditions",
    "Finding",
    "Line",
    "about",
    "asked",
    "claims",
    "gathered",
    "lines",
    "run_lab",
    "unlike",
]

MODULES = ("distance", "speed", "training", "recurrent", "memory")


@cache
def claims() -> Mapping[str, Claim]:
    """Return key -> claim, CL1 first; loads torch."""
    found = {
        opening[1]: claim
        for module in (import_module(f"{__name__}.{name}") for name in MODULES)
        for _, claim in inspect.getmembers(module, inspect.isfunction)
        if claim.__module__ == module.__name__ and list(inspect.signature(claim).parameters) == ["at"]
        if (opening := re.match(r"(CL\d+): ", inspect.getdoc(claim) or ""))
    }
    return MappingProxyType({key: found[key] for key in sorted(found, key=_place)})


def about(key: str) -> str:
    """Return the page of a claim: what the document says, how it is measured, where it holds.

    Raises:
        InputError: no claim has that key; the hint offers the nearest.
    """
    (found,) = asked([key])
    return inspect.getdoc(claims()[found]) or ""


def asked(keys: Sequence[str]) -> tuple[str, ...]:
    """Return the keys in order, each once; all of them where none is named.

    Raises:
        InputError: no claim has that key; the hint offers the nearest.
    """
    wanted = {key.upper() for key in keys} or set(claims())
    for key in keys:
        if key.upper() not in claims():
            near = get_close_matches(key.upper(), claims(), cutoff=0.5) or list(claims())
            raise InputError(f"no claim has the key {key!r}.", f"Did you mean {' or '.join(near)}?")
    return tuple(key for key in claims() if key in wanted)


def run_lab(keys: Sequence[str], conditions: Conditions, say: Callable[[str], None], out: Path) -> tuple[Finding, ...]:
    """Measure claims one after another and write each finding to OUT/CLn.json as soon as it is there.

    A claim that fails is told through `say` and has no finding; the others go on. Threads and random state of torch on
    the CPU are put back.

    Args:
        keys: Of the claims, in any case and order; empty for all.
        conditions: Where and how thoroughly.
        say: Takes one line about each claim.
        out: The folder; made when first written to.

    Raises:
        InputError: no claim has that key, the device is not there, or not one of the claims could be measured.
    """
    wanted = asked(keys)
    try:
        resolve(conditions.device)
    except DeviceError as error:
        raise InputError(error.message, error.hint) from error
    found, failed = list[Finding](), list[str]()
    for key in wanted:
        say(f"{key}: {_title(key)}")
        try:
            finding = _measured(claims()[key], conditions)
        except Exception as error:  # whatever one claim lacks on this device is told and does not end the others
            (first, *_) = [*str(error).strip().splitlines(), ""]
            failed.append(f"{type(error).__name__}: {first[:200]}")
            say(f"{key}: could not be measured here: {failed[-1]}")
            continue
        write_text(out / f"{key}.json", finding.model_dump_json(indent=1) + "\n")
        say(f"{key}: {finding.verdict} ({finding.seconds:.1f} s)")
        found.append(finding)
    if not found:
        raise InputError(
            f"none of the claims could be measured here ({', '.join(wanted)}); the first ended with {failed[0]}.",
            "try another --device, such as cpu, or other claims.",
        )
    return tuple(found)


def gathered(out: Path, conditions: Conditions) -> tuple[Finding, ...]:
    """Return the findings of OUT/CLn.json that were measured under equal conditions, in the order of the claims."""
    return tuple(one for one in _saved(out).values() if one is not None and one.under == conditions)


def unlike(out: Path, conditions: Conditions) -> tuple[str, ...]:
    """Return the keys whose OUT/CLn.json `gathered` leaves out: of other or unknown conditions, or not a finding."""
    return tuple(key for key, one in _saved(out).items() if one is None or one.under != conditions)


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the findings as lines for a terminal: key, verdict and claim, then the result below."""
    widest = max((len(finding.key) for finding in findings), default=0)
    said = []
    for finding in findings:
        said.append(f"{finding.key:<{widest}}  {finding.verdict:<13}  {finding.says} ({finding.document})")
        said.append(f"{'':<{widest}}  {'':<13}  {finding.result}")
    return said


def _measured(claim: Claim, conditions: Conditions) -> Finding:
    """Return the finding with its seconds and the conditions, measured with their seed and threads."""
    import torch

    from advisor.lab.timing import threads

    began = time.perf_counter()
    with threads(conditions.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(conditions.seed)
        finding = claim(conditions)
    return finding.model_copy(update={"seconds": round(time.perf_counter() - began, 2), "under": conditions})


def _saved(out: Path) -> dict[str, Finding | None]:
    """Return what OUT/CLn.json holds, None where it is not the finding of that claim."""
    found = dict[str, Finding | None]()
    for key in claims():
        path = out / f"{key}.json"
        if not path.is_file():
            continue
        try:
            one = Finding.model_validate_json(path.read_bytes())
        except ValidationError:
            found[key] = None
        else:
            found[key] = one if one.key == key else None
    return found


def _title(key: str) -> str:
    return about(key).partition("\n")[0].partition(": ")[2]


def _place(key: str) -> int:
    return int(key.removeprefix("CL"))
