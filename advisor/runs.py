"""The run folder: where each record lives, written atomically, and read back."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from advisor.errors import InputError
from advisor.records import Recommendation, Trial

FIELDS = TypeAdapter(dict[str, Any])
"""What every JSON file of a run holds."""


def write_text(path: Path, text: str) -> None:
    """Replace the file in one step: a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def last_of_each(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials without those that a later one of the same number replaced."""
    return list({trial.number: trial for trial in trials}.values())


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Refuse what a file holds where it is not what this version writes there.

    Raises:
        InputError: it is damaged, or of another version.
    """
    try:
        yield
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        why = str(error)
        if isinstance(error, ValidationError):
            (first, *_) = error.errors()
            why = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise InputError(
            f"{file} is damaged or of another version ({why}).", "recommend again with this version and --out ANOTHER."
        ) from error


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
            InputError: the folder is not a run, has not got that far, or the file is damaged.
        """
        file = self.path / f"{name}.json"
        if not file.exists():
            raise InputError(
                f"{self.path} has no {file.name}.",
                "give the folder that `advisor recommend` wrote; finish a stopped one with `advisor resume`.",
            )
        with readable(file):
            return FIELDS.validate_python(json.loads(file.read_text(encoding="utf-8")))

    def add_trial(self, trial: Trial) -> None:
        """Append one finished trial and put it on disk."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "trials.jsonl").open("a", encoding="utf-8") as file:
            file.write(trial.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def trials(self) -> list[Trial]:
        """Return the finished trials, of each number the last; a line cut short by a crash is dropped.

        Raises:
            InputError: another line is damaged or of another version.
        """
        file = self.path / "trials.jsonl"
        if not file.exists():
            return []
        with readable(file):
            text = file.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                text = text[: text.rfind("\n") + 1]
                write_text(file, text)
            return last_of_each(Trial.model_validate_json(line) for line in text.splitlines())

    def recommendation(self) -> Recommendation:
        """Return the recommendation of a finished run.

        Raises:
            InputError: there is none, or it is damaged or of another version.
        """
        with readable(self.path / "recommendation.json"):
            return Recommendation.model_validate(self.read("recommendation"))
