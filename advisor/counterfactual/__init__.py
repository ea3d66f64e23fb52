"""What would have to change for another answer: from the rules before training, from the measurements after it.

>>> from advisor.rules import Facts
>>> turns = before(Facts(task="classify", samples=50_000, length_p50=1460), ["gru", "transformer"])
>>> [(turn.fact, turn.then, turn.winner_then) for turn in turns if turn.fact == "length_p50"]
[('length_p50', 1023, 'gru')]
"""

from advisor.counterfactual.after import after
from advisor.counterfactual.before import before, why_not
from advisor.counterfactual.explained import explain_run
from advisor.counterfactual.model import Explanation, Turn, WhyNot, lines
from advisor.counterfactual.verdict import why_not_measured

__all__ = ["Explanation", "Turn", "WhyNot", "after", "before", "explain_run", "lines", "why_not", "why_not_measured"]
