"""Rules that recognise an application: the selection table of D4 section 4."""

from advisor.rules.facts import Facts, Fired, fired

DOCUMENT_TOKENS = 512
SHORT_HORIZON = 24
TIGHT_MODEL_MIB, TIGHT_MEMORY_MIB = 8.0, 256.0


def real_time_speech(facts: Facts) -> Fired | None:
    """SC1: real-time speech recognition wants a bidirectional LSTM with CTC.

    Why:
        Speech patterns are local in time, CTC needs no alignment, and the model is small enough to answer quickly.
    Does not apply:
        To recordings that may be transcribed later. A fully bidirectional LSTM must also hear the end before it can
        answer (BI1): a true stream needs the latency-controlled form, which looks ahead by a bounded number of steps.
    Evidence:
        D4 section 4, first row of the table.
    """
    if facts.modality != "audio" or facts.task != "transcribe" or not facts.realtime:
        return None
    how = "as a stream" if facts.streaming else "in real time"
    limit = "" if facts.max_latency_ms is None else f" within {facts.max_latency_ms:g} ms"
    return fired("SC1", 1.0, f"Speech is transcribed {how}{limit}.")


def document_translation(facts: Facts) -> Fired | None:
    """SC2: translating whole documents wants a Transformer.

    Why:
        A pronoun or a term is settled pages earlier; attention reaches it in one step, recurrence through all between.
    Does not apply:
        To single sentences, below 512 tokens: there the reach of an LSTM suffices (LEN1).
    Evidence:
        D4 section 4, second row; CL7 (D0, D1) on the length of paths.
    """
    if facts.task != "translate" or facts.longest < DOCUMENT_TOKENS:
        return None
    return fired("SC2", 1.0, f"Texts of up to {facts.longest} tokens are translated, {DOCUMENT_TOKENS} or more.")


def short_horizon_forecast(facts: Facts) -> Fired | None:
    """SC3: forecasting a short horizon wants a GRU.

    Why:
        The near future hangs on the near past, which a GRU holds with three gate transforms a step instead of four
        (CL10). It trains in little time, so more settings can be tried.
    Does not apply:
        To horizons above 24 steps and above two seasons, or when a seasonal baseline already wins: see the baselines
        in the report. It counts half on an accelerator, where computing is not scarce.
    Evidence:
        D4 section 4, third row; CL13 (D0, D4). The bound on the horizon is ours: the document gives none.
    """
    if facts.task != "forecast" or facts.horizon is None or facts.horizon > max(SHORT_HORIZON, 2 * facts.season):
        return None
    strength = 0.5 if facts.device_kind in {"cuda", "mps"} else 1.0
    bound = f"{SHORT_HORIZON} steps" if 2 * facts.season <= SHORT_HORIZON else f"two seasons of {facts.season}"
    return fired("SC3", strength, f"{facts.horizon} steps are forecast, at most {bound}.")


def several_streams(facts: Facts) -> Fired | None:
    """SC4: sequences of several kinds want cross-attention between their encoders.

    Why:
        Streams that differ in rate and meaning have no common time step; cross-attention lets each look up the other.
    Does not apply:
        To several channels on one clock: they are one stream with C channels.
    Evidence:
        D4 section 4, fourth row.
    """
    if facts.modality != "several":
        return None
    return fired("SC4", 1.0, "The data has streams of several kinds.")


def few_resources(facts: Facts) -> Fired | None:
    """SC5: deployment on few resources wants a quantized recurrent network.

    Why:
        One byte a weight instead of four and a state of fixed size: little to store, to move and to compute.
    Does not apply:
        When neither the size of the model (8 MiB) nor its memory (256 MiB) is limited tightly. Where the toolkit's
        int8 kernels are slower than fp32 the gain is in size only: the export report says so.
    Evidence:
        D4 section 4, fifth row. The two bounds are ours: the document gives none.
    """
    tight = []
    if facts.max_model_mib is not None and facts.max_model_mib <= TIGHT_MODEL_MIB:
        tight.append(f"the model may take {facts.max_model_mib:g} MiB, at most {TIGHT_MODEL_MIB:g}")
    if facts.max_memory_mib is not None and facts.max_memory_mib <= TIGHT_MEMORY_MIB:
        tight.append(f"its memory {facts.max_memory_mib:g} MiB, at most {TIGHT_MEMORY_MIB:g}")
    if facts.edge and not tight:
        tight.append("the device is said to be a phone or embedded")
    if not tight:
        return None
    because = " and ".join(tight)
    return fired("SC5", 1.0, f"{because[0].upper()}{because[1:]}.")
