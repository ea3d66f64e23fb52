"""A forecaster's window becomes tokens as the formula says, and the model around it keeps its laws."""

import pytest
import torch
from pydantic import ValidationError

from hybrids.families import layers
from hybrids.frontends.series import SeriesConfig
from hybrids.frontends.window import WindowConfig, WindowFrontend
from hybrids.heads.forecast import ForecastConfig
from hybrids.heads.pooled import ClassifyConfig
from hybrids.model import ModelConfig
from hybrids.square_root import signed_root, signed_square

STEPS, PATCH = 22, 5


def frontend(**changes):
    torch.manual_seed(0)
    config = WindowConfig(**{"channels_in": 4, "calendar": 2, "patch": PATCH, "seasons": (3, 7, 40), **changes})
    return WindowFrontend(config, 6, STEPS, 4).double()


def tokens_by_loops(part, z):
    """Return the tokens of one scaled window (L, C), step by step."""
    rows = []
    for token in range(part.tokens):
        end = STEPS - (part.tokens - 1 - token) * PATCH
        inputs = []
        for t in range(end - PATCH, end):
            lags = [z[t, 0] - z[t - s, 0] if t >= s else 0.0 for s in (3, 7)]
            inputs += [z[t, 0], *lags] if t >= 0 else [0.0] * 3
        inputs += [*z[end - 1, 1:], z[max(0, end - PATCH) : end, 1].sum() / PATCH]
        rows.append(part.embed.weight @ torch.tensor(inputs, dtype=z.dtype) + part.embed.bias)
    return torch.stack(rows)


def test_tokens_are_what_the_formula_says():
    part, z = frontend(), torch.randn(3, STEPS, 4, dtype=torch.float64)
    assert part.tokens == 5 and part.seasons == (3, 7)
    torch.testing.assert_close(part(z), torch.stack([tokens_by_loops(part, row) for row in z]))


def test_only_covariates_are_scaled_by_the_training_data():
    part = frontend()
    part.fit(torch.tensor([9.0, 5.0, 9.0, 9.0]), torch.tensor([9.0, 2.0, 9.0, 9.0]))
    window = torch.randn(2, STEPS, 4, dtype=torch.float64)
    z, mean, scale = part.standardise(window)
    torch.testing.assert_close(z[..., 1], (window[..., 1] - 5) / 2)
    torch.testing.assert_close(z[..., 2:], window[..., 2:])
    torch.testing.assert_close(z[..., :1] * scale + mean, window[..., :1])
    assert z[..., 0].mean(1).abs().max() < 1e-9


def test_a_covariate_that_never_changes_does_no_harm():
    part = frontend()
    part.fit(torch.tensor([0.0, 5.0, 0.0, 0.0]), torch.zeros(4))
    assert part.standardise(torch.full((1, STEPS, 4), 5.0, dtype=torch.float64))[0].isfinite().all()


def test_the_square_root_comes_before_all_scaling_and_is_squared_again():
    part, window = frontend(square_root=True), torch.rand(2, STEPS, 4, dtype=torch.float64) * 9
    z, mean, scale = part.standardise(window)
    torch.testing.assert_close(z[..., :1] * scale + mean, window[..., :1].sqrt())
    torch.testing.assert_close(part.restored(z[..., :1] * scale + mean), window[..., :1])
    torch.testing.assert_close(z[..., 1:], window[..., 1:])


def test_root_and_square_are_inverse_monotone_and_odd():
    y = torch.tensor([-4.0, -1e-6, 0.0, 0.25, 9.0, 1e6], dtype=torch.float64)
    torch.testing.assert_close(signed_root(y)[[0, 2, 3, 4]], y.new_tensor([-2.0, 0.0, 0.5, 3.0]))
    torch.testing.assert_close(signed_square(signed_root(y)), y)
    assert (signed_root(y).diff() > 0).all() and torch.equal(signed_root(-y), -signed_root(y))


def model(family="gru", **changes):
    torch.manual_seed(0)
    head = ForecastConfig(horizon=4, look_back=STEPS, season=3, readout="all")
    front = WindowConfig(channels_in=4, calendar=2, patch=PATCH, seasons=(3,))
    facts = {"family": family, "channels_in": 4, "width": 8, "layers": layers(family, 1, False), **changes}
    built = ModelConfig(**{"frontend": front, "head": head, **facts}).build().double().eval()
    with torch.no_grad():
        built.head.out.weight.normal_()
    return built


@pytest.mark.parametrize("family", ["gru", "transformer", "mlp"])
def test_a_forecast_follows_level_and_size_of_its_target(family):
    network, x, lengths = model(family), torch.randn(3, 30, 4, dtype=torch.float64), torch.tensor([30, 25, 22])
    other = x.clone()
    other[..., 0] = 7 * x[..., 0] - 3
    torch.testing.assert_close(network(other, lengths), 7 * network(x, lengths) - 3, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["gru", "transformer", "mlp"])
def test_a_forecast_by_square_roots_follows_the_size_of_its_target_and_keeps_its_quantiles_in_order(family):
    front = WindowConfig(channels_in=4, calendar=2, patch=PATCH, seasons=(3,), square_root=True)
    network, lengths = model(family, frontend=front), torch.tensor([30, 25, 22])
    x = torch.rand(3, 30, 4, dtype=torch.float64)
    other = x.clone()
    other[..., 0] = 49 * x[..., 0]
    found = network(x, lengths)
    torch.testing.assert_close(network(other, lengths), 49 * found, rtol=1e-3, atol=1e-3)
    assert (found.diff(dim=-1) >= 0).all()


def test_every_channel_is_read():
    x = torch.randn(1, 30, 4, dtype=torch.float64, requires_grad=True)
    (seen,) = torch.autograd.grad(model("mlp")(x, torch.tensor([30])).square().sum(), x)
    assert seen[0, -STEPS:].abs().sum(0).all() and not seen[0, :-STEPS].any()


def test_a_short_series_repeats_its_first_row():
    network, x = model(), torch.randn(1, 10, 4, dtype=torch.float64)
    longer = torch.cat([x[:, :1].expand(-1, 15, -1), x], dim=1)
    torch.testing.assert_close(network(x, torch.tensor([10])), network(longer, torch.tensor([25])))


def test_a_config_comes_back_from_json_with_its_own_front_end():
    window = model().config
    series = {"channels_in": 2, "patch": 2}
    old = window.model_copy(update={"frontend": SeriesConfig(**series)}).model_dump(mode="json")
    assert ModelConfig.model_validate_json(window.model_dump_json()) == window
    assert isinstance(ModelConfig.model_validate({**old, "frontend": series}).frontend, SeriesConfig)


def test_a_front_end_of_whole_series_still_forecasts():
    network = model(channels_in=1, frontend=SeriesConfig(channels_in=2, patch=2, normalise="none"))
    network.head.out.weight.data.zero_()
    x = torch.arange(3.0, dtype=torch.float64).repeat(9)[None, :, None]
    torch.testing.assert_close(network(x, torch.tensor([27]))[0, :, 1], x[0, :4, 0])


def test_windows_are_refused_where_the_whole_series_is_asked_for():
    with pytest.raises(ValidationError, match="to classify, use a series front end"):
        model(head=ClassifyConfig(classes=2))
    with pytest.raises(ValidationError, match="leave no target"):
        WindowConfig(channels_in=2, calendar=2)


def test_what_is_known_ahead_is_added_to_every_token_and_to_nothing_else():
    part, z = frontend(channels_in=6, ahead=2), torch.randn(3, STEPS, 6, dtype=torch.float64)
    assert not part.embed_ahead.weight.any()
    torch.nn.init.normal_(part.embed_ahead.weight)
    without = frontend()
    without.load_state_dict(
        {name: value[:4] if name in ("mean", "scale") else value for name, value in part.state_dict().items()
         if name != "embed_ahead.weight"}
    )  # fmt: skip
    later, before = z[:, -4:, 4:], z[:, -7:-3, 4:]
    known = torch.cat([later, later - before], -1).flatten(1)
    assert part.known == 16 and torch.equal(part.ahead(z), known)
    torch.testing.assert_close(
        part(z, part.ahead(z)), without(z[..., :4]) + (known @ part.embed_ahead.weight.T)[:, None]
    )


def test_what_is_known_ahead_is_scaled_by_the_training_data():
    part = frontend(channels_in=5, ahead=1)
    part.fit(torch.tensor([9.0, 5.0, 9.0, 9.0, 3.0]), torch.tensor([9.0, 2.0, 9.0, 9.0, 4.0]))
    window = torch.randn(2, STEPS, 5, dtype=torch.float64)
    torch.testing.assert_close(part.standardise(window)[0][..., 4], (window[..., 4] - 3) / 4)


@pytest.mark.parametrize("family", ["gru", "transformer", "mlp"])
def test_a_network_reads_what_is_known_ahead_and_its_linear_path_begins_without_it(family):
    front = WindowConfig(channels_in=4, calendar=2, ahead=1, patch=PATCH, seasons=(3,))
    network, lengths = model(family, frontend=front), torch.tensor([30])
    assert not network.head.linear_ahead.weight.any()
    with torch.no_grad():
        network.head.linear_ahead.weight.normal_()
    x = torch.randn(1, 30, 4, dtype=torch.float64, requires_grad=True)
    (seen,) = torch.autograd.grad(network(x, lengths).square().sum(), x)
    assert seen[0, -4:, 3].all() and not seen[0, : -4 - 3, 3].any()


def test_channels_known_ahead_must_leave_a_target():
    with pytest.raises(ValidationError, match="leave no target"):
        WindowConfig(channels_in=3, calendar=1, ahead=2)


def test_what_never_changed_in_training_is_not_blown_up_when_it_does():
    part = frontend(channels_in=5, ahead=1)
    part.fit(torch.full((5,), 10.0), torch.tensor([1.0, 0.0, 1.0, 1.0, 1e-6]))
    window = torch.full((1, STEPS, 5), 10.0, dtype=torch.float64)
    window[:, -1, [1, 4]] = 9.0
    torch.testing.assert_close(part.standardise(window)[0][0, -1, [1, 4]], window.new_tensor([-1.0, -1.0]))
