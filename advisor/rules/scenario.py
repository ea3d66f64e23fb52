"""Rules that recognise an application: the selection table of D4 section 4. `Facts.scenario` names one instead."""

from advisor.rules.counts import are, steps
from advisor.rules.facts import Facts
from advisor.rules.resource import look_ahead_is_late, look_ahead_steps
from advisor.rules.table import Fired, fired, scenario_key, scenarios

DOCUMENT_TOKENS = 512
SHORT_HORIZON = 24
TIGHT_MODEL_MIB, TIGHT_MEMORY_MIB, SMALL_DEVICE_MIB = 8.0, 256.0, 1024.0


def real_time_speech(facts: Facts) -> Fired | None:
    """SC1: real-time speech recognition wants a bidirectional LSTM with CTC.

    Fires when:
        Audio is transcribed and answers must come in real time: streaming, or within 100 ms, or as said. Strength 1.
        With streaming it recommends other families: latency-controlled and causal ones; only causal ones where the
        bounded look-ahead alone takes longer than the latency allowed.
    Why:
        Speech patterns are local in time, CTC needs no alignment, and the model is small enough to answer quickly.
    Does not apply:
        To recordings that may be transcribed later. A fully bidirectional LSTM must also hear the end before it can
        answer (BI1): a true stream needs the latency-controlled form, which looks ahead by a bounded number of steps.
    Evidence:
        D4 section 4, first row of the table; D2 on the two directions.
    """
    speech = facts.modality == "audio" and facts.task == "transcribe" and facts.realtime
    limit = "" if facts.max_latency_ms is None else f" within {facts.max_latency_ms:g} ms"
    how = "as a stream" if facts.streaming else "in real time"
    reason = f"Speech is transcribed {how}{limit}." if speech else None
    case, words = _look_ahead(facts)
    return _answer("SC1", facts, reason, case=case, more=words)


def document_translation(facts: Facts) -> Fired | None:
    """SC2: translating whole documents wants a Transformer.

    Fires when:
        The task is to translate and the longest text has 512 tokens or more. Strength 1.
    Why:
        A pronoun or a term is settled pages earlier; attention reaches it in one step, recurrence through all between.
    Does not apply:
        To single sentences, below 512 tokens: there the reach of an LSTM suffices (LEN1).
    Evidence:
        D4 section 4, second row; CL7 (D0, D1) on the length of paths.
    """
    long = facts.task == "translate" and facts.longest >= DOCUMENT_TOKENS
    reason = f"Texts of up to {facts.longest} tokens are translated, {DOCUMENT_TOKENS} or more."
    return _answer("SC2", facts, reason if long else None)


def short_horizon_forecast(facts: Facts) -> Fired | None:
    """SC3: forecasting a short horizon wants a GRU.

    Fires when:
        At most 24 steps or two seasons are forecast, whichever is more. Strength 1; 0.5 on an accelerator, where
        computing is not scarce.
    Why:
        The near future hangs on the near past, which a GRU holds with three gate transforms a step instead of four
        (CL10). It trains in little time, so more settings can be tried.
    Does not apply:
        To longer horizons, or when a seasonal baseline already wins: see the baselines in the report.
    Evidence:
        D4 section 4, third row; CL13 (D0, D4). The bound on the horizon is ours: the document gives none.
    """
    bound = max(SHORT_HORIZON, 2 * facts.season)
    short = facts.task == "forecast" and facts.horizon is not None and facts.horizon <= bound
    words = f"{SHORT_HORIZON} steps" if bound == SHORT_HORIZON else f"two seasons of {facts.season}"
    reason = f"{steps(facts.horizon or 0)} {are(facts.horizon or 0)} forecast, at most {words}."
    strength = 0.5 if facts.device_kind in {"cuda", "mps"} else 1.0
    return _answer("SC3", facts, reason if short else None, strength)


def several_streams(facts: Facts) -> Fired | None:
    """SC4: sequences of several kinds want cross-attention between their encoders.

    Fires when:
        The data has streams of several kinds (`--modality several`). Strength 1.
    Why:
        Streams that differ in rate and meaning have no common time step; cross-attention lets each look up the other.
    Does not apply:
        To several channels on one clock: they are one stream with C channels.
    Evidence:
        D4 section 4, fourth row.
    """
    several = facts.modality == "several"
    return _answer("SC4", facts, "The data has streams of several kinds." if several else None)


def few_resources(facts: Facts) -> Fired | None:
    """SC5: deployment on few resources wants a quantized recurrent network.

    Fires when:
        The model may take at most 8 MiB or its memory at most 256 MiB, or the device has at most 1 GiB or is said to
        be embedded, whatever application is named. Strength 1.
    Why:
        One byte a weight instead of four and a state of fixed size: little to store, to move and to compute.
    Does not apply:
        When nothing of this is scarce. Where the toolkit's int8 kernels are slower than fp32 the gain is in size only:
        the export report says so.
    Evidence:
        D4 section 4, fifth row. The three bounds are ours: the document gives none.
    """
    tight = []
    if facts.max_model_mib is not None and facts.max_model_mib <= TIGHT_MODEL_MIB:
        tight.append(f"the model may take {facts.max_model_mib:g} MiB, at most {TIGHT_MODEL_MIB:g}")
    if facts.max_memory_mib is not None and facts.max_memory_mib <= TIGHT_MEMORY_MIB:
        tight.append(f"its memory {facts.max_memory_mib:g} MiB, at most {TIGHT_MEMORY_MIB:g}")
    if facts.device_memory_mib is not None and facts.device_memory_mib <= SMALL_DEVICE_MIB:
        tight.append(f"the device has {facts.device_memory_mib:g} MiB, at most {SMALL_DEVICE_MIB:g}")
    if facts.edge and not tight:
        tight.append("the device is said to be a phone or embedded")
    words = " and ".join(tight)
    return _answer("SC5", facts, f"{words[0].upper()}{words[1:]}." if tight else None)


def _answer(
    key: str, facts: Facts, reason: str | None, strength: float = 1.0, case: str = "", more: str = ""
) -> Fired | None:
    """Return the rule's answer: to the user who named it, else to the facts (`reason` None: not the case).

    A named application silences the others that the facts show, but not a rule of the budget: a limit stays a limit.

    Args:
        key: Of the rule.
        facts: The situation.
        reason: Why the facts are the rule's case.
        strength: If not forced; forced it is 1.
        case: Which case of the row speaks.
        more: What to say after the reason.
    """
    named = None if facts.scenario is None else scenario_key(facts.scenario)
    if named == key:
        said = f"You said so: scenario {key}. " + (reason or "The other facts alone would not have shown it.")
        return fired(key, 1.0, said + more, case=case)
    if reason is None or (named is not None and scenarios()[key].tier == "scenario"):
        return None
    return fired(key, strength, reason + more, case=case)


def _look_ahead(facts: Facts) -> tuple[str, str]:
    """Return the case of SC1 and the words on what each model must hear before it answers."""
    words = f" A bidirectional LSTM answers after the whole utterance: {_wait(facts.longest, facts.step_ms)}."
    if not facts.streaming:
        return "", words
    chunk, right = (scenarios()["SC1"].numbers[name] for name in ("chunk", "right"))
    words += f" A latency-controlled one (lc_bilstm) waits for {_wait(look_ahead_steps(), facts.step_ms)} at most"
    words += (
        f" (chunks of {chunk} steps, {right} more read); causal families (lstm, gru, mingru, ssm) wait for nothing."
    )
    if not look_ahead_is_late(facts):
        return "streaming", words
    return "causal", f"{words} That look-ahead alone is over the {facts.max_latency_ms:g} ms allowed."


def _wait(number: int, step_ms: float | None) -> str:
    return steps(number) if step_ms is None else f"{steps(number)}, {number * step_ms:g} ms"
