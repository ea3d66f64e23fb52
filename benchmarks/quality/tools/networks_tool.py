"""The advisor restricted to trained networks: no linear models, trees or random convolutions."""

from pathlib import Path

from benchmarks.quality.folder import Meta
from benchmarks.quality.tools import ours_tool


def answer(folder: Path, meta: Meta, out: Path, seconds: int, seed: int) -> None:
    """Answer as `ours` does, under the same key."""
    ours_tool.answer(folder, meta, out, seconds, seed, ours_tool.NETWORKS_ONLY)
