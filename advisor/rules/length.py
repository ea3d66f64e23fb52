"""Rules that read how long the sequences are."""

from math import log2

from advisor.rules.facts import Facts, Fired, fired

SHORT, LONG = 512, 1024


def short_sequences(facts: Facts) -> Fired | None:
    """LEN1: short sequences, below 512 steps, want a recurrent network.

    Why:
        A recurrent network pays one step after another, which is little when steps are few, and its gates
        still remember the start. Attention has nothing far away to reach for.
    Does not apply:
        When the answer hangs on exact copies of single old steps, or when training must fill a large
        accelerator (CL1, CL9): there attention can win at any length.
    Evidence:
        D4 section 3.2 gives the bound. CL4 and CL5 (D0, D1, D4) give the reach: tens of steps for a plain RNN,
        hundreds for LSTM and GRU.
    """
    if facts.length >= SHORT:
        return None
    strength = 1 - 0.5 * facts.length / SHORT
    return fired("LEN1", strength, f"A model reads {facts.length} steps, below {SHORT}.")


def long_sequences(facts: Facts) -> Fired | None:
    """LEN2: long sequences, of 1024 steps and more, want a Transformer.

    Why:
        Attention joins any two steps directly (CL7), while a recurrent state of fixed size overwrites what is old (CL6)
        and its gradient fades (CL4). Linear attention and state spaces keep part of this at linear cost (CL11, CL12).
    Does not apply:
        When only the last steps matter, when memory is short (MEM1), when answers must stream (STR1) or when
        there are too few series to train attention (SML1).
    Evidence:
        D4 section 3.2 gives the bound; CL6 and CL7 rest on D0 and D1.
    """
    if facts.length < LONG:
        return None
    strength = 0.8 + 0.1 * log2(facts.length / LONG)
    return fired("LEN2", strength, f"A model reads {facts.length} steps, {LONG} or more.")


def middle_lengths(facts: Facts) -> Fired | None:
    """LEN3: lengths from 512 to 1023 steps ask for a test of hybrids.

    Why:
        Here both costs are felt: recurrence starts to forget and attention starts to be dear. A layer of
        recurrence for what is near and a layer of attention for what is far can share the work.
    Does not apply:
        When the budget admits one kind only, such as streaming (STR1) or an embedded device (EDG1).
    Evidence:
        D4 section 3.2 gives the bounds, D4 section 3.1 the hybrids.
    """
    if not SHORT <= facts.length < LONG:
        return None
    return fired("LEN3", 1.0, f"A model reads {facts.length} steps, between {SHORT} and {LONG}.")
