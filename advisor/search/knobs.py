"""One point of the space of a family, and what is smaller."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hybrids.mixer import Tune


class Knobs(BaseModel):
    """One point of the space of a family; the defaults are where every family starts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    width: Annotated[int, Field(ge=8, le=160), Tune(log=True)] = 48
    """Model width; rounded down to a multiple of 8."""
    depth: Annotated[int, Field(ge=1, le=4), Tune()] = 2
    dropout: Annotated[float, Field(ge=0.0, le=0.4), Tune()] = 0.1
    learning_rate: Annotated[float, Field(ge=5e-4, le=8e-3), Tune(log=True)] = 2.5e-3
    patch_factor: Annotated[float, Field(ge=0.4, le=2.5), Tune(log=True)] = 1.0
    """Factor on the default number of steps between two tokens."""
    look_back_factor: Annotated[float, Field(ge=0.5, le=2.0), Tune(log=True)] = 1.0
    """Factor on the default look-back; forecasting only."""
    variant: str = ""
    """Which pattern of the family's layers; empty for its first."""
    mixer: dict[str, int | float] = {}
    """Settings of the mixers by name, such as "ssm.states"; what is left out is at its default."""


def smaller(knobs: Knobs) -> Knobs | None:
    """Return the next smaller candidate for the cost gate, or None at the floor of the space."""
    if knobs.width > 8:
        return knobs.model_copy(update={"width": max(8, knobs.width // 16 * 8)})
    if knobs.depth > 1:
        return knobs.model_copy(update={"depth": 1})
    return None
