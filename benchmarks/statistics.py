"""Does the comparison of contenders cry wolf, what does it see, and is the reported number honest?

Alarms: contenders equal by construction go through `advisor.choose`; the share of simulations in which at least one
is called worse than the best (adjusted p at most 5 %). Power: of two, one is made better by a known share; how often
the other is called worse. Honesty: the score of the chosen on the folds and on a held-out part, less the truth. Cost:
seconds to two minutes a design, one core.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from advisor.choose import LEVEL, Choice, choose
from advisor.compare import Scores, pseudo
from advisor.metrics import METRICS
from benchmarks.simulated import DESIGNS, Design, labelled, random_ridge
from profiles.task import Task

GAINS = (0.02, 0.05, 0.1, 0.2)
"""Shares of the error, or of the wrong answers, that the better contender is spared."""
MOST_ALARMS = 0.07
MANY = 10
MOST_FOR_POWER = 100
"""Simulations of each gain."""


@dataclass(frozen=True)
class Price:
    """The same for all."""

    flops: int = 1
    size_mib: float = 1.0


@dataclass(frozen=True)
class Simulated:
    """A contender as `choose` reads it."""

    family: str
    folds: dict[int, float]
    cost: Price = Price()

    @property
    def mean(self) -> float:
        """Return the mean over the folds."""
        return float(np.mean(list(self.folds.values())))


@dataclass(frozen=True)
class Division:
    """A plan as `choose` reads it."""

    task: Task
    folds: int


def chosen(design: Design, scores: list[Scores]) -> Choice[Simulated]:
    """Return what is chosen of contenders named by their place."""
    contenders = []
    for i, one in enumerate(scores):
        units = pseudo(one, design.task).mean(0)
        folds = {int(k): float(units[one.fold == k].mean()) for k in np.unique(one.fold)}
        contenders.append(Simulated(f"c{i}", folds))
    named = {f"c{i}": one for i, one in enumerate(scores)}
    return choose(contenders, Division(design.task, design.folds), len(scores[0].fold), named)


def improved(rng: np.random.Generator, one: Scores, task: Task, gain: float) -> Scores:
    """Return the scores of a contender that is spared a share of its errors."""
    if task == "classify":
        return replace(one, values=np.maximum(one.values, rng.random(one.values.shape[1]) < gain))
    return replace(one, values=one.values * (1 - gain) ** (2 if task == "regress" else 1))


def alarms(design: Design, contenders: int, simulations: int, seed: int) -> float:
    """Return the share of simulations in which one of equal contenders is called worse than the best."""
    rng = np.random.default_rng([seed, contenders])
    called = [min(chosen(design, design.draw(rng, contenders)).p_values.values()) <= LEVEL for _ in range(simulations)]
    return float(np.mean(called))


def power(design: Design, gain: float, simulations: int, seed: int) -> float:
    """Return how often, of two, the better is the best and the other is called worse."""
    rng = np.random.default_rng([seed, 2, int(1000 * gain)])
    found = 0
    for _ in range(simulations):
        scores = design.draw(rng, 2)
        choice = chosen(design, [scores[0], improved(rng, scores[1], design.task, gain)])
        found += choice.best.family == "c1" and choice.p_values["c0"] <= LEVEL
    return found / simulations


def curse(simulations: int, seed: int, contenders: int = MANY, cases: int = 150) -> dict[str, float]:
    """Return the bias of the chosen's score on the folds and on the held-out part, in points of accuracy.

    Really fitted: the same learner with other seeds on 150 cases in 5 folds; the chosen is fitted to all of them and
    judged on 75 held-out cases (what is reported) and on 4,000 fresh ones (the truth).
    """
    rng = np.random.default_rng(seed)
    on_folds, held = [], []
    for _ in range(simulations):
        x, y = labelled(rng, cases, "classify")
        test_x, test_y = labelled(rng, cases // 2, "classify")
        fresh_x, fresh_y = labelled(rng, 4000, "classify")
        fold = rng.permutation(np.arange(cases) % 5)
        seeds = rng.integers(2**31, size=contenders)

        def accuracy(at: int, rows: np.ndarray, new_x: np.ndarray, new_y: np.ndarray) -> float:
            own = np.random.default_rng(at)
            answer = random_ridge(own, x[rows], y[rows], new_x)  # noqa: B023 (called before the next turn)
            return float(np.mean((answer > 0.5) == (new_y > 0.5)))

        means = [np.mean([accuracy(int(s), fold != k, x[fold == k], y[fold == k]) for k in range(5)]) for s in seeds]
        best = int(np.argmax(means))
        everything = np.ones(cases, dtype=bool)
        truth = accuracy(int(seeds[best]), everything, fresh_x, fresh_y)
        on_folds.append(float(means[best]) - truth)
        held.append(accuracy(int(seeds[best]), everything, test_x, test_y) - truth)
    return {
        "contenders": contenders,
        "folds_less_truth_points": 100 * float(np.mean(on_folds)),
        "held_out_less_truth_points": 100 * float(np.mean(held)),
        "standard_error_points": 100 * float(np.std(held, ddof=1)) / np.sqrt(simulations),
    }


def measure(
    simulations: int, seed: int, tell: Callable[[str], None], kept: Callable[[dict[str, Any]], None], before: Any = None
) -> dict[str, Any]:
    """Return alarms of 2 and of many contenders and power for each design, and the bias of what is reported.

    Args:
        simulations: Of each design and number of contenders.
        seed: Of all that is drawn.
        tell: Told a line a design.
        kept: Given the result so far after each design.
        before: A result with the same simulations and seed, whose rows are not measured again.
    """
    same = before and (before["simulations"], before["seed"]) == (simulations, seed)
    rows: list[dict[str, Any]] = list(before["rows"]) if same else []
    result: dict[str, Any] = {"simulations": simulations, "seed": seed, "rows": rows}
    for name, design in DESIGNS.items():
        if any((row["design"], row["words"]) == (name, design.words) for row in rows):
            continue
        fewer = min(simulations, MOST_FOR_POWER)
        row = {
            "design": name,
            "words": design.words,
            "metric": METRICS[design.task].name,
            "alarms_of_2": alarms(design, 2, simulations, seed),
            f"alarms_of_{MANY}": alarms(design, MANY, simulations, seed),
            "power": {str(gain): power(design, gain, fewer, seed) for gain in GAINS},
        }
        row["kept"] = max(row["alarms_of_2"], row[f"alarms_of_{MANY}"]) <= MOST_ALARMS
        tell(f"{name}: {row}")
        rows.append(row)
        kept(result)
    return {**result, "winners_curse": curse(simulations, seed)}


def table(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    show = Table(title=f"one of equals called worse, of {result['simulations']} simulations; gains found")
    for column in ("design", "of 2", f"of {MANY}", *(f"{100 * gain:.0f} % less error found" for gain in GAINS)):
        show.add_column(column, justify="left" if column == "design" else "right")
    for row in result["rows"]:
        shares = (row["alarms_of_2"], row[f"alarms_of_{MANY}"], *row["power"].values())
        show.add_row(row["words"], *(f"{100 * share:.1f} %" for share in shares))
    bias = result["winners_curse"]
    show.caption = (
        f"the chosen of {bias['contenders']} equals: its folds promise {bias['folds_less_truth_points']:+.2f} points "
        f"too much, its held-out part {bias['held_out_less_truth_points']:+.2f} "
        f"(standard error {bias['standard_error_points']:.2f})"
    )
    return show
