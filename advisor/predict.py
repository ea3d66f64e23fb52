"""Answers of a run's model for a new file.

forecast: `unique_id, ds, yhat, yhat-lo-80, yhat-hi-80`, the next `horizon` stamps after each series; classify: `id,
prediction, p_<class>`; regress: `id, prediction`. Ids need not have been seen in training.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError
from torch import nn

from advisor.artifact import ModelCard, load_model
from advisor.data import Dataset, ReadOptions, read
from advisor.data.ahead import ahead_of
from advisor.data.calendar import calendar_channels
from advisor.errors import InputError, MissingExtraError
from advisor.records import Request
from advisor.runs import Run

SUFFIXES = (".csv", ".json", ".parquet")
MOST_VALUES = 2**22
"""Most padded steps in one batch, so that long series do not need more memory than short ones."""


def predict(run: Path, data: Path, out: Path | None = None) -> pd.DataFrame:
    """Return the answers for every series of a file; write them if `out` is given.

    Args:
        run: A run folder with a finished model.
        data: A file of the same kind as the training file; labels may be absent, and are not read.
        out: `.csv`, `.json` (a list of rows) or `.parquet`; replaced in one step.

    Returns:
        One row a series, or a series and step ahead. `attrs["notes"]` says what was filled, dropped or doubtful.

    Raises:
        InputError: No finished run, an unreadable file, other channels than in training, or an unknown suffix.
        MissingExtraError: Parquet without pyarrow.
    """
    run, data = Path(run), Path(data)
    if out is not None and Path(out).suffix.lower() not in SUFFIXES:
        raise InputError(f"{out} ends in {Path(out).suffix!r}.", f"end it in {', '.join(SUFFIXES)}.")
    model, card = load_model(run / "model")
    try:
        request = Request.model_validate(Run(run).read("run").get("request"))
    except (ValidationError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{run / 'run.json'} is damaged.", "recommend again.") from error
    options = ReadOptions(task=card.task, target=request.target, time=request.time, id=request.id, known=request.known)
    frame = predict_dataset(model, card, read(data, options, like=trained_like(card)))
    if out is not None:
        write_frame(frame, Path(out))
    return frame


def trained_like(card: ModelCard) -> Dataset:
    """Return a stand-in for the training set: what a reader needs to read a file in the same way.

    Where all training series had one length it holds a row of that length, not a number in it, so that a file
    without labels is told from one with them. It has no labels itself, so that those of a file are not read.
    """
    fixed = card.train_length_min == card.train_length_max and card.task != "forecast"
    row = np.full((card.train_length_max, len(card.read)), np.nan, np.float32)
    stamps: tuple[pd.Index, ...] | None = None
    if card.freq is not None:
        stamps = (pd.DatetimeIndex([]),)
    elif card.step is not None:
        stamps = (pd.RangeIndex(0, card.step, card.step),)
    return Dataset(
        "training", card.task, (), (row,) if fixed else (), card.read, classes=card.classes,
        stamps=stamps if card.task == "forecast" else None, freq=card.freq, id_columns=card.id_columns,
    )  # fmt: skip


def predict_dataset(model: nn.Module, card: ModelCard, dataset: Dataset, batch: int = 256) -> pd.DataFrame:
    """Return the answers for every series, in the order of the dataset; see `predict`.

    Args:
        model: As `load_model` returns it.
        card: Its card.
        dataset: What to answer for.
        batch: Most series at a time; fewer where they are long.

    Raises:
        InputError: Another task or another number of channels than the model's; dates without a known step.
    """
    if dataset.task != card.task:
        raise InputError(
            f"the file is for {dataset.task}, the model for {card.task}.", f"give --task {card.task} data."
        )
    odd = next((s for s in dataset.series if s.ndim != 2 or s.shape[1] != len(card.read)), None)
    if odd is not None:
        raise InputError(
            f"a series has shape {odd.shape}, the model reads {len(card.read)} channels: {', '.join(card.read[:8])}.",
            "give the channels of the training file, in the same order.",
        )
    if card.calendar and not all(isinstance(index, pd.DatetimeIndex) for index in dataset.stamps or (None,)):
        raise InputError("the file has step numbers, the model reads dates.", "give the time column of the training.")
    _refuse_unknown(card, dataset)
    answers = _answers(model, card, dataset, max(1, batch))
    notes = list(dataset.notes)
    lost = int((~np.isfinite(answers.reshape(len(answers), -1)).all(axis=1)).sum())
    if lost:
        notes.append(f"{lost} of {len(answers)} series got an answer that is not a finite number.")
    brief = sum(len(s) < (card.horizon or 0) for s in dataset.series) if card.ahead else 0
    if brief:
        notes.append(
            f"{brief} series are shorter than the horizon: of what is known ahead only the last steps are read."
        )
    longer = sum(len(s) > card.train_length_max for s in dataset.series)
    if longer and card.task != "forecast":
        notes.append(f"{longer} series are longer than any in training ({card.train_length_max} steps).")
    match card.task:
        case "classify":
            frame = _classes(answers, card, dataset)
        case "regress":
            frame = pd.DataFrame({"id": list(dataset.ids), "prediction": answers})
        case "forecast":
            frame = _forecast(answers, card, dataset)
    frame.attrs["notes"] = notes
    return frame


def _refuse_unknown(card: ModelCard, dataset: Dataset) -> None:
    """Refuse series that do not say what the model was trained to know ahead.

    Raises:
        InputError: Other columns are known ahead, or rows are lacking after the last value of the target.
    """
    if dataset.known != card.ahead or (card.ahead and len(dataset.future) != len(dataset)):
        names = [", ".join(some) or "nothing" for some in (dataset.known, card.ahead)]
        raise InputError(
            f"the file was read with {names[0]} known ahead, the model with {names[1]}.",
            "read it as the training file.",
        )
    for name, future in zip(dataset.ids, dataset.future, strict=False):
        if len(future) < (card.horizon or 0):
            raise InputError(
                f"series {name!r} holds {', '.join(card.ahead)} for {len(future)} steps after its last value, the "
                f"model reads {card.horizon}.",
                "add rows with these columns and a blank target.",
            )


@torch.no_grad()
def _answers(model: nn.Module, card: ModelCard, dataset: Dataset, batch: int) -> np.ndarray:
    """Return the model's outputs, float64 (series, ...), from batches of series of similar length."""
    own, known = len(card.read), list(dataset.known_places)
    lengths = np.array([len(s) for s in dataset.series])
    order = np.argsort(lengths, kind="stable")
    device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    parts: list[np.ndarray] = []
    begin = 0
    while begin < len(order):
        end = begin + 1
        while end < len(order) and end - begin < batch and (end + 1 - begin) * lengths[order[end]] <= MOST_VALUES:
            end += 1
        rows = order[begin:end]
        x = np.zeros((len(rows), lengths[rows].max(), len(card.channels)), np.float32)
        for i, row in enumerate(rows):
            x[i, : lengths[row], :own] = dataset.series[row]
            if card.calendar and dataset.stamps:
                calendar = slice(own, own + len(card.calendar))
                x[i, : lengths[row], calendar] = calendar_channels(dataset.stamps[row], card.calendar)
            if known:
                future = ahead_of(dataset.series[row][:, known], dataset.future[row], card.horizon or 0)
                x[i, : lengths[row], -len(known) :] = future
        out = model(torch.from_numpy(x).to(device), torch.from_numpy(lengths[rows]).to(device))
        parts.append(out.double().cpu().numpy())
        begin = end
    if not parts:
        raise InputError(f"{dataset.name} has no series.", "check the file.")
    sorted_answers = np.concatenate(parts)
    answers = np.empty_like(sorted_answers)
    answers[order] = sorted_answers
    return answers


def _classes(logits: np.ndarray, card: ModelCard, dataset: Dataset) -> pd.DataFrame:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    columns: dict[str, object] = {
        "id": list(dataset.ids), "prediction": [card.classes[k] for k in logits.argmax(axis=1)],
    }  # fmt: skip
    columns.update({f"p_{name}": shares[:, k] for k, name in enumerate(card.classes)})
    return pd.DataFrame(columns)


def _forecast(quantiles: np.ndarray, card: ModelCard, dataset: Dataset) -> pd.DataFrame:
    horizon = quantiles.shape[1]
    freq = dataset.freq or card.freq
    level = round(100 * (card.quantiles[-1] - card.quantiles[0]))
    known: dict[object, pd.Index] = {}
    after: list[pd.Index] = []
    for name, stamps in zip(dataset.ids, dataset.stamps or (), strict=True):
        key = (stamps[-1], getattr(stamps, "step", None))
        if key not in known:
            known[key] = next_stamps(stamps, horizon, freq, name)
        after.append(known[key])
    low, middle, high = (quantiles[..., k].reshape(-1) for k in range(3))
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.array(dataset.ids, dtype=object), horizon),
            "ds": np.concatenate([index.to_numpy() for index in after]),
            "yhat": middle,
            f"yhat-lo-{level}": low,
            f"yhat-hi-{level}": high,
        }
    )


def next_stamps(stamps: pd.Index, horizon: int, freq: str | None, name: str = "") -> pd.Index:
    """Return the `horizon` stamps that follow: integers go on by their step, dates by `freq`.

    Raises:
        InputError: Dates without a step.
    """
    last = stamps[-1]
    if isinstance(stamps, pd.RangeIndex):
        return pd.RangeIndex(last + stamps.step, last + (horizon + 1) * stamps.step, stamps.step)
    if not isinstance(stamps, pd.DatetimeIndex) or freq is None:
        raise InputError(f"the time step of series {name!r} is not known.", "give at least two dated rows of a series.")
    dates = pd.date_range(last, periods=horizon + 1, freq=freq)
    return dates[1:] if dates[0] == last else dates[:-1]


def write_frame(frame: pd.DataFrame, out: Path) -> None:
    """Write a table in the format of the suffix; the file is replaced in one step.

    Raises:
        MissingExtraError: Parquet without pyarrow.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        match out.suffix.lower():
            case ".parquet":
                try:
                    frame.to_parquet(temporary, index=False)
                except ImportError as error:
                    raise MissingExtraError(
                        f"{out.name}: writing Parquet needs pyarrow",
                        'pip install "sequence-architecture-advisor[parquet]"',
                    ) from error
            case ".json":
                frame.to_json(temporary, orient="records", date_format="iso", indent=1)
            case _:
                frame.to_csv(temporary, index=False)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
