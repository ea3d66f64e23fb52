"""`advisor explain`: a finished run folder in sentences, with what would have to change for another answer."""

from pathlib import Path

from advisor.counterfactual.after import turns_of
from advisor.counterfactual.before import known_family
from advisor.counterfactual.model import Explanation, lines
from advisor.counterfactual.replay import Replay, limits_of
from advisor.counterfactual.verdict import case_of
from advisor.rules import Advice
from advisor.runs import Run, readable
from profiles.budget import Budget


def explain_run(path: str | Path, family: str | None = None) -> Explanation:
    """Return why a finished run chose what it chose, and what would have made another choice.

    Args:
        path: The run folder.
        family: Ask about this family or baseline in particular.

    Raises:
        InputError: the folder is not a finished run, or the run has no such family.
    """
    run = Run(Path(path))
    recommendation, trials = run.recommendation(), run.trials()
    if family is not None:
        known_family(family, [row.family for row in recommendation.ranking])
    with readable(run.path / "budget.json"):
        budget = Budget.model_validate(run.read("budget"))
    with readable(run.path / "advice.json"):
        advice = Advice.model_validate(run.read("advice"))
    replay, limits = Replay(recommendation, trials), limits_of(budget)
    notes = []
    if recommendation.judged is None and recommendation.request.task == "classify":
        notes.append("How many series judged is not in the folder: the margin is taken at its least.")
    if not replay.exact:
        notes.append("The operations of some models are not in the folder: latency says what is cheap.")
    chosen = replay.winner(limits)
    if chosen is None or chosen.family != recommendation.family:
        other = "nobody" if chosen is None else chosen.family
        notes.append(f"From what the folder holds the choice would be {other}, not {recommendation.family}.")
    turns = turns_of(replay, trials, limits)
    case = None if family is None else case_of(family, recommendation, trials, replay, limits, turns, advice)
    shown = lines(turns) if case is None else case.says
    if any(turn.direction == "below" and turn.fact in limits and turn.says in shown for turn in turns):
        notes.append("Limits are judged by the models of this run; a search under a tighter one tries smaller models.")
    return Explanation(
        run=str(run.path),
        family=recommendation.family,
        reasons=recommendation.reasons,
        turns=turns,
        why_not=case,
        notes=tuple(notes),
    )
