"""Softmax attention and its relatives: closed forms, fast forms against slow ones, caps and positions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybrids import cache, memory
from hybrids.cache import attend, window_attention, window_attention_reference
from hybrids.errors import ConfigError, ShapeError
from hybrids.mixers.attention import Attention, AttentionConfig
from hybrids.mixers.attention_rnn import AttentionRNN
from hybrids.mixers.low_rank_attention import (
    LowRankAttention,
    LowRankAttentionConfig,
    low_rank_attention_reference,
    resampling,
)
from hybrids.positions import LearnedPositions, rotate, sinusoidal


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(actual: object, expected: object, atol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def multihead(attention: Attention) -> nn.MultiheadAttention:
    """Return PyTorch's own module with the same weights: its rows are laid out as those of BERT and of ours."""
    peer = nn.MultiheadAttention(attention.width, attention.heads, batch_first=True, dtype=torch.float64)
    peer.in_proj_weight.data, peer.in_proj_bias.data = attention.qkv.weight.data, attention.qkv.bias.data
    peer.out_proj.weight.data, peer.out_proj.bias.data = attention.out.weight.data, attention.out.bias.data
    return peer.eval()


def test_attention_with_biases_and_no_positions_is_multi_head_attention():
    attention, x = Attention(12, 3, bias=True, positions="none").double(), numbers(2, 7, 12)
    nn.init.normal_(attention.qkv.bias)
    padding = torch.tensor([[False] * 7, [False] * 4 + [True] * 3])
    expected, _ = multihead(attention)(x, x, x, key_padding_mask=padding, need_weights=False)
    y, _ = attention(x, lengths=torch.tensor([7, 4]))
    close((y[0], y[1, :4]), (expected[0], expected[1, :4]))


def test_causal_attention_is_multi_head_attention_under_a_triangular_mask():
    attention, x = Attention(12, 3, causal=True, bias=True, positions="none").double(), numbers(2, 7, 12)
    later = torch.ones(7, 7, dtype=torch.bool).triu(1)
    expected, _ = multihead(attention)(x, x, x, attn_mask=later, need_weights=False)
    close(attention(x)[0], expected)


def test_grouped_heads_equal_full_heads_with_repeated_keys_and_values():
    grouped, full = Attention(12, 6, causal=True, kv_heads=2).double(), Attention(12, 6, causal=True).double()
    q, k, v = grouped.qkv.weight.data.split([12, 4, 4])
    k, v = (t.unflatten(0, (2, 2)).repeat_interleave(3, 0).flatten(0, 1) for t in (k, v))
    full.qkv.weight.data, full.out.weight.data = torch.cat([q, k, v]), grouped.out.weight.data
    x = numbers(2, 9, 12)
    (y, state), (expected, _) = grouped(x), full(x)
    close(y, expected)
    assert state[0].shape == (2, 9, 2, 2)


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(("window", "length"), [(1, 5), (3, 33), (7, 40), (33, 100), (140, 331)])
@pytest.mark.parametrize("carried", [False, True])
def test_a_window_in_blocks_equals_the_full_mask_in_values_and_gradients(window, length, lag, carried):
    reach = window - 1 + lag
    steps = length + carried * reach
    leaves = [numbers(2, n, h, 4, seed=n).requires_grad_() for n, h in ((length, 4), (steps, 2), (steps + 1, 2))]
    filled = torch.tensor([reach, reach // 3]) if carried else None
    q, k, v = leaves[0], leaves[1], leaves[2][:, 1:]
    fast = window_attention(q, k, v, filled, window=window, lag=lag)
    slow = window_attention_reference(q, k, v, filled, window=window, lag=lag)
    close(fast, slow)
    weight = numbers(*fast.shape, seed=1)
    gradients = [torch.autograd.grad((y * weight).sum(), leaves) for y in (fast, slow)]
    close(gradients[0], gradients[1])


def test_a_window_of_equal_keys_is_a_moving_average():
    value = numbers(1, 100, 1, 2)
    y = window_attention(torch.zeros(1, 100, 1, 2).double(), torch.zeros(1, 100, 1, 2).double(), value, window=5)
    expected = torch.stack([value[:, max(0, t - 4) : t + 1, 0].mean(1) for t in range(100)], 1)
    close(y, expected)


def test_a_windowed_cache_stays_as_large_as_the_window():
    attention = Attention(8, 2, causal=True, window=5)
    state = attention.initial_state(3)
    for length in (1, 2, 40):
        _, state = attention(torch.zeros(3, length, 8), state)
        assert state[0].shape == state[1].shape == (3, 4, 2, 4)


def test_a_window_of_one_keeps_nothing():
    attention, x = Attention(8, 2, causal=True, window=1).double(), numbers(2, 9, 8)
    left, state = attention(x[:, :4])
    right, state = attention(x[:, 4:], state)
    assert state[0].shape == state[1].shape == (2, 0, 2, 4)
    close(torch.cat([left, right], 1), attention(x)[0])


@pytest.mark.parametrize("settings", [{}, {"window": 4}, {"positions": "none"}, {"kv_heads": 1}])
@pytest.mark.parametrize("length", [1, 5])
def test_a_kept_cache_does_not_keep_the_queries_beside_it(settings, length):
    _, state = Attention(8, 2, causal=True, **settings)(torch.zeros(1, length, 8))
    assert all(s.untyped_storage().nbytes() == s.nbytes for s in state)


def test_shared_heads_of_keys_repeated_give_the_same(monkeypatch):
    q, k, v = numbers(2, 9, 6, 4), numbers(2, 9, 2, 4, seed=1), numbers(2, 9, 2, 4, seed=2)
    shared = attend(q, k, v, causal=True)
    monkeypatch.setattr(cache, "_fused_only_for_full_heads", lambda query, mask: True)
    close(attend(q, k, v, causal=True), shared)


def test_products_of_rotated_vectors_depend_on_the_distance_alone():
    q, k = numbers(1, 1, 1, 8), numbers(1, 1, 1, 8, seed=1)
    near = (rotate(q, torch.tensor([[5]])) * rotate(k, torch.tensor([[2]]))).sum()
    far = (rotate(q, torch.tensor([[1005]])) * rotate(k, torch.tensor([[1002]]))).sum()
    close(near, far)
    close(rotate(q, torch.tensor([[0]])), q)


def test_sinusoids_are_those_of_the_paper():
    e = sinusoidal(torch.tensor([[0, 3]]), 5, torch.float64)[0]
    slow = 10_000 ** (-2 / 5)
    close(e[0], torch.tensor([0.0, 1, 0, 1, 0], dtype=torch.float64))
    expected = [math.sin(3), math.cos(3), math.sin(3 * slow), math.cos(3 * slow), math.sin(3 * slow**2)]
    close(e[1], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["rotary", "sinusoidal", "learned"])
def test_attention_with_positions_tells_the_order_and_without_does_not(kind):
    torch.manual_seed(0)
    x = numbers(1, 6, 8)
    placed, plain = (Attention(8, 2, positions=p).double() for p in (kind, "none"))
    close(plain(x.flip(1))[0].flip(1), plain(x)[0])
    assert not torch.allclose(placed(x.flip(1))[0].flip(1), placed(x)[0])


def test_learned_positions_name_the_length_and_the_cap():
    attention = AttentionConfig(causal=True, positions="learned", max_positions=10).build(8)
    _, state = attention(torch.zeros(2, 8, 8), lengths=torch.tensor([8, 3]))
    attention(torch.zeros(2, 5, 8), state, lengths=torch.tensor([2, 5]))  # the padding of row 0 lies past the cap
    with pytest.raises(ShapeError, match=r"end at 10, got a sequence of length 11\. Set max_positions=11"):
        attention(torch.zeros(2, 3, 8), state)
    assert LearnedPositions(8, 10).table.shape == (10, 8)


def test_a_cap_on_the_length_counts_the_cache():
    attention = AttentionConfig(causal=True, max_length=6).build(8)
    _, state = attention(torch.zeros(1, 4, 8))
    attention(torch.zeros(1, 2, 8), state)
    with pytest.raises(ShapeError, match=r"capped at 6 steps \(MEM1\), got 7\. Shorten the sequence"):
        attention(torch.zeros(1, 3, 8), state)


def test_a_length_that_cannot_fit_is_refused_with_the_longest_that_does(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**20)
    attention = AttentionConfig().build(16)
    attention(torch.zeros(1, 2_000, 16))  # small: nobody looks
    fits = 2**20 // (4 * 2 * 16 * 4)
    said = rf"over 9000 steps needs 0\.0 GiB for 1 rows, 0\.0 GiB is free\. Cap the length at {fits} \(MEM1\), or set"
    with pytest.raises(ShapeError, match=said):
        attention(torch.zeros(1, 9_000, 16))


def test_a_window_is_checked_by_the_blocks_it_is_cut_into(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**22)
    attention = AttentionConfig(causal=True, window=33).build(16)
    attention(torch.zeros(1, 3_000, 16))
    with pytest.raises(ShapeError, match=r"Cap the length at \d+ \(MEM1\), or use a smaller window"):
        attention(torch.zeros(1, 2_000_000, 16))
    cpu, apple = torch.device("cpu"), torch.device("mps")
    once, twice = (memory.window_bytes(1, 4, 64, n, 0, 33, 1, torch.float32, apple) for n in (10_000, 20_000))
    assert 1.9 < twice / once < 2.1  # linear in the length even where scores are made
    assert memory.window_bytes(1, 4, 64, 10_000, 0, 33, 1, torch.float32, cpu) < once


def test_only_what_is_really_made_counts_as_needed():
    cpu, apple = torch.device("cpu"), torch.device("mps")
    once, twice = (memory.attention_bytes(1, 4, 64, n, n, 0, torch.float32, cpu) for n in (1000, 2000))
    assert twice == 2 * once  # fused
    once, twice = (memory.attention_bytes(1, 4, 64, n, n, 1, torch.float32, cpu) for n in (10_000, 20_000))
    assert twice > 3.8 * once  # a mask
    assert memory.attention_bytes(1, 4, 64, 1000, 1000, 0, torch.float32, apple) > 3 * 4 * 1000**2 * 4  # scores


def test_free_memory_is_the_least_that_the_system_and_the_control_group_allow(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes(torch.device("cpu")) is None
    (tmp_path / "meminfo").write_text("MemTotal:  900 kB\nMemAvailable:  500 kB\n")
    assert memory.available_bytes(torch.device("cpu")) == 500 * 1024
    (tmp_path / "memory.max").write_text("300000\n")
    (tmp_path / "memory.current").write_text("200000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50000\n")
    assert memory.available_bytes(torch.device("cpu")) == 150_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes(torch.device("cpu")) == 500 * 1024


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(ConfigError, match=r"3 heads do not split width 9 into even parts\. Use a multiple of 6"):
        Attention(9, 3)
    with pytest.raises(ConfigError, match=r"2 heads of keys cannot be shared by 3 heads\. Use a divisor of 3"):
        Attention(12, 3, kv_heads=2)
    with pytest.raises(ConfigError, match=r"window 4 needs causal attention\. Set causal=True"):
        Attention(12, 3, window=4)
    with pytest.raises(ConfigError, match=r"9 mixtures of 8 points are redundant\. Set rank to at most 8"):
        LowRankAttention(8, 2, rank=9, grid=8)
    for rank in (4, 64, 128):
        assert LowRankAttentionConfig(rank=rank).build(8).rank == min(rank, 64)
    assert AttentionConfig(positions="none", head_dim=5).build(15).heads == 3


def test_low_rank_attention_at_the_length_of_its_grid_is_the_formula_of_the_paper():
    mixer, x = LowRankAttention(8, 2, rank=3, grid=11).double(), numbers(2, 11, 8)
    placed = x + sinusoidal(torch.arange(11)[None], 8, x.dtype)
    k, v = mixer.key_value(placed).chunk(2, -1)
    e, f = mixer.mixing
    split = [t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (mixer.query(placed), e @ k, f @ v)]
    expected = F.softmax(split[0] @ split[1].mT / 2, -1) @ split[2]
    close(mixer(x)[0], mixer.out(expected.transpose(1, 2).flatten(2)))


@pytest.mark.parametrize("grid", [3, 4, 17])
def test_low_rank_attention_equals_its_reference_in_values_and_gradients(grid):
    mixer, x = LowRankAttention(6, 2, rank=3, grid=grid).double(), numbers(3, 9, 6).requires_grad_()
    lengths = torch.tensor([9, 1, 4])
    valid = (torch.arange(9) < lengths[:, None])[..., None]
    fast, slow = mixer(x, lengths=lengths)[0] * valid, low_rank_attention_reference(mixer, x, lengths)
    close(fast, slow)
    leaves = [x, *mixer.parameters()]
    close(*(torch.autograd.grad(y.square().sum(), leaves) for y in (fast, slow)))


def test_a_mixture_varies_as_much_at_every_length():
    mixer = LowRankAttention(64, 4, rank=32, grid=64).double()
    spread = []
    for length in (64, 512, 2048):
        points = torch.randn(4, length, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
        weights = mixer.mixing.detach()[0] @ resampling(length, 64, None, points)
        spread.append(float((weights @ points).std()))
    assert max(spread) < 1.4 * min(spread)


@pytest.mark.parametrize("feedback", [False, True])
def test_the_first_context_is_nothing_and_no_context_sees_its_own_step(feedback):
    torch.manual_seed(0)
    mixer, x = AttentionRNN(4, 2, window=3, feedback=feedback).double(), numbers(1, 6, 4)
    first, _ = mixer.rnn(torch.cat([x[:, :1], torch.zeros_like(x[:, :1])], -1))
    close(mixer(x)[0][:, 0], first[:, 0])
    mixer.rnn.weight_ih_l0.data[:, :4] = 0  # the LSTM reads the contexts only
    x.requires_grad_()
    (seen,) = torch.autograd.grad(mixer(x)[0][0, 4].sum(), x)
    assert seen[0, 3].any() and not seen[0, 5].any()
    if not feedback:
        with torch.no_grad():
            mixer.qkv.weight[:8] = 0  # and so do the queries and keys: equal weights
        (seen,) = torch.autograd.grad(mixer(x)[0][0, 4].sum(), x)
        assert not seen[0, 4].any()


def test_an_attention_rnn_with_one_slot_reads_the_value_before():
    torch.manual_seed(0)
    mixer, x = AttentionRNN(4, 2, window=1).double(), numbers(2, 7, 4)
    value = mixer.qkv(x)[..., 8:]
    before = torch.cat([torch.zeros_like(value[:, :1]), value[:, :-1]], 1)
    close(mixer(x)[0], mixer.rnn(torch.cat([x, before], -1))[0])


def test_an_attention_rnn_that_needs_no_state_gives_the_same_outputs():
    mixer, x, valid = AttentionRNN(4, 2, window=3).double(), numbers(2, 7, 4), torch.tensor([3, 7])
    exact, _ = mixer(x, lengths=valid)
    mixer.needs_state = False
    quick, _ = mixer(x, lengths=valid)
    close((quick[0, :3], quick[1]), (exact[0, :3], exact[1]))
