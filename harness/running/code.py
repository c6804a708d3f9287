"""A hash of the code that makes a number, so that a number made by other code is never reused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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
    owners = list(owners)
    # A plugin in a file of its own has no package: its hash is that of what was run.
    own = {owner.plugin.code for owner in owners if owner.plugin.code is not None}
    modules = {owner.component.load.partition(":")[0] for owner in owners}
    modules -= {code.module_name for code in own}
    packages = {"harness", *(name.partition(".")[0] for name in modules)}
    return key_of(
        sorted(code.sha256 for code in own),
        {name: _package(name) for name in sorted(packages)},
        {name: _version(name) for name in COMPUTING},
    )


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
