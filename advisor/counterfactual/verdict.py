"""After training: why one family of a finished run was not chosen, and the smallest change that would choose it."""

from collections.abc import Sequence

from advisor.counterfactual.after import at_least, turns_of
from advisor.counterfactual.before import known_family, voices
from advisor.counterfactual.model import Turn, WhyNot
from advisor.counterfactual.moves import subject_of
from advisor.counterfactual.replay import COSTS, Limits, Replay, limits_of
from advisor.records import ENSEMBLE, Ranked, Recommendation, Trial
from advisor.rules import Advice
from profiles.budget import Budget

STANDS = {
    "recommended": "is the recommendation",
    "tied": "is tied with the best",
    "behind": "is behind",
    "infeasible": "was refused",
    "failed": "has no result",
    "not tried": "was not tried",
}
NEEDS = "it needs "
"""How the reason opens where the data cannot serve a family; see `hybrids.families.Family.needs`."""


def why_not_measured(
    recommendation: Recommendation,
    trials: Sequence[Trial],
    budget: Budget,
    family: str,
    *,
    advice: Advice | None = None,
) -> WhyNot:
    """Return the case of one family or baseline of a finished run.

    Args:
        recommendation: What the run answered.
        trials: All of the run.
        budget: What was asked.
        family: The one asked about.
        advice: What the rules said before; None: nothing is said about rules.

    Raises:
        InputError: the run has no such family.
    """
    replay, limits = Replay(recommendation, trials), limits_of(budget)
    return case_of(family, recommendation, trials, replay, limits, turns_of(replay, trials, limits), advice)


def case_of(
    family: str,
    recommendation: Recommendation,
    trials: Sequence[Trial],
    replay: Replay,
    limits: Limits,
    turns: Sequence[Turn],
    advice: Advice | None,
) -> WhyNot:
    """Return what `why_not_measured` does, from a replay that was made and its turns."""
    names = [row.family for row in recommendation.ranking]
    known_family(family, names)
    rows = {row.family: row for row in recommendation.ranking}
    row, winner = _own_numbers(rows[family]), rows[recommendation.family]
    own = tuple(sorted((turn for turn in turns if turn.winner_then == family), key=_effort))
    speaks_for, speaks_against = voices(advice, family) if advice else ((), ())
    says = [f"{family} {STANDS[row.state]}: {_ended(row.reason)}"]
    metric = recommendation.quality.metric
    numbers = _numbers(row, metric, recommendation.latency_stat)
    if numbers:
        says.append(f"{family}: {numbers}.")
    if family != winner.family:
        says.append(f"{winner.family}, which was chosen: {_numbers(winner, metric, recommendation.latency_stat)}.")
        says += _what_would_help(recommendation, row, own, replay, trials, limits)
    else:
        says += [turn.says for turn in turns if turn.winner_now == family and turn.fact != "quality"][:2]
    return WhyNot(
        family=family,
        winner=winner.family,
        place=names.index(family) + 1,
        of=len(names),
        state=row.state,
        speaks_for=speaks_for,
        speaks_against=speaks_against,
        numbers=row,
        winner_numbers=winner,
        turns=own,
        says=tuple(says),
    )


def _what_would_help(
    recommendation: Recommendation,
    row: Ranked,
    own: tuple[Turn, ...],
    replay: Replay,
    trials: Sequence[Trial],
    limits: Limits,
) -> list[str]:
    """Return the smallest changes that would choose the family, or that none would."""
    refused = [t for t in trials if t.family == row.family and t.state == "infeasible"]
    if row.state == "failed":
        return ["A failed training can be tried again, with another --seed or with more time."]
    if row.state == "not tried":
        return [*_refused_larger(refused, limits), _give_time(recommendation, row, bool(refused))]
    if row.state == "infeasible" and not own:
        if recommendation.request.streaming and not refused:
            return ["Without --streaming it could be tried."]
        return [_all_limits(refused, limits)]
    says = [*_dearer(row, replay, limits), *(turn.says for turn in own[:3])]
    judged = row.family in replay.admitted(limits)
    if judged and not any(turn.fact == "quality" for turn in own):
        perfect = 1 if replay.metric.higher_is_better else 0
        says.append(
            f"Even {replay.metric.name} {perfect} would not choose it: what is cheaper would stay within the margin."
        )
    return says


def _effort(turn: Turn) -> tuple[int, float]:
    """Return what sorts a user's choices by how easy they are: a better model, the price, more room, less room."""
    order = 0 if turn.fact == "quality" else 1 if turn.fact == "margin" else 2 if turn.direction == "above" else 3
    return order, turn.ratio


def _dearer(row: Ranked, replay: Replay, limits: Limits) -> list[str]:
    """Say where the price alone decides: within the margin of the best, and dearer than the chosen."""
    own, chosen = replay.admitted(limits).get(row.family), replay.winner(limits)
    if own is None or chosen is None or not own.final:
        return []
    best = replay.best(limits)
    if abs(own.quality - best.quality) > replay.margin(best.quality):
        return []
    times = replay.times_dearer(own, chosen)
    what = "operations" if replay.exact else "time"
    words = f"It is within the margin of the best and needs {times:.2g} times the {what} of {chosen.family}"
    if row.baseline or chosen.baseline or row.family == ENSEMBLE:
        return [f"{words}."]
    return [f"{words}; --families {row.family} leaves no other network beside it."]


def _own_numbers(row: Ranked) -> Ranked:
    """Return the row without the costs that belong to refused variants of a family that was not tried."""
    return row.model_copy(update=dict.fromkeys(COSTS.values())) if row.state == "not tried" else row


def _refused_larger(refused: Sequence[Trial], limits: Limits) -> list[str]:
    """Say which limits the larger variants broke, with what the nearest of them costs; the search tries those first."""
    told = []
    for name, cost in COSTS.items():
        asked = limits[name]
        over = [float(c) for t in refused if (c := getattr(t, cost)) is not None and asked is not None and c > asked]
        if over:
            subject, unit = subject_of(name)
            told.append(f"{subject} ({at_least(min(over))}{unit}, asked: {asked:g})")
    return [f"Larger ones broke {' and '.join(told)}."] if told else []


def _give_time(recommendation: Recommendation, row: Ranked, refused: bool) -> str:
    if row.reason.startswith(NEEDS):
        return f"No budget changes that: {row.reason}, which these data do not have."
    asked = recommendation.request
    limit = f"--time-limit above {asked.time_limit_s:g} s" if asked.time_limit_s else f"--trials above {asked.trials}"
    known = "A smaller one" if refused else "It"
    so = "what it reaches is not known" if refused else "nothing is known against it"
    give = limit if row.baseline else f"--families {row.family}, or {limit}"
    return f"{known} was not tried, so {so}: give it time with {give}."


def _all_limits(trials: Sequence[Trial], limits: Limits) -> str:
    """Return which limits must be raised together, by the refused model that misses them least."""
    misses: list[list[tuple[str, float, float]]] = []
    for trial in trials:
        costs = [(name, getattr(trial, cost), limits[name]) for name, cost in COSTS.items()]
        broken = [(name, float(cost), asked) for name, cost, asked in costs if cost and asked and cost > asked]
        if broken:
            misses.append(broken)
    if not misses:
        return "No number is kept of what it would need: raise the limit that the reason names."
    least = min(misses, key=lambda broken: max(cost / asked for _, cost, asked in broken))
    needs = [f"{subject_of(n)[0]} {at_least(cost)}{subject_of(n)[1]} (asked: {asked:g})" for n, cost, asked in least]
    return f"No single limit admits it; together they would: {' and '.join(needs)}."


def _numbers(row: Ranked, metric: str, stat: str) -> str:
    """Return the measurements of a row in words; what was not measured is left out."""
    told = [
        (row.validation, f"{metric} {{:.4g}} on the part that chooses"),
        (row.latency_ms, f"{{:.3g}} ms ({stat})"),
        (row.memory_mib, "{:.3g} MiB of memory"),
        (row.size_mib, "{:.3g} MiB of weights"),
        (row.train_s or None, f"{{:.3g}} s of training in {row.trials} trial{'' if row.trials == 1 else 's'}"),
    ]
    return ", ".join(words.format(value) for value, words in told if value is not None)


def _ended(words: str) -> str:
    return words if words.endswith(".") else f"{words}."
