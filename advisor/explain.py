"""Words from measurements: why the recommended one, why not the others, and the documents' advice beside the facts."""

import numpy as np

from advisor.choose import Choice
from advisor.metrics import METRICS, Metric, measured
from advisor.records import AdviceCheck, Measured, Ranked, Request
from advisor.rules import Advice
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
        if c is choice.chosen:
            state, reason = "recommended", _why(choice, metric.name)
        elif c.family in choice.tied:
            state, reason = (
                "tied",
                f"cannot be told from the best on the folds (p {choice.p_values.get(c.family, 1):.2f})",
            )
        else:
            state, reason = "behind", f"{metric.name} {c.mean:.4g} on the folds against {choice.best.mean:.4g}"
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
    for family in dict.fromkeys([*families, *(t.family for t in rest)]):
        if family not in done:
            rows.append(_left_out(family, outcome, metric.higher_is_better))
    return rows


def _left_out(family: str, outcome: Outcome, higher: bool) -> Ranked:
    trials = [t for t in outcome.trials if t.family == family]
    complete = [t for t in trials if t.state == "complete" and t.quality is not None]
    pick = max if higher else min
    best = pick(complete, key=lambda t: t.quality or 0.0) if complete else None
    failed = [t for t in trials if t.state == "failed"]
    if family in outcome.infeasible:
        state, reason = "infeasible", outcome.infeasible[family]
    elif best:
        state, reason = "behind", "did not reach the final: others were as good or better on the part that chooses"
    elif failed:
        state, reason = "failed", failed[-1].reason
    else:
        state, reason = "not tried", outcome.not_tried.get(family, "no time was left to train it")
    return Ranked(
        family=family,
        baseline=family not in FAMILIES,
        state=state,
        reason=reason,
        validation=best.quality if best else None,
        latency_ms=best.latency_ms if best else (trials[-1].latency_ms if trials else None),
        memory_mib=best.memory_mib if best else (trials[-1].memory_mib if trials else None),
        size_mib=best.size_mib if best else (trials[-1].size_mib if trials else None),
        train_s=sum(t.train_s for t in trials),
        trials=len(trials),
    )


def test_quality(problem: Problem, scores: list[float]) -> Measured:
    """Return the metric on the test part with its interval; what belongs together is drawn together."""
    groups = problem.test.group if problem.plan.task == "forecast" else None
    return measured(problem.plan.task, np.array(scores), problem.plan.test_words, groups)


def _why(choice: Choice[Contender], metric: str) -> str:
    if choice.chosen is choice.best:
        return f"best mean {metric} on the folds"
    return f"cheapest within the margin of the best, {choice.best.family} ({choice.best.mean:.4g})"


def reasons(
    choice: Choice[Contender],
    ranked: list[Ranked],
    quality: Measured,
    budget: Budget,
    request: Request,
    plan_words: str,
) -> tuple[str, ...]:
    """Return why this one, in sentences whose numbers all stand in the run folder."""
    chosen, metric = choice.chosen, quality.metric
    words = [
        f"{_name(chosen)} has {metric} {quality.value:.4g} (95 % interval {quality.low:.4g} to {quality.high:.4g}) "
        f"on {quality.split}, which no choice has seen."
    ]
    if chosen is choice.best:
        judged = sum(r.quality is not None for r in ranked)
        words.append(f"Its mean over the folds, {chosen.mean:.4g}, is the best of {judged} families and baselines.")
    else:
        words.append(
            f"{_name(choice.best)} has {choice.best.mean:.4g} on the folds against {chosen.mean:.4g}: within the "
            f"margin, and {_name(chosen)} needs {_times(choice.best.cost.flops, chosen.cost.flops)} fewer operations."
        )
    if choice.tied:
        words.append(f"A tie: {', '.join(choice.tied)} cannot be told from the best with these data.")
    networks = [r for r in ranked if not r.baseline and r.quality is not None]
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
    words.append(f"Chosen by {plan_words}.")
    return tuple(words)


def _name(c: Contender) -> str:
    return f"the baseline {c.family}" if c.baseline else FAMILIES[c.family].words


def _times(larger: int, smaller: int) -> str:
    return f"{larger / max(1, smaller):.1f} times"


def checks(advice: Advice, ranked: list[Ranked], metric: Metric, margin: float) -> tuple[AdviceCheck, ...]:
    """Return each rule that fired beside the measurement: are the families it prefers as good as the others?

    Rules about how to work prefer no family and are left out. A difference within `margin` does not speak against a
    rule.
    """
    seen = {r.family: r.validation for r in ranked if not r.baseline and r.validation is not None}
    out = []
    for rule in advice.fired:
        if rule.procedure:
            continue
        preferred = {f: v for f, v in seen.items() if rule.raises.get(f, 0) > 0}
        others = {f: v for f, v in seen.items() if rule.raises.get(f, 0) <= 0}
        evidence, because = "not measured", "none of the families it speaks of was trained beside another."
        if preferred and others:
            pick = max if metric.higher_is_better else min
            a, b = pick(preferred, key=lambda f: preferred[f]), pick(others, key=lambda f: others[f])
            behind = (others[b] - preferred[a]) * (1 if metric.higher_is_better else -1)
            evidence = "agrees" if behind <= margin else "disagrees"
            because = f"{a} reached {metric.name} {preferred[a]:.4g}, {b} {others[b]:.4g} on the part that chooses"
            because += "; within the margin." if abs(behind) <= margin else "."
        out.append(
            AdviceCheck(key=rule.key, document=rule.document, says=rule.says, evidence=evidence, because=because)
        )
    return tuple(out)
