"""What can be asked of a set of sequences."""

from typing import Literal

Task = Literal["classify", "regress", "forecast"]
