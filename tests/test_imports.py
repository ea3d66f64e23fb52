"""The light ways in stay light: nothing that only looks at words loads PyTorch."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter at the top of the repository; a failure fails the test with what it said."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def loaded(*command: str) -> set[str]:
    """Return the top-level packages that a fresh `python COMMAND` imports."""
    errors = python("-X", "importtime", *command).stderr
    return set(re.findall(r"^import time:.*\|\s+(\w+)", errors, re.M))


def test_the_probe_sees_what_is_imported():
    assert "colorsys" in loaded("-c", "import colorsys")


@pytest.mark.parametrize(
    "command",
    [("-c", "import advisor"), ("-c", "import advisor.errors"), ("-m", "advisor", "--help")],
    ids=" ".join,
)
def test_torch_is_not_loaded_by(command):
    assert not loaded(*command) & {"torch", "optuna", "sklearn"}


@pytest.mark.parametrize("name", ["recommend", "inspect", "load_run"])
def test_the_python_names_are_functions_also_after_their_modules_were_imported(name):
    python(
        "-c",
        f"import importlib, advisor; importlib.import_module(advisor.{name}.__module__); "
        f"from advisor import {name}; assert callable({name}), {name}",
    )


def test_help_answers_within_six_tenths_of_a_second():
    def seconds() -> float:
        start = time.perf_counter()
        python("-m", "advisor", "--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.6
