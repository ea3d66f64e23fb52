"""What `profiles.reach` answers: how far back the output of a network depends on its input, in words. No torch."""

from pydantic import BaseModel, ConfigDict, Field

ALL = 0.9
"""A reach of this share of what was looked at is "as far as was looked": a flat curve has 1 - SHARE."""


class GradientReach(BaseModel):
    """How far back one network's output depends on its input."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    words: str
    """The network, for people."""
    trained: bool
    reach_steps: int = Field(ge=0)
    """Steps back within which 99 % of the gradient lies; raw steps of the series where patches make the tokens."""
    looked: int = Field(ge=0)
    """Greatest distance there was to look at, in steps."""
    distances: tuple[int, ...]
    norms: tuple[float, ...]
    """Mean gradient norm around each distance, over the greatest of them."""
    fade: float | None
    """Norm at the greatest distance over that at distance 1: below 1 it vanishes, above it explodes. None where that at
    distance 1 is 0."""
    answer_steps: int | None = None
    """The reach of the whole answer, which a head may read past the network: from all tokens, or by a linear path from
    the window. None where there is no head, or where it starts at zero and answers the same for every input."""
    rows: int
    notes: tuple[str, ...] = ()
    """Rows that were left out and what was cut, one sentence each."""

    @property
    def all_the_way(self) -> bool:
        """Whether it reaches as far as was looked: the true reach may be longer."""
        return self.reach_steps >= ALL * self.looked


def compare(reach: GradientReach, needed_steps: int) -> str:
    """Return one sentence or two: what the network reaches beside what the data needs, in steps.

    >>> gru = GradientReach(words="GRU", trained=True, reach_steps=140, looked=500, distances=(), norms=(), fade=0.0,
    ...     rows=8)
    >>> compare(gru, 400)
    'This model (GRU) reaches 140 steps; your data needs 400.'
    """
    far = f"as far back as it is given ({_steps(reach.looked)})" if reach.all_the_way else _steps(reach.reach_steps)
    says = f"This model ({reach.words}) reaches {far}; your data needs {needed_steps}"
    if reach.all_the_way:
        return f"{says}{': it would have to be given more' * (needed_steps > reach.looked)}."
    if reach.reach_steps < needed_steps and (reach.answer_steps or 0) > reach.reach_steps:
        return f"{says}. Its head reads {_steps(reach.answer_steps or 0)} back, but each for itself."
    return f"{says}."


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"
