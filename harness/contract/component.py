"""How a plugin lists what it provides: one hook, which returns plain `Component`s."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pluggy

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")
Kind = Literal[
    "backend",
    "sae_format",
    "metric",
    "statistic",
    "direction",
    "intervention",
    "evaluator",
    "labels",
    "analysis",
    "section",
]


@dataclass(frozen=True)
class Component:
    """One thing a plugin provides: plain data, nothing imported."""

    kind: Kind
    name: str
    summary: str
    load: str
    """Where the object's class is: `package.module:Class`. Imported when a task runs it."""
    options: str
    """Where its options are: `package.module:Class`. Imported by `check`; must not import torch."""
    extra: str = ""
    """The requirement that brings what `load` needs, for the message when it is missing."""
    samples: str = ""
    """What its laws are tried on, for `harness plugins check`: `package.module:function`. Called
    with an empty folder, it gives calls of `harness.testing.check_*`, each a `functools.partial`.
    """


@hookspec
def harness_components() -> Iterable[Component]:
    """What this plugin provides.

    Returns: the components, each with a name that is unique in the plugin for its kind.
    Stops at the first answer: no; every plugin is asked, one at a time.
    Called: once per command, before the task is read. Must import nothing heavy.
    Implemented by: plugins that provide components.
    """
    raise AssertionError("a hook specification is not called")
