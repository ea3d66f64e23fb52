"""Windows: the fast draws against all windows listed one by one; scaling; what a baseline is fitted to."""

import numpy as np
import pytest
import torch

from advisor.data.stack import SeriesStack
from advisor.search.problem import Plan
from advisor.search.windows import fit_units, some_windows, spread
from advisor.training.config import TrainConfig
from advisor.training.windows import window_batches
from hybrids import ModelConfig
from hybrids.families import layers
from hybrids.frontends.window import WindowConfig
from hybrids.heads.forecast import ForecastConfig

LOOK_BACK, HORIZON = 5, 2
NEED = LOOK_BACK + HORIZON


def numbered(sizes, channels=2):
    """Series whose values tell series and step, so that every window names where it came from."""
    steps = [100 * k + np.arange(n, dtype=np.float32) for k, n in enumerate(sizes)]
    return SeriesStack.of([np.stack([s + 1000 * c for c in range(channels)], axis=1) for s in steps])


def every_window(series):
    """The slow reference: all windows, a short series with its first row repeated in front."""
    found = []
    for one in series:
        if len(one):
            longer = np.concatenate([np.repeat(one[:1], max(0, NEED - len(one)), axis=0), one])
            found += [longer[i : i + NEED] for i in range(len(longer) - NEED + 1)]
    return {w.tobytes() for w in found}


def test_drawn_windows_are_all_windows_each_as_likely_as_any_other():
    series = numbered((9, 0, 3, 20, 7, 1))
    draw = window_batches(series, LOOK_BACK, HORIZON, 1, TrainConfig(batch=4096), "cpu")
    x, lengths, y = draw(torch.Generator().manual_seed(0))
    assert x.shape == (4096, LOOK_BACK, 2)
    assert (lengths == LOOK_BACK).all()
    reference = every_window(series)
    targets = {np.frombuffer(w, np.float32).reshape(NEED, 2)[:, 0].tobytes() for w in reference}
    whole = torch.cat([x[..., 0], y], 1).numpy()
    found, counts = np.unique(whole, axis=0, return_counts=True)
    assert {w.tobytes() for w in found} == targets
    assert counts.min() > 0.7 * 4096 / len(targets)
    assert (x[..., 1] == x[..., 0] + 1000).all()


def test_a_stack_and_a_list_of_arrays_give_the_same_batches():
    series = numbered((30, 12, 4)).shortened(2)
    draws = [
        window_batches(one, LOOK_BACK, HORIZON, 1, TrainConfig(batch=16), "cpu")(torch.Generator().manual_seed(3))
        for one in (series, [one.copy() for one in series])
    ]
    for a, b in zip(*draws, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("most", [6, 1000])
def test_windows_for_a_baseline_are_windows_in_the_order_of_time(most):
    series = numbered((9, 0, 3, 20, 7, 1))
    plan = Plan(task="forecast", channels=2, horizon=HORIZON, folds=1, length=9, test_words="")
    x, _, y = some_windows(series, LOOK_BACK, plan, most)
    whole = {np.concatenate([a[:, 0], b]).tobytes() for a, b in zip(x, y, strict=True)}
    reference = {np.frombuffer(w, np.float32).reshape(NEED, 2)[:, 0].tobytes() for w in every_window(series)}
    assert whole <= reference
    assert len(x) <= most or whole == reference
    at = [int(row[-1]) for row in y if row[-1] >= 300 and row[-1] < 400]
    assert at == sorted(at)


def test_covariates_are_scaled_by_the_mean_and_deviation_of_what_may_be_learnt_from():
    rng = np.random.default_rng(0)
    series = SeriesStack.of([rng.normal(size=(n, 3)) * (1, 4, 9) + (0, 50, 7) for n in (80, 40)]).shortened(10)
    model = ModelConfig(
        family="gru", channels_in=3, width=8, layers=layers("gru", 1, True, None),
        frontend=WindowConfig(channels_in=3, calendar=1, patch=1),
        head=ForecastConfig(horizon=HORIZON, look_back=LOOK_BACK),
    ).build()  # fmt: skip
    fit_units(model, series)
    values = np.concatenate(list(series))
    assert float(model.frontend.mean[1]) == pytest.approx(values[:, 1].mean(), rel=1e-5)
    assert float(model.frontend.scale[1]) == pytest.approx(values[:, 1].std(), rel=1e-5)
    assert (model.frontend.mean[[0, 2]] == 0).all()


def test_a_spread_is_even_and_keeps_the_ends():
    assert spread(10, 4).tolist() == [0, 3, 6, 9]
    assert spread(3, 9).tolist() == [0, 1, 2]
