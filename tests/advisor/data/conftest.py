"""Where the shared files lie, and a way to write small ones."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def shared():
    """Return the folder of real files, or skip."""
    if not SHARED.is_dir():
        pytest.skip("the real data files (../shared/data) are not on this computer")
    return SHARED


@pytest.fixture
def write(tmp_path):
    """Return a function that writes text to a fresh file and gives its path."""

    def write(text, name="file.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
