"""Before training: which change of one fact would put another family first by the rules.

Every value is found by asking the rules themselves (`advise`): a geometric grid finds where the first family changes,
bisection the nearest value. The rules' thresholds are not read, so a new rule needs nothing here. Cost: about 1000
judgements of the rules, 0.1 to 0.2 s.
"""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Literal, NamedTuple

from advisor.counterfactual.model import Turn, Value, WhyNot, ratio_of
from advisor.counterfactual.moves import Choices, Numbers, first_change, if_moved, movable, moved
from advisor.errors import InputError
from advisor.rules import Advice, Facts, Fired, OwnRule, advise
from advisor.rules.conflicts import settle

Direction = Literal["below", "above", "other"]
EQUAL = 1e-9
"""Shares of a score that differ by less than this are equal: scores are rounded to four digits."""


class Found(NamedTuple):
    """A change that was found: a fact and its nearest value."""

    fact: str
    then: Value
    direction: Direction


class _Ranking(NamedTuple):
    """Families, best first, and their scores."""

    families: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def first(self) -> str:
        return self.families[0]

    def place(self, family: str) -> int:
        return self.families.index(family) + 1

    def score(self, family: str) -> float:
        return self.scores[self.families.index(family)]


class _Situation:
    """The rules around one set of facts; each point is judged once."""

    def __init__(self, facts: Facts, families: Sequence[str], own: Sequence[OwnRule]) -> None:
        if not families:
            raise InputError("there is no family to rank.", "name one family at least.")
        self.facts, self._families, self._own = facts, families, own
        self._seen: dict[tuple[str, Value], _Ranking] = {}
        self.advice = advise(facts, families, own)
        self.now = _ranking(self.advice)

    def advice_at(self, name: str, value: Value) -> Advice:
        return advise(moved(self.facts, name, value), self._families, self._own)

    def at(self, name: str, value: Value) -> _Ranking:
        """Return the ranking with one fact moved."""
        if (name, value) not in self._seen:
            self._seen[name, value] = _ranking(self.advice_at(name, value))
        return self._seen[name, value]

    def nearest(self, holds: Callable[[_Ranking], bool]) -> list[Found]:
        """Return for each fact and direction the nearest value at which `holds`; the nearest number first."""

        def far(found: Found) -> tuple[bool, float]:
            return found.direction == "other", ratio_of(getattr(self.facts, found.fact), found.then)

        return sorted(self._all(holds), key=far)

    def _all(self, holds: Callable[[_Ranking], bool]) -> Iterator[Found]:
        for axis in movable():
            name = axis.name
            if isinstance(axis, Choices):
                for choice in axis.values:
                    if choice != getattr(self.facts, name) and holds(self.at(name, choice)):
                        yield Found(name, choice, "other")
                continue
            directions: tuple[Direction, Direction] = ("below", "above")
            for direction in directions:
                if (changed := self._first(axis, direction == "above", holds)) is not None:
                    yield Found(name, changed[0], direction)

    def _first(self, axis: Numbers, up: bool, holds: Callable[[_Ranking], bool]) -> tuple[float | None] | None:
        now = getattr(self.facts, axis.name)
        return first_change(axis, now, up, lambda value: holds(self.at(axis.name, value)))

    def closest(self, family: str) -> Found | None:
        """Return the nearest change to the best place that `family` takes at any point judged so far."""
        best = min(view.place(family) for view in self._seen.values())
        return self.nearest(lambda view: view.place(family) <= best)[0] if best < self.now.place(family) else None

    def turn(self, found: Found) -> Turn:
        """Return the change in words."""
        now, then = self.now, self.at(found.fact, found.then)
        advice = self.advice_at(found.fact, found.then)
        keys = _movers(self.advice, advice, now.first, then.first)
        because = ", ".join(_what_happened(key, self.advice, advice, (now.first, then.first)) for key in keys)
        how = f"{then.first} comes first instead of {now.first}"
        if then.score(then.first) == then.score(now.first):
            how = f"{then.first} draws level with {now.first} and is named first"
        value = getattr(self.facts, found.fact)
        return Turn(
            fact=found.fact,
            now=value,
            then=found.then,
            direction=found.direction,
            winner_now=now.first,
            winner_then=then.first,
            rules=keys,
            says=f"{if_moved(found.fact, value, found.then)}, {how}" + (f": {because}." if because else "."),
        )


def before(facts: Facts, families: Sequence[str], own: Sequence[OwnRule] = ()) -> tuple[Turn, ...]:
    """Return the nearest change of each fact, up and down, that puts another family first.

    Numbers come first, the nearest by ratio leading, then booleans and named values. What hangs on a fact moves with
    it (`moves.moved`); the rest is kept. A change of the sum of steps is left out where the same change of the number
    of series says it.

    Args:
        facts: The situation.
        families: Those that can be recommended; equal scores keep this order.
        own: The user's rules.

    Raises:
        InputError: no family is given.
    """
    situation = _Situation(facts, families, own)
    winner = situation.now.first
    turns = [situation.turn(found) for found in situation.nearest(lambda view: view.first != winner)]
    told = {(turn.direction, turn.winner_then, turn.rules) for turn in turns if turn.fact == "samples"}
    return tuple(t for t in turns if t.fact != "total_steps" or (t.direction, t.winner_then, t.rules) not in told)


def why_not(facts: Facts, families: Sequence[str], family: str, own: Sequence[OwnRule] = ()) -> WhyNot:
    """Return what the rules have for and against one family, and the single changes that would put it first.

    Args:
        facts: The situation.
        families: Those that can be recommended.
        family: The one asked about.
        own: The user's rules.

    Raises:
        InputError: `family` is not among `families`.
    """
    known_family(family, families)
    situation = _Situation(facts, families, own)
    now = situation.now
    place, of = now.place(family), len(now.families)
    says = [f"{family} has place {place} of {of} by the rules, score {now.score(family):+.2f}."]
    turns: tuple[Turn, ...] = ()
    if place > 1:
        says.append(f"{now.first} is first, score {now.score(now.first):+.2f}.")
        turns = tuple(situation.turn(found) for found in situation.nearest(lambda view: view.first == family))
        says += [turn.says for turn in turns[:2]] or [_nearest_miss(situation, family, place)]
    speaks_for, speaks_against = voices(situation.advice, family)
    return WhyNot(
        family=family,
        winner=now.first,
        place=place,
        of=of,
        state="ranked",
        speaks_for=speaks_for,
        speaks_against=speaks_against,
        turns=turns,
        says=tuple(says),
    )


def voices(advice: Advice, family: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rules for and against a family, each with its share of the score; what was set aside comes last."""
    settled = settle(family, advice.fired)
    heard = sorted(settled.heard, key=lambda pair: -abs(pair[1]))
    said = [(share, f"{one.key} {share:+.2f}: {one.says} {one.because}") for one, share in heard]
    said += [(one.share, one.says) for one in settled.conflicts]
    return tuple(words for share, words in said if share > 0), tuple(words for share, words in said if share < 0)


def known_family(family: str, families: Sequence[str]) -> None:
    """Check that `family` is among `families`.

    Raises:
        InputError: it is not; the hint offers the nearest name.
    """
    if family not in families:
        near = get_close_matches(family, families, n=2, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose from {', '.join(families)}."
        raise InputError(f"no family here is named {family!r}.", hint)


def _ranking(advice: Advice) -> _Ranking:
    return _Ranking(tuple(one.family for one in advice.ranking), tuple(one.score for one in advice.ranking))


def _nearest_miss(situation: _Situation, family: str, place: int) -> str:
    none = f"No single change of a fact puts {family} first."
    closest = situation.closest(family)
    if closest is None:
        return f"{none} None brings it nearer either."
    then = situation.at(closest.fact, closest.then)
    change = if_moved(closest.fact, getattr(situation.facts, closest.fact), closest.then)
    return f"{none} {change}, it moves from place {place} to {then.place(family)}, behind {then.first}."


def _movers(now: Advice, then: Advice, old: str, new: str) -> tuple[str, ...]:
    """Return the rules whose change favours the new first family over the old one.

    Those that fire anew, fall silent or change their weights come first, then those that they set aside; the strongest
    of each first.
    """

    def favours(advice: Advice) -> dict[str, float]:
        for_new = {one.key: share for one, share in settle(new, advice.fired).heard}
        for_old = {one.key: share for one, share in settle(old, advice.fired).heard}
        return {key: for_new.get(key, 0.0) - for_old.get(key, 0.0) for key in for_new | for_old}

    a, b = favours(now), favours(then)
    gains = {key: b.get(key, 0.0) - a.get(key, 0.0) for key in a | b}
    beside = {key for key in gains if _weights(now, key) == _weights(then, key)}
    helping = [key for key, gain in gains.items() if gain > EQUAL]
    return tuple(sorted(helping, key=lambda key: (key in beside, -gains[key])))


def _what_happened(key: str, now: Advice, then: Advice, families: tuple[str, str]) -> str:
    """Return what a rule does otherwise that moves the two families."""
    was, becomes = _fired(now, key), _fired(then, key)
    if becomes is None:
        return f"{key} falls silent"
    if was is None:
        return f"{key} speaks"
    if was.raises != becomes.raises:
        return _other_weights(was, becomes)
    if was.strength != becomes.strength:
        more = "more" if becomes.strength > was.strength else "less"
        return f"{key} weighs {more} ({was.strength:.2f} to {becomes.strength:.2f})"
    return f"{key} is {'set aside' if _aside(key, then, families) - _aside(key, now, families) else 'heard again'}"


def _other_weights(was: Fired, becomes: Fired) -> str:
    """Return the words for another case of a rule: the families that it prefers, or how much it prefers them."""
    before, after = ({family for family, weight in one.raises.items() if weight > 0} for one in (was, becomes))
    if before == after:
        return f"{was.key} gives families other weights"
    return f"{was.key} speaks for {'other families' if after else 'no family any more'}"


def _aside(key: str, advice: Advice, families: tuple[str, str]) -> set[str]:
    """Return for which of the families a rule is set aside."""
    return {one.family for one in advice.conflicts if one.set_aside == key and one.family in families}


def _weights(advice: Advice, key: str) -> tuple[float, dict[str, float]] | None:
    one = _fired(advice, key)
    return None if one is None else (one.strength, one.raises)


def _fired(advice: Advice, key: str) -> Fired | None:
    return next((one for one in advice.fired if one.key == key), None)
