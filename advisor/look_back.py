"""How much of the past a forecaster reads: one formula for the rules, which load no torch, and for the search.

L = min(4 max(season, h), max(336, 2 h)) steps for a horizon of h: four seasons or horizons, whichever is longer, and
at most 336 steps, or two horizons where that is more. Where a season is a day, a week and a day are read at least, so
that the same hour a week ago is among them, unless the history is shorter than four times that.
"""

MOST_LOOK_BACK = 336
DAYS = (24, 48, 96)
"""Steps of a season that is taken for a day, of 60, 30 or 15 minutes a step."""


def seasons_of(season: int) -> tuple[int, ...]:
    """Return the lags at which a series of this season repeats itself: the season, and the week of a day.

    Args:
        season: Steps of the main season; 1 where there is none.

    Example:
        >>> seasons_of(24)
        (24, 168)
    """
    if season <= 1:
        return ()
    return (season, 7 * season) if season in DAYS else (season,)


def look_back_steps(horizon: int, season: int, history: int, factor: float = 1.0) -> int:
    """Return how many steps of the past a forecaster reads, at least 4.

    Args:
        horizon: Steps to forecast.
        season: Steps of a season; 1 where there is none.
        history: Steps there are before the first forecast; no more are read.
        factor: On the formula.
    """
    steps = min(4 * max(season, horizon), max(MOST_LOOK_BACK, 2 * horizon))
    if season in DAYS and history >= 4 * 8 * season:
        steps = max(steps, 8 * season)
    return max(4, min(round(steps * factor), history))
