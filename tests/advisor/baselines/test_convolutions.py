"""Random convolutions and Hydra: against loops over kernels and steps, exactness, length."""

import numpy as np
import pytest
import torch

from advisor import baselines
from advisor.baselines.convolutions import dilations, on_grid
from advisor.baselines.hydra import COMPETING, GROUPS, HydraBlock
from advisor.baselines.random_convolutions import KERNELS, RocketBlock, shared_out

KINDS = ("random_convolutions", "hydra", "pooled_convolutions")


def drawn(block, channels, rows=3, length=40, seed=0):
    """Return the block after `draw`, its views and lengths."""
    random = np.random.default_rng(seed)
    lengths = torch.tensor([length, length // 2, 5])[:rows]
    inside = torch.arange(length)[None, None] < lengths[:, None, None]
    views = tuple(
        on_grid(torch.from_numpy(random.normal(size=(rows, channels, length))).float(), 11) * inside for _ in range(2)
    )
    block.draw(views, lengths, random)
    return block, views, lengths


def at(row, step):
    return row[step] if 0 <= step < len(row) else 0.0


@pytest.mark.parametrize("channels", [1, 4])
def test_poolings_equal_a_loop_over_steps(channels):
    block, views, lengths = drawn(RocketBlock(40, channels, 7, 1, True), channels)
    got, start, column = block(views, lengths).numpy(), 0, 0
    for layer, (dilation, biases) in enumerate(block.layers):
        for kernel in (0, 1, 30, 83):
            group = kernel // (KERNELS // block.groups)
            weights = block.kernels[kernel, 0].numpy()
            for row, length in enumerate(lengths.tolist()):
                mixed = (
                    (block.mixes[layer, group] @ views[1][row]).numpy() if channels > 1 else views[1][row, 0].numpy()
                )
                reach = 4 * dilation
                steps = range(length) if (kernel + layer) % 2 == 0 else range(reach, length - reach)
                steps = steps if len(steps) else range(length)
                out = np.array(
                    [sum(w * at(mixed, t + (k - 4) * dilation) for k, w in enumerate(weights)) for t in steps]
                )
                for bias in range(biases):
                    level = float(block.biases[kernel, column + bias])
                    above = out > level
                    runs = np.count_nonzero(np.diff(np.concatenate([[0], above.astype(int)])) == 1)
                    expected = [above.mean(), 0.0, -0.1, 0.0]
                    if above.any():
                        expected[1] = (out[above] - level).mean()
                        expected[2] = np.array(steps)[above].mean() / max(length - 1, 1)
                        expected[3] = above.sum() / runs / len(out)
                    for pooling, value in enumerate(expected):
                        place = start + pooling * KERNELS * biases + kernel * biases + bias
                        assert got[row, place] == pytest.approx(value, abs=1e-5)
        start, column = start + 4 * KERNELS * biases, column + biases
    assert start == block.width == got.shape[1]


@pytest.mark.parametrize("channels", [1, 5])
def test_hydra_scores_equal_a_loop_over_steps(channels):
    block, views, lengths = drawn(HydraBlock(40, channels), channels)
    got = block(views, lengths).numpy()
    assert got.shape == (3, block.width)
    for layer, group in ((0, 0), (3, 17)):
        dilation, half = block.dilations[layer // 2], GROUPS * COMPETING
        for row, length in enumerate(lengths.tolist()):
            view = on_grid(views[layer % 2][row], block.bits)
            mixed = (block.mixes[layer, group] @ view if channels > 1 else view[0]).numpy()
            best, worst = np.zeros(COMPETING), np.zeros(COMPETING)
            for step in range(length):
                around = np.array([at(mixed, step + (k - 4) * dilation) for k in range(9)])
                out = block.weights[layer, group * COMPETING : (group + 1) * COMPETING, 0].numpy() @ around
                best[out == out.max()] += out.max()
                worst[out == out.min()] += 1
            first = layer * 2 * half + group * COMPETING
            for place, scores in ((first, best), (first + half, worst)):
                expected = np.sqrt(scores / length)
                np.testing.assert_allclose(got[row, place : place + COMPETING], expected, atol=1e-5)


@pytest.mark.parametrize("kind", [RocketBlock, HydraBlock])
def test_float32_convolutions_are_exact(kind):
    block, views, lengths = drawn(kind(40, 5) if kind is HydraBlock else kind(40, 5, 7, 0, False), 5)
    views = tuple(torch.clamp(view * 1000, -64, 64) for view in views)
    single = block(views, lengths)
    double = block.double()(tuple(view.double() for view in views), lengths)
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=1e-6)


def test_biases_are_shared_out_over_exponential_dilations():
    assert dilations(9, 32) == ((1, 32),)
    layers = shared_out(dilations(300, 32), 119)
    assert sum(biases for _, biases in layers) == 119
    assert layers[0][0] == 1 and 8 * layers[-1][0] < 300 and layers[0][1] > layers[-1][1]


def test_about_ten_thousand_features():
    assert RocketBlock(300, 1, 119, 0, False).width == 9996


@pytest.mark.parametrize("kind", KINDS)
def test_length_alone_tells_classes_apart(kind):
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    x, lengths = random.normal(size=(60, 40, 1)).astype(np.float32), np.where(y, 40, 20)
    model = baselines.fit(kind, "classify", x[:40], lengths[:40], y[:40], classes=2)
    with torch.no_grad():
        logits = model(torch.from_numpy(x[40:]), torch.from_numpy(lengths[40:])).numpy()
    assert np.mean(logits.argmax(1) == y[40:]) >= 0.95
