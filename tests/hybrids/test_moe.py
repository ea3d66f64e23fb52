"""Routing, its losses, and the recurrent experts against the plain definition."""

import copy
import math

import pytest
import torch
from torch import nn

from hybrids import moe
from hybrids.errors import ConfigError
from hybrids.mixers import moe_rnn
from hybrids.mixers.moe_rnn import MoERNN, forward_reference

WIDTH, EXPERTS = 6, 4


def built(active: int = 2, shared: bool = False, seed: int = 0) -> MoERNN:
    torch.manual_seed(seed)
    return MoERNN(WIDTH, EXPERTS, active, shared).double()


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("active", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 17, 33])
def test_compaction_equals_one_step_at_a_time_in_values_state_and_gradients(length, active, shared):
    mixer, valid = built(active, shared), torch.tensor([length, 0, length // 2])
    _, start = mixer(tokens(3, 5, seed=1))
    results = []
    for run in (MoERNN.__call__, forward_reference):
        x, state = tokens(3, length).requires_grad_(), start[0].detach().requires_grad_()
        y, end = run(mixer, x, (state,), valid)
        y = y * (torch.arange(length) < valid[:, None])[..., None]
        weights = [x, state, *mixer.parameters()]
        grads = torch.autograd.grad(y.square().sum() + end[0].sum(), weights, allow_unused=True)
        results.append(
            [y, end, *(torch.zeros_like(w) if g is None else g for g, w in zip(grads, weights, strict=True))]
        )
    close(*results)


def test_a_token_that_is_not_routed_to_an_expert_leaves_its_memory_bit_equal():
    mixer, x_t = built(), tokens(5)
    (before,) = mixer(tokens(5, 9, seed=1))[1]
    chosen, _ = mixer.router.route(x_t)
    _, (after,) = mixer.step(x_t, (before,))
    kept = (before == after).all(-1)
    assert kept.sum() == 5 * (EXPERTS - 2)
    assert not kept.gather(1, chosen).any()


def test_a_step_computes_the_chosen_experts_only(monkeypatch):
    rows, step = [], moe_rnn.gated_step
    monkeypatch.setattr(moe_rnn, "gated_step", lambda x, h, w: (rows.append(len(x)), step(x, h, w))[1])
    mixer, batch = built(), 5
    mixer.step(tokens(batch), mixer.initial_state(batch))
    assert sum(rows) == batch * 2


def test_a_sequence_is_computed_in_rows_as_short_as_the_routing_allows(monkeypatch):
    sizes, run = [], moe_rnn.run
    monkeypatch.setattr(moe_rnn, "run", lambda *args: (sizes.append(args[2].shape[1]), run(*args))[1])
    mixer, x = built(active=1), tokens(1, 64)
    mixer(x)
    assert sizes == torch.bincount(mixer.router.route(x)[0].flatten(), minlength=EXPERTS).tolist()


@pytest.mark.parametrize("active", [0, EXPERTS + 1])
def test_a_token_gets_one_to_all_experts(active):
    with pytest.raises(ConfigError, match=rf"cannot get {active} of 4 experts\. Set active to 1 to 4\."):
        built(active)


def test_equals_go_to_the_lower_number():
    router = moe.Router(WIDTH, EXPERTS, 2)
    nn.init.zeros_(router.logits.weight)
    chosen, weights = router(torch.randn(3, 5, WIDTH))
    assert (chosen == torch.tensor([0, 1])).all() and (weights == 0.5).all()


def test_the_weights_of_two_experts_sum_to_one_and_that_of_a_single_one_is_its_probability():
    x = tokens(3, 5)
    close(built(2).router.route(x)[1].sum(-1), torch.ones(3, 5, dtype=torch.float64))
    alone = built(1).router
    close(alone.route(x)[1][..., 0], alone.logits(x).softmax(-1).amax(-1))


def test_balance_is_one_when_all_experts_are_used_alike_and_e_when_one_gets_all():
    even, alone = torch.eye(EXPERTS), torch.eye(EXPERTS)[:1].expand(EXPERTS, -1)
    mask = torch.ones(EXPERTS)
    assert moe.balance(even, even.argmax(-1, keepdim=True), mask) == 1
    assert moe.balance(alone, alone.argmax(-1, keepdim=True), mask) == EXPERTS


def test_an_undecided_router_has_balance_one_z_of_log_e_squared_and_entropy_log_e():
    mixer = built()
    nn.init.zeros_(mixer.router.logits.weight)
    mixer(tokens(2, 7))
    close(moe.balance_loss(mixer).item(), 1.0)
    close(moe.z_loss(mixer).item(), math.log(EXPERTS) ** 2)
    ((shares, entropy),) = moe.routing(mixer)
    close(entropy, math.log(EXPERTS))
    assert shares == (0.5, 0.5, 0, 0)


def test_losses_belong_to_training_and_are_forgotten_on_eval():
    model = nn.Sequential(built(), built())
    assert moe.balance_loss(model) == 0 and moe.routing(model) == []
    model[0](tokens(2, 7))
    first = moe.balance_loss(model)
    model[1](tokens(2, 7))
    close(moe.balance_loss(model), 2 * first)
    assert moe.balance_loss(model).requires_grad
    model.eval()
    model[0](tokens(2, 7))
    assert moe.balance_loss(model) == moe.z_loss(model) == moe.balance_loss(nn.Identity()) == 0
    assert len(moe.routing(model)) == 2


def test_a_model_can_be_copied_between_forward_and_backward():
    mixer = built()
    mixer(tokens(2, 7))
    twin = copy.deepcopy(mixer)
    assert moe.balance_loss(twin) == 0 < moe.balance_loss(mixer)
    close(twin(tokens(2, 3)), mixer(tokens(2, 3)))


def test_padding_is_not_counted():
    padded, alone, x = built(), built(), tokens(1, 9)
    padded(x, lengths=torch.tensor([4]))
    alone(x[:, :4])
    close(moe.balance_loss(padded), moe.balance_loss(alone))
    close(moe.z_loss(padded), moe.z_loss(alone))
    close(moe.routing(padded), moe.routing(alone))


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_the_balance_loss_spreads_a_skewed_routing_which_else_stays_skewed(weight):
    mixer, x = built(active=1, seed=4), tokens(4, 15)
    x[..., 0] = 1
    with torch.no_grad():
        mixer.router.logits.weight.zero_()[0, 0] = 2  # a constant channel makes this a bias towards expert 0
    optimizer = torch.optim.Adam(mixer.parameters(), lr=0.05)
    mixer(x)
    assert moe.routing(mixer)[0].shares[0] == 1
    for _ in range(40):
        optimizer.zero_grad()
        task = (mixer(x)[0] - x.tanh()).square().mean()
        (task + weight * moe.balance_loss(mixer)).backward()
        optimizer.step()
    top = max(moe.routing(mixer)[0].shares)
    assert top < 0.5 if weight else top > 0.7
