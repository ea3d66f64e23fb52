"""When a training is judged, and when judging shows that more of it would not help.

A look follows every 1 / `looks` of the training. With few data the best weights of a forecaster come long before the
first of these: so there may be early looks, the first after a sixteenth of that, each then a third further on, as long
as judging costs next to nothing. Accuracies of few cases are too coarse to be picked from that often.
"""

from collections.abc import Sequence

from advisor.records import CurvePoint
from advisor.training.config import TrainConfig

JUDGING = 0.1
"""Largest share of the seconds that go into judging, where seconds are given."""
LITTLE = 0.03
"""Largest share of the seconds between two early looks that the judging may take."""
FIRST, FURTHER = 1 / 16, 1 / 3
"""Of the distance between two regular looks: the first early look. Of what is done: how far on the next one is."""
LEAST_STEPS = 10
"""Between two early looks."""
LEAST_WAIT, WAIT = 0.2, 4.0
"""A training settles where all scores are worse for this share of the whole, and so many times what the best took."""
LEAST_WORSE = 3
"""Looks without a better score, whatever the share, before a training settles."""


def share(config: TrainConfig, step: int, seconds: float) -> float:
    """Return the share of the whole training that is done after `step` steps and `seconds`."""
    return max(step / config.max_steps, seconds / config.seconds if config.seconds is not None else 0.0)


def is_due(config: TrainConfig, since: float, steps: int, looked: float, judging_s: float | None) -> bool:
    """Return whether to look now.

    Args:
        config: Of the training; its `looks` and `seconds` are read.
        since: Share of the training since the last look.
        steps: Steps since then.
        looked: Share of the training that was done at the last look.
        judging_s: What the last look took; None where that is not known.
    """
    regular = 1 / config.looks
    cost = (judging_s or 0.0) / config.seconds if config.seconds is not None else 0.0
    early = max(FURTHER * looked, FIRST * regular, cost / LITTLE)
    known = judging_s is not None or not looked
    if config.early_looks and known and early < regular and steps >= LEAST_STEPS and since >= early:
        return True
    return since >= max(regular, cost / JUDGING)


def has_settled(config: TrainConfig, curve: Sequence[CurvePoint], best: float) -> bool:
    """Return whether nothing was better for so long that a training with early looks may end.

    Args:
        config: Of the training; its `patience` is read.
        curve: All looks, not empty.
        best: The best score among them.
    """
    where = [share(config, point.step, point.seconds) for point in curve]
    bests = [i for i, point in enumerate(curve) if point.quality == best]
    first, last, end = bests[0], bests[-1], len(curve) - 1
    worse = end - last >= LEAST_WORSE and where[end] - where[last] >= max(LEAST_WAIT, WAIT * where[last])
    return worse or (end - first >= LEAST_WORSE and where[end] - where[first] >= config.patience / config.looks)
