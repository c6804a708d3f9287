"""Finds plugins and what they provide, without importing anything heavy.

Entry points of the group `harness` are walked one by one, so that a plugin that is broken,
disabled or too old is a line in `harness plugins`, and fatal only to a task that names it.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FrameType
from typing import Any, Literal, get_args

import pluggy

from harness import contract
from harness.contract import Component, Kind, Options
from harness.contract.version import misfit
from harness.errors import HarnessError, PluginError, listed, unknown

GROUP = "harness"
DISTRIBUTION = "sae-harness"
SLOWEST = 30.0
"""Seconds after which the import of a plugin, which must be light, is given up."""
WRITTEN_FOR = "harness_contract"
"""The name, in a plugin's module, of the version of the contract that it was written for."""
FIRST = "1.0"
"""The version that a plugin was written for that says none."""
Status = Literal["ready", "disabled", "failed"]


@dataclass(frozen=True)
class Plugin:
    """A plugin that is installed, whether it can be used, and what it provides."""

    name: str
    distribution: str
    version: str
    status: Status
    reason: str = ""
    """Why it is not ready."""
    components: tuple[Component, ...] = ()
    """What it provides; of one that has failed, as far as that is known."""


@dataclass(frozen=True)
class Owned:
    """A component with the plugin that provides it; `plugin/name` is its identity."""

    component: Component
    plugin: Plugin

    def __str__(self) -> str:
        return f"{self.plugin.name}/{self.component.name}"

    def options(self) -> type[Options]:
        """The class of its options; imports no more than the plugin's options module."""
        found = _resolve(self, self.component.options)
        if not (isinstance(found, type) and issubclass(found, Options)):
            raise PluginError(
                f"plugin {self.plugin.name}: the options of {self.component.kind} "
                f"{self.component.name!r} must be a subclass of harness.contract.Options."
            )
        return found

    def load(self) -> Any:
        """The class of the object itself; this is where heavy imports happen."""
        return _resolve(self, self.component.load)


@dataclass(frozen=True)
class Registry:
    """All plugins and their components. An object that is passed in, never a global."""

    plugins: tuple[Plugin, ...] = ()
    disabled: frozenset[str] = field(default_factory=frozenset)

    def of(self, kind: Kind) -> list[Owned]:
        """All components of a kind, of the plugins that can be used."""
        return [
            Owned(component, plugin)
            for plugin in self.plugins
            for component in plugin.components
            if component.kind == kind and plugin.status == "ready"
        ]

    def find(self, kind: Kind, name: str, *, ours: bool = False) -> Owned:
        """The component of a kind that a task calls `name` or `plugin/name`.

        PluginError where there is none, and where two plugins have one of this short name; with
        `ours`, which is for names that the harness itself writes, it is then the built-in one.
        """
        owner, _, short = name.rpartition("/")
        candidates = self.of(kind)
        found = [
            owned
            for owned in candidates
            if owned.component.name == short and owner in ("", owned.plugin.name)
        ]
        own = [one for one in found if normalized(one.plugin.distribution) == DISTRIBUTION]
        if ours and len(own) == 1:
            return own[0]
        if len(found) == 1:
            return found[0]
        what = kind.replace("_", " ")
        if found:
            raise PluginError(
                f"{what} {name!r} is offered by more than one plugin. "
                f"Write one of: {listed(map(str, found))}."
            )
        idle = [plugin for plugin in self.plugins if plugin.status != "ready"]
        for one in idle:
            provided = {(component.kind, component.name) for component in one.components}
            if owner == one.name or (not owner and (kind, short) in provided):
                raise PluginError(
                    f"{what} {name!r} is of the plugin {one.name}, which is {one.status}: "
                    f"{one.reason}."
                )
        hint = "; ".join(f"{one.name} ({one.status}: {one.reason})" for one in idle)
        hint = f" Plugins that are not in use: {hint}." if hint else ""
        raise PluginError(unknown(what, name, {o.component.name for o in candidates}) + hint)


def discover(
    disabled: Iterable[str] = (), candidates: Sequence[EntryPoint] | None = None
) -> Registry:
    """Imports the module of each installed plugin, asks it for its components, and lists them.

    Plugins named in `disabled` or in the variable HARNESS_DISABLE are not imported. `candidates`
    are entry points to use in the place of the installed ones. PluginError where two distributions
    have a plugin of the same name, and where a disabled one does not exist.
    """
    off = frozenset(disabled) | frozenset(os.environ.get("HARNESS_DISABLE", "").split())
    points = sorted(
        entry_points(group=GROUP) if candidates is None else candidates,
        key=lambda point: (point.name, _distribution(point)),
    )
    for one, other in itertools.pairwise(points):
        if one.name == other.name:
            raise PluginError(
                f"plugin {one.name!r} is offered by {_distribution(one)} and by "
                f"{_distribution(other)}. Names are unique: uninstall one of them."
            )
    if missing := off - {point.name for point in points}:
        raise PluginError(unknown("plugin", min(missing), (point.name for point in points)))
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(contract)
    return Registry(tuple(_admit(manager, point, point.name in off) for point in points), off)


def _admit(manager: pluggy.PluginManager, point: EntryPoint, disabled: bool) -> Plugin:
    version = point.dist.version if point.dist else "unknown"

    def plugin(status: Status, reason: str = "", components: tuple[Component, ...] = ()) -> Plugin:
        return Plugin(point.name, _distribution(point), version, status, reason, components)

    if disabled:
        manager.set_blocked(point.name)
        return plugin("disabled", "turned off by -p or HARNESS_DISABLE")
    # A stranger's plugin may raise anything at import, also an exit; one that is broken must not
    # stop the rest.
    guard, module = _Guard(SLOWEST), None
    try:
        if reason := _unmet(point):
            return plugin("failed", reason)
        with guard:
            module = point.load()
            manager.register(module, point.name)
            # The only thing that notices a misspelt hook.
            manager.check_pending()
            components = _components(manager, module)
    except BaseException as error:
        if guard.interrupted:
            raise
        if manager.has_plugin(point.name):
            manager.unregister(name=point.name)
        # What a later contract has is an error with this one; then that is the reason to give.
        return plugin("failed", misfit(_written_for(module, point)) or _message_of(error))
    reason = misfit(_written_for(module, point))
    return plugin("failed" if reason else "ready", reason, components)


def _written_for(module: object, point: EntryPoint) -> object:
    """The contract that a plugin says it was written for; the first one where it says nothing.

    Of a module that could not be imported it is read from the source.
    """
    if module is not None:
        return getattr(module, WRITTEN_FOR, FIRST)
    try:
        found = importlib.util.find_spec(point.module)
        text = Path(found.origin).read_text("utf-8") if found and found.origin else ""
    except Exception:  # finding a module imports its package, which may raise anything
        return FIRST
    said = re.search(rf"^{WRITTEN_FOR}\b[^=\n]*=\s*[\"']([\d.]+)[\"']", text, re.MULTILINE)
    return said[1] if said else FIRST


def _components(manager: pluggy.PluginManager, module: object) -> tuple[Component, ...]:
    """The components of one plugin: its hook is called without the others', so that it is known
    whose they are. Raises where they are not what the contract says."""
    others = [other for other in manager.get_plugins() if other is not module]
    hook = manager.subset_hook_caller("harness_components", others)
    answers = hook()
    if not answers:
        raise TypeError("it has no harness_components marked with @hookimpl")
    components = tuple(component for answer in answers for component in answer)
    seen: set[tuple[str, str]] = set()
    for component in components:
        if not isinstance(component, Component):
            raise TypeError(f"harness_components must return Components, not {component!r}")
        if component.kind not in get_args(Kind):
            raise ValueError(unknown("kind of component", component.kind, get_args(Kind)))
        if (component.kind, component.name) in seen:
            raise ValueError(f"{component.kind} {component.name!r} is listed twice")
        seen.add((component.kind, component.name))
    return components


def normalized(name: str) -> str:
    """The name of a distribution in its normal spelling: `Sae_Harness` is `sae-harness`."""
    return re.sub(r"[-_.]+", "-", name.lower())


def _distribution(point: EntryPoint) -> str:
    return str(point.dist.name) if point.dist else point.value


def _unmet(point: EntryPoint) -> str:
    """Why this plugin's requirement on us is not met; empty when it is."""
    for text in (point.dist.requires if point.dist else None) or ():
        # Packaging is imported for requirements that look like ours alone.
        if not normalized(text).startswith(DISTRIBUTION):
            continue
        from packaging.requirements import Requirement

        from harness.version import __version__

        requirement = Requirement(text)
        ours = normalized(requirement.name) == DISTRIBUTION
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if ours and applies and not requirement.specifier.contains(__version__, prereleases=True):
            return f"wants {requirement}, this is {__version__}"
    return ""


class _TooSlow(BaseException):
    """A plugin has not been imported in time; no `except Exception` of its own may swallow it."""


class _Guard:
    """While a plugin's code is imported: what it prints goes to stderr, since stdout is ours; an
    import that does not end is ended; and a KeyboardInterrupt is told from the user's own.

    Outside the main thread, where there are no signals, only the first.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.interrupted = False
        """Whether the user wants to stop."""
        self._undo = ExitStack()

    def __enter__(self) -> _Guard:
        self._undo.enter_context(redirect_stdout(sys.stderr))
        if threading.current_thread() is threading.main_thread():
            self._watch_signals()
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def _watch_signals(self) -> None:
        usual = signal.getsignal(signal.SIGINT)

        def interrupt(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            if callable(usual):
                usual(number, frame)

        def too_slow(number: int, frame: FrameType | None) -> None:
            raise _TooSlow(f"importing it takes more than {self.seconds:g} s")

        if callable(usual):
            signal.signal(signal.SIGINT, interrupt)
            self._undo.callback(signal.signal, signal.SIGINT, usual)
        if self.seconds and hasattr(signal, "setitimer"):
            before = signal.signal(signal.SIGALRM, too_slow)
            self._undo.callback(signal.signal, signal.SIGALRM, before)
            running = signal.setitimer(signal.ITIMER_REAL, self.seconds)
            self._undo.callback(signal.setitimer, signal.ITIMER_REAL, *running)


def _message_of(error: BaseException) -> str:
    """What an error says, with its type, unless it is our own."""
    if isinstance(error, _TooSlow):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _resolve(owned: Owned, path: str) -> Any:
    module, _, attribute = path.partition(":")
    guard = _Guard()
    try:
        with guard:
            return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        needs = owned.component.extra
        hint = f" It needs: pip install '{needs}'." if needs else ""
        raise PluginError(f"{owned}: {path} cannot be imported: {error}.{hint}") from error
    except AttributeError as error:
        raise PluginError(f"{owned}: {module} has no {attribute!r}.") from error
    except BaseException as error:  # a stranger's module may raise anything at import
        # What the machine did to us is the machine's fault, not the plugin's.
        if guard.interrupted or isinstance(error, (OSError, MemoryError, HarnessError)):
            raise
        raise PluginError(
            f"{owned}: {path} cannot be imported: {_message_of(error)}. Report it to the plugin's "
            "author."
        ) from error
