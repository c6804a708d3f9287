"""Imports go down: no circle, no part below another that it imports, plugins see what is public.

The layers and the public modules are data in `docs/generator/layers.py`; `docs/architecture.md`
is made from the same. To see all findings at once: `python tests/test_layers.py [ROOT]`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT / "docs") not in sys.path:
    sys.path.insert(0, str(ROOT / "docs"))

from generator.imports import (  # noqa: E402
    Graph,
    Import,
    between_children,
    between_modules,
    circles,
    imports as read_imports,
    modules,
)
from generator.layers import (  # noqa: E402
    FACE,
    FOR_SAMPLES,
    LAYERS,
    PUBLIC,
    RESERVED,
    level,
    part_of,
)

PACKAGES = (ROOT / "harness", *sorted((ROOT / "plugins").glob("harness_*")))
PLUGINS = PACKAGES[1:]


# ── What is wrong with a tree ────────────────────────────────────────────────────────────────────


@cache
def imports(package: Path) -> tuple[Import, ...]:
    """Each tree is read once."""
    return tuple(read_imports(package))


def _graph(package: Path) -> Graph:
    return between_modules(imports(package), modules(package))


def _circles(package: Path) -> list[str]:
    """Circles between modules, then those between what lies side by side in one folder."""
    graph = _graph(package)
    found = [" → ".join(circle) for circle in circles(graph)]
    for folder in sorted({package.name, *(name.rpartition(".")[0] for name in graph)} - {""}):
        for circle in circles(between_children(graph, folder)):
            found.append(f"in {folder}/: {' → '.join(circle)}")
    return list(dict.fromkeys(found))


def _upward(package: Path) -> list[str]:
    """Imports of a part that does not stand below the one that imports it."""
    known = modules(package)
    return [
        f"{_short(one)}, which does not stand below it: {part_of(one.importer)} is in layer "
        f"{level(part_of(one.importer))}, {part_of(one.imported)} in {level(part_of(one.imported))}"
        for one in _once(imports(package))
        if one.imported in known
        and part_of(one.imported) != part_of(one.importer)
        and level(part_of(one.imported)) >= level(part_of(one.importer))
    ]


def _of_plugins(package: Path) -> list[str]:
    """Imports of the core that name a plugin's package."""
    return [_short(one) for one in _once(imports(package)) if one.imported.startswith("harness_")]


def _private(package: Path) -> list[str]:
    """Imports of a plugin that reach into the harness beyond what is public."""
    return [
        f"{_short(one)}, which is not public"
        for one in _once(imports(package))
        if one.imported.partition(".")[0] == "harness"
        and not _within(one.imported, PUBLIC)
        and not (one.file.name.endswith("samples.py") and _within(one.imported, FOR_SAMPLES))
    ]


def _within(module: str, public: Any) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in public)


def _once(found: Iterable[Import]) -> Iterator[Import]:
    """Each import of a module by another once, at its first line."""
    seen: set[tuple[str, str]] = set()
    for one in found:
        if (one.importer, one.imported) not in seen:
            seen.add((one.importer, one.imported))
            yield one


def _short(one: Import) -> str:
    file = one.file.relative_to(ROOT) if one.file.is_relative_to(ROOT) else one.file
    return f"{file}:{one.line}: imports {one.imported}"


def _between_plugins(plugins: Path) -> Graph:
    names = {package.name for package in plugins.glob("harness_*")}
    return {
        package.name: frozenset(
            found
            for one in imports(package)
            if (found := one.imported.partition(".")[0]) in names and found != package.name
        )
        for package in sorted(plugins.glob("harness_*"))
    }


def _listed(found: list[str]) -> str:
    return "\n".join(["", *found])


# ── This tree ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_no_import_goes_round_in_a_circle(package: Path) -> None:
    found = _circles(package)
    assert not found, _listed(found)


def test_every_part_of_the_harness_has_a_layer() -> None:
    parts = {part_of(name) for name in modules(ROOT / "harness")}
    declared = [part for layer in LAYERS for part in layer.parts]
    assert len(declared) == len(set(declared))
    assert parts <= set(declared), "a new part needs a layer in docs/generator/layers.py"
    assert set(declared) <= parts, "a part that is gone still has a layer"


def test_every_part_imports_only_parts_of_lower_layers() -> None:
    found = _upward(ROOT / "harness")
    assert not found, _listed(found)


def test_the_harness_imports_no_plugin() -> None:
    found = _of_plugins(ROOT / "harness")
    assert not found, _listed(found)


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_plugin_imports_only_what_is_public(package: Path) -> None:
    found = _private(package)
    assert not found, _listed(found)


def test_plugins_do_not_import_each_other_in_a_circle() -> None:
    assert not circles(_between_plugins(ROOT / "plugins"))


def test_no_part_is_called_like_a_function_of_the_face() -> None:
    """`import harness.plan` would set the attribute `plan` of `harness` to the sub-package."""
    import harness

    assert sorted(harness.__all__) == sorted(RESERVED)
    assert not {part_of(name) for name in modules(ROOT / "harness")} & set(RESERVED)


# ── The checks can fail ──────────────────────────────────────────────────────────────────────────


def _tree(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """A package of small modules, by path without `.py`."""
    package = folder / name
    for path, text in files.items():
        file = package / f"{path}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for place in {package, *(file.parent for file in package.rglob("*.py"))}:
        if not (place / "__init__.py").exists():
            (place / "__init__.py").touch()
    return package


def test_a_circle_of_two_is_found(tmp_path: Path) -> None:
    package = _tree(tmp_path, "p", {"a": "import p.b", "b": "from p.a import f", "c": "import p.a"})
    assert _circles(package) == ["p.a → p.b → p.a", "in p/: p.a → p.b → p.a"]


def test_a_circle_of_three_is_found(tmp_path: Path) -> None:
    package = _tree(
        tmp_path, "p", {"a": "import p.b", "b": "import p.c", "c": "import p.a", "d": "import p.a"}
    )
    assert "p.a → p.b → p.c → p.a" in _circles(package)


def test_two_circles_that_share_a_module_are_both_found(tmp_path: Path) -> None:
    package = _tree(tmp_path, "p", {"a": "import p.b", "b": "import p.a, p.c", "c": "import p.b"})
    assert {"p.a → p.b → p.a", "p.b → p.c → p.b"} <= set(_circles(package))


def test_an_import_of_a_name_from_a_package_is_one_of_its_init(tmp_path: Path) -> None:
    package = _tree(
        tmp_path, "p", {"q/__init__": "from p.q.a import f", "q/a": "from p.q import g"}
    )
    assert "p.q → p.q.a → p.q" in _circles(package)


def test_an_import_of_a_submodule_is_not_one_of_its_package(tmp_path: Path) -> None:
    package = _tree(
        tmp_path, "p", {"q/__init__": "from p.q.a import f", "q/a": "from p.q import b", "q/b": ""}
    )
    assert not _circles(package)


@pytest.mark.parametrize(
    "text",
    ["from . import b", "from .b import f", "from ..q.b import f", "from ..q import b"],
)
def test_relative_imports_count(tmp_path: Path, text: str) -> None:
    package = _tree(tmp_path, "p", {"q/a": text, "q/b": "import p.q.a"})
    assert "p.q.a → p.q.b → p.q.a" in _circles(package)


def test_a_relative_import_in_an_init_starts_at_its_own_folder(tmp_path: Path) -> None:
    package = _tree(tmp_path, "p", {"q/__init__": "from .a import f", "q/a": "from p.q import g"})
    assert "p.q → p.q.a → p.q" in _circles(package)


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B",
        "def f():\n    from p.b import g",
        "class A:\n    def f(self):\n        import p.b",
        "try:\n    import p.b\nexcept ImportError:\n    pass",
        "import importlib\nB = importlib.import_module('p.b').B",
        "from importlib import import_module\ndef f():\n    import_module('p.b')",
    ],
)
def test_imports_that_wait_or_are_for_types_only_count(tmp_path: Path, text: str) -> None:
    package = _tree(tmp_path, "p", {"a": text, "b": "import p.a"})
    assert "p.a → p.b → p.a" in _circles(package)


def test_folders_that_import_each_other_are_found(tmp_path: Path) -> None:
    """No module is in a circle, yet neither folder can be read without the other."""
    package = _tree(
        tmp_path, "p", {"q/a": "import p.r.a", "q/b": "", "r/a": "", "r/b": "import p.q.b"}
    )
    assert _circles(package) == ["in p/: p.q → p.r → p.q"]


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from harness.running import run",
        "def f():\n    from harness import running",
        "import harness.running.runner",
        "from harness.report import write_report",
    ],
)
def test_an_import_that_runs_up_or_stays_level_is_found(tmp_path: Path, text: str) -> None:
    package = _tree(
        tmp_path,
        "harness",
        {"planning/steps": text, "running/runner": "", "report/page": "", "task/a": ""},
    )
    (found,) = _upward(package)
    assert "planning/steps.py:" in found


def test_an_import_that_runs_down_is_fine(tmp_path: Path) -> None:
    package = _tree(
        tmp_path,
        "harness",
        {
            "planning/steps": "import harness.task.a",
            "task/a": "import harness.text",
            "text": "",
            "__init__": "def plan():\n    import harness.planning.steps",
        },
    )
    assert not _upward(package)
    assert not _circles(package)


def test_an_import_of_the_face_runs_up(tmp_path: Path) -> None:
    package = _tree(tmp_path, "harness", {"registry": "from harness import __version__"})
    (found,) = _upward(package)
    assert f"{FACE} in" in found


def test_a_part_without_a_layer_is_found(tmp_path: Path) -> None:
    package = _tree(tmp_path, "harness", {"surprise": "import harness.text", "text": ""})
    with pytest.raises(KeyError, match="surprise"):
        _upward(package)


@pytest.mark.parametrize(
    "text", ["import harness_saes", "def f():\n    from harness_saes import a"]
)
def test_a_core_that_imports_a_plugin_is_found(tmp_path: Path, text: str) -> None:
    assert len(_of_plugins(_tree(tmp_path, "harness", {"task/a": text}))) == 1


def test_a_plugin_that_reaches_into_the_core_is_found(tmp_path: Path) -> None:
    package = _tree(
        tmp_path,
        "harness_x",
        {
            "a": "from harness.contract import Site\nfrom harness.contract.sites import parse_site",
            "b": "from harness.running.session import Session",
            "c": "import harness",
            "d": "from harness.testing import check_sae",
            "samples": "from harness.testing import check_sae",
            "e": "from harness.textual import f",
        },
    )
    found = _private(package)
    assert [Path(line.partition(":")[0]).stem for line in found] == ["b", "c", "d", "e"]


def test_plugins_in_a_circle_are_found(tmp_path: Path) -> None:
    _tree(tmp_path, "harness_x", {"a": "import harness_y.a"})
    _tree(tmp_path, "harness_y", {"a": "from harness_x import a"})
    assert circles(_between_plugins(tmp_path)) == [("harness_x", "harness_y", "harness_x")]


def _findings(root: Path) -> Iterator[str]:
    """All that is wrong with a tree, for a person.

    A circle through several parts of the harness holds an import that does not go down, which is
    listed itself; such circles are only counted.
    """
    core, plugins = root / "harness", sorted((root / "plugins").glob("harness_*"))
    inside = [
        circle
        for circle in circles(_graph(core))
        if len({part_of(module) for module in circle}) == 1
    ]
    across = len(circles(_graph(core))) - len(inside)
    yield from (f"circle: {' → '.join(circle)}" for circle in inside)
    if across:
        yield f"circles through several parts of harness/: {across}"
    for package in (core, *plugins):
        wrong = [line for line in _circles(package) if package != core or line.startswith("in har")]
        yield from (f"circle: {line}" for line in wrong)
    parts = {part_of(name) for name in modules(core)}
    declared = {part for layer in LAYERS for part in layer.parts}
    yield from (f"no layer: {part}" for part in sorted(parts - declared))
    yield from (f"layer without a part: {part}" for part in sorted(declared - parts))
    if parts <= declared:
        yield from (f"up: {line}" for line in _upward(core))
    yield from (f"plugin in the core: {line}" for line in _of_plugins(core))
    for package in plugins:
        yield from (f"private: {line}" for line in _private(package))
    for circle in circles(_between_plugins(root / "plugins")):
        yield f"circle of plugins: {' → '.join(circle)}"


if __name__ == "__main__":
    where = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    lines = [line.replace(f"{where}/", "") for line in _findings(where)]
    print("\n".join([*lines, f"{len(lines)} findings in {where}"]))
