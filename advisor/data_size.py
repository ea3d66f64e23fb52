"""Quality against the amount of data: a power law through a few shares, and what more data would change.

    loss(n) = a + b n^-c      n: data as a share of what there is; loss: the error, or 1 - accuracy

with a, b >= 0 by least squares for each c of a grid (two numbers in closed form), c weighted by exp(-rss / 2 s^2) with
s the standard error of the means (Hestness et al. 2017 for the law). Uncertainty: folds and seeds are drawn with
replacement, the same for both families, and c by its weight, so that three points do not promise more than they hold;
where all runs are the same, as of a fit that draws nothing, a relative error of 2 % stands for them.
Cost: milliseconds.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from advisor.metrics import Metric
from advisor.records import Record

EXPONENTS = np.linspace(0.1, 1.5, 15)
"""Learning curves of networks have exponents of 0.07 to 0.35 (Hestness et al. 2017); of simple models up to 1."""
MULTIPLES = (2.0, 4.0, 10.0)
DRAWS = 400
UNTOLD = 0.02
"""Relative error of a quality whose runs tell none."""
SURE = 0.9
"""Share of the draws that must agree before anything is said of more data."""


class DataSizePoint(Record):
    """Quality with a share of the data, or what is expected of a multiple."""

    multiple: float
    """Of the data there are: 0.25, 0.5 and 1 are measured; 2, 4 and 10 are extrapolated."""
    quality: float
    low: float
    """Lower end of the middle 90 % of the draws."""
    high: float


class FamilyCurve(Record):
    """One family."""

    family: str
    measured: tuple[DataSizePoint, ...]
    extrapolated: tuple[DataSizePoint, ...]
    floor: float
    """a: the loss that no amount of data goes below, by the fit."""
    gain: float
    """b: the loss that all the data there are leave above the floor."""
    exponent: float
    """c, averaged by weight."""


class DataSizeCurve(Record):
    """Two families against the amount of data."""

    metric: str
    higher_is_better: bool
    curves: tuple[FamilyCurve, ...]
    """The better with all the data first."""
    favours: str | None
    """The family that more data would put ahead, or further ahead; None where there is no sign of it."""
    overtakes_at: float | None
    """Least of the multiples at which the second is ahead, where it is favoured."""
    sure: float
    """Share of the draws that agree with what is said; at the largest multiple where nothing is favoured."""
    says: str


def data_size_curve(
    qualities: Mapping[str, Mapping[float, Sequence[float]]], metric: Metric, margin: float, seed: int = 0
) -> DataSizeCurve:
    """Return the curves of two families (or one) and what more data would change.

    Args:
        qualities: Family -> share of the data, 1.0 among at least two -> quality of each fold or seed. The same number
            of qualities everywhere, in the same order.
        metric: Whether more or less is better.
        margin: Difference in quality that does not matter.
        seed: Of the draws.

    Raises:
        ValueError: Shares or numbers of qualities differ, or all the data are not among the shares.
    """
    shares = sorted(next(iter(qualities.values())))
    runs = len(next(iter(qualities.values()))[shares[0]])
    if 1.0 not in shares or len(shares) < 2 or runs < 1:
        raise ValueError(f"a curve needs at least two shares with 1.0 among them, got {shares}.")
    if any(sorted(of) != shares or any(len(of[s]) != runs for s in shares) for of in qualities.values()):
        raise ValueError(f"every family needs {runs} qualities at each of the shares {shares}.")
    losses = {family: _losses(np.array([of[s] for s in shares]), metric) for family, of in qualities.items()}
    order = sorted(losses, key=lambda family: float(losses[family][shares.index(1.0)].mean()))
    rng = np.random.default_rng(seed)
    picks = [rng.integers(0, runs, runs) for _ in range(DRAWS)]
    at = np.array([1.0, *MULTIPLES])
    curves, drawn = [], {}
    for family in order:
        curve, drawn[family] = _family(family, np.array(shares), losses[family], picks, at, metric, rng)
        curves.append(curve)
    favours, overtakes_at, sure, says = _verdict(order, drawn, at, margin)
    return DataSizeCurve(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        curves=tuple(curves),
        favours=favours,
        overtakes_at=overtakes_at,
        sure=sure,
        says=says,
    )


def power_law(shares: np.ndarray, loss: np.ndarray, exponents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return floor a and gain b, both at least 0, and the squared residuals of a + b n^-c, each (N, E).

    Args:
        shares: n (S,).
        loss: (N, S), one curve a row.
        exponents: c (E,).
    """
    basis = shares ** -exponents[:, None]  # (E, S)
    centred = basis - basis.mean(1, keepdims=True)
    b = np.maximum(0.0, loss @ (centred / (centred**2).sum(1, keepdims=True)).T)
    a = loss.mean(1, keepdims=True) - b * basis.mean(1)
    through_zero = np.maximum(0.0, loss @ (basis / (basis**2).sum(1, keepdims=True)).T)
    b, a = np.where(a < 0, through_zero, b), np.maximum(a, 0.0)
    residual = loss[:, None] - a[..., None] - b[..., None] * basis
    return a, b, (residual**2).sum(-1)


def _losses(values: np.ndarray, metric: Metric) -> np.ndarray:
    """Return a loss that falls to 0 at best; also the way back, as 1 - x and x are their own inverses."""
    return 1 - values if metric.higher_is_better else values


def _family(
    family: str,
    shares: np.ndarray,
    loss: np.ndarray,
    picks: list[np.ndarray],
    at: np.ndarray,
    metric: Metric,
    rng: np.random.Generator,
) -> tuple[FamilyCurve, np.ndarray]:
    """Return the curve of one family from its losses (S, R), and the drawn losses (DRAWS, multiples)."""
    runs = loss.shape[1]
    apart = loss - loss.mean(0)  # a fold that is hard at every share is no noise of the curve
    told = runs > 1 and bool(np.ptp(loss, axis=1).any())  # runs of a fit that draws nothing are all the same
    error = float(np.sqrt(apart.var(axis=1, ddof=1).mean() / runs)) if runs > 1 else UNTOLD * float(loss.mean())
    error = max(error, 1e-6 * float(np.abs(loss).mean()), 1e-12)
    noise = error if told else max(error, UNTOLD * float(loss.mean()))
    if told:
        kept = np.array([loss[:, pick].mean(1) for pick in picks])
    else:
        kept = loss[:, 0] + noise * rng.normal(size=(len(picks), len(shares)))
    a, b, rss = power_law(shares, kept, EXPONENTS)
    which = (np.cumsum(_weights(rss, noise), axis=1) < rng.random((len(picks), 1))).sum(1)
    which = np.minimum(which, len(EXPONENTS) - 1)
    rows = np.arange(len(picks))
    drawn = a[rows, which, None] + b[rows, which, None] * at ** -EXPONENTS[which, None]
    means = loss.mean(1)
    a, b, rss = power_law(shares, means[None], EXPONENTS)
    weights = _weights(rss, error)[0]
    expected = weights @ (a[0, :, None] + b[0, :, None] * at[1:] ** -EXPONENTS[:, None])
    curve = FamilyCurve(
        family=family,
        measured=_points(shares, means, kept, metric),
        extrapolated=_points(at[1:], expected, drawn[:, 1:], metric),
        floor=float(weights @ a[0]),
        gain=float(weights @ b[0]),
        exponent=float(weights @ EXPONENTS),
    )
    return curve, drawn


def _weights(rss: np.ndarray, error: float) -> np.ndarray:
    """Return the weight of each exponent from squared residuals (N, E)."""
    weights = np.exp(-(rss - rss.min(1, keepdims=True)) / (2 * error**2))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _points(at: np.ndarray, loss: np.ndarray, drawn: np.ndarray, metric: Metric) -> tuple[DataSizePoint, ...]:
    """Return points with the middle 90 % of the draws (DRAWS, points), in the metric's unit."""
    ends = np.sort(_losses(np.quantile(drawn, [0.05, 0.95], axis=0), metric), axis=0)
    middle = _losses(loss, metric)
    return tuple(
        DataSizePoint(multiple=float(m), quality=float(q), low=float(min(lo, q)), high=float(max(hi, q)))
        for m, q, lo, hi in zip(at, middle, *ends, strict=True)
    )


def _verdict(
    order: list[str], drawn: dict[str, np.ndarray], at: np.ndarray, margin: float
) -> tuple[str | None, float | None, float, str]:
    """Return what more data would favour, from where on, how sure, and the sentence."""
    if len(order) < 2:
        return None, None, 1.0, f"Only {order[0]} was trained on shares of the data; there is no order to change."
    first, second = order[:2]
    lead = drawn[second] - drawn[first]  # (DRAWS, multiples), above 0 where the first is better
    for i, multiple in enumerate(at[1:], start=1):
        share = float((lead[:, i] < -margin).mean())
        if share >= SURE:
            says = (
                f"More data would favour {second}: with {multiple:g} times as much it is expected ahead of {first} "
                f"(in {100 * share:.0f} % of the draws)."
            )
            return second, float(multiple), share, says
    grows = float((lead[:, -1] > lead[:, 0] + margin).mean())
    if grows >= SURE:
        says = (
            f"More data would favour {first}: its lead over {second} is expected to grow "
            f"(in {100 * grows:.0f} % of the draws at {at[-1]:g} times as much)."
        )
        return first, None, grows, says
    stays = float((lead[:, -1] >= -margin).mean())
    says = f"No sign that more data would change the order of {first} and {second}"
    says += f": at {at[-1]:g} times as much {second} is ahead in {100 * (1 - stays):.0f} % of the draws."
    return None, None, stays, says
