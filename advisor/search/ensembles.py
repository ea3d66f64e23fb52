"""The ensemble of a run: the mean answer of a few contenders, where it is better on the folds than each of them.

The best contender is joined by the one that helps the mean over the folds most, then by the next, for as long as each
gains a part of the margin (forward selection: Caruana et al. 2004, ICML; without repeats, so that the weights stay
equal) and none is far worse alone; all of them together must gain more than the margin. All of it is computed from the
answers that the contenders left, so nothing is trained for it. What comes out is one more contender with its own cost,
and the choice treats it like any other. Every part is trained once more in the end.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
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
from profiles.budget import Miss

MOST_PARTS = 4
LEAST_GAIN = 0.25
"""Of the margin, that each further part must bring."""
MOST_BEHIND = 0.2
"""Of the best one's quality: what is worse than that alone helps a mean by the luck of few folds."""
MOST_BYTES = 2**29
"""Of answers that are compared in memory."""

Answers = dict[str, np.ndarray]
"""Name of a fold, or of the test part -> the answers to its units, (N, ...)."""


class Voice(NamedTuple):
    """One contender with what it answered."""

    contender: Contender
    answers: Answers

    def says_as(self, other: "Voice") -> bool:
        """Return whether all answers are the same, as those of two naive forecasts where there is no season."""
        return all(np.array_equal(answer, other.answers[name]) for name, answer in self.answers.items())


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
        able = self._voices()
        if not able:
            return
        voices, found = self._forward(able), None
        misses: tuple[Miss, ...] = ()
        while len(voices) > 1 and self._pays(voices):
            found = self._contender(voices)
            if not (misses := at.settings.budget.misses(found.cost)):
                break
            at.say(f"ensemble of {_names(found)}: {misses[0]}")
            voices.pop()
        if found is None:
            at.say("ensemble: none is better than the best alone by more than the margin")
            return
        at.ledger.record_ensemble([part.family for part in found.parts], found.heats[0], found.cost, misses)
        if misses:
            at.outcome.infeasible[ENSEMBLE] = str(misses[0])
        else:
            at.say(f"ensemble of {_names(found)}: {at.metric.name} {found.mean:.4f} on the folds")
            at.outcome.contenders.append(found)

    def finish(self, chosen: Contender) -> Finished:
        """Train every part for the last time, baselines first; the networks share the time that is left."""
        done: dict[str, Finished] = {}
        networks = [(part, count) for part, count in zip(chosen.parts, chosen.counts, strict=True) if part.seeded]
        for part in chosen.parts:
            if part.baseline:
                done[part.family] = self.baselines.finish(part)
        for i, (part, count) in enumerate(networks):
            done[part.family] = Refit(self.context, part, 1 / (len(networks) - i), count).run()
        models: list[Part] = []
        for part in chosen.parts:
            model = done[part.family].model
            assert not isinstance(model, Ensemble)
            models.append(model)
        says = tuple(f"{family}: {line}" for family, one in done.items() for line in one.says)
        members = sum(done[part.family].members for part, _ in networks)
        return Finished(Ensemble.of(self.context.plan.task, models), members, chosen.test, says)

    def _voices(self) -> list[Voice]:
        """Return the contenders that may join, of equal ones the first; none where the answers would not fit."""
        at = self.context
        alone = [c for c in at.outcome.contenders if not (c.parts or (c.baseline and at.settings.networks_only))]
        files = {c.family: [answers_of(at.results.files, key) for key in c.keys] for c in alone}
        able = [c for c in alone if all(file.exists() for file in files[c.family])]
        if len(able) < len(alone):
            without = listed([c.family for c in alone if c not in able])
            at.say(f"ensemble: without {without}, whose answers an older version did not keep")
        size = sum(file.stat().st_size for c in able for file in files[c.family])
        if size > MOST_BYTES:
            at.say(f"no ensemble: {size / 2**20:.0f} MiB of answers are too many to compare")
            return []
        voices: list[Voice] = []
        for voice in (Voice(c, self._answers(c, files[c.family])) for c in able):
            if not any(voice.says_as(other) for other in voices):
                voices.append(voice)
        return voices

    def _count(self, one: Contender) -> int:
        """Return the networks of one contender that would answer together."""
        at = self.context
        most = SEEDS_BY_TRIALS if at.by_trials else at.settings.workers
        asked = at.settings.committee
        return min(len(one.keys), most if asked is None else max(1, asked))

    def _answers(self, one: Contender, files: Sequence[Path]) -> Answers:
        """Return the mean answers of the trainings of one contender."""
        found, names = [load_file(file) for file in files], [*map(fold_name, one.folds), TEST]
        return {name: self._mean([a[name] for a in found if name in a][: self._count(one)]) for name in names}

    def _forward(self, able: list[Voice]) -> list[Voice]:
        """Return the contenders to join, the best first; one alone where no other helps."""
        joined: list[Voice] = []
        alone = [self._error([voice]) for voice in able]
        worst = min(alone) + MOST_BEHIND * abs(min(alone))
        able = [voice for voice, error in zip(able, alone, strict=True) if error <= worst]
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
        """Return the quality of the mean answer on the folds, turned so that less is better."""
        task = self.context.plan.task
        quality = float(np.mean([metrics.summarise(task, scores) for scores in self._units(voices).values()]))
        return -quality if self.context.metric.higher_is_better else quality

    def _units(self, voices: Sequence[Voice]) -> dict[int, np.ndarray]:
        """Return one score a unit of each fold, of the mean answer."""
        return {k: self._scores(voices, fold_name(k), rows) for k, rows in self._truth.items()}

    def _scores(self, voices: Sequence[Voice], name: str, rows: Rows) -> np.ndarray:
        answer = self._mean([voice.answers[name] for voice in voices])
        return metrics.units(self.context.plan.task, answer, rows.y, rows.scale)

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

    def _contender(self, voices: Sequence[Voice]) -> Contender:
        """Return what the voices are together, with its cost and its scores."""
        at, parts = self.context, [voice.contender for voice in voices]
        config, counts = self._config(parts), tuple(self._count(part) for part in parts)
        name = "ensemble " + " ".join(f"{n} of {','.join(part.keys)}" for n, part in zip(counts, parts, strict=True))
        units = self._units(voices)
        result = Result(
            folds={k: metrics.summarise(at.plan.task, scores) for k, scores in units.items()},
            units={k: tuple(map(float, scores)) for k, scores in units.items()},
            test=tuple(map(float, self._scores(voices, TEST, at.problem.test))),
        )
        return Contender(
            ENSEMBLE,
            False,
            at.gate.cost(config.build, max(part.cost.length for part in parts), name),
            result.folds,
            list(result.test),
            {"parts": {part.family: part.config for part in parts}, "model": config.model_dump(mode="json")},
            "",
            sum(part.train_s for part in parts),
            heats=(result,),
            parts=tuple(parts),
            counts=counts,
        )


def _names(one: Contender) -> str:
    return listed([part.family for part in one.parts])
