"""The run folder: where each record lives, written atomically, and read back."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from advisor.errors import InputError
from advisor.records import Recommendation, Trial


def write_text(path: Path, text: str) -> None:
    """Replace the file in one step: a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Run:
    """One run folder.

    Args:
        path: The folder; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / "work"

    def write(self, name: str, record: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
        """Write `name`.json."""
        data: Any = record
        if isinstance(record, BaseModel):
            data = record.model_dump(mode="json")
        elif not isinstance(record, dict):
            data = [one.model_dump(mode="json") for one in record]
        write_text(self.path / f"{name}.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def read(self, name: str) -> dict[str, Any]:
        """Return the content of `name`.json.

        Raises:
            InputError: the folder is not a run, or has not got that far.
        """
        file = self.path / f"{name}.json"
        if not file.exists():
            raise InputError(
                f"{self.path} has no {file.name}.",
                "give the folder that `advisor recommend` wrote; finish a stopped one with `advisor resume`.",
            )
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def add_trial(self, trial: Trial) -> None:
        """Append one finished trial and put it on disk."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "trials.jsonl").open("a", encoding="utf-8") as file:
            file.write(trial.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def trials(self) -> list[Trial]:
        """Return the finished trials; a line cut short by a crash is dropped."""
        file = self.path / "trials.jsonl"
        if not file.exists():
            return []
        text = file.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            text = text[: text.rfind("\n") + 1]
            write_text(file, text)
        return [Trial.model_validate_json(line) for line in text.splitlines()]

    def recommendation(self) -> Recommendation:
        """Return the recommendation of a finished run."""
        return Recommendation.model_validate(self.read("recommendation"))
