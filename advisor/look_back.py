"""How much of the past a forecaster reads: one formula for the rules, which load no torch, and for the search.

L = min(4 max(season, h), max(336, 2 h)) steps for a horizon of h: four seasons or horizons, whichever is longer, and
two horizons at least where that is more than 336 steps.
"""

MOST_LOOK_BACK = 336


def look_back_steps(horizon: int, season: int, history: int, factor: float = 1.0) -> int:
    """Return how many steps of the past a forecaster reads, at least 4.

    Args:
        horizon: Steps to forecast.
        season: Steps of a season; 1 where there is none.
        history: Steps there are before the first forecast; no more are read.
        factor: On the formula.
    """
    steps = round(min(4 * max(season, horizon), max(MOST_LOOK_BACK, 2 * horizon)) * factor)
    return max(4, min(steps, history))
