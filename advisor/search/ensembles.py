"""The ensemble of a run: the mean answer of a few contenders, where it is clearly better than each of them.

The best contender is joined by the one that helps the mean over the folds most, then by the next, for as long as each
gains a part of the margin (forward selection: Caruana et al. 2004, ICML; without repeats, so that the weights stay
equal); all of them together must gain more than the margin. All of it is computed from the answers that the contenders
left, so nothing is trained for it. What comes out is one more contender with its own cost, and the choice treats it
like any other. Every part is trained for the last time as if it were alone.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from safetensors.numpy import load_file

from advisor import metrics
from advisor.choose import margin_of
from advisor.data.rows import Rows
from advisor.ensemble import Ensemble, EnsembleConfig, Part, PartConfig
from advisor.records import ENSEMBLE, listed
from advisor.search.baseline_round import BaselineRound
from advisor.search.context import Context
from advisor.search.finals import SEEDS_BY_TRIALS
from advisor.search.jobs import TEST, Result, answers_of, fold_name
from advisor.search.outcome import Contender, load_baseline
from advisor.search.refit import Finished, Refit
from hybrids.committee import CommitteeConfig, mean_answer
from profiles.cost import Cost

MOST_PARTS = 4
LEAST_GAIN = 0.25
"""Of the margin, that each further part must bring."""

Answers = dict[str, np.ndarray]
"""Name of a fold, or of the test part -> the answers to its units, (N, ...)."""


class Voice(NamedTuple):
    """One contender with what it answered."""

    contender: Contender
    answers: Answers


class Ensembles:
    """See the module.

    Args:
        context: Of the search.
        baselines: That were fitted for it.
    """

    def __init__(self, context: Context, baselines: BaselineRound) -> None:
        self.context, self.baselines = context, baselines

    @cached_property
    def _truth(self) -> dict[int, Rows]:
        """Return the judged units of each fold."""
        return {k: self.context.problem.judged(k, 1) for k in range(self.context.plan.folds)}

    def propose(self) -> None:
        """Add the ensemble to the contenders, if there is one that pays and keeps the budget."""
        at, asked = self.context, self.context.settings
        if asked.budget.streaming or asked.committee in (0, 1):
            why = "it has no step to stream" if asked.budget.streaming else "one model was asked for"
            at.say(f"no ensemble: {why}")
            return
        voices = self._forward([Voice(c, a) for c in self._able() if (a := self._answers(c)) is not None])
        while len(voices) > 1 and self._pays(voices):
            parts = [voice.contender for voice in voices]
            cost, result = self._cost(parts), self._result(voices)
            names = listed([part.family for part in parts])
            misses = at.settings.budget.misses(cost)
            at.ledger.record_named(
                ENSEMBLE, "infeasible" if misses else "complete", result, cost, str(misses[0]) if misses else "",
                baseline=False,
            )  # fmt: skip
            if not misses:
                at.say(f"ensemble of {names}: {at.metric.name} {result.quality:.4f} on the folds")
                at.outcome.infeasible.pop(ENSEMBLE, None)
                at.outcome.contenders.append(self._contender(parts, cost, result))
                return
            at.say(f"ensemble of {names}: {misses[0]}")
            at.outcome.infeasible[ENSEMBLE] = str(misses[0])
            voices.pop()

    def finish(self, chosen: Contender) -> Finished:
        """Train every part for the last time, baselines first; the networks share the time that is left."""
        done: dict[str, Finished] = {}
        networks = [(part, most) for part, most in zip(chosen.parts, chosen.counts, strict=True) if not part.baseline]
        for part in chosen.parts:
            if part.baseline:
                done[part.family] = self.baselines.finish(part)
        for i, (part, most) in enumerate(networks):
            done[part.family] = Refit(self.context, 1 / (len(networks) - i), most).run(part)
        models: list[Part] = []
        for part in chosen.parts:
            model = done[part.family].model
            assert not isinstance(model, Ensemble)
            models.append(model)
        says = tuple(f"{family}: {line}" for family, one in done.items() for line in one.says)
        members = sum(done[part.family].members for part, _ in networks)
        return Finished(Ensemble.of(self.context.plan.task, models), members, {}, chosen.test, says)

    def _able(self) -> list[Contender]:
        at = self.context
        alone = [c for c in at.outcome.contenders if not c.parts]
        return [c for c in alone if not c.baseline] if at.settings.networks_only else alone

    def _count(self, one: Contender) -> int:
        """Return the networks of one contender that would answer together."""
        at = self.context
        most = SEEDS_BY_TRIALS if at.by_trials else at.settings.workers
        asked = at.settings.committee
        return min(len(one.keys), most if asked is None else max(1, asked))

    def _answers(self, one: Contender) -> Answers | None:
        """Return the mean answers of the trainings of one contender; None where a run of an older version left none."""
        files = [answers_of(self.context.results.files, key) for key in one.keys]
        if not all(file.exists() for file in files):
            return None
        found, names = [load_file(file) for file in files], [*map(fold_name, one.folds), TEST]
        return {name: self._mean([a[name] for a in found if name in a][: self._count(one)]) for name in names}

    def _forward(self, able: list[Voice]) -> list[Voice]:
        """Return the contenders to join, the best first; one alone where no other helps."""
        joined: list[Voice] = []
        before = math.inf
        while able and len(joined) < MOST_PARTS:
            values = [self._error([*joined, voice]) for voice in able]
            best = int(np.argmin(values))
            if joined and before - values[best] <= LEAST_GAIN * self._margin(before):
                break
            before = values[best]
            joined.append(able[best])
            able = able[:best] + able[best + 1 :]
        return joined

    def _pays(self, voices: Sequence[Voice]) -> bool:
        """Return whether the voices together are better than the first by more than the margin."""
        alone = self._error(voices[:1])
        return alone - self._error(voices) > self._margin(alone)

    def _margin(self, quality: float) -> float:
        return margin_of(self.context.plan, quality, len(self.context.problem.rows))

    def _error(self, voices: Sequence[Voice]) -> float:
        """Return the quality of the mean answer, turned so that less is better."""
        quality = self._result(voices).quality
        return -quality if self.context.metric.higher_is_better else quality

    def _result(self, voices: Sequence[Voice]) -> Result:
        """Return the scores of the mean of some answers."""
        answers = [voice.answers for voice in voices]
        task, test = self.context.plan.task, self.context.problem.test
        units = {}
        for k, rows in self._truth.items():
            units[k] = metrics.units(task, self._mean([a[fold_name(k)] for a in answers]), rows.y, rows.scale)
        on_test = metrics.units(task, self._mean([a[TEST] for a in answers]), test.y, test.scale)
        return Result(
            folds={k: metrics.summarise(task, scores) for k, scores in units.items()},
            units={k: tuple(map(float, scores)) for k, scores in units.items()},
            test=tuple(map(float, on_test)),
        )

    def _mean(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        if len(answers) == 1:
            return answers[0]
        logits = self.context.plan.task == "classify"
        return np.asarray(mean_answer(torch.from_numpy(np.stack(answers)), logits=logits).numpy())

    def _config(self, parts: Sequence[Contender]) -> EnsembleConfig:
        return EnsembleConfig(task=self.context.plan.task, parts=tuple(self._part(part) for part in parts))

    def _part(self, one: Contender) -> PartConfig:
        if one.gated is None:
            return load_baseline(one.weights).config
        count = self._count(one)
        return CommitteeConfig(member=one.gated.config, count=count) if count > 1 else one.gated.config

    def _cost(self, parts: Sequence[Contender]) -> Cost:
        name = "ensemble " + " ".join(key for part in parts for key in part.keys)
        return self.context.gate.cost(self._config(parts).build, max(part.cost.length for part in parts), name)

    def _contender(self, parts: Sequence[Contender], cost: Cost, result: Result) -> Contender:
        config = {
            "parts": {part.family: part.config for part in parts},
            "model": self._config(parts).model_dump(mode="json"),
        }
        return Contender(
            ENSEMBLE,
            False,
            cost,
            result.folds,
            list(result.test),
            config,
            "",
            sum(part.train_s for part in parts),
            heats=(result,),
            parts=tuple(parts),
            counts=tuple(self._count(part) for part in parts),
        )
