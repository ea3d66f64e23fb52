"""The `.ts` format of the UEA and UCR archives (sktime): `@` header, then dimensions separated by `:`, label last.

Source: "sktime ts file format" (sktime documentation, ts files). Steps are the numbers; `?` and NaN are missing.
"""

import numpy as np

from advisor.data.dataset import Dataset, ReadOptions
from advisor.data.labelled import labelled_dataset
from advisor.data.sniff import Source
from advisor.data.table import parse_numbers
from advisor.errors import InputError
from profiles.task import Task


def is_ts(source: Source) -> bool:
    """Return whether the text has the header of a `.ts` file."""
    first = next((line for line in source.text[:20_000].splitlines() if line.strip() and line[0] != "#"), "")
    return source.suffix == ".ts" or first.lower().startswith("@problemname")


def read_ts(source: Source, options: ReadOptions, like: Dataset | None) -> Dataset:
    """Return the labelled sequences of a `.ts` file.

    Raises:
        InputError: A header this reader does not know, or lines that break it; the message lists them.
    """
    file, notes = source.path.name, list(source.notes)
    tags, body = _split(source)
    if tags.get("timestamps", "false").lower() == "true":
        raise InputError(f"{file}: @timeStamps true is not read", "write plain values, one a step")
    classes = tags.get("classlabel", "false").split()
    numbers = tags.get("targetlabel", "false").lower() == "true"
    has_classes = bool(classes) and classes[0].lower() == "true"
    declared = classes[1:] if has_classes else []
    task: Task = "regress" if numbers else "classify"
    if options.task is not None and options.task != task:
        if options.task == "forecast":
            raise InputError(f"{file}: a .ts file holds labelled sequences, not series to forecast", "leave --task out")
        notes.append(f"The header says {'numbers' if numbers else 'classes'}; read for --task {options.task} as asked.")
        task = options.task
    labelled = has_classes or numbers
    dims = int(tags["dimensions"]) if tags.get("dimensions", "").isdigit() else 0
    equal = tags.get("equallength", "false").lower() == "true"
    rows: list[np.ndarray] = []
    labels: list[str] = []
    wrong: list[str] = []
    for line, text in body:
        parts = text.split(":")
        label = parts.pop().strip() if labelled and len(parts) > 1 else ""
        if labelled and (not label or "," in label):
            wrong.append(f"line {line}: no label")
            continue
        dims = dims or len(parts)
        row, fault = _sequence(parts, dims)
        if row is not None and equal and rows and len(row) != len(rows[0]):
            fault = f"{len(row)} steps where @equalLength true promises {len(rows[0])}"
        elif declared and label not in declared and label != "?" and not fault:
            fault = f"class {label!r} is not in the header"
        if fault or row is None:
            wrong.append(f"line {line}: {fault}")
        else:
            rows.append(row)
            labels.append(label)
    if wrong:
        raise InputError(
            f"{file}: {len(wrong)} lines break its header ({'; '.join(wrong[:8])}{' ...' if len(wrong) > 8 else ''})",
            "correct these lines or the header",
        )
    if not rows:
        raise InputError(f"{file}: no sequences after @data", "check how the file was written")
    rivals = () if numbers else ("it could also be a regression on the label as a number: say --task regress",)
    return labelled_dataset(
        source, rows, labels=labels if labelled else None, ids=None, task=task,
        words=f".ts file of {dims} dimension{'s' * (dims != 1)}",
        rivals=rivals if all(not parse_numbers([name])[1] for name in declared) else (), notes=notes, like=like,
        classes=declared,
    )  # fmt: skip


def _split(source: Source) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Return the header as lower-case tags, and the numbered lines after @data."""
    tags: dict[str, str] = {}
    lines = source.text.splitlines()
    for n, line in enumerate(lines):
        text = line.strip()
        if text.lower() == "@data":
            return tags, [(k, row) for k, row in enumerate(lines[n + 1 :], n + 2) if row.strip() and row[0] != "#"]
        if text.startswith("@"):
            key, _, value = text[1:].partition(" ")
            tags[key.lower()] = value.strip()
        elif text and not text.startswith("#"):
            break
    raise InputError(f"{source.path.name}: no @data line after the header", "write the .ts header, then @data")


def _sequence(parts: list[str], dims: int) -> tuple[np.ndarray | None, str]:
    """Return (length, dims), or what is wrong."""
    if len(parts) != dims:
        return None, f"{len(parts)} dimensions where there should be {dims}"
    columns = []
    for part in parts:
        cells = part.split(",") if part.strip() else []
        values, bad = parse_numbers(cells)
        if bad:
            return None, f"{cells[bad[0]].strip()[:40]!r} is not a number"
        columns.append(values)
    if len({len(column) for column in columns}) > 1:
        return None, f"dimensions of unequal length ({', '.join(str(len(column)) for column in columns[:12])})"
    return np.stack(columns, axis=1), ""
