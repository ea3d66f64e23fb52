"""How far back the output of a network depends on its input, by the size of gradients.

    g(d) = mean over rows and seeds of |dL/dx_{T-d}| / sum_k |dL/dx_{T-k}|        L = u . y_T, u normal, T the last step
    reach = least d with g(0) + ... + g(d) >= 99 % of all

The reach is thus the distance within which 99 % of the gradient lies. Where the gradient shrinks by a factor a at every
step (a linear recurrence), that is log(0.01) / log(a), the distance at which it has fallen to 1 % of the nearest; where
it is spread evenly (attention), it is as far as was looked. One strong step far back counts with its weight, and a
direct path at distance 0 (residual connections) does not hide a faint long tail, as it would in a share of the
greatest norm. A random direction u stands for the loss: the loss of a network that answers well has hardly a gradient.

A gradient that vanishes is what makes a dependence hard to learn (CL4; Bengio et al. 1994, doi:10.1109/72.279181;
Pascanu et al. 2013, arXiv:1211.5063). It does not say that nothing is remembered: a state that has settled on one of
a few values keeps it for ever with a gradient of 0. `profiles.recall` measures that.

Cost: one forward and one backward pass over some rows, for each seed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from hybrids.backbone import Backbone
from hybrids.families import FAMILIES, family, layers
from hybrids.frontends.series import SeriesFrontend
from hybrids.frontends.window import WindowFrontend
from hybrids.heads.forecast import ForecastHead, last_window
from hybrids.heads.pooled import RegressHead
from hybrids.mixer import MixerConfig, reads_whole
from hybrids.model import SequenceModel, full_lengths
from hybrids.shapes import Lengths, Series, Tokens
from profiles.gradient_reach import GradientReach

SHARE = 0.01
"""Share of the whole gradient that may lie beyond the reach."""
POINTS = 48
"""Points of a curve, evenly spread in logarithms of the distance."""
MOST_STEPS = 8192
"""Steps of a row that `model_reach` reads, the last ones; and steps of all rows together, one row at least."""
MOST_TOKENS = 512
"""Tokens that `families_reach` looks at."""

Curves = Float[Tensor, "N L"]
Network = Callable[[Tokens], Tensor]


def gradient_norms(network: Network, x: Tokens, at: int = -1, seed: int = 0) -> Curves:
    """Return |d(u . y_at)/dx_t| (B, L) for every input step t, with u a normal vector for each row.

    Args:
        network: From x (B, L, C) to y (B, L, K), or (B, K) where there is one output.
        x: Inputs; they are not changed.
        at: The output step looked from; the last by default.
        seed: Of u.
    """
    with torch.enable_grad(), _any_recurrence():
        leaf = x.detach().clone().requires_grad_()
        y = network(leaf)
        return _norms(y[:, at] if y.ndim == 3 else y, leaf, seed)


def family_reach(
    name: str,
    length: int,
    *,
    width: int = 32,
    depth: int = 1,
    variant: str = "",
    seeds: Sequence[int] = (0, 1),
    rows: int = 8,
) -> GradientReach:
    """Return how far a family reaches at initialisation, on normal tokens; causal where the family can be.

    Args:
        name: Of a family that is one stack of layers; see `hybrids.families`.
        length: Tokens.
        width: Model width.
        depth: Layers; some families have two at least.
        variant: Of the family; empty is its first.
        seeds: One network each.
        rows: Inputs for each network.

    Raises:
        ConfigError: No such family or variant, or it is not one stack of layers.
    """
    words = family(name).words + (f" ({variant})" if variant else "")
    return layers_reach(layers(name, depth, True, variant), length, words, width=width, seeds=seeds, rows=rows)


def families_reach(
    length: int, names: Sequence[str] = (), *, width: int = 32, seeds: Sequence[int] = (0,)
) -> dict[str, GradientReach]:
    """Return how far families reach at initialisation, one layer deep where they can be; see `family_reach`.

    Each is taken as its first variant, with 8 rows a seed; more than 512 tokens are not looked at, and a note says so.
    All seventeen take about 2 seconds of one CPU core.

    Args:
        length: Tokens.
        names: Of the families, in order; empty for all of the table that are one stack of layers.
        width: Model width.
        seeds: One network each.

    Raises:
        ConfigError: No such family, or it is not one stack of layers.
    """
    looked = min(length, MOST_TOKENS)
    notes = (f"{looked} of {length} tokens were looked at.",) if looked < length else ()
    chosen = names or [name for name, row in FAMILIES.items() if row.variants]
    found = {name: family_reach(name, looked, width=width, seeds=seeds) for name in chosen}
    return {name: one.model_copy(update={"notes": (*one.notes, *notes)}) for name, one in found.items()}


def layers_reach(
    stack: Sequence[MixerConfig],
    length: int,
    words: str,
    *,
    width: int = 32,
    seeds: Sequence[int] = (0, 1),
    rows: int = 8,
) -> GradientReach:
    """Return how far a stack of layers reaches at initialisation; see `family_reach`."""
    curves = []
    for seed in seeds:
        with seeded(seed):
            network = Backbone(stack, width, 2.0, 0.0).double().eval()
        reads_whole(network)
        draw = torch.Generator().manual_seed(seed)
        x = torch.randn(rows, length, width, generator=draw, dtype=torch.float64)
        curves.append(gradient_norms(partial(_outputs, network), x, seed=seed).flip(1))
    return reach_of(torch.cat(curves), words, trained=False)


def model_reach(
    model: SequenceModel,
    x: Series | NDArray[np.float32],
    lengths: Lengths | NDArray[np.int64],
    *,
    rows: int = 16,
    seed: int = 0,
    trained: bool = True,
) -> GradientReach:
    """Return how far a whole model reaches on real rows, in raw steps before each row's last valid one.

    `reach_steps` is that of the last token after the layers, before the head: what the layers can relate to the
    present. `answer_steps` is that of the answer, through all that the head reads: the mean over all tokens, or the
    linear path of a forecaster. Inputs are counted in units of their training deviation, a forecaster's window in its
    own; the mean and deviation of that window are held fixed.

    Args:
        model: Trained or fresh; put back into its mode afterwards. Its parameters and their gradients do not change.
        x: Raw inputs (N, L, C), right-padded.
        lengths: Valid steps (N,).
        rows: Most rows read, evenly spread over those given; fewer where they are long.
        seed: Of the random direction.
        trained: What the record says of the model.

    Raises:
        ValueError: No rows.
    """
    x, lengths = torch.as_tensor(x).cpu(), torch.as_tensor(lengths, dtype=torch.int64).cpu()
    if len(x) == 0 or int(lengths.max()) < 1:
        raise ValueError(f"the reach of a model is measured on one row of one step at least, got {tuple(x.shape)}.")
    notes = []
    if int(lengths.max()) > MOST_STEPS:
        notes.append(f"The last {MOST_STEPS} of {int(lengths.max())} steps were looked at.")
    longest = min(int(lengths.max()), MOST_STEPS)
    picked = _spread(len(x), max(1, min(rows, MOST_STEPS // longest)))
    weight = next(model.parameters())
    start = (lengths[picked] - longest).clamp_min(0)
    at = (start[:, None] + torch.arange(longest)[None])[..., None].expand(-1, -1, x.shape[2])
    x = x[picked].gather(1, at).to(weight.device, weight.dtype)
    lengths = lengths[picked].clamp_max(longest).to(weight.device)
    was_training = model.training
    try:
        model.eval()
        with torch.enable_grad(), _any_recurrence():
            token, answer, lengths = _both(model, x, lengths, seed)
    finally:
        model.train(was_training)
    row = FAMILIES.get(model.config.family)
    found = reach_of(token, row.words if row else model.config.family, trained, lengths, notes)
    through_head = reach_of(answer, "", trained, lengths) if bool(answer.any()) else None
    return found.model_copy(update={"answer_steps": through_head.reach_steps if through_head else None})


def reach_of(
    curves: Curves, words: str, trained: bool, lengths: Lengths | None = None, notes: Sequence[str] = ()
) -> GradientReach:
    """Return the record of gradient norms.

    Args:
        curves: Norms at distances 0 to L - 1, a row each. A row that is not finite, or 0 throughout, is left out and
            counted; the others weigh the same, however large they are.
        words: The network, for people.
        trained: Whether it is.
        lengths: Distances that each row has (N,); None is all.
        notes: What the caller has to say.
    """
    total = curves.double().cpu().sum(1, keepdim=True)
    usable = (total.isfinite() & (total > 0))[:, 0]
    said = list(notes)
    for what, count in (
        ("a gradient that is not a finite number", int((~total.isfinite()).sum())),
        ("no gradient at all", int((total == 0).sum())),
    ):
        said += [f"{count} of {len(curves)} rows have {what} and are left out."] if count else []
    looked = curves.shape[1] if lengths is None else int(lengths.max())
    mean = torch.zeros(looked, dtype=torch.float64)
    if bool(usable.any()):
        kept = curves.double().cpu()[usable, :looked] / total[usable]
        have = torch.full((len(kept),), looked) if lengths is None else lengths.cpu()[usable]
        reaching = (torch.arange(looked)[None] < have[:, None]).sum(0)
        mean = kept.sum(0) / reaching.clamp_min(1)
    within = mean.cumsum(0)
    distances, norms = _thinned(mean)
    far, near = float(mean[-1]), float(mean[min(1, looked - 1)])
    return GradientReach(
        words=words,
        trained=trained,
        reach_steps=int((within < (1 - SHARE) * within[-1]).sum()),
        looked=looked - 1,
        distances=distances,
        norms=norms,
        fade=far / near if near > 0 else None,
        rows=int(usable.sum()),
        notes=tuple(said),
    )


def _outputs(network: Backbone, x: Tokens) -> Tokens:
    y: Tokens = network(x)[0]
    return y


def _both(model: SequenceModel, x: Series, lengths: Lengths, seed: int) -> tuple[Curves, Curves, Lengths]:
    """Return the norms by distance for the last token and for the answer, and the steps of each row."""
    head = model.head
    if isinstance(head, ForecastHead):
        window = last_window(x, lengths, head.config.look_back)
        leaf = model.standardise(window)[0].detach().requires_grad_()
        tokens, quantiles = model.forecast_scaled(leaf)
        answer, last, lengths = quantiles.flatten(1), tokens[:, -1], full_lengths(leaf)
        unit = leaf.new_ones(leaf.shape[-1])
        if isinstance(model.frontend, WindowFrontend):  # what is known ahead is no past
            unit[leaf.shape[-1] - model.frontend.config.ahead :] = 0
    else:
        leaf = x.detach().clone().requires_grad_()
        tokens, counts = model.frontend(leaf, lengths)
        tokens, _ = model.backbone(tokens, None, counts)
        answer = head(tokens, counts)
        answer = answer[:, None] if isinstance(head, RegressHead) else answer
        last = tokens[torch.arange(len(x), device=x.device), counts.clamp_min(1) - 1]
        scaled = isinstance(model.frontend, SeriesFrontend) and model.frontend.config.normalise != "none"
        unit = model.frontend.scale if scaled else leaf.new_ones(leaf.shape[-1])
    at = (lengths[:, None] - 1 - torch.arange(leaf.shape[1], device=leaf.device)[None]).clamp_min(0)
    valid = torch.arange(leaf.shape[1], device=leaf.device)[None] < lengths[:, None]
    curves = (_norms(y, leaf, seed, unit).gather(1, at) * valid for y in (last, answer))
    return next(curves), next(curves), lengths


def _norms(y: Float[Tensor, "B K"], leaf: Tokens, seed: int, unit: Tensor | None = None) -> Curves:
    """Return the norms (B, L) of the gradient of u . y with respect to `leaf`, channels in their units."""
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).to(y)
    (gradient,) = torch.autograd.grad((y * direction).sum(), leaf, retain_graph=True)
    norms: Tensor = torch.linalg.vector_norm(gradient if unit is None else gradient * unit, dim=-1)
    return norms


def _thinned(mean: Tensor) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return distances evenly spread in logarithms, all of few, and the mean around each over the greatest."""
    size = len(mean)
    edges = np.arange(size + 1) if size <= POINTS else np.unique(np.geomspace(1, size + 1, POINTS + 1).round()) - 1
    edges = edges.astype(int)
    parts = [mean[a:b].mean().item() for a, b in pairwise(edges)]
    middles = tuple(int((a + b - 1) // 2) for a, b in pairwise(edges))
    highest = max(parts) or 1.0
    return middles, tuple(float(f"{part / highest:.6g}") for part in parts)


def _spread(n: int, most: int) -> list[int]:
    """Return at most `most` of n indices, evenly spread."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most))})


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make weights by a seed, and leave the caller's random numbers as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _any_recurrence() -> Iterator[None]:
    """Leave cuDNN out: its recurrent layers have no backward pass in evaluation mode."""
    with torch.backends.cudnn.flags(enabled=False):
        yield
