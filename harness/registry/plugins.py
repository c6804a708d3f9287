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
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, get_args

import pluggy

from harness.contract import Component, Kind, Options, component as contract_of_hooks
from harness.contract.version import misfit
from harness.errors import HarnessError, PluginError, listed, unknown
from harness.registry.guard import Guard, limited, message_of
from harness.registry.packages import candidates_of
from harness.registry.written_for import source_of, written_for, written_in

if TYPE_CHECKING:
    from harness.registry.local_code import LocalCode
    from harness.registry.packages import Candidate

GROUP = "harness"
DISTRIBUTION = "sae-harness"
Status = Literal["ready", "disabled", "failed"]


@dataclass(frozen=True)
class Plugin:
    """A plugin that is installed, whether it can be used, and what it provides."""

    name: str
    distribution: str
    version: str
    status: Status
    reason: str = ""
    """Why it is disabled or failed; of a file that is ready, what is slow about it."""
    components: tuple[Component, ...] = ()
    """What it provides; of one that has failed, as far as that is known."""
    code: LocalCode | None = None
    """The file that it is, where it is no installed package; its version is then the file's
    hash."""


@dataclass(frozen=True)
class Owned:
    """A component with the plugin that provides it; `plugin/name` is its identity."""

    component: Component
    plugin: Plugin

    def __str__(self) -> str:
        return f"{self.plugin.name}/{self.component.name}"

    def options(self) -> type[Options]:
        """The class of its options; imports no more than the plugin's options module."""
        found = _resolve(self, self.component.options, limited())
        if not (isinstance(found, type) and issubclass(found, Options)):
            raise PluginError(
                f"plugin {self.plugin.name}: the options of {self.component.kind} "
                f"{self.component.name!r} must be a subclass of harness.contract.Options."
            )
        return found

    def load(self) -> Any:
        """The class of the object itself; this is where heavy imports happen."""
        return _resolve(self, self.component.load, Guard())


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

    def plus(self, plugins: Sequence[Plugin]) -> Registry:
        """With the plugins of a task's own files after those that are installed.

        PluginError where two have one name.
        """
        known = {plugin.name: plugin for plugin in self.plugins}
        for plugin in plugins:
            if (other := known.setdefault(plugin.name, plugin)) is not plugin:
                who = other.code.file if other.code else f"the installed {other.distribution}"
                raise PluginError(
                    f"plugin {plugin.name!r} is offered by {plugin.distribution} and by {who}. "
                    "Names are unique: give the file another name."
                )
        return Registry((*self.plugins, *plugins), self.disabled)

    def spelled(self, owned: Owned) -> str:
        """How a task names a component: by its short name, where no other plugin has that too."""
        name, kind = owned.component.name, owned.component.kind
        alone = [one for one in self.of(kind) if one.component.name == name] == [owned]
        return name if alone else str(owned)

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
        own = [one for one in found if is_ours(one)]
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
        if not candidates and not hint:
            # What `git pull` brings, an installation from before does not know of.
            hint = (
                f" No plugin that is installed has {what}s. If the code is newer than its "
                "installation, install it again: `pip install -e .` in its folder."
            )
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
    found = candidates_of(entry_points(group=GROUP) if candidates is None else candidates)
    names = [one.point.name for one in found]
    for one, other in itertools.pairwise(found):
        if one.point.name == other.point.name:
            raise PluginError(
                f"plugin {one.point.name!r} is offered by {one.package} and by "
                f"{other.package}. Names are unique: uninstall one of them."
            )
    if missing := off - {*names}:
        raise PluginError(unknown("plugin", min(missing), names))
    manager = hooks()
    return Registry(tuple(_admit(manager, one, one.point.name in off) for one in found), off)


def hooks() -> pluggy.PluginManager:
    """What plugins register with: it knows the hooks of the contract, and no plugin yet."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(contract_of_hooks)
    return manager


def _admit(manager: pluggy.PluginManager, found: Candidate, disabled: bool) -> Plugin:
    point = found.point

    def plugin(status: Status, reason: str = "", components: tuple[Component, ...] = ()) -> Plugin:
        return Plugin(point.name, found.package, found.version, status, reason, components)

    if disabled:
        manager.set_blocked(point.name)
        return plugin("disabled", "turned off by -p or HARNESS_DISABLE")
    # A stranger's plugin may raise anything at import, also an exit; one that is broken must not
    # stop the rest.
    guard, module = limited(), None
    try:
        if reason := _unmet(found.requires):
            return plugin("failed", reason)
        with guard:
            module = point.load()
            manager.register(module, point.name)
            # The only thing that notices a misspelt hook.
            manager.check_pending()
            components = components_of(manager, module)
    except BaseException as error:
        if guard.interrupted:
            raise
        if manager.has_plugin(point.name):
            manager.unregister(name=point.name)
        # What a later contract has is an error with this one; then that is the reason to give.
        said = written_for(module) if module is not None else written_in(source_of(point))
        return plugin("failed", misfit(said) or message_of(error))
    reason = misfit(written_for(module))
    return plugin("failed" if reason else "ready", reason, components)


def components_of(manager: pluggy.PluginManager, module: object) -> tuple[Component, ...]:
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


def is_ours(owned: Owned) -> bool:
    """Whether a component comes with the harness."""
    return normalized(owned.plugin.distribution) == DISTRIBUTION


def normalized(name: str) -> str:
    """The name of a distribution in its normal spelling: `Sae_Harness` is `sae-harness`."""
    return re.sub(r"[-_.]+", "-", name.lower())


def _unmet(requires: Sequence[str]) -> str:
    """Why a plugin's requirement on us is not met; empty when it is."""
    for text in requires:
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


def _resolve(owned: Owned, path: str, guard: Guard) -> Any:
    module, _, attribute = path.partition(":")
    # To guard what is imported already takes longer than all else: four changes of signals.
    home = sys.modules.get(module)
    there: Any = getattr(home, "__dict__", {}).get(attribute)
    options = isinstance(there, type) and issubclass(there, Options)
    if options and owned.plugin.code is None and there.__pydantic_complete__:
        return there
    try:
        with guard:
            code = owned.plugin.code
            within = code is not None and module == code.module_name
            home = code.module() if code and within else importlib.import_module(module)
            found = getattr(home, attribute)
            if isinstance(found, type) and issubclass(found, Options):
                # Pydantic builds it at its first use, where what is wrong in it would be our bug.
                found.model_rebuild(_types_namespace={})
            return found
    except ImportError as error:
        needs = owned.component.extra
        hint = f" It needs: pip install '{needs}'." if needs else ""
        raise PluginError(f"{owned}: {path} cannot be imported: {error}.{hint}") from error
    except AttributeError as error:
        raise PluginError(f"{owned}: {module} has no {attribute!r}.") from error
    except BaseException as error:  # a stranger's module may raise anything at import
        # What the machine did to us is the machine's fault, not the plugin's. A file that is not
        # there is one of the plugin's own.
        machine = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
        if guard.interrupted or machine or isinstance(error, (MemoryError, HarnessError)):
            raise
        raise PluginError(
            f"{owned}: {path} cannot be imported: {message_of(error)}. Report it to the plugin's "
            "author."
        ) from error
