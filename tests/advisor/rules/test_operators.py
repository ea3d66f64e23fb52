"""operators.toml says of each family what an export of a small model of it really uses.

A capture by torch takes a second and is made of every variant. An export to ONNX takes up to ten: it is made of one
variant of each family, unless that stacks the layers of two others or is a near relative of one.
"""

import tomllib
from collections.abc import Iterator
from importlib.resources import files

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from advisor.export import compat
from advisor.export.onnx import OPSET
from advisor.export.parity import example_length
from advisor.rules.table import operators
from advisor.search.knobs import Knobs
from advisor.search.problem import Plan
from advisor.search.recipes import build
from hybrids.encoder_decoder import family as encoder_decoder
from hybrids.families import FAMILIES
from hybrids.frontends.tokens import TokensConfig
from hybrids.fusion import FusionConfig, StreamConfig
from hybrids.layout import parse

PLAN = Plan(task="classify", channels=2, classes=3, folds=3, length=96, test_words="")
VARIANTS = [(family, variant) for family, row in FAMILIES.items() for variant in row.variants or (family,)]
JOINED = {
    "rnn_transformer": ("gru", "transformer"),
    "transformer_rnn": ("lstm", "transformer"),
    "ssm_attention": ("ssm", "transformer"),
}
"""Families whose first variant stacks the layers of two others and needs no operator more."""
CAPTURED_ONLY = {"bilstm", "bigru", "lc_bilstm", "mingru"}
"""Near relatives of lstm, gru and ssm, left out of the exports to save time."""
EXPORTED = [family for family in FAMILIES if family not in JOINED and family not in CAPTURED_ONLY]
HOUSEKEEPING = {"aten::detach", "aten::detach_", "aten::alias", "aten::dropout", "aten::promote_types"}
"""What a capture records but no backend has to compute."""


class Joined(nn.Module):
    """A fusion of two streams, which takes each stream and its lengths one after the other."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, a: Tensor, b: Tensor, a_lengths: Tensor, b_lengths: Tensor) -> Tensor:
        """Return the joined sequence (B, L, D)."""
        return self.fusion([a, b], [a_lengths, b_lengths])[0]


def small(family: str, variant: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a small model of the family and an input for it."""
    torch.manual_seed(0)
    if family == "encoder_decoder":
        symbols = TokensConfig(vocabulary=11)
        model = encoder_decoder(family, symbols, symbols, 8, 1).build().eval()
        return model, (torch.randint(3, 11, (2, 21)), torch.tensor([21, 9]), torch.randint(3, 11, (2, 13)))
    if family == "cross_fusion":
        streams = (
            StreamConfig(channels_in=2, layers=parse("gru")),
            StreamConfig(channels_in=3, layers=parse("attention")),
        )
        model = Joined(FusionConfig(width=8, streams=streams).build()).eval()
        lengths = torch.tensor([21, 9])
        return model, (torch.randn(2, 21, 2), torch.randn(2, 21, 3), lengths, lengths)
    model = build(family, Knobs(width=8, depth=1, variant=variant), PLAN).build().eval()
    length = example_length(model)
    return model, (torch.randn(2, length, 2), torch.tensor([length, length // 2]))


def of_torch(model: nn.Module, example: tuple[Tensor, ...]) -> set[str]:
    """Return the operators of the captured graph and of the graphs inside it, as their schemas name them."""
    program = torch.export.export(model, example, strict=False)
    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    called = [node.target for graph in graphs for node in graph.nodes if node.op == "call_function"]
    names = {one._schema.name for one in called if isinstance(one, torch._ops.OpOverload)}
    names |= {one.name() for one in called if isinstance(one, torch._ops.HigherOrderOperator)}
    return {name for name in names if not name.startswith("aten::_")} - HOUSEKEEPING


def of_onnx(model: nn.Module, example: tuple[Tensor, ...]) -> set[str]:
    """Return the operators of the exported graph and of the graphs inside it."""
    axes = tuple(dict.fromkeys(range(min(2, one.dim())), Dim.AUTO) for one in example)
    with compat.exporting():
        program = torch.export.export(model, example, dynamic_shapes=axes, strict=False)
        exported = torch.onnx.export(program, dynamo=True, opset_version=OPSET, external_data=False, verbose=False)
    proto = exported.model_proto
    return set(_types(proto.graph.node)) | {kind for function in proto.functions for kind in _types(function.node)}


def _types(nodes: list[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield node.op_type
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _types(graph.node)


def test_the_table_has_every_family_and_variant():
    assert [(family, variant) for family, row in operators().items() for variant in row] == VARIANTS


def test_what_every_variant_needs_stands_once():
    table = tomllib.loads((files("advisor.rules") / "operators.toml").read_text(encoding="utf-8"))
    every = set(table.pop("every")["operators"])
    rows = [set(row) for variants in table.values() for row in variants.values()]
    assert not every & set.union(*rows) and not set.intersection(*rows)


@pytest.mark.parametrize(
    ("operator", "users"),
    [
        ("LSTM", {"lstm", "attention_rnn", "transformer_rnn", "bilstm", "lc_bilstm"}),
        ("aten::scaled_dot_product_attention", {"transformer", "rnn_transformer", "ssm_attention", "cross_fusion"}),
        ("Scan", {"rnn", "linear_attention"}),
    ],
)
def test_the_table_knows_who_needs_what(operator, users):
    needing = {family for family, row in operators().items() if any(operator in needs for needs in row.values())}
    assert users <= needing < set(FAMILIES)


def first(family: str) -> tuple[str, frozenset[str]]:
    """Return the first variant of the family and what the table says that it needs."""
    return next(iter(operators()[family].items()))


def torchs(names: frozenset[str]) -> set[str]:
    """Return the operators that torch names, such as aten::gru or scan; those of ONNX begin with a capital."""
    return {name for name in names if name[0].islower()}


@pytest.mark.parametrize("family", JOINED)
def test_layers_of_two_families_need_what_the_two_need(family):
    one, other = JOINED[family]
    assert first(family)[1] == first(one)[1] | first(other)[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes .* were assigned during export")
@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_the_operators_of_a_capture_are_those_of_the_table(family, variant):
    assert of_torch(*small(family, variant)) == torchs(operators()[family][variant])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes .* were assigned during export")
@pytest.mark.parametrize("family", EXPORTED)
def test_the_operators_of_an_export_are_those_of_the_table(family):
    variant, needs = first(family)
    assert of_onnx(*small(family, variant)) == needs - torchs(needs)
