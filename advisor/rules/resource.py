"""Rules that read what is scarce: memory, training data, time to wait, the device."""

from math import isqrt

from advisor.rules.counts import are, steps
from advisor.rules.facts import Facts
from advisor.rules.table import Fired, fired, scenarios

HEADS, TRAINING_BATCH = 4, 32
SHARE = 0.5
"""Part of the memory that attention matrices may take; the rest is for weights, other activations and the system."""
FEW_SERIES, FEW_STEPS = 1000, 10_000


def look_ahead_steps() -> int:
    """Return the steps that an answer of lc_bilstm waits for: the rest of its chunk and R more, C - 1 + R."""
    numbers = scenarios()["SC1"].numbers
    return numbers["chunk"] - 1 + numbers["right"]


def look_ahead_is_late(facts: Facts) -> bool:
    """Say whether that wait alone is longer than the latency allowed; no where either is not known."""
    if facts.step_ms is None or facts.max_latency_ms is None:
        return False
    return look_ahead_steps() * facts.step_ms > facts.max_latency_ms


def attention_length_cap(memory_mib: float, batch: int, heads: int = HEADS) -> int:
    """Return the greatest L with batch * heads * L^2 * 4 bytes within half of the memory.

    Args:
        memory_mib: Memory of the device or the limit of the user.
        batch: Sequences at once.
        heads: Attention heads, each with its own L by L matrix of float32 weights.
    """
    return isqrt(int(SHARE * memory_mib * 2**20) // (batch * heads * 4))


def quadratic_memory(facts: Facts) -> Fired | None:
    """MEM1: attention memory grows with the square of the length, so the length needs a cap.

    Fires when:
        The longest input (99th percentile, or the context) passes the cap. Strength 0.5 at the cap, towards 1 with
        the length.
    Why:
        Each head holds a weight for every pair of steps: batch * heads * L^2 * 4 bytes (fp32). The cap is the L at
        which this fills half of the memory: of the limit on one answer at the asked batch size, and of the device at
        a training batch of 32, whichever is less; 4 heads.
    Does not apply:
        When the longest input stays below the cap. Fused kernels never hold the matrix, so the measured peak
        of a candidate can be far below the formula; sliding windows and linear attention (CL11) have no square.
    Evidence:
        D4 section 3.2; CL8 (D4). The peak memory of each candidate is measured beside it.
    """
    caps = []
    if facts.max_memory_mib is not None:
        cap = attention_length_cap(facts.max_memory_mib, facts.batch_size)
        caps.append((cap, f"half of the {facts.max_memory_mib:g} MiB allowed, batch {facts.batch_size}"))
    if facts.device_memory_mib is not None:
        cap = attention_length_cap(facts.device_memory_mib, TRAINING_BATCH)
        caps.append(
            (cap, f"half of the {facts.device_memory_mib:g} MiB of the device, training batch {TRAINING_BATCH}")
        )
    if not caps:
        return None
    cap, where = min(caps)
    if facts.longest <= cap:
        return None
    need = f"Sequences have up to {steps(facts.longest)}; {HEADS} heads of L^2 * 4 bytes fill {where} at {steps(cap)}."
    if facts.reach is not None and facts.reach_high is not None and facts.reach_high <= cap:
        need += f" No more than {steps(facts.reach_high)} can matter, as measured: the cap should cost no quality."
    return fired("MEM1", 1 - 0.5 * cap / facts.longest, need, cap_length=max(1, cap))


def small_data(facts: Facts) -> Fired | None:
    """SML1: on a small data set a small LSTM overfits less than a large Transformer.

    Fires when:
        There are fewer than 1000 labelled series or, for forecasting, fewer than 10,000 observed steps in all.
        Strength 1 where there are next to none, falling to 0.2 at the bound.
    Why:
        Recurrence already assumes that order matters and that the near past weighs more; attention must learn both.
        Fewer parameters leave less to fit by chance.
    Does not apply:
        When a pretrained Transformer is fine-tuned (PRE1): it has seen other data before.
    Evidence:
        D2. The two bounds are ours: the document gives none.
    """
    if facts.pretrained:
        return None
    forecast = facts.task == "forecast"
    have, few = (facts.total_steps, FEW_STEPS) if forecast else (facts.samples, FEW_SERIES)
    if have >= few:
        return None
    what = f"observed {'step' if have == 1 else 'steps'}" if forecast else "labelled series"
    return fired("SML1", 1 - 0.8 * have / few, f"There {are(have)} {have} {what}, below {few}.")


def step_by_step(facts: Facts) -> Fired | None:
    """STR1: a stream answered step by step wants a recurrent model.

    Fires when:
        The user asks for answers step by step (`--streaming`). Strength 1. Where the time between two steps is known
        and the look-ahead of lc_bilstm alone is over the latency allowed, it speaks against lc_bilstm too.
    Why:
        A state of fixed size takes one step in and gives one answer out at constant cost. Full attention wants the
        whole sequence, and with a cache its cost grows with every step.
    Does not apply:
        When answers may wait for the end. Linear attention and state spaces have a recurrent form and stream too
        (CL11, CL12); models that read backwards cannot (BI1).
    Evidence:
        D2; the cost of one step is measured for each candidate.
    """
    if not facts.streaming:
        return None
    limit = "" if facts.max_latency_ms is None else f", each within {facts.max_latency_ms:g} ms"
    if not look_ahead_is_late(facts):
        return fired("STR1", 1.0, f"Answers are wanted step by step{limit}.")
    because = f"Answers are wanted step by step{limit}, and one step comes every {facts.step_ms:g} ms."
    return fired("STR1", 1.0, because, case="no_look_ahead")


def embedded_device(facts: Facts) -> Fired | None:
    """EDG1: a phone or an embedded device wants a small LSTM.

    Fires when:
        The user says that the device is embedded, or allows at most 2 MiB for the model or 64 MiB for its memory.
        Strength 1.
    Why:
        It does enough with few weights, and every mobile runtime has fast kernels for it.
    Does not apply:
        Where the runtime of the device lacks the operators (HW1), or where a larger limit lets better models in.
    Evidence:
        D2. The two bounds are ours: the document gives none.
    """
    if not facts.edge:
        return None
    limits = (("the model", facts.max_model_mib), ("its memory", facts.max_memory_mib))
    given = " and ".join(f"{limit:g} MiB for {name}" for name, limit in limits if limit is not None)
    return fired("EDG1", 1.0, f"The device is a phone or embedded{': ' + given if given else ', as said'}.")
