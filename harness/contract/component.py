"""How a plugin lists what it provides: one hook, which returns plain `Component`s.

A plugin is a light module that its package names in its entry points::

    [project.entry-points.harness]
    harness_acme = "harness_acme.plugin"

The module implements the hook `harness_components`; `harness plugins` shows what it returns.
"""

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
    "observer",
    "executor",
    "export",
]
"""The kinds of component, as `Component.kind` names them."""


@dataclass(frozen=True)
class Component:
    """One thing that a plugin provides. Plain data: making one imports nothing.

    The core imports the classes that `options` and `load` name when it needs them.
    """

    kind: Kind
    """What it is; says which options and which object the contract asks for."""
    name: str
    """How a task names it (`method = "name"`); `plugin/name` where two plugins have the same."""
    summary: str
    """One line for `harness plugins` and the documentation."""
    load: str
    """Where the object's class is: `package.module:Class`. Imported when a task runs it."""
    options: str
    """Where the class of its options is: `package.module:Class`. Imported by every command that
    reads a task; must not import torch."""
    extra: str = ""
    """What to install where `load` cannot be imported, such as `sae-harness[lm-eval]`: the error
    message says so."""
    samples: str = ""
    """Where `harness plugins check` gets cases to try the laws of its kind on:
    `package.module:function`. The function is called with an empty folder that it may write to
    and returns calls of `harness.testing.check_*` that are not made yet, each as a
    `functools.partial`."""


@hookspec
def harness_components() -> Iterable[Component]:
    """The components that this plugin provides.

    Returns: the components; no two of the same kind share a name.
    Stops at the first answer: no; every plugin is asked, one at a time.
    Called: once per command, before the task is read. Must import nothing heavy.
    Implemented by: every plugin, as a function of this name marked with `@hookimpl`.
    """
    raise AssertionError("a hook specification is not called")
