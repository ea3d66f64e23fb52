"""The advisor restricted to trained networks: no linear models, trees or random convolutions."""

import subprocess
import sys
from pathlib import Path

from benchmarks.quality.folder import Meta
from benchmarks.quality.tools import ours_tool


def answer(folder: Path, meta: Meta, out: Path, seconds: int, seed: int) -> None:
    """Answer as `ours` does, under the same key.

    Raises:
        RuntimeError: The command line has no such option.
    """
    help_text = subprocess.run(
        [sys.executable, "-m", "advisor", "recommend", "--help"], check=True, capture_output=True, text=True
    ).stdout
    if ours_tool.NETWORKS_ONLY not in help_text:
        raise RuntimeError(f"advisor recommend has no {ours_tool.NETWORKS_ONLY}")
    ours_tool.answer(folder, meta, out, seconds, seed, ours_tool.NETWORKS_ONLY)
