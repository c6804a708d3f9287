"""A hash of the code that makes a number, so that a number made by other code is never reused."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness.registry import Owned
from harness.running.provenance import COMPUTING, installed
from harness.store.keys import key_of


def code_of(owners: Iterable[Owned]) -> str:
    """A hash of our own source files, of those of the packages whose components are used, and of
    the versions of the libraries below them.

    A version alone would not do: whoever writes a plugin changes its code many times under one.
    """
    own, packages = _sources(owners)
    return key_of(
        sorted(own.values()),
        {name: _package(name) for name in sorted(packages)},
        {name: _version(name) for name in COMPUTING},
    )


def versions_of(owners: Iterable[Owned]) -> dict[str, str]:
    """The same by name, to be compared with another process: libraries by their version, packages
    and files of plugins by a hash of their source."""
    own, packages = _sources(owners)
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _public(_version(name)) for name in COMPUTING},
        **{f"the source of {name}": _package(name)[:12] for name in sorted(packages)},
        **{f"the file {name}": sha256[:12] for name, sha256 in sorted(own.items())},
    }


def other_versions(there: Mapping[str, str], owners: Iterable[Owned]) -> list[str]:
    """What of `versions_of` another process is not the same in this one, in words."""
    here = versions_of(owners)
    return [
        f"{name}: {here.get(name, 'not there')} in the worker, {version} at the head of the run"
        for name, version in there.items()
        if here.get(name) != version
    ]


def _sources(owners: Iterable[Owned]) -> tuple[dict[str, str], set[str]]:
    """The hashes of plugins that are files of their own, by name, and the packages of the others;
    ours is always one."""
    owners = list(owners)
    # A plugin in a file of its own has no package: its hash is that of what was run.
    own = {owner.plugin.code for owner in owners if owner.plugin.code is not None}
    modules = {owner.component.load.partition(":")[0] for owner in owners}
    modules -= {code.module_name for code in own}
    packages = {"harness", *(name.partition(".")[0] for name in modules)}
    return {code.name: code.sha256 for code in own}, packages


def _public(version: str | None) -> str:
    """A version without what says how it was built: `2.13.0` of `2.13.0+cpu`."""
    return (version or "not installed").partition("+")[0]


_version = cache(installed)


@cache
def _package(name: str) -> str:
    """A hash of the source files of a package or a module."""
    spec = find_spec(name)
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    files = sorted(file for place in places for file in place.rglob("*.py"))
    if spec and not places and spec.origin:
        files = [Path(spec.origin)]
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0".encode(errors="replace") + file.read_bytes() + b"\0")
    return total.hexdigest()
