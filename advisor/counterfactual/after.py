"""After training: which other limit or quality would have made another choice, from what was measured.

The choice of the run is made again (`Replay`) at every cost that was measured, since it can change nowhere else, and
for qualities by bisection. Nothing is predicted: a model that was refused before training has a cost and no quality,
and the sentence says so.
"""

from collections.abc import Iterator, Sequence

from advisor.counterfactual.model import Evidence, Turn
from advisor.counterfactual.moves import edge, rounded, shortest, subject_of
from advisor.counterfactual.replay import COSTS, Candidate, Limits, Replay, limits_of
from advisor.records import Recommendation, Trial
from profiles.budget import Budget


def after(recommendation: Recommendation, trials: Sequence[Trial], budget: Budget) -> tuple[Turn, ...]:
    """Return every change of one limit, of the margin or of one quality that would have made another choice.

    First each limit from the asked value down, in steps (who wins until where), then what refused models would need,
    then the quality alone, then the quality that each other family would need, the nearest first.

    Args:
        recommendation: What the run answered.
        trials: All of the run.
        budget: What was asked.
    """
    return turns_of(Replay(recommendation, trials), trials, limits_of(budget))


def turns_of(replay: Replay, trials: Sequence[Trial], limits: Limits) -> tuple[Turn, ...]:
    """Return what `after` does, from a replay that was made."""
    if replay.winner(limits) is None:
        return ()
    tighter = [list(_tighter(replay, limits, name)) for name in COSTS]
    looser = [turn for name in COSTS for turn in _looser(replay, limits, name, trials)]
    gains = sorted(_gains(replay, limits), key=_gain_size)
    tighter.sort(key=lambda turns: turns[0].ratio if turns else float("inf"))
    steps = [turn for turns in tighter for turn in turns]
    return (*steps, *sorted(looser, key=lambda turn: turn.ratio), *_best_alone(replay, limits), *gains)


def _gain_size(turn: Turn) -> float:
    return abs(float(turn.then or 0) - float(turn.now or 0))


def _tighter(replay: Replay, limits: Limits, name: str) -> Iterator[Turn]:
    """Yield who wins next as a limit falls; between two costs that were measured nothing can change."""
    winner = replay.winner(limits)
    asked = limits[name]
    for cost in sorted({one.cost(name) for one in replay.candidates}, reverse=True):
        if winner is None or (asked is not None and cost > asked):
            continue
        then = replay.winner({**limits, name: _below(replay, name, cost)})
        if then is None:
            return
        if then.number == winner.number:
            continue
        if then.family != winner.family:
            subject, unit = subject_of(name)
            yield Turn(
                fact=name, now=asked, then=cost, direction="below", winner_now=winner.family, winner_then=then.family,
                evidence=_evidence(then),
                says=f"{winner.family} until {subject} falls below {at_least(cost)}{unit}, then "
                f"{_with_quality(replay, then)}.",
            )  # fmt: skip
        winner = then


def _below(replay: Replay, name: str, cost: float) -> float:
    """Return a limit that refuses `cost` and admits everything cheaper."""
    cheaper = [one.cost(name) for one in replay.candidates if one.cost(name) < cost]
    return max(cheaper, default=0.0)


def _looser(replay: Replay, limits: Limits, name: str, trials: Sequence[Trial]) -> Iterator[Turn]:
    """Yield what a higher limit admits: judged models that win there, and models refused before training."""
    asked = limits[name]
    if asked is None:
        return
    subject, unit = subject_of(name)
    winner = replay.winner(limits)
    assert winner is not None
    first = winner.family
    for cost in sorted({one.cost(name) for one in replay.candidates if one.cost(name) > asked}):
        then = replay.winner({**limits, name: cost})
        if then is not None and then.family != winner.family:
            yield Turn(
                fact=name, now=asked, then=cost, direction="above", winner_now=winner.family, winner_then=then.family,
                evidence=_evidence(then),
                says=f"From {subject} of {at_least(cost)}{unit} on (asked: {asked:g}): {_with_quality(replay, then)} "
                f"instead of {winner.family}.",
            )  # fmt: skip
            winner = then
    judged = {one.family for one in replay.candidates}
    refused = [family for family, state in replay.states.items() if state == "infeasible" and family not in judged]
    for family in refused:
        need = _least_need([t for t in trials if t.family == family], limits, name)
        if need is not None:
            yield Turn(
                fact=name, now=asked, then=need, direction="above", winner_now=first, winner_then=family,
                evidence="untrained",
                says=f"{family} was not trained: it broke {subject}; {at_least(need)}{unit} would admit it "
                f"(asked: {asked:g}).",
            )  # fmt: skip


def _least_need(trials: Sequence[Trial], limits: Limits, name: str) -> float | None:
    """Return the least value of one limit that admits one of the trials, the other limits kept; None: none does."""
    needs = []
    for trial in trials:
        costs = {limit: getattr(trial, cost) for limit, cost in COSTS.items()}
        others = (limit for limit in COSTS if limit != name)
        kept = all(limits[k] is None or (costs[k] is not None and costs[k] <= limits[k]) for k in others)
        asked = limits[name]
        if kept and costs[name] is not None and asked is not None and costs[name] > asked:
            needs.append(float(costs[name]))
    return min(needs, default=None)


def _best_alone(replay: Replay, limits: Limits) -> Iterator[Turn]:
    winner, best = replay.winner(limits), replay.best(limits)
    if winner is None or best.family == winner.family:
        return
    margin, metric = replay.margin(best.quality), replay.metric.name
    yield Turn(
        fact="margin", now=margin, then=0.0, direction="below", winner_now=winner.family, winner_then=best.family,
        evidence=_evidence(best),
        says=f"If {metric} alone counted: {_with_quality(replay, best)}; {winner.family} has {winner.quality:.4g}, "
        f"within the margin of {margin:.3g}, and is cheaper.",
    )  # fmt: skip


def _gains(replay: Replay, limits: Limits) -> Iterator[Turn]:
    """Yield for each judged family that keeps the limits the quality at which it would be chosen."""
    winner = replay.winner(limits)
    assert winner is not None
    for family in replay.admitted(limits):
        if family != winner.family and (turn := _gain(replay, limits, winner, family)) is not None:
            yield turn


def _gain(replay: Replay, limits: Limits, winner: Candidate, family: str) -> Turn | None:
    """Return the least gain in quality that makes `family` the choice, or None where perfection would not.

    None is needed where only the final keeps it from the choice: it was trained once and not compared on all folds.
    """
    own = replay.admitted(limits)[family]

    def wins(quality: float) -> bool:
        chosen = replay.winner(limits, {family: quality})
        return chosen is not None and chosen.family == family

    metric, up = replay.metric, replay.metric.higher_is_better
    kept, turned = own.quality, (1.0 if up else 0.0)
    if wins(kept) or not wins(turned):
        return None if own.final or not wins(kept) else _unconfirmed(replay, winner, own)
    while abs(turned - kept) > 1e-9 * max(abs(turned), abs(kept)):
        middle = (kept + turned) / 2
        if middle in (kept, turned):
            break
        kept, turned = (kept, middle) if wins(middle) else (middle, turned)
    then = shortest(turned, lambda quality: quality is not None and wins(quality)) if turned else turned
    single = "" if own.final else " in one training"
    return Turn(
        fact="quality", now=own.quality, then=then, direction="above" if up else "below", winner_now=winner.family,
        winner_then=family, evidence=_evidence(own),
        says=f"{family} would win with {metric.name} {rounded(edge(then), 4, up)}: it has {own.quality:.4g}{single}, "
        f"{abs(then - own.quality):.3g} {'less' if up else 'more'}.",
    )  # fmt: skip


def _unconfirmed(replay: Replay, winner: Candidate, own: Candidate) -> Turn:
    return Turn(
        fact="quality", now=own.quality, then=own.quality, direction="other", winner_now=winner.family,
        winner_then=own.family, evidence="one training",
        says=f"{own.family} would win if the final confirmed its {replay.metric.name} {own.quality:.4g}, which comes "
        "from one training.",
    )  # fmt: skip


def at_least(cost: float) -> str:
    """Return a limit in words that admits `cost`: rounded up."""
    return rounded(cost, 3, up=True)


def _with_quality(replay: Replay, one: Candidate) -> str:
    single = "" if one.final else ", one training"
    return f"{one.family} ({replay.metric.name} {one.quality:.4g}{single})"


def _evidence(one: Candidate) -> Evidence:
    return "measured" if one.final else "one training"
