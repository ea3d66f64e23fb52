"""The documents' advice as rules: each reads the user's facts, speaks or is silent, and has a page.

>>> from advisor.rules import Facts, advise
>>> facts = Facts(task="classify", samples=67, length_p50=24)
>>> [rule.key for rule in advise(facts, ["gru"]).fired]
['LEN1', 'SML1']
"""

from advisor.rules.engine import Advice, FamilyAdvice, advise, page, rules
from advisor.rules.facts import Facts, Fired, Scenario, facts_from, scenarios

__all__ = ["Advice", "Facts", "FamilyAdvice", "Fired", "Scenario", "advise", "facts_from", "page", "rules", "scenarios"]
