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

from advisor.errors import InputError
from advisor.lab.claim import Claim, Conditions, Finding
from advisor.report.charts import Chart, Line
from advisor.runs import write_text
from profiles.device import DeviceError, resolve

__all__ = ["Chart", "Claim", "Conditions", "Finding", "Line", "about", "asked", "claims", "lines", "run_lab"]

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
    """Return the page of a claim: what the document says, how it is measured, what would refute it.

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
        InputError: no claim has that key, or the device is not there.
    """
    wanted = asked(keys)
    try:
        resolve(conditions.device)
    except DeviceError as error:
        raise InputError(error.message, error.hint) from error
    found = []
    for key in wanted:
        say(f"{key}: {_title(key)}")
        try:
            finding = _measured(claims()[key], conditions)
        except Exception as error:  # whatever one claim lacks on this device is told and does not end the others
            (first, *_) = [*str(error).strip().splitlines(), ""]
            say(f"{key}: could not be measured here: {type(error).__name__}: {first[:200]}")
            continue
        write_text(out / f"{key}.json", finding.model_dump_json(indent=1) + "\n")
        say(f"{key}: {finding.verdict} ({finding.seconds:.1f} s)")
        found.append(finding)
    return tuple(found)


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the findings as lines for a terminal: key, verdict and claim, then the result below."""
    widest = max((len(finding.key) for finding in findings), default=0)
    said = []
    for finding in findings:
        said.append(f"{finding.key:<{widest}}  {finding.verdict:<13}  {finding.says} ({finding.document})")
        said.append(f"{'':<{widest}}  {'':<13}  {finding.result}")
    return said


def _measured(claim: Claim, conditions: Conditions) -> Finding:
    """Return the finding with its seconds, measured from the seed and with the threads of the conditions."""
    import torch

    from advisor.lab.timing import threads

    began = time.perf_counter()
    with threads(conditions.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(conditions.seed)
        finding = claim(conditions)
    return finding.model_copy(update={"seconds": round(time.perf_counter() - began, 2)})


def _title(key: str) -> str:
    return about(key).partition("\n")[0].partition(": ")[2]


def _place(key: str) -> int:
    return int(key.removeprefix("CL"))
