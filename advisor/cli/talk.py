"""What the verbs share: how they speak, which errors they turn into words, the options of several verbs."""

import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

STARTED = time.monotonic()
FILE = click.Path(path_type=Path)


class Seconds(click.ParamType[float]):
    """A time such as 90, 90s, 3m or 1h, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", str(value).strip())
        seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2] or "s"] if found else 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is not a time such as 90s, 3m or 1h.", param, ctx)
        return seconds


class Finite(click.FloatRange):
    """A number in a range; NaN and infinity, which pass an open range, are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        from advisor.errors import InputError

        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            name = param.opts[0] if param else "the value"
            raise InputError(f"{name} is {value}.", "give a finite number.")
        return found


class Verbs(click.Group):
    """Turns a deliberate error and one of the system into one line and a hint on stderr, with its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen verb."""
        from advisor.errors import AdvisorError

        try:
            return super().invoke(ctx)
        except AdvisorError as error:
            click.echo(f"error: {error.message}\nhint: {error.hint}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\ninterrupted.", err=True)
            ctx.exit(130)
        except ConnectionError:  # a pipe that nobody reads any more, which click ends quietly
            raise
        except OSError as error:
            words = error.strerror or str(error) or type(error).__name__
            where = "" if error.filename is None else f"{error.filename}: "
            click.echo(f"error: {where}{words}.\nhint: check the path, its rights and the free space.", err=True)
            ctx.exit(2)


def say(line: str) -> None:
    """Tell the user what happens, on stderr."""
    click.echo(line, err=True)


def as_json(record: Any) -> None:
    """Print a record or a plain value as JSON on stdout."""
    data = record.model_dump(mode="json") if hasattr(record, "model_dump") else record
    click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how to read a file."""
    for option in (
        click.option("--known", multiple=True, help="Column known for the steps to forecast, too (repeat it)."),
        click.option("--id", "id_column", help="Column that tells series apart."),
        click.option("--time", "time_column", help="Column of the time stamps."),
        click.option("--target", multiple=True, help="Label column, or the columns to forecast (repeat it)."),
        click.option("--task", type=click.Choice(["classify", "regress", "forecast"]), help="Guessed if left out."),
    ):
        command = option(command)
    return command


JSON = click.option("--json", "to_json", is_flag=True, help="Print the record instead of text.")


def facts(record: Any) -> None:
    """Print the fields of a record that hold something, one a line."""
    for name, value in record.model_dump(mode="json").items():
        if value not in (None, [], ()):
            shown = f"{value:.6g}" if isinstance(value, float) else value
            click.echo(f"{name}: {shown}")


def listed(text: str | None) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
