"""`python -m benchmarks.quality.answer TOOL FOLDER OUT --seconds N --seed N`: one tool on one data set.

Run by the interpreter of the tool's environment; imports nothing of the project but the neutral folder and the adapter.
"""

import argparse
import importlib
from pathlib import Path

from benchmarks.quality.folder import read_meta


def main() -> None:
    """Parse, and let the adapter answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    adapter = importlib.import_module(f"benchmarks.quality.tools.{given.tool}_tool")
    adapter.answer(given.folder, read_meta(given.folder), given.out, given.seconds, given.seed)


if __name__ == "__main__":
    main()
