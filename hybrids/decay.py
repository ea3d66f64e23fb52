"""Which parameters weight decay leaves alone: biases, gains, and those a module names.

A module names its own in a class attribute `no_weight_decay`, relative to itself ("A_log", "project.bias"). Names
survive what a mark on the parameter would not: a deep copy, a load, a move to another device.
"""

from torch import nn


def undecayed(model: nn.Module) -> set[str]:
    """Return the names of the parameters with fewer than two axes, or named by their module."""
    named = {
        id(module.get_parameter(name)) for module in model.modules() for name in getattr(module, "no_weight_decay", ())
    }
    return {name for name, p in model.named_parameters() if p.ndim < 2 or id(p) in named}


def split_by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters that weight decay pulls towards 0, and those that it leaves alone."""
    still = undecayed(model)
    return (
        [p for name, p in model.named_parameters() if name not in still],
        [p for name, p in model.named_parameters() if name in still],
    )
