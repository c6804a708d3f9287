"""Whether a model is left as it was: no hook of anybody's stays on its modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from harness.contract import Model

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_DEEP = 3
"""How far modules are looked for in the attributes of a model's objects."""


def hooks_of(model: Model) -> int | None:
    """How many hooks are on the torch modules of a model; None where it has none to look at."""
    modules = {id(one): one for root in _roots(model, _DEEP) for one in root.modules()}
    if not modules:
        return None
    return sum(len(getattr(one, name)) for one in modules.values() for name in _HOOKS)


def _roots(holder: Any, deep: int) -> Iterator[nn.Module]:
    """The torch modules that an object holds, also within objects that it holds."""
    if isinstance(holder, nn.Module):
        yield holder
        return
    native = getattr(holder, "native", None)
    if isinstance(getattr(native, "model", None), nn.Module):
        yield native.model  # type: ignore[union-attr]
    if deep:
        for inner in list(getattr(holder, "__dict__", {}).values()):
            if isinstance(inner, nn.Module) or hasattr(inner, "__dict__"):
                yield from _roots(inner, deep - 1)
