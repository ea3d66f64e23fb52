"""The documents' advice as rules: each reads the user's facts, speaks or is silent, and has a page.

>>> from advisor.rules import Facts, advise
>>> facts = Facts(task="classify", samples=67, length_p50=24)
>>> [rule.key for rule in advise(facts, ["gru"]).fired if not rule.procedure]
['LEN1', 'SML1', 'BI1']
"""

from advisor.rules.conflicts import Conflict
from advisor.rules.engine import Advice, FamilyAdvice, advise, page, rules
from advisor.rules.facts import Facts, facts_from
from advisor.rules.own import OwnRule, own_rules
from advisor.rules.table import TIERS, Fired, Scenario, Tier, scenario_key, scenarios
from advisor.rules.words import explain_advice

__all__ = [
    "TIERS",
    "Advice",
    "Conflict",
    "Facts",
    "FamilyAdvice",
    "Fired",
    "OwnRule",
    "Scenario",
    "Tier",
    "advise",
    "explain_advice",
    "facts_from",
    "own_rules",
    "page",
    "rules",
    "scenario_key",
    "scenarios",
]
