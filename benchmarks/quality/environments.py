"""The environments of the peers: `benchmarks/.environments/<tool>`, made from the package index where missing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".environments"
PACKAGES: dict[str, tuple[str, ...]] = {
    "autogluon": ("autogluon.timeseries==1.6.3", "torch==2.13.0"),
    "neuralforecast": ("neuralforecast==3.3.0", "optuna==5.0.0", "torch==2.13.0"),
    "aeon": ("aeon==1.6.0", "torch==2.13.0"),
}


def python_of(tool: str, say: Callable[[str], None]) -> Path:
    """Return the interpreter that runs a tool: ours for our own, else that of its environment, made if need be.

    Raises:
        RuntimeError: The environment could not be made; pip has said why.
    """
    if tool not in PACKAGES:
        return Path(sys.executable)
    home = FOLDER / tool
    python, stamp = home / "bin" / "python", home / "packages.txt"
    wanted = "\n".join(PACKAGES[tool])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"{tool}: making {home} ({', '.join(PACKAGES[tool])})")
    home.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[tool]],
    ):
        if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
            raise RuntimeError(f"the environment of {tool} could not be made: {' '.join(command)}")
    stamp.write_text(wanted)
    return python
