"""When a training is judged, and when judging shows that more of it would not help.

A look follows every 1 / `looks` of the training. With few data the best weights of a forecaster come long before the
first of these: so there may be early looks, the first after a sixteenth of that, each then a third further on, as long
as judging costs next to nothing. Accuracies of few cases are too coarse to be picked from that often.
"""

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
"""A training ends where all scores are worse for this share of the whole, and so many times what the best took."""


def is_due(config: TrainConfig, since: float, steps: int, looked: float, judging_s: float) -> bool:
    """Return whether to look now.

    Args:
        config: Of the training; its `looks` and `seconds` are read.
        since: Share of the training since the last look.
        steps: Steps since then.
        looked: Share of the training that was done at the last look.
        judging_s: What the last look took.
    """
    regular = 1 / config.looks
    cost = judging_s / config.seconds if config.seconds else 0.0
    early = max(FURTHER * looked, FIRST * regular, cost / LITTLE)
    if config.early_looks and early < regular and steps >= LEAST_STEPS and since >= early:
        return True
    return since >= max(regular, cost / JUDGING)


def has_settled(config: TrainConfig, done: float, best_at: float, kept_at: float) -> bool:
    """Return whether nothing was better for so long that the training may end.

    Args:
        config: Of the training; its `patience` is read.
        done: Share of the training that is done.
        best_at: Share that was done when the score was last better than all before.
        kept_at: Share that was done when it was last as good as the best.
    """
    early = config.early_looks and done - kept_at >= max(LEAST_WAIT, WAIT * kept_at)
    return early or done - best_at >= config.patience / config.looks
