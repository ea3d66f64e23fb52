"""Words from measurements: why the recommended one, why not the others, and the documents' advice beside the facts."""

from collections.abc import Sequence

import numpy as np

from advisor.choose import Choice
from advisor.metrics import METRICS, Metric, measured
from advisor.naive import AgainstNaive
from advisor.records import ENSEMBLE, AdviceCheck, Measured, Ranked, Request, Trial, interval_words, listed
from advisor.rules import Advice, Fired
from advisor.search.outcome import Contender, Outcome
from advisor.search.problem import Problem
from hybrids.families import FAMILIES
from profiles.budget import Budget


def ranking(
    choice: Choice[Contender], outcome: Outcome, problem: Problem, budget: Budget, families: tuple[str, ...]
) -> list[Ranked]:
    """Return every family and baseline, the recommended first, then by the mean over the folds, then the others."""
    metric = METRICS[problem.plan.task]
    sign = -1.0 if metric.higher_is_better else 1.0
    rows = []
    for c in sorted(outcome.contenders, key=lambda c: (c is not choice.chosen, sign * c.mean)):
        state, reason = _standing(c, choice, metric)
        reason = f"the mean answer of {_parts(c)}; {reason}" if c.parts else reason
        rows.append(
            Ranked(
                family=c.family,
                baseline=c.baseline,
                state=state,
                reason=reason,
                quality=test_quality(problem, c.test),
                validation=c.mean,
                latency_ms=c.cost.latency_ms(budget.latency_stat),
                memory_mib=c.cost.peak_memory_mib,
                size_mib=c.cost.size_mib,
                train_s=c.train_s,
                trials=sum(t.family == c.family for t in outcome.trials),
            )
        )
    done = {row.family for row in rows}
    rest = [t for t in outcome.trials if t.family not in done]
    for family in dict.fromkeys([*families, *outcome.not_tried, *(t.family for t in rest)]):
        if family not in done:
            rows.append(_left_out(family, outcome, metric.higher_is_better))
    return rows


def _standing(c: Contender, choice: Choice[Contender], metric: Metric) -> tuple[str, str]:
    """Return where a contender stands, and why."""
    chosen, best = choice.chosen, choice.best
    if c is chosen:
        return "recommended", _why(choice, metric.name)
    if c is best:
        dearer = "dearer" if c.cost.flops > chosen.cost.flops else "one network for one dearer"
        words = f"best mean {metric.name} {_on_folds(c)} ({c.mean:.4g}), but {dearer} than {chosen.family}"
        words += ", within the margin"
        if c.family not in choice.tied:
            return "behind", words
        return "tied", f"{words}, from which it cannot be told (p {choice.p_values[chosen.family]:.2f})"
    if metric.better(c.mean, best.mean):
        return "behind", f"{metric.name} {c.mean:.4g} {_on_folds(c)}, but networks alone were asked for"
    if c.family in choice.tied:
        return "tied", f"cannot be told from the best on the folds (p {choice.p_values[c.family]:.2f})"
    words = f"{metric.name} {c.mean:.4g} {_on_folds(c)} against {best.mean:.4g}"
    return "behind", words if choice.p_values else f"{words}; no test can tell here whether that is chance"


def _on_folds(c: Contender) -> str:
    return "on the folds" if len(c.folds) > 1 else "on the one fold"


def _left_out(family: str, outcome: Outcome, higher: bool) -> Ranked:
    """Return the row of a family without a final; the costs of refused variants are no costs of one not tried."""
    trials = [t for t in outcome.trials if t.family == family]
    complete = [t for t in trials if t.state == "complete" and t.quality is not None]
    pick = max if higher else min
    best = pick(complete, key=lambda t: t.quality or 0.0) if complete else None
    failed = [t for t in trials if t.state == "failed"]
    measured_on = best
    if family in outcome.infeasible:
        state, reason = "infeasible", outcome.infeasible[family]
        measured_on = best or (trials[-1] if trials else None)
    elif best:
        lost = "did not reach the final: others were as good or better in one short training, on the part that chooses"
        state, reason = "behind", outcome.not_tried.get(family, lost)
    elif failed:
        state, reason, measured_on = "failed", failed[-1].reason, failed[-1]
    else:
        state, reason = "not tried", outcome.not_tried.get(family, "no time was left to train it")
    return Ranked(
        family=family,
        baseline=family not in FAMILIES and family != ENSEMBLE,
        state=state,
        reason=reason,
        validation=best.quality if best else None,
        latency_ms=measured_on and measured_on.latency_ms,
        memory_mib=measured_on and measured_on.memory_mib,
        size_mib=measured_on and measured_on.size_mib,
        train_s=sum(t.train_s for t in trials),
        trials=len(trials),
    )


def test_quality(problem: Problem, scores: list[float]) -> Measured:
    """Return the metric on the test part with its interval; what belongs together is drawn together."""
    group = problem.test.group
    alone = len(np.unique(group)) == len(group)
    return measured(problem.plan.task, np.array(scores), problem.plan.test_words, None if alone else group)


def _why(choice: Choice[Contender], metric: str) -> str:
    if choice.chosen is choice.best:
        return f"best mean {metric} {_on_folds(choice.chosen)}"
    return f"cheapest within the margin of the best, {choice.best.family} ({choice.best.mean:.4g})"


def reasons(
    choice: Choice[Contender],
    ranked: list[Ranked],
    quality: Measured,
    budget: Budget,
    request: Request,
    plan_words: str,
    against: AgainstNaive | None = None,
) -> tuple[str, ...]:
    """Return why this one, in sentences whose numbers all stand in the run folder."""
    chosen, metric = choice.chosen, quality.metric
    words = [
        f"{_name(chosen)} has {metric} {quality.value:.4g} ({interval_words(quality.low, quality.high)}) "
        f"on {quality.split}, which no choice has seen."
    ]
    if chosen is choice.best:
        own = [r for r in ranked if r.quality is not None and not (request.networks_only and r.baseline)]
        who = "networks" if request.networks_only else "families and baselines"
        mean = "mean over the folds" if len(chosen.folds) > 1 else f"{metric} on the one fold"
        words.append(f"Its {mean}, {chosen.mean:.4g}, is the best of {len(own)} {who}.")
    else:
        words.append(
            f"{_name(choice.best)} has {choice.best.mean:.4g} {_on_folds(chosen)} against {chosen.mean:.4g}: within "
            f"the margin, and {_name(chosen)} {_cheaper(choice)}."
        )
    testable = against is not None and against.p_value is not None  # though nothing but the naive may have been there
    if not choice.p_values and not testable:
        words.append(
            "There are too few independent parts of the data to test whether a difference is chance; only the numbers "
            "are compared."
        )
    elif choice.tied:
        words.append(_tie(choice))
    if against:
        words.append(against.says)
    networks = [r for r in ranked if r.family in FAMILIES and r.quality is not None]
    if chosen.baseline and not networks:
        words.append("A simple baseline wins: no network reached the final. More time may change that.")
    if chosen.baseline and networks:
        best, verdict = networks[0], "wins" if chosen is choice.best else "is enough"
        words.append(
            f"A simple baseline {verdict}: the best network, {best.family}, has {best.validation:.4g} where the "
            f"baseline has {chosen.mean:.4g}. More data or more time may change that."
        )
    stat, cost = budget.latency_stat, chosen.cost
    where = request.device
    if cost.predicted:
        where = f"{cost.device} (predicted from its calibration, within about {100 * (cost.error or 0):.0f} %)"
    words.append(
        f"One answer for {budget.batch_size} series takes {cost.latency_ms(stat):.3g} ms ({stat}) on "
        f"{where}, {cost.peak_memory_mib:.3g} MiB of memory, {cost.size_mib:.3g} MiB of weights."
    )
    if budget.streaming:
        words.append(_streamed(request))
    words.append(f"Chosen by {plan_words}.")
    return tuple(words)


def _streamed(request: Request) -> str:
    if request.task == "forecast":
        return "Streaming: at each new step the forecaster reads its window again; nothing is carried over."
    return "Streaming: the latency is that of a whole series; a single step was not measured."


def _tie(choice: Choice[Contender]) -> str:
    best, others = choice.best.family, [family for family in choice.tied if family != choice.best.family]
    words = [f"{', '.join(others)} cannot be told from the best"] if others else []
    words += [f"{best} cannot be told from {choice.chosen.family}"] if best in choice.tied else []
    tested = f" (tested {choice.tested})" if choice.tested else ""
    return f"A tie: with these data {', and '.join(words)}{tested}."


def _name(c: Contender) -> str:
    if c.parts:
        return f"the ensemble of {_parts(c)}"
    return f"the baseline {c.family}" if c.baseline else FAMILIES[c.family].words


def _parts(c: Contender) -> str:
    return listed([part.family for part in c.parts])


def _cheaper(choice: Choice[Contender]) -> str:
    """Return how much cheaper the chosen is; as a committee it may have become the dearer one."""
    best, chosen = choice.best.cost.flops, choice.chosen.cost.flops
    return f"needs {_times(best, chosen)} fewer operations" if chosen < best else "is the cheaper one network for one"


def _times(larger: int, smaller: int) -> str:
    return f"{larger / max(1, smaller):.1f} times"


def checks(advice: Advice, trials: Sequence[Trial], metric: Metric, margin: float) -> tuple[AdviceCheck, ...]:
    """Return each rule that fired beside the measurement: are the families it prefers as good as the others?

    Families are compared by their best training of the race, all on the same part of the data; what the final made of
    a few of them would be another kind of score.
    A rule that prefers none is judged by the families it does not advise against. A difference within `margin` does
    not speak against a rule. Rules about how to work are left out.
    """
    seen: dict[str, float] = {}
    for trial in trials:
        if trial.family in FAMILIES and trial.quality is not None:
            best = seen.get(trial.family)
            seen[trial.family] = trial.quality if best is None or metric.better(trial.quality, best) else best
    out = []
    for rule in advice.fired:
        if rule.procedure:
            continue
        evidence, because = _check(rule, seen, metric, margin)
        out.append(
            AdviceCheck(key=rule.key, document=rule.document, says=rule.says, evidence=evidence, because=because)
        )
    return tuple(out)


def _check(rule: Fired, seen: dict[str, float], metric: Metric, margin: float) -> tuple[str, str]:
    """Return whether a rule agrees with what was `seen`, family -> quality, and why."""
    if not any(rule.raises.values()):
        return "not measured", "it speaks of no family."
    if rule.tier == "target":
        return "not measured", "it says what the target can run, which no quality tells."
    prefers = any(weight > 0 for weight in rule.raises.values())
    named = {f: v for f, v in seen.items() if (rule.raises.get(f, 0) > 0 if prefers else rule.raises.get(f, 0) < 0)}
    rest = {f: v for f, v in seen.items() if f not in named}
    if not named:
        return "not measured", f"no family that it {'prefers' if prefers else 'advises against'} was trained."
    if not rest:
        return "not measured", f"only families that it {'prefers' if prefers else 'advises against'} were trained."
    pick = max if metric.higher_is_better else min
    a, b = pick(named, key=lambda f: named[f]), pick(rest, key=lambda f: rest[f])
    behind = (rest[b] - named[a]) * (1 if metric.higher_is_better else -1) * (1 if prefers else -1)
    words = f"{a} reached {metric.name} {named[a]:.4g}, {b} {rest[b]:.4g} in the race, on the part that chooses"
    words += "; within the margin." if abs(behind) <= margin else "."
    return ("agrees" if behind <= margin else "disagrees"), words
