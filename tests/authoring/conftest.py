"""Packages of `harness new`, some of them with a change, as if they were installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.authoring.conformance import check
from harness.authoring.conformance.lightness import Imports, imports_of
from harness.authoring.conformance.probe import DECLARING
from harness.authoring.new.create import files
from harness.authoring.new.names import named
from harness.contract import Kind
from harness.registry import Plugin, discover

Change = tuple[str, str, str]
"""A file of the package, what stands there, and what is put in its place."""


@pytest.fixture
def light(asked_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins import nothing heavy, without a process that finds it out: for laws on other things,
    which are tried on dozens of them. After `asked_once`, so that it is this one that holds."""

    def nothing(plugin: Plugin) -> Imports:
        modules = (one.options.partition(":")[0] for one in plugin.components)
        return Imports({name: [] for name in (DECLARING, *modules)})

    monkeypatch.setattr(check, "imports_of", nothing)


@pytest.fixture
def asked_once(monkeypatch: pytest.MonkeyPatch, seen: dict[str, Imports]) -> None:
    """What a plugin imports is found out by the first test of a file that checks it: it is the same
    with every seed, and takes a process."""

    def found(plugin: Plugin) -> Imports:
        if plugin.name not in seen:
            seen[plugin.name] = imports_of(plugin)
        return seen[plugin.name]

    monkeypatch.setattr(check, "imports_of", found)


@pytest.fixture(scope="module")
def seen() -> dict[str, Imports]:
    return {}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Puts a package of `harness new` on the path, with some changes; returns its name."""
    made: list[str] = []

    def install(kind: Kind, name: str, *changes: Change) -> str:
        names = named(kind, name, discover())
        texts = {path.as_posix(): text for path, text in files(names)}
        for file, old, new in changes:
            path = f"{names.package}/{file}"
            assert old in texts[path], f"{file} has no {old!r}"
            texts[path] = texts[path].replace(old, new)
        folder = tmp_path / "packages" / names.distribution
        info = f"{names.package}-0.1.0.dist-info"
        texts[f"{info}/METADATA"] = (
            f"Metadata-Version: 2.1\nName: {names.distribution}\nVersion: 0.1.0\n"
        )
        texts[f"{info}/entry_points.txt"] = f"[harness]\n{names.package} = {names.package}.plugin\n"
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(folder)
        made.append(names.package)
        return names.package

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]
