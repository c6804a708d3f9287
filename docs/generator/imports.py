"""Which modules of a package import which, read from their source: nothing is imported.

Imports inside functions, under `if TYPE_CHECKING` and by `import_module("name")` count like any
other: they all tie two files together for whoever reads them. Names that are put together at run
time are not seen, such as those of the components that a plugin declares.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Graph = Mapping[str, frozenset[str]]
"""By name of a module, a folder or a part: the names of those that it imports."""


@dataclass(frozen=True)
class Import:
    """One module named by one import statement."""

    importer: str
    imported: str
    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.importer} imports {self.imported}"


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package by import name. A package's own name stands for its `__init__`."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package.parent).with_suffix("").parts
        if all(part.isidentifier() for part in inside):
            found[".".join(part for part in inside if part != "__init__")] = file
    return found


def imports(package: Path) -> list[Import]:
    """Every import in a package, of its own modules and of any others, in order of files."""
    known = modules(package)
    return [
        Import(name, target, file, line)
        for name, file in known.items()
        for target, line in _imported(name, file, known)
    ]


def _imported(name: str, file: Path, known: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    """The modules that one file names, each with its line."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = _absolute(node, name, file)
            for alias in node.names:
                submodule = f"{package}.{alias.name}"
                yield (submodule if submodule in known else package), node.lineno
        elif isinstance(node, ast.Call) and _name(node.func) == "import_module":
            yield from ((text, node.lineno) for text in map(_constant, node.args[:1]) if text)


def _name(function: ast.expr) -> str:
    """What a function is called, without the module that it is taken from."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _constant(node: ast.expr) -> str:
    """The text that an expression is; empty where it is no text, or made when the code runs."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _absolute(node: ast.ImportFrom, name: str, file: Path) -> str:
    """What stands behind `from`, with the dots of a relative import resolved."""
    if not node.level:
        return node.module or ""
    levels = node.level - (file.name == "__init__.py")
    parents = name.split(".")[: len(name.split(".")) - levels]
    return ".".join([*parents, *filter(None, [node.module])])


def between_modules(found: Iterable[Import], known: Iterable[str]) -> Graph:
    """The imports among modules of one package."""
    graph: dict[str, set[str]] = {name: set() for name in known}
    for one in found:
        if one.imported in graph and one.imported != one.importer:
            graph[one.importer].add(one.imported)
    return {name: frozenset(targets) for name, targets in graph.items()}


def between_children(graph: Graph, folder: str) -> Graph:
    """The imports among what lies directly in a folder, where a sub-folder counts as one.

    The folder's own `__init__` is a child like the others, under the folder's name: it may import
    them, and they may not import it back.
    """
    found: dict[str, set[str]] = {}
    for importer, targets in graph.items():
        source = child(importer, folder)
        if source is None:
            continue
        mine = found.setdefault(source, set())
        mine |= {at for one in targets if (at := child(one, folder)) and at != source}
    return {name: frozenset(targets) for name, targets in found.items()}


def child(module: str, folder: str) -> str | None:
    """What holds a module directly below a folder; None where the folder does not hold it."""
    if module == folder:
        return folder
    if not module.startswith(f"{folder}."):
        return None
    return f"{folder}.{module.removeprefix(f'{folder}.').partition('.')[0]}"


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """A shortest circle of imports through every name that is in one, each circle once.

    It starts with the first of its names and ends with the same: `("a", "b", "a")`.
    """
    found = {}
    for name in sorted(graph):
        circle = _shortest(graph, name)
        if circle:
            found.setdefault(frozenset(circle), _from_first(circle))
    return list(found.values())


def _shortest(graph: Graph, start: str) -> tuple[str, ...] | None:
    """The shortest path from a name back to itself; None where there is no way back."""
    paths = [(start,)]
    visited = set()
    for path in paths:
        for target in sorted(graph.get(path[-1], ())):
            if target == start:
                return path
            if target not in visited:
                visited.add(target)
                paths.append((*path, target))
    return None


def _from_first(circle: tuple[str, ...]) -> tuple[str, ...]:
    """The same circle, written from its first name on and closed."""
    first = circle.index(min(circle))
    return (*circle[first:], *circle[:first], min(circle))


def reachable(graph: Graph, start: str) -> set[str]:
    """All that a name imports, directly or through others."""
    found: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += graph.get(name, ())
    return found
