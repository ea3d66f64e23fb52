"""Drives the race: asks the gate and the samplers, gives trainings to the workers, takes up what they found."""

import time
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from pathlib import Path

from advisor.search import rungs
from advisor.search.context import MOST_STEPS, Context
from advisor.search.executors import PASSING
from advisor.search.gate import Gated, Refused
from advisor.search.jobs import NetworkJob, Result, progress_of
from advisor.search.knobs import Knobs
from advisor.search.order import in_turns
from advisor.search.race import Candidate, Race
from advisor.search.results import Lines
from advisor.search.studies import Seen, Studies
from hybrids.families import FAMILIES

GENERATION = 4
"""Trainings that are decided on at once where steps are counted: the same, however many workers there are."""
WORTH = 0.6
"""A rung is begun only if this share of its seconds is left."""
BASELINES_SHARE = 0.12
"""Of the workers' time in the race, for the baselines."""
MOST_REFUSED = 20


class Racing:
    """See the module.

    Args:
        context: Of the search.
        given: Family -> configurations to try after its default, from earlier runs.
    """

    def __init__(self, context: Context, given: dict[str, list[Knobs]]) -> None:
        self.context = context
        at, asked = context, context.settings
        able = sum(not self._why_never(family) for family in context.families)
        self.race = Race(self._rungs(max(1, able), asked.workers), at.metric.higher_is_better)
        self.studies = Studies(at.plan, at.metric.higher_is_better, asked.seed)
        self._asked = Lines(at.run.work / "asked.jsonl")
        self._given = {family: list(knobs) for family, knobs in given.items()}
        if not at.by_trials:  # another clock asks other questions: what was asked before comes first
            for line in self._asked.found:
                self._given.setdefault(str(line["family"]), []).append(Knobs.model_validate(line["knobs"]))
        self._refused: list[Gated | Refused] = []
        self._running: dict[Future[Result], tuple[Candidate, NetworkJob]] = {}
        self._waiting: list[str] = []
        """Families that there was no room for at the start."""

    def _why_never(self, family: str) -> str:
        """Return why a family cannot race, whatever its size; empty where it can."""
        needs = FAMILIES[family].needs
        return f"it needs {needs}" if needs else self.context.gate.why_never(family)

    def _rungs(self, families: int, least: int) -> rungs.Rungs:
        """Return the rungs that there is time for, with at least so many of the families."""
        at, asked = self.context, self.context.settings
        if asked.trials is not None:
            return rungs.by_trials(asked.trials, families)
        left = at.clock.until("race")
        worker_s = left * asked.workers * (1.0 if asked.networks_only else 1 - BASELINES_SHARE)
        return rungs.by_time(min(worker_s, 1e6), families, least, MOST_STEPS)

    def start(self) -> list[Gated]:
        """Give every family that can keep the budget its start, as far as there is room; record the others.

        Where nothing decides by a latency, training begins while the next family is measured.
        """
        at = self.context
        room = self.race.rungs.sizes[0]
        admitted: list[Gated] = []
        for family in in_turns(at.families, at.plan.task):
            if why := self._why_never(family):
                where = at.outcome.not_tried if FAMILIES[family].needs else at.outcome.infeasible
                where[family] = why
            elif len(admitted) >= room:
                at.outcome.not_tried[family] = self._no_room()
                self._waiting.append(family)
            elif one := self._admitted(family):
                admitted.append(one)
                if not at.gate.needs_quiet:
                    self._launch(self._entered(one, extra=False), first=True)
        if at.gate.needs_quiet and admitted:
            self.race.rungs = self._rungs(len(admitted), len(admitted))
            for one in admitted:
                self._launch(self._entered(one, extra=False), first=True)
        kept = rungs.sizes_of(max(1, len(admitted)))
        self.race.rungs = rungs.Rungs(kept, self.race.rungs.seconds, self.race.rungs.steps)
        return admitted

    def _admitted(self, family: str) -> Gated | None:
        """Return the start of a family, shrunk until it keeps the budget; None, on record, where nothing does."""
        at = self.context
        tried = at.gate.admit_or_shrink(family)
        for one in tried:
            if one.why:
                at.ledger.record(one, "infeasible", reason=one.why)
                self._refused.append(one)
        last = tried[-1]
        if isinstance(last, Gated) and not last.why:
            return last
        at.outcome.infeasible[family] = f"even its smallest: {last.why}"
        at.outcome.came_near(last.excess, family, last.why)
        return None

    def _no_room(self) -> str:
        if self.context.by_trials:
            return f"the {self.context.settings.trials} trials were used up"
        return "its turn did not come in the time of the race; the advised families of each kind start first"

    def run(self) -> None:
        """Race until the time or the number of trials is used up, or nothing more can be gained."""
        at = self.context
        names = ", ".join(c.family for c in self.race.all)
        each = self.race.rungs.seconds_of(0)
        how = f"{self.race.rungs.steps_of(0)} steps" if each is None else f"{each:.1f} s"
        at.say(f"race: {names}; {how} each, then the better half goes on")
        while True:
            self._fill()
            if not self._running:
                break
            done = wait(self._running, return_when=ALL_COMPLETED if at.by_trials else FIRST_COMPLETED).done
            for future in sorted(done, key=lambda f: self._running[f][0].number):
                candidate, job = self._running.pop(future)
                self._finish(candidate, job, future.result())
        self._record()

    def _fill(self) -> None:
        """Give the workers what is worth doing now."""
        at = self.context
        most = GENERATION if at.by_trials else at.settings.workers
        chosen: list[Candidate] = []
        quiet = not self._running
        while len(self._running) + len(chosen) < most:
            one = self.race.climber()
            if one is None or not self._worth(one.rung):
                one = self._latecomer(quiet) or self._newcomer(quiet)
            if one is None:
                break
            one.running = True
            if at.gate.needs_quiet and quiet:
                chosen.append(one)  # nothing trains while another may yet be measured
            else:
                self._launch(one)
        for one in chosen:
            self._launch(one)

    def _worth(self, rung: int) -> bool:
        seconds = self.race.rungs.seconds_of(rung)
        return seconds is None or self.context.clock.until("race") >= WORTH * seconds

    def _latecomer(self, quiet: bool) -> Candidate | None:
        """Return the start of a family that there was no room for, where a worker is free and there is time.

        A default of another family says more than a second configuration: few of those were better in short races.
        """
        at = self.context
        while self._waiting and not at.by_trials and not self.race.perfect():
            if not self._worth(0) or (at.gate.needs_quiet and not quiet):
                break
            family = self._waiting.pop(0)
            gated = self._admitted(family)
            if gated and not self._worth(0):  # measuring it took the time
                break
            del at.outcome.not_tried[family]
            if gated:
                found = self._entered(gated, extra=False)
                found.late = True
                return found
        return None

    def _newcomer(self, quiet: bool) -> Candidate | None:
        """Return a new configuration that is worth it and keeps the budget; `quiet`: nothing runs now."""
        at = self.context
        entered = len(self.race.all)
        if at.by_trials and entered >= (at.settings.trials or 0):
            return None
        if not at.by_trials and self.race.exhausted():
            return None
        family = self.race.newcomer()
        if family is None or not self._worth(0) or (at.gate.needs_quiet and not quiet):
            return None
        for _ in range(MOST_REFUSED):
            gated = at.gate.admit(family, self._ask(family))
            if isinstance(gated, Gated) and not gated.why:
                return self._entered(gated, extra=True)
            at.ledger.record(gated, "infeasible", reason=gated.why)
            self._refused.append(gated)
        return None

    def _ask(self, family: str) -> Knobs:
        """Return the next configuration of a family: one that was given, else what its sampler proposes."""
        known = [c.gated.knobs for c in self.race.all if c.family == family]
        while self._given.get(family):
            knobs = self._given[family].pop(0)
            if knobs not in known:
                return knobs
        knobs = self.studies.ask(family, self._seen(family, ended=False))
        self._asked.add({"family": family, "knobs": knobs.model_dump(mode="json")})
        return knobs

    def _seen(self, family: str, ended: bool) -> list[Seen]:
        """Return all that was asked of a family; while the race goes on, who waits has ended for the sampler."""
        refused = [(g.knobs, g.excess) for g in self._refused if g.family == family]
        seen = [Seen(knobs, (), "infeasible", excess) for knobs, excess in refused]
        for c in self.race.all:
            if c.family != family:
                continue
            if c.failed:
                seen.append(Seen(c.gated.knobs, (), "failed"))
            elif not c.values:
                seen.append(Seen(c.gated.knobs, (), "running"))
            else:
                state = self.race.state(c) if ended else "pruned"
                seen.append(Seen(c.gated.knobs, tuple(c.values), state))
        return seen

    def _entered(self, gated: Gated, extra: bool) -> Candidate:
        """Return the candidate, now in the race."""
        number = self.context.ledger.number(gated.family, gated.knobs)
        candidate = Candidate(number, gated, extra)
        self.race.all.append(candidate)
        return candidate

    def _launch(self, candidate: Candidate, first: bool = False) -> None:
        at, rung, shape = self.context, candidate.rung, self.race.rungs
        job = at.network_job(
            candidate.gated,
            0,
            at.settings.seed,
            "final" if first else "race",  # a start that slow baselines held up is made all the same
            shape.whole_s,
            shape.whole_steps,
            goes_on=candidate.key or None,
            until=shape.until(rung),
        )
        candidate.running = True
        self._running[at.results.submit(job, first=first)] = (candidate, job)

    def _finish(self, c: Candidate, job: NetworkJob, result: Result) -> None:
        at = self.context
        c.running = False
        if result.failed:
            c.failed = result.failed
            if c.values:  # what it had reached counts
                return
            if result.failed in PASSING:
                if not any(one.values for one in self.race.all if one.family == c.family):
                    at.outcome.not_tried.setdefault(c.family, result.failed)
            else:
                at.ledger.record(c.gated, "infeasible" if result.infeasible else "failed", result, reason=result.failed)
                at.say(f"  {c.family}: failed, {result.failed}")
                if result.infeasible and not c.extra:
                    at.outcome.infeasible[c.family] = result.failed
            return
        if c.key:
            Path(progress_of(job.folder, c.key)).unlink(missing_ok=True)
        c.values.append(result.quality)
        c.result, c.key = result, job.key()
        stat = at.settings.budget.latency_stat
        cost = f"{c.gated.cost.latency_ms(stat):.2f} ms {stat}, {result.steps} steps in {result.seconds:.1f} s"
        what = f"rung {c.rung - 1}" + (", new configuration" if c.extra else "")
        at.say(f"  {c.family} ({what}): {at.metric.name} {c.value:.4f}, {cost}")

    def _record(self) -> None:
        at = self.context
        for c in sorted(self.race.all, key=lambda c: c.number):
            if c.values:
                state = self.race.state(c)
                why = "" if state == "complete" else f"others of its family were ahead after rung {c.rung - 1}"
                at.ledger.record(c.gated, state, c.result, quality=c.value, reason=why)
        families = dict.fromkeys(c.family for c in self.race.all)
        self.studies.write(at.run.path / "study.journal", {f: self._seen(f, ended=True) for f in families})
        at.say(f"race: {len(self.race.trained())} trained, {time.monotonic() - at.clock.started:.0f} s used")
