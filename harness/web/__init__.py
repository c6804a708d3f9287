"""One patient HTTP client: asks again where that may help, and keeps keys to itself.

`client` asks, `many` asks several questions at a time, `pace` keeps requests apart, `waiting` says
how long to pause and who hears of it, `key` where a key is, `hub` what errors of Hugging Face's
libraries mean to a person.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.web.client import (
        Busy as Busy,
        Refused as Refused,
        Unreachable as Unreachable,
        Unusable as Unusable,
        Web as Web,
    )
    from harness.web.hub import hub_error as hub_error
    from harness.web.key import key_in as key_in
    from harness.web.many import ask_each as ask_each
    from harness.web.waiting import (
        patiently as patiently,
        telling as telling,
    )

_NAMES = {
    "harness.web.client": "Busy Refused Unreachable Unusable Web",
    "harness.web.hub": "hub_error",
    "harness.web.key": "key_in",
    "harness.web.many": "ask_each",
    "harness.web.waiting": "patiently telling",
}
"""What is to be had here, by its module."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """A name or a module of this package, imported when first asked for: `client` brings ssl."""
    home = _HOMES.get(name, f"{__name__}.{name}")
    if home not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(home)
    found = globals()[name] = getattr(module, name) if name in _HOMES else module
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
