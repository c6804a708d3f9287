"""Admits a plugin in a file of its own: runs the file, and asks it for its components.

Whoever calls this has made sure that a person trusts the file: its code can do anything that they
can. It is then held to the same contract as an installed plugin.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.contract.version import misfit
from harness.errors import PluginError
from harness.registry.guard import limited, message_of
from harness.registry.plugins import Plugin, components_of, hooks
from harness.registry.written_for import written_for, written_in
from harness.text import for_terminal

if TYPE_CHECKING:
    from harness.contract import Component
    from harness.registry.local_code import LocalCode

SLOW = re.compile("torch|transformers|sae_lens|datasets|lm_eval|tensorflow|jax")
"""What takes seconds to import."""


def admit(code: LocalCode) -> Plugin:
    """The plugin that a file is.

    PluginError with the line of the file where it raises, exits, hangs, or is no plugin.
    """
    manager = hooks()
    guard = limited()
    known = frozenset(sys.modules)
    try:
        with guard:
            module = code.module()
            manager.register(module, code.name)
            manager.check_pending()
            found = components_of(manager, module)
            components = tuple(_in_file(code, component) for component in found)
        if why := misfit(written_for(module)):
            raise PluginError(why)
    except BaseException as error:  # it may raise anything, also an exit
        if guard.interrupted:
            raise
        sys.modules.pop(code.module_name, None)
        if why := misfit(written_in(code.content.decode("utf-8", "replace"))):
            raise PluginError(f"{code.file}: {why}.") from error
        said = for_terminal(message_of(error), 400).rstrip(".")
        raise PluginError(
            f"{code.line_of(error)}: {said}. A plugin's file must run to its end at once, and have "
            "a function harness_components marked with @hookimpl. Mend it there."
        ) from error
    slow = sorted(name for name in {*sys.modules} - known if SLOW.fullmatch(name))
    note = ""
    if slow:
        note = (
            f"{code.file.name} imports {slow[0]} at its top, so every command that reads this task "
            "takes seconds. Import it inside the functions that need it."
        )
    version = f"sha256:{code.sha256}"
    return Plugin(code.name, code.file.name, version, "ready", note, components, code)


def _in_file(code: LocalCode, component: Component) -> Component:
    """The component with the file's module where it names the file: `my_metric:Growth`."""

    def at(path: str) -> str:
        module, colon, name = path.partition(":")
        return f"{code.module_name}{colon}{name}" if module in ("", code.name) and colon else path

    return replace(
        component,
        load=at(component.load),
        options=at(component.options),
        samples=at(component.samples),
    )
