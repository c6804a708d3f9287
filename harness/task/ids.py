"""Which ids of records a task can come to, as far as the source of its components tells.

Ids stand in the source as text (`"fvu.pooled@1"`, `f"fvu.{name}@1"`), so that they are known
without an import: `check` says where a gate or a claim is about a number that nothing measures.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import PathFinder
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import suggestion

if TYPE_CHECKING:
    from harness.registry import Owned
    from harness.task.gates import Gate
    from harness.task.terms import Term

MEASURING = ("metric", "statistic", "direction", "evaluator", "analysis", "intervention")
_SILENT = ("direction", "intervention", "statistic")
"""Kinds that need not give any record."""
_OWN = Path(__file__).parents[1] / "running"
# A version may be worked out, too; then at least the beginning of the name must be there.
_ID = re.compile(r"[\w.\0]*@\d+|[A-Za-z_]\w*\.[\w.\0]*@\0")
_GAP = "\0"
_MAY_HAVE_IDS = re.compile(rb"@[^A-Za-z_\s]|\\(x40|100|u0040|U00000040|N\{)")
"""What every source with an id has, and few others: no name stands behind its `@`, as one does
behind that of a decorator."""
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where the statements are that a statement holds."""


@dataclass(frozen=True)
class Measured:
    """What a run with these components may give. Sources are read when an id is asked for, and no
    more of them than it takes to find it."""

    owners: tuple[Owned, ...]

    def gives(self, wanted: str) -> bool:
        """Whether an id, or one that ends with its `@`, may come of it: the sources where it
        stands as it is written come first, then those of the components and the core, and what
        they import where it stands in none."""
        likely = (file for file in self._near if wanted.encode() in _bytes(file))
        if any(_may_be(wanted, one) for one in _of_files(chain(likely, self._near))):
            return True
        return self.ids is None or any(_may_be(wanted, one) for one in self.ids)

    @cached_property
    def ids(self) -> set[str] | None:
        """All ids, gaps in them as NUL characters.

        None where a component that must give records has no id in its source: it may give any.
        """
        found = {*_of_files(_own())}
        for owned in self._measuring:
            its = {*_of_component(owned)}
            found |= its
            if not its and owned.component.kind not in _SILENT:
                return None
        return found

    @cached_property
    def _near(self) -> tuple[Path, ...]:
        """The core's sources and the modules of the components, without what those import."""
        installed = (one for one in self._measuring if one.plugin.code is None)
        modules = dict.fromkeys(_module(owned) for owned in installed)
        return (*filter(None, map(_file, modules)), *_own())

    @property
    def _measuring(self) -> Iterator[Owned]:
        return (owned for owned in self.owners if owned.component.kind in MEASURING)


def measurable(owners: Iterable[Owned]) -> Measured:
    """What a run with these components may give."""
    return Measured(tuple(owners))


def unmeasured(
    gate: Gate | Term, found: Measured, so: str = "the gate would fail after the run"
) -> str:
    """Why nothing that is `found` is the id that a gate, or a term, is about, and what comes of
    that; empty where something may be."""
    wanted = gate.id if "@" in gate.id else f"{gate.id}@"
    if found.gives(wanted):
        return ""
    ids = found.ids or set()
    names = {one.partition("@")[0] for one in ids if _GAP not in one}
    other = [one for one in sorted(ids) if _may_be(f"{gate.id.partition('@')[0]}@", one)]
    hint = f" There is {other[0].replace(_GAP, '…')}." if other else suggestion(gate.id, names)
    return (
        f"nothing in this task measures {gate.id}, so {so}.{hint} "
        "Write the id of a record, or add the metric, statistic or analysis that gives it."
    )


def _may_be(wanted: str, known: str) -> bool:
    """Whether a known id, in which gaps stand for anything, is the one that is wanted, or has its
    name where that ends with its `@`."""
    form = ".*".join(map(re.escape, known.split(_GAP)))
    if not wanted.endswith("@"):
        return re.fullmatch(form, wanted) is not None
    return re.fullmatch(form.rpartition("@")[0] + "@", wanted) is not None


def _of_component(owned: Owned) -> Iterator[str]:
    """Ids in the module of a component, and in what that imports of its own package."""
    module = _module(owned)
    if owned.plugin.code is not None and module == owned.plugin.code.module_name:
        yield from _source_of(owned.plugin.code.content).ids
        return
    package = module.partition(".")[0]
    files: dict[Path, None] = {}
    _reach(module, package, files)
    yield from _of_files(files)


def _module(owned: Owned) -> str:
    return owned.component.load.partition(":")[0]


@cache
def _own() -> tuple[Path, ...]:
    """The sources of the core that give records."""
    return tuple(sorted(_OWN.rglob("*.py")))


def _of_files(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        yield from _read(file).ids


@dataclass(frozen=True)
class _Source:
    """What is read of a file of source: the ids in it, and what it imports."""

    ids: tuple[str, ...] = ()
    imports: tuple[tuple[int, str, tuple[str, ...]], ...] = ()
    """How many dots, the module behind them, and the names that are taken from it."""


@cache  # components of a package share files, and no source changes meanwhile
def _read(file: Path) -> _Source:
    return _source_of(_bytes(file))


@cache
def _bytes(file: Path) -> bytes:
    """What a file holds; nothing where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _source_of(content: bytes) -> _Source:
    try:
        tree = ast.parse(content)
        ids = tuple(_ids(tree)) if _MAY_HAVE_IDS.search(content) else ()
    except (ValueError, SyntaxError, RecursionError):
        return _Source()
    return _Source(ids, tuple(_imports(tree)))


def _ids(tree: ast.Module) -> Iterator[str]:
    """The ids in a tree of source."""
    nodes = [*ast.walk(tree)]
    pieces = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) not in pieces and (text := _text(node)) and _ID.fullmatch(text):
            yield text if text[0] != "@" else _GAP + text


def _imports(tree: ast.Module) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """What a tree of source imports, wherever: expressions, most of a tree, hold no imports."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(one.name for one in node.names)
        elif isinstance(node, ast.Import):
            yield from ((0, one.name, ()) for one in node.names)
        for field in _BLOCKS:
            waiting += getattr(node, field, ())


def _text(node: ast.AST) -> str:
    """A text with gaps where something is put in; empty where the node is none."""
    if isinstance(node, ast.JoinedStr):
        parts = node.values
        return "".join(str(p.value) if isinstance(p, ast.Constant) else _GAP for p in parts)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "@" in node.value:
        return re.sub(r"\{\w*\}|%s", _GAP, node.value)
    return ""


def _reach(module: str, package: str, files: dict[Path, None]) -> None:
    file = _file(module)
    if file is None or file in files:
        return
    files[file] = None
    for level, base, taken in _read(file).imports:
        if level:
            around = module.split(".")
            around = around[: len(around) - level + (file.name == "__init__.py")]
            base = ".".join([*around, *([base] if base else [])])
        for name in (base, *(f"{base}.{one}" for one in taken)):
            if name.partition(".")[0] == package:
                _reach(name, package, files)


def _file(module: str) -> Path | None:
    """The source of a module, which is not imported; None where there is none."""
    try:
        return _found(module, tuple(sys.path))
    except LookupError:
        return None


@cache
def _found(module: str, path: tuple[str, ...]) -> Path:
    """The source on this path, looked for once; LookupError, which is not remembered, where there
    is none: it may come yet."""
    if (file := _looked_for(module)) is None:
        raise LookupError(module)
    return file


def _looked_for(module: str) -> Path | None:
    path: list[str] | None = None
    name, origin = "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return None
        path, origin = [*(spec.submodule_search_locations or ())], spec.origin
    return Path(origin) if origin and origin.endswith(".py") else None
