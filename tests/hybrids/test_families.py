"""What the table of families promises holds for the models it names."""

import pytest
import torch

from hybrids.backbone import Backbone
from hybrids.errors import ConfigError
from hybrids.families import FAMILIES, family, layers

WIDTH = 8
STACKS = [(name, variant) for name, row in FAMILIES.items() for variant in row.variants]
STREAMS = [(name, variant) for name, variant in STACKS if FAMILIES[name].streams]
READS_LAST = [(name, variant) for name, variant in STACKS if FAMILIES[name].reads_last]


def backbone(name: str, variant: str, depth: int = 2, causal: bool = False) -> Backbone:
    torch.manual_seed(0)
    return Backbone(layers(name, depth, causal, variant), WIDTH, 2.0, 0.0).double().eval()


@pytest.mark.parametrize(("name", "variant"), STACKS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_pattern_builds_at_every_depth(name, variant, depth):
    built = layers(name, depth, False, variant)
    inner = [part for layer in built for part in getattr(layer, "of", ()) if layer.kind == "pooled"]
    count = len(built) + len(inner) - any(layer.kind == "pooled" for layer in built)
    two_kinds = len({layer.kind for layer in layers(name, 4, False, variant)}) > 1
    assert count == (max(2, depth) if two_kinds else depth)
    y, _ = backbone(name, variant, depth)(torch.zeros(1, 5, WIDTH, dtype=torch.float64))
    assert y.shape == (1, 5, WIDTH)


@pytest.mark.parametrize(("name", "variant"), STREAMS)
def test_a_family_that_streams_is_causal_and_its_state_does_not_grow(name, variant):
    stack = backbone(name, variant, causal=True)
    assert stack.causal
    for layer in layers(name, 2, True, variant):
        mixer = layer.build(WIDTH)
        assert mixer.state_bytes(10_000) == mixer.state_bytes(100_000)


@pytest.mark.parametrize(("name", "variant"), READS_LAST)
def test_a_last_token_that_is_read_alone_has_seen_the_first(name, variant):
    x = torch.randn(1, 40, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y, _ = backbone(name, variant)(x)
    (seen,) = torch.autograd.grad(y[0, -1].square().sum(), x)
    assert seen[0, 0].any()


@pytest.mark.parametrize("name", [n for n, row in FAMILIES.items() if len(row.variants) > 1])
def test_variants_of_a_family_are_different_models(name):
    assert len({layers(name, 2, False, variant) for variant in FAMILIES[name].variants}) == len(FAMILIES[name].variants)


@pytest.mark.parametrize("name", [n for n, row in FAMILIES.items() if not row.variants])
def test_a_family_that_is_not_a_stack_says_what_it_needs(name):
    with pytest.raises(ConfigError, match=FAMILIES[name].needs):
        layers(name, 2, False)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="no family named 'grru'; known: gru, lstm"):
        family("grru")
    with pytest.raises(ConfigError, match="ssm has no variant 's5'; known: selective, diagonal"):
        layers("ssm", 2, False, "s5")
