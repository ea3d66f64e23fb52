"""Rules that read how long the sequences are, how much of them matters, and what each length costs on this device.

Two questions, answered apart. Cost: up to which length is a recurrent network the cheaper one to train? The documents
say below 512 and from 1024 on; a calibrated device answers by measurement (`Crossovers`). Memory: can a recurrent
state carry what the answer needs? That hangs on the data and not on the device, so a dear Transformer may still be
the right one.
"""

from math import log2
from typing import Literal

from advisor.rules.facts import Facts
from advisor.rules.table import Fired, fired

SHORT, LONG = 512, 1024
Cheaper = Literal["recurrence", "attention", "both", "unclear", "not measured"]


def short_sequences(facts: Facts) -> Fired | None:
    """LEN1: short sequences, below 512 steps, want a recurrent network.

    Fires when:
        A model needs fewer than 512 steps. On a calibrated device: where recurrence was measured to train in no more
        time than attention, whatever the length, up to 1023 steps. Needed is the length, or the measured reach of the
        data where that is less. Strength 1 at no steps, falling to 0.5 at the bound.
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
    bound = SHORT
    if facts.crossovers is not None and cheaper(facts) == "recurrence":
        bound = min(LONG, max(facts.needed, facts.crossovers.short_below))
    return fired("LEN1", 1 - 0.5 * facts.needed / bound, _because(facts, f"below {SHORT}"))


def long_sequences(facts: Facts) -> Fired | None:
    """LEN2: long sequences, of 1024 steps and more, want a Transformer.

    Fires when:
        A model needs 1024 steps or more; or more than 512 steps were measured to matter, beyond the hundreds that a
        recurrent state is said to carry; or attention was measured to train in no more time at this length.
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
    if not far and cost != "attention":
        return None
    strength = _forgetting(facts.needed) if far else 0.5
    words = ""
    if far and cost == "recurrence":
        strength *= 0.5 if facts.reach is None else 0.75
        words = " Attention is dearer at this length here, which counts against it, but a recurrent state may not carry"
        words += f" {facts.needed} steps (CL5, CL6)."
        words += " The reach of the data was not measured." if facts.reach is None else ""
    elif not far:
        words = " Only the cost speaks for attention here: nothing lies beyond the reach of an LSTM."
    return fired("LEN2", strength, _because(facts, f"{LONG} or more") + words)


def middle_lengths(facts: Facts) -> Fired | None:
    """LEN3: lengths from 512 to 1023 steps ask for a test of hybrids.

    Fires when:
        A model needs 512 to 1023 steps and neither kind was measured to be the cheaper one; or it needs more than
        512 of them, as measured, though recurrence is cheaper; or the length lies between the two that were measured
        on this device. Strength 1.
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
        Answers do not stream. For a task that labels or transcribes whole sequences without a limit on latency or an
        embedded device it speaks for them, weakly. With such a limit, or for a forecast, it speaks against them.
        Strength 1; the weights are small.
    Why:
        Each step is read with what comes after it. But these are two one-way models whose outputs are joined, not one
        that sees everything at once, and each costs as much as the model read one way. A forecast is made at the end
        of its window, where nothing lies on the other side.
    Does not apply:
        To streams: STR1 and SC1 speak of them.
    Evidence:
        D2.
    """
    if facts.streaming:
        return None
    if facts.task == "forecast":
        return fired("BI1", 1.0, "A forecast is made at the end of what is read: nothing comes after.", case="dear")
    if facts.edge or facts.realtime or facts.max_latency_ms is not None:
        limits = [] if facts.max_latency_ms is None else [f"an answer may take {facts.max_latency_ms:g} ms"]
        limits += ["the device is a phone or embedded"] if facts.edge else []
        because = " and ".join(limits or ["answers must keep up with the input"])
        return fired("BI1", 1.0, f"{because[0].upper()}{because[1:]}.", case="dear")
    return fired("BI1", 1.0, f"The task is to {facts.task} whole sequences, without a limit on latency.")


def cheaper(facts: Facts) -> Cheaper:
    """Return which kind trains in no more time at the needed length on this device.

    `both` where the two measured regions overlap, `unclear` between them. A device on which recurrence is cheaper at
    no length, asked about a length below the one from which attention is, has measured nothing there.
    """
    found = facts.crossovers
    if found is None:
        return "not measured"
    recurrence = facts.needed <= found.short_below or found.short_below >= found.longest
    attention = found.long_from is not None and facts.needed >= found.long_from
    if recurrence and attention:
        return "both"
    if recurrence or attention:
        return "recurrence" if recurrence else "attention"
    return "not measured" if found.short_below == 0 and found.long_from is not None else "unclear"


def _far(facts: Facts) -> bool:
    """Say whether an answer needs more steps than a recurrent state of fixed size is said to carry."""
    matter = 0 if facts.reach is None else min(facts.length, facts.reach)
    return facts.needed >= LONG or matter > SHORT


def _short(facts: Facts) -> bool:
    if _far(facts):
        return False
    cost = cheaper(facts)
    return cost == "recurrence" or (cost in {"both", "not measured"} and facts.needed < SHORT)


def _forgetting(steps: int) -> float:
    """Return how strongly the reach of an LSTM is exceeded: 0.4 at 512 steps, 0.8 at 1024, 1 at 4096."""
    if steps >= LONG:
        return min(1.0, 0.8 + 0.1 * log2(steps / LONG))
    return 0.4 + 0.4 * max(0, steps - SHORT) / (LONG - SHORT)


def _because(facts: Facts, region: str) -> str:
    """Return the length, the reach and the bounds, those of the documents beside those of this device."""
    words = f"A model reads {facts.length} steps"
    if facts.reach is None:
        words += "" if facts.crossovers else f", {region}"
    else:
        words += reach_words(facts)
    found = facts.crossovers
    if found is None:
        bounds = "" if facts.reach is None else f" The documents' bounds are {SHORT} and {LONG}."
        return f"{words}.{bounds}"
    if found.short_below >= found.longest:
        short = f"at every length up to {found.longest}"
    else:
        short = f"up to {found.short_below} steps" if found.short_below else "at no length"
    long = f"at no length up to {found.longest}" if found.long_from is None else f"from {found.long_from} steps on"
    words += f". The documents' bounds are {SHORT} and {LONG}; measured on {found.device}, recurrence is as cheap to"
    words += f" train as attention or cheaper {short}, and attention as cheap or cheaper {long}."
    said = {
        "both": " At this length the two cost the same, so the documents' bounds decide.",
        "not measured": " That says nothing of this length, so the documents' bounds decide.",
        "unclear": " This length lies between: neither is clearly the cheaper one.",
    }
    return words + said.get(cheaper(facts), "")


def reach_words(facts: Facts) -> str:
    """Return the measured reach beside the length, to follow the words "A model reads L steps"."""
    reach = facts.reach or 0
    where = {"from the start": "first", "from the middle": "middle"}.get(facts.reach_kind, "last")
    lag = facts.reach_kind == "lag"
    if facts.reach_high is None:
        return f"; at least the {where} {reach} matter, and no further was looked"
    if reach == 0:
        return ", but none of them was found to matter"
    if reach < facts.length:
        high = "" if facts.reach_high <= reach else f" (up to {facts.reach_high} within the interval)"
        return f", but {f'only the last {reach} matter' if lag else f'the {where} {reach} are enough'}{high}"
    return f", and all of them matter (the measured reach is {reach})"
