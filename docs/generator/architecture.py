"""How the code is laid out: the layers, what each folder holds, and where a new thing goes.

The layers are those of `generator.layers`, the arrows are the real imports, and what a folder holds
is the first line of its docstring. What a person wrote is in `architecture.md` beside this file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from generator.imports import Graph, imports, modules
from generator.layers import (
    FACE,
    FOR_SAMPLES,
    LABELS,
    LAYERS,
    MOVED,
    PUBLIC,
    RESERVED,
    Layer,
    level,
    part_of,
)
from generator.markdown import code, joined, note, table
from generator.picture import svg

ROOT = Path(__file__).parents[2]
CORE, PLUGINS = ROOT / "harness", ROOT / "plugins"
WRITTEN = Path(__file__).with_name("architecture.md")


def page() -> str:
    """The page, with the generated tables in place of their marks in the written text."""
    text = WRITTEN.read_text(encoding="utf-8")
    made = {
        "{layers}": _layers(),
        "{parts}": joined(_parts()).strip("\n"),
        "{plugins}": _plugins(),
        "{public}": _public(),
    }
    for mark, part in made.items():
        assert text.count(mark) == 1, f"{WRITTEN}: {mark} stands there {text.count(mark)} times"
        text = text.replace(mark, part)
    return joined([note("the source, generator/layers.py and generator/architecture.md"), text])


def picture() -> str:
    """The layers as an SVG, with arrows for the imports."""
    return svg([_current(layer) for layer in LAYERS], parts(), LABELS)


def parts() -> Graph:
    """The imports among the parts of the harness that are not just an old name."""
    found: dict[str, set[str]] = {part: set() for layer in LAYERS for part in _current(layer).parts}
    known = modules(CORE)
    for one in imports(CORE):
        source, target = part_of(one.importer), part_of(one.imported)
        if one.imported in known and source in found and level(target) < level(source):
            found[source].add(target)
    return {part: frozenset(targets) for part, targets in found.items()}


def _current(layer: Layer) -> Layer:
    return Layer(layer.name, tuple(part for part in layer.parts if part not in MOVED))


def _layers() -> str:
    rows = []
    for number, layer in reversed(list(enumerate(LAYERS, start=1))):
        names = ", ".join(code(LABELS.get(part, part)) for part in layer.parts)
        rows.append((str(number), layer.name, names))
    return table(("layer", "what it is", "parts"), rows)


def _parts() -> Iterator[str]:
    """A table for each layer, from the task's side up: parts, and below each its sub-folders."""
    for number, layer in enumerate(LAYERS, start=1):
        rows = [row for part in layer.parts for row in _part(part)]
        yield f"**{number}. {layer.name}**"
        yield table(("where", "what is in it"), rows)


def _part(part: str) -> Iterator[tuple[str, str]]:
    if part == FACE:
        functions = ", ".join(code(name) for name in RESERVED)
        yield (
            code("harness/__init__.py"),
            f"The steps of the command line as functions: {functions}.",
        )
    elif (CORE / part).is_dir():
        yield from _folder(CORE / part)
    elif (CORE / f"{part}.py").is_file():
        yield _row(CORE / f"{part}.py")


def _plugins() -> str:
    packages = sorted(PLUGINS.glob("harness_*/__init__.py"))
    rows = [row for package in packages for row in _folder(package.parent)]
    return table(("where", "what is in it"), rows)


def _folder(folder: Path) -> Iterator[tuple[str, str]]:
    """A package, then the packages below it."""
    for file in sorted(folder.rglob("__init__.py"), key=lambda file: file.parent.parts):
        yield _row(file)


def _row(file: Path) -> tuple[str, str]:
    """A module or a package with the first line of its docstring."""
    package = file.name == "__init__.py" and file.parent != CORE
    where = f"{file.parent.relative_to(ROOT)}/" if package else str(file.relative_to(ROOT))
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return code(where), " ".join(doc.partition("\n\n")[0].split())


def _public() -> str:
    rows = [(code(name), what) for name, what in {**PUBLIC, **FOR_SAMPLES}.items()]
    return table(("import", "what for"), sorted(rows))
