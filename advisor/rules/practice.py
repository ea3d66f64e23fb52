"""Rules on how to work: memory of training, pretrained weights, the order of trials, where the model will run."""

from advisor.rules.counts import are, steps
from advisor.rules.facts import Facts
from advisor.rules.hardware import operator_support
from advisor.rules.length import SHORT, middle_lengths, short_sequences
from advisor.rules.resource import FEW_SERIES, SHARE, TRAINING_BATCH
from advisor.rules.table import Fired, fired

WIDTH, DEPTH = 160, 4
"""Of the largest model that the search tries."""
KEPT = 6
"""Numbers of an LSTM for each step and hidden unit that the backward pass reads: four gates, the cell, the output."""
STEP_BYTES = KEPT * WIDTH * DEPTH * TRAINING_BATCH * 4
FEWEST_SERIES, FEWEST_STEPS = 20, 100


def recurrent_memory(facts: Facts) -> Fired | None:
    """MEM2: gradient checkpointing lowers the memory that training a recurrent network takes.

    Fires when:
        The device's memory is known, and half of it cannot hold what the backward pass of the largest LSTM of the
        search reads: 6 numbers * width 160 * 4 layers * batch 32 * 4 bytes = 0.47 MiB a step of the longest input.
        Strength 0.5 where it just does not fit, towards 1 with the length.
    Why:
        Backpropagation through time keeps every step. Checkpointing keeps some states and computes the rest again:
        about the square root of the length instead of the length, for one more forward pass (CL2).
    Does not apply:
        To answering, which keeps one state; or where shorter series or patches already fit. Attention hands its whole
        cache from segment to segment and gains over depth only.
    Evidence:
        D4 section 3.2. The toolkit: hybrids.checkpointing, exact gradients. The estimate is a bound, not a measurement.
    """
    if facts.device_memory_mib is None:
        return None
    fit = int(SHARE * facts.device_memory_mib * 2**20 / STEP_BYTES)
    if facts.longest <= fit:
        return None
    need = facts.longest * STEP_BYTES / 2**20
    return fired(
        "MEM2",
        1 - 0.5 * fit / facts.longest,
        f"{steps(facts.longest)} of a large LSTM keep {need:.0f} MiB for the backward pass; half of the device's "
        f"{facts.device_memory_mib:g} MiB holds {steps(fit)}.",
    )


def pretrained_start(facts: Facts) -> Fired | None:
    """PRE1: start a hybrid from the weights of a pretrained Transformer.

    Fires when:
        Such weights are at hand (strength 1): it then speaks for the families whose attention layers can take them.
        Or the sequences are text and none are named (strength 0.3): it then only says to look for some.
    Why:
        What the attention layers learned elsewhere need not be learned from this data, so few series suffice.
    Does not apply:
        To series without a pretrained model of their kind; to models without attention.
    Evidence:
        D4 section 3.2. The toolkit: hybrids.pretrained lists every tensor that was taken or left.
    """
    if facts.pretrained:
        return fired("PRE1", 1.0, "Weights of a pretrained Transformer are at hand.")
    if facts.modality == "text" or facts.task == "translate":
        return fired("PRE1", 0.3, "The sequences are text, and no pretrained weights were named.", case="none_at_hand")
    return None


def train_the_recurrent_part(facts: Facts) -> Fired | None:
    """PRE2: fine-tune only the recurrent part for the task.

    Fires when:
        Pretrained weights are at hand. Strength 1 with fewer than 1000 series, else 0.5.
    Why:
        The recurrent layers are new and must learn; the pretrained ones would forget by following few examples.
    Does not apply:
        When the data is so much, or so unlike what was seen before, that all weights should move.
    Evidence:
        D4 section 3.2. The toolkit: hybrids.freezing keeps the frozen part bit for bit.
    """
    if not facts.pretrained:
        return None
    few = facts.samples < FEW_SERIES
    enough = "few" if few else "enough to move more"
    words = f"Pretrained weights are at hand, and {facts.samples} series {are(facts.samples)} {enough}."
    return fired("PRE2", 1.0 if few else 0.5, words)


def benchmark_first(facts: Facts) -> Fired | None:
    """PRA1: compare recurrent networks, Transformers and hybrids on the data itself before choosing.

    Fires when:
        There are 20 labelled series, or 100 observed steps to forecast from, at least. Strength 1.
    Why:
        Every other rule is about sequences in general. Which family wins here, and at what cost, is measured.
    Does not apply:
        When the data is too little to tell families apart: then a measurement is chance, and the other rules and the
        simplest baseline are the better guides.
    Evidence:
        D4, practical advice. The two bounds are ours: the document gives none.
    """
    forecast = facts.task == "forecast"
    have, few = (facts.total_steps, FEWEST_STEPS) if forecast else (facts.samples, FEWEST_SERIES)
    if have < few:
        return None
    return fired("PRA1", 1.0, f"There are {have} {'observed steps' if forecast else 'series'} to compare on.")


def one_part_at_a_time(facts: Facts) -> Fired | None:
    """PRA2: begin with a pure Transformer and bring in recurrent parts one at a time, each for a problem.

    Fires when:
        A Transformer is worth a try, from 512 needed steps on, and a limit on latency, memory or size, or a stream,
        is the problem that recurrent parts may solve (strength 1); or pretrained weights are at hand (0.5). Silent
        beside LEN1 and where HW1 counts against the Transformer.
    Why:
        Each replacement is judged alone, so what helps is known, and the model before is never lost.
    Does not apply:
        Where a recurrent network is the simpler start already (LEN1), nothing limits the Transformer, or it cannot run
        on the target (HW1).
    Evidence:
        D4, practical advice. The toolkit: hybrids.hybridise.
    """
    limits = (
        (facts.max_latency_ms, "ms for an answer"),
        (facts.max_memory_mib, "MiB of memory"),
        (facts.max_model_mib, "MiB for the model"),
    )
    named = [f"{limit:g} {unit}" for limit, unit in limits if limit is not None]
    named += ["answers step by step"] if facts.streaming else []
    target = operator_support(facts)
    if short_sequences(facts) is not None or (target is not None and "transformer" in target.raises):
        return None
    if facts.needed >= SHORT and named:
        return fired("PRA2", 1.0, f"{facts.needed} steps are needed, under these limits: {', '.join(named)}.")
    if facts.pretrained:
        return fired("PRA2", 0.5, "A pretrained Transformer is at hand to begin with.")
    return None


def own_layers_of_the_framework(facts: Facts) -> Fired | None:
    """PRA3: build hybrids from the framework's own recurrent and attention layers.

    Fires when:
        Hybrids are advised: LEN3 fires, or pretrained weights are at hand (PRE1). Strength as LEN3's, 0.5 for PRE1.
    Why:
        They have fast kernels on every device, and exporters know them.
    Does not apply:
        To layers that the framework does not have, such as state spaces; these are written in plain operations.
    Evidence:
        D4, practical advice. Measured where the toolkit departs from torch's layers: docs/LOG.md.
    """
    middle = middle_lengths(facts)
    if middle is not None:
        return fired("PRA3", middle.strength, "LEN3 advises a test of hybrids here.")
    if facts.pretrained:
        return fired("PRA3", 0.5, "PRE1 advises a hybrid here.")
    return None


def edge_or_cloud(facts: Facts) -> Fired | None:
    """PRA4: light recurrent networks on edge devices, large pretrained Transformers in cloud services.

    Fires when:
        The device is a phone or embedded, or else the user says that answers come from a cloud service. Strength 1.
        In the cloud it prefers Transformers only where pretrained weights are at hand.
    Why:
        At the edge memory and energy are scarce; in a data centre the batch fills the accelerator and size is cheap.
    Does not apply:
        When neither is known. Where both are said the device decides: it is the tighter of the two, and counts as a
        limit of the budget.
    Evidence:
        D4, practical advice.
    """
    if facts.edge:
        both = " The cloud service that was also named does not lift its limits." if facts.cloud else ""
        return fired("PRA4", 1.0, f"The device is a phone or embedded.{both}", case="edge")
    if not facts.cloud:
        return None
    if facts.pretrained:
        return fired("PRA4", 1.0, "A cloud service answers, and pretrained weights are at hand.")
    return fired("PRA4", 1.0, "A cloud service answers; no weights were named.", case="cloud_from_scratch")
