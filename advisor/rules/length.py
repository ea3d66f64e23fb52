"""Rules that read how long the sequences are, how much of them matters, and what each length costs on this device.

Two questions, answered apart. Cost: up to which length is a recurrent network the cheaper one to train? The documents
say below 512 and from 1024 on; a calibrated device answers by measurement (`Crossovers`). Memory: can a recurrent
state carry what the answer needs? That hangs on the data and not on the device, so a dear Transformer may still be
the right one.

A device can be the reverse of the documents: recurrence cheaper from some length on and attention below it. What the
documents say of cost does not hold there, what they say of memory does.
"""

from math import log2

from advisor.rules.costs import at_words, cheaper, measured_words
from advisor.rules.counts import steps
from advisor.rules.facts import Facts
from advisor.rules.scenario import real_time_speech
from advisor.rules.table import Fired, fired

SHORT, LONG = 512, 1024


def short_sequences(facts: Facts) -> Fired | None:
    """LEN1: short sequences, below 512 steps, want a recurrent network.

    Fires when:
        A model needs fewer than 512 steps. On a calibrated device: where recurrence was measured to train in no more
        time than attention, whatever the length, up to 1023 steps. Needed is the length, or the measured reach of the
        data where that is less, the upper end of its interval where that is more than twice as far. Strength 1 at no
        steps, falling to 0.5 at the bound; half of that where attention was measured to be the cheaper one below 512
        steps, and recurrence at longer ones.
    Why:
        A recurrent network pays one step after another, which is little when steps are few, and its gates
        still remember the start. Attention has nothing far away to reach for.
    Does not apply:
        When more than 512 steps were measured to matter: the reach of LSTM and GRU is hundreds of steps (CL5), and
        LEN2 speaks instead, whatever attention costs. When the answer hangs on exact copies of single old steps, or
        when training must fill a large accelerator (CL1, CL9): there attention can win at any length.
    Evidence:
        D4 section 3.2 gives the bound; `advisor device --calibrate` measures the one of this device. CL4 and CL5 (D0,
        D1, D4) give the reach: tens of steps for a plain RNN, hundreds for LSTM and GRU.
    """
    if not _short(facts):
        return None
    cost, found, words = cheaper(facts), facts.crossovers, _because(facts, f"below {SHORT}")
    if cost == "attention":
        words += " Attention is the cheaper one at this length here, so the cost does not speak for recurrence. The"
        words += " other reason stands: attention has nothing far away to reach for."
        return fired("LEN1", 0.5 - 0.25 * facts.needed / SHORT, words)
    bound = SHORT
    if found is not None and cost == "recurrence":
        upwards = found.recurrent_from is not None and facts.needed >= found.recurrent_from
        bound = min(LONG, max(facts.needed, found.longest if upwards else found.short_below))
    return fired("LEN1", 1 - 0.5 * facts.needed / max(1, bound), words)


def long_sequences(facts: Facts) -> Fired | None:
    """LEN2: long sequences, of 1024 steps and more, want a Transformer.

    Fires when:
        A model needs 1024 steps or more; or more than 512 steps were measured to matter, beyond the hundreds that a
        recurrent state is said to carry; or attention was measured to train in no more time at this length, unless
        that is below 512 steps and recurrence is cheaper at longer ones.
        Strength 0.8 at 1024 steps and 0.1 more with each doubling; 0.4 to 0.8 between 512 and 1024 steps that matter;
        0.5 where only the cost speaks for it. Where attention was measured to be dearer: three quarters of that if
        the reach was measured, half if not.
    Why:
        Attention joins any two steps directly (CL7), while a recurrent state of fixed size overwrites what is old (CL6)
        and its gradient fades (CL4). Linear attention and state spaces keep part of this at linear cost (CL11, CL12).
    Does not apply:
        When only the last steps matter, when memory is short (MEM1), when answers must stream (STR1) or when
        there are too few series to train attention (SML1).
    Evidence:
        D4 section 3.2 gives the bound; CL5 (D0, D2), CL6 and CL7 (D0, D1) the reach of each kind.
    """
    cost, far = cheaper(facts), _far(facts)
    if not far and (cost != "attention" or _short(facts)):
        return None
    strength = _forgetting(facts.needed) if far else 0.5
    words = ""
    if far and cost == "recurrence":
        strength *= 0.5 if facts.reach is None else 0.75
        words = f" Attention is dearer here {at_words(facts)}, which counts against it, but a recurrent state may not"
        words += f" carry {steps(facts.needed)} (CL5, CL6)."
        words += " The reach of the data was not measured." if facts.reach is None else ""
    elif not far:
        words = " Only the cost speaks for attention here: nothing lies beyond the reach of an LSTM."
    return fired("LEN2", strength, _because(facts, f"{LONG} or more") + words)


def middle_lengths(facts: Facts) -> Fired | None:
    """LEN3: lengths from 512 to 1023 steps ask for a test of hybrids.

    Fires when:
        A model needs 512 to 1023 steps and neither kind was measured to be the cheaper one; or it needs more than
        512 of them, as measured, though recurrence is cheaper; or the length lies between the one up to which
        recurrence is cheaper on this device and the one from which attention is. Strength 1.
    Why:
        Here both costs are felt: recurrence starts to forget and attention starts to be dear. A layer of
        recurrence for what is near and a layer of attention for what is far can share the work.
    Does not apply:
        When the budget admits one kind only, such as streaming (STR1) or an embedded device (EDG1). When the two
        measured lengths meet or overlap, nothing lies between them.
    Evidence:
        D4 section 3.2 gives the bounds, D4 section 3.1 the hybrids.
    """
    cost = cheaper(facts)
    middle = SHORT <= facts.needed < LONG and cost != "attention" and not _short(facts)
    if cost != "unclear" and not middle:
        return None
    return fired("LEN3", 1.0, _because(facts, f"between {SHORT} and {LONG}"))


def bidirectional(facts: Facts) -> Fired | None:
    """BI1: a bidirectional LSTM sees both sides, at twice the work.

    Fires when:
        Answers do not stream. For any task but a forecast, without a limit on latency or an embedded device, it
        speaks for them, weakly. With such a limit, as a limit of the budget, or for a forecast, it speaks against
        them. Strength 1; the weights are small.
    Why:
        Each step is read with what comes after it. But these are two one-way models whose outputs are joined, not one
        that sees everything at once, and each costs as much as the model read one way. A forecast is made at the end
        of its window, where nothing lies on the other side.
    Does not apply:
        To streams: STR1 and SC1 speak of them. To speech in real time: SC1 has weighed the latency.
    Evidence:
        D2.
    """
    if facts.streaming:
        return None
    speech, one_sided = real_time_speech(facts) is not None, facts.task == "forecast"
    limits = []
    if facts.max_latency_ms is not None and not speech:
        limits.append(f"an answer may take {facts.max_latency_ms:g} ms")
    elif facts.realtime and not speech:
        limits.append("answers must keep up with the input")
    limits += ["the device is a phone or embedded"] if facts.edge else []
    because = " and ".join(limits)
    after = "A forecast is made at the end of what is read: nothing comes after."
    if limits:
        words = f"{because[0].upper()}{because[1:]}.{f' {after}' if one_sided else ''}"
        return fired("BI1", 1.0, words, case="dear")
    if one_sided:
        return fired("BI1", 1.0, after, case="one_sided")
    if speech:
        return None
    return fired("BI1", 1.0, f"The task is to {facts.task} whole sequences, without a limit on latency.")


def _far(facts: Facts) -> bool:
    """Say whether an answer needs more steps than a recurrent state of fixed size is said to carry."""
    matter = min(facts.length, facts.reach_counted or 0)
    return facts.needed >= LONG or matter > SHORT


def _short(facts: Facts) -> bool:
    if _far(facts):
        return False
    cost, found = cheaper(facts), facts.crossovers
    if cost == "attention" and found is not None and found.long_from is not None:
        return False
    return cost == "recurrence" or (cost != "unclear" and facts.needed < SHORT)


def _forgetting(needed: int) -> float:
    """Return how strongly the reach of an LSTM is exceeded: 0.4 at 512 steps, 0.8 at 1024, 1 at 4096."""
    if needed >= LONG:
        return min(1.0, 0.8 + 0.1 * log2(needed / LONG))
    return 0.4 + 0.4 * max(0, needed - SHORT) / (LONG - SHORT)


def _because(facts: Facts, region: str) -> str:
    """Return the length, the reach and the bounds, those of the documents beside those of this device."""
    words = f"A model reads {steps(facts.length)}"
    if facts.reach is None:
        words += "" if facts.crossovers else f", {region}"
    else:
        words += reach_words(facts)
    found = facts.crossovers
    if found is None:
        bounds = "" if facts.reach is None else f" The documents' bounds are {SHORT} and {LONG}."
        return f"{words}.{bounds}"
    return f"{words}. The documents' bounds are {SHORT} and {LONG}; {measured_words(facts, found)}"


def reach_words(facts: Facts) -> str:
    """Return the measured reach beside the length, to follow the words "A model reads L steps"."""
    reach, counted = facts.reach or 0, facts.reach_counted or 0
    where = {"from the start": "first", "from the middle": "middle"}.get(facts.reach_kind, "last")
    if facts.reach_high is None:
        return f"; at least the {where} {reach} {'matters' if reach == 1 else 'matter'}, and no further was looked"
    if reach == 0:
        words = ", but none of them was found to matter"
    elif reach >= facts.length:
        return f", and all of them matter (the measured reach is {reach})"
    elif facts.reach_kind == "lag":
        words = f", but only the last {'one matters' if reach == 1 else f'{reach} matter'}"
    else:
        words = f", but the {where} {'one is' if reach == 1 else f'{reach} are'} enough"
    if counted > reach:
        return f"{words}; the interval is wide and goes up to {counted}, so {min(counted, facts.length)} count"
    return words if facts.reach_high <= reach else f"{words} (up to {facts.reach_high} within the interval)"
