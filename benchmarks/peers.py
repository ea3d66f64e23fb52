"""The best public pure-PyTorch layer of each kind: torch's own, or a package fetched into a folder of its own.

`fetch` installs the packages, versions pinned, into `benchmarks/.peers`; they are no dependency of the project. Of two
packages only single files are used, because importing the whole needs a GPU compiler or a dozen more packages: the
reference algorithms of flash-linear-attention and of transformers. Where no package runs on CPU, the peer is what a
user would write from torch's own layers, and its name says so.
"""

import ast
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import distributions
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peer_layers import (
    HEAD,
    AttentionIntoRecurrent,
    Bidirectional,
    DenseMixture,
    Inception,
    KernelAttention,
    Mamba2,
    MatrixMemory,
    MinGRUScan,
    Package,
    PooledEncoder,
    Recurrent,
    S4DByFFT,
    TorchAttention,
    XAttention,
)
from hybrids.mixer import MixerConfig

FOLDER = Path(__file__).parent / ".peers"
PACKAGES = (
    "mambapy==1.2.0",
    "minGRU-pytorch==0.2.1",
    "x-transformers==2.31.10",
    "linformer==0.2.3",
    "fla-core==0.6.0",
    "transformers==5.23.0",
    "einops==0.8.2",
    "einx==0.4.3",
    "frozendict==2.4.7",
    "loguru==0.7.3",
    "torch-einops-utils==0.1.41",
)


RECURRENT: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Peer(NamedTuple):
    """A layer to compare with.

    Attributes:
        name: What it is, with its package.
        build: From width and length to a module (x, lengths) -> y; lengths may be None.
    """

    name: str
    build: Callable[[int, int], nn.Module]


def fetch() -> dict[str, str]:
    """Install the packages unless that was done, put them last on the path; return versions, none if pip fails."""
    stamp, wanted = FOLDER / "packages.txt", "\n".join(PACKAGES)
    if not stamp.exists() or stamp.read_text() != wanted:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(FOLDER)]
        if subprocess.run([*pip, *PACKAGES], check=False, stdout=sys.stderr).returncode:
            return {}  # pip has said why; the peers that need a package are then left out, one message each
        (FOLDER / ".gitignore").write_text("*\n")
        stamp.write_text(wanted)
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return {found.name: found.version for found in distributions(path=[str(FOLDER)])}


def module_in(path: str) -> Any:
    """Return the module of one file below the folder, without importing its package."""
    spec = spec_from_file_location(path.replace("/", "_"), FOLDER / f"{path}.py")
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function_in(path: str, *names: str) -> Callable[..., Any]:
    """Return the last of the functions `names` of one file, compiled from its source without decorators."""
    tree = ast.parse((FOLDER / f"{path}.py").read_text())
    chosen = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    for node in chosen:
        node.decorator_list = []
    scope: dict[str, Any] = {"torch": torch, "F": F, "is_torchdynamo_exporting": torch.compiler.is_exporting}
    exec(compile(ast.Module(chosen, []), path, "exec"), scope)
    return scope[names[-1]]


def peers_of(config: MixerConfig) -> list[Peer]:
    """Return the peers of a mixer with these settings, the fairest first; none if no public layer does its job."""
    settings = config.model_dump()
    kind, causal = settings["kind"], settings.get("causal", False)
    inner = settings.get("expansion", 1)
    match kind:
        case "rnn" | "gru" | "lstm":
            return [_recurrent(kind)]
        case "bidirectional":
            return [_both_ways(settings["of"]["kind"])] if settings["of"]["kind"] in RECURRENT else []
        case "lc_bilstm":
            return [_both_ways("lstm")]
        case "pooled":
            return [Peer("nn.TransformerEncoder, pooled", lambda w, n: PooledEncoder(w, settings["stride"], causal))]
        case "mingru":
            return [
                Peer("minGRU-pytorch", lambda w, n: Package(_minrnn("minGRU")(w, inner, proj_out=True))),
                Peer("mambapy pscan", lambda w, n: MinGRUScan(w, inner * w)),
            ]
        case "minlstm":
            return [Peer("minGRU-pytorch minLSTM", lambda w, n: Package(_minrnn("minLSTM")(w, inner, proj_out=True)))]
        case "attention":
            window = settings["window"]
            return [
                Peer("x-transformers", lambda w, n: XAttention(w, n, causal, window)),
                Peer("nn.MultiheadAttention", lambda w, n: TorchAttention(w, n, causal, window)),
            ]
        case "linear_attention":
            return [Peer("fla reference", lambda w, n: MatrixMemory(w, _gated_linear_rule()))]
        case "gated_delta":
            return [
                Peer("transformers reference", lambda w, n: MatrixMemory(w, _transformers_delta_rule())),
                Peer("fla reference", lambda w, n: MatrixMemory(w, _fla_delta_rule())),
            ]
        case "kernel_attention":
            if not causal:
                return []
            rule, feature = _fla("linear_attn").naive_chunk_linear_attn, settings["feature"]
            return [Peer("fla reference", lambda w, n: KernelAttention(w, rule, feature))]
        case "ssm":
            states = settings["states"]
            return [
                Peer("mambapy Mamba-1", lambda w, n: Package(_mamba(w, inner, states))),
                Peer("fla reference (Mamba-2)", lambda w, n: Mamba2(w, inner * w, states, _scalar_decay_rule())),
            ]
        case "s4d":
            return [Peer("S4D by FFT", lambda w, n: S4DByFFT(w, settings["states"]))]
        case "low_rank_attention":
            return [Peer("linformer", lambda w, n: Package(_linformer(w, n, settings)))]
        case "conv":
            return [Peer("nn.Conv1d, depthwise", lambda w, n: Inception(w, causal))]
        case "moe_rnn":
            return [Peer("dense mixture of nn.GRU", lambda w, n: DenseMixture(w, settings["experts"], nn.GRU))]
        case "attention_rnn":
            window = settings.get("window")
            return [Peer("nn.MultiheadAttention into nn.LSTM", lambda w, n: AttentionIntoRecurrent(w, n, window))]
    return []


def _recurrent(kind: str) -> Peer:
    return Peer(f"nn.{RECURRENT[kind].__name__}", lambda w, n: Recurrent(RECURRENT[kind], w))


def _both_ways(kind: str) -> Peer:
    return Peer(f"nn.{RECURRENT[kind].__name__}, packed", lambda w, n: Bidirectional(RECURRENT[kind], w))


def _fla(name: str) -> Any:
    return module_in(f"fla/ops/{name}/naive")


def _scalar_decay_rule() -> Callable[..., Any]:
    return _fla("simple_gla").naive_chunk_simple_gla


def _gated_linear_rule() -> Callable[..., Any]:
    rule = _scalar_decay_rule()
    return lambda q, k, v, log_decay, beta: rule(q, k, v, log_decay)[0]


def _fla_delta_rule() -> Callable[..., Any]:
    rule = _fla("gated_delta_rule").naive_chunk_gated_delta_rule
    return lambda *signals: rule(*signals)[0]


def _transformers_delta_rule() -> Callable[..., Any]:
    path = "transformers/models/qwen3_next/modeling_qwen3_next"
    rule = function_in(path, "l2norm", "torch_chunk_gated_delta_rule")
    return lambda *signals: rule(*signals)[0]


def _minrnn(name: str) -> Callable[..., nn.Module]:
    return getattr(import_module(f"minGRU_pytorch.{name}"), name)


def _mamba(width: int, expansion: int, states: int) -> nn.Module:
    library = import_module("mambapy.mamba")
    return library.MambaBlock(library.MambaConfig(width, 1, expand_factor=expansion, d_state=states))


def _linformer(width: int, length: int, settings: dict[str, Any]) -> nn.Module:
    return import_module("linformer").LinformerSelfAttention(width, length, k=settings["rank"], heads=width // HEAD)
