"""Which sequence architecture for this data, on this device, within this budget: searched, measured, explained.

>>> from advisor import recommend, inspect, load_run
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.api import inspect, load_run, recommend

__all__ = ["inspect", "load_run", "recommend"]


def __getattr__(name: str) -> Any:
    """Load the verbs when they are first asked for, so that `import advisor` is light."""
    if name in __all__:
        from advisor import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
