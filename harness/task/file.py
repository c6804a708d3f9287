"""Reads task files: TOML with `extends` and `--set`, and where every key was written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import Problem, TaskError, UsageError, listed, suggestion

KeyPath = tuple[str, ...]
Parts = tuple[str | int, ...]
"""A path inside a task, through tables and lists."""
COMMAND_LINE = "--set"
DEEPEST = 32
"""Levels of tables and lists in each other; nothing that is meant needs ten."""
TOO_DEEP = f"is nested too deeply. Allowed: {DEEPEST} levels."

_BARE_OR_QUOTED = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_BARE_OR_QUOTED}(?:\s*\.\s*{_BARE_OR_QUOTED})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
# Up to five quotes may end a multi-line string: two of them are its content.
_CLOSING = {
    '"""': re.compile(r'(?:[^"\\]|\\.|\\$|"(?!""))*"{3,5}'),
    "'''": re.compile(r"(?:[^']|'(?!''))*'{3,5}"),
}


@dataclass(frozen=True)
class Origin:
    """Where a key was written."""

    file: Path | None
    """None for what was given at a call: `given` says how."""
    line: int | None = None
    given: str = COMMAND_LINE

    def __str__(self) -> str:
        if self.file is None:
            return self.given
        name = display(self.file)
        return name if self.line is None else f"{name}:{self.line}"


@dataclass(frozen=True)
class Source:
    """A task as it was written: its values, and the origin of every key."""

    file: Path
    values: Mapping[str, Any]
    origins: Mapping[KeyPath, Origin] = field(default_factory=dict)

    def origin(self, path: Sequence[str | int]) -> Origin:
        """Where the key, or else the nearest table around it, was written."""
        keys = tuple(str(part) for part in path)
        for end in range(len(keys), 0, -1):
            if (origin := self.origins.get(keys[:end])) is not None:
                return origin
        return Origin(self.file)

    def problem(self, path: Sequence[str | int], what: str) -> Problem:
        """A problem with the key at `path`, located."""
        return Problem(f"{self.origin(path)}: {dotted(path)}" if path else str(self.file), what)


def read_source(file: Path, overrides: Sequence[str] = ()) -> Source:
    """Reads a task file on top of what it extends, and the overrides (`KEY=VALUE`) on top of both.

    Tables merge, other values replace, and `= false` over an inherited table removes it.
    Raises TaskError for text that is not TOML, a missing file, and a loop in `extends`;
    UsageError for an override that is not KEY=VALUE.
    """
    values, origins = _read(file.resolve(), ())
    return with_overrides(Source(file, values, origins), overrides)


def with_overrides(source: Source, overrides: Sequence[str]) -> Source:
    """A source with overrides (`KEY=VALUE`) on top, as `--set` gives them.

    Raises UsageError for one that is not KEY=VALUE.
    """
    values, origins = dict(source.values), dict(source.origins)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not re.fullmatch(_DOTTED, key.strip()):
            raise UsageError(f"--set {override}: must be KEY=VALUE, such as models.base.path=gpt2.")
        path = tuple(_split(key.strip()))
        nested: Any = _value(text)
        for part in reversed(path):
            nested = {part: nested}
        if _too_deep(nested):
            raise UsageError(f"--set {dotted(path[:3])}: {TOO_DEEP}")
        values, origins = _merge(values, origins, nested, {path: Origin(None)})
    return Source(source.file, values, origins)


def source_of(text: str, file: Path) -> Source:
    """A task that is at hand as text, which extends no other; `file` is where it will be written.

    Raises TaskError for text that is not TOML.
    """
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        raise TaskError([Problem(display(file), f"is not TOML: {error}.")]) from None
    return Source(file, values, {path: Origin(file, line) for path, line in _lines(text)})


def overridden(source: Source, values: Mapping[str, Any]) -> Source:
    """A source with further values merged on top, which were given in Python.

    Paths among them are relative to the working folder, as those of `--set` are.
    """
    origins = {
        at: Origin(None, given=_call(at[0], values[at[0]])) for at in _given(values, source.values)
    }
    merged, origins = _merge(source.values, source.origins, values, origins)
    return Source(source.file, merged, origins)


def _given(
    values: Mapping[str, Any], below: Mapping[str, Any], at: KeyPath = ()
) -> Iterator[KeyPath]:
    """The keys of values that are new or are replaced as a whole, through the tables that both
    have."""
    for key, value in values.items():
        old = below.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            yield from _given(value, old, (*at, key))
        else:
            yield (*at, key)


def _call(key: str, value: object) -> str:
    """A keyword as Python wrote it: `load(…, seed=-1)`."""
    shown = repr(value)
    return f"load(…, {key}={shown if len(shown) <= 60 else shown[:59] + '…'})"


def _read(file: Path, inside: tuple[Path, ...]) -> tuple[dict[str, Any], dict[KeyPath, Origin]]:
    """The values of a file on top of those that it extends; `inside` are the files that extend it,
    the outermost first."""
    if file in inside:
        chain = " → ".join(display(f) for f in (*inside, file))
        raise TaskError([Problem(display(inside[0]), f"extends goes round in a circle: {chain}.")])
    extended = ""
    if inside:
        extended = f" It is extended by {display(inside[-1])}."
        if not file.exists():
            names = builtin_tasks()
            extended += f" Allowed: a file, or a built-in task: {listed(names)}."
            extended += suggestion(file.stem, names)
    text, values = _parsed(file, extended)
    origins = {path: Origin(file, line) for path, line in _lines(text)}
    if deep := _too_deep(values):
        written = Source(file, values, origins)
        raise TaskError(written.problem(path, TOO_DEEP) for path in deep)
    base = values.pop("extends", None)
    if base is None:
        return values, origins
    parent = _parent(base, file, origins.get(("extends",), Origin(file)))
    return _merge(*_read(parent, (*inside, file)), values, origins)


def _parsed(file: Path, extended: str) -> tuple[str, dict[str, Any]]:
    """The text of a file, and its values; `extended` says in a message who needs the file."""

    def wrong(what: str) -> TaskError:
        return TaskError([Problem(display(file), what + extended)])

    try:
        # A device or a pipe may never end.
        if file.exists() and not file.is_file() and not file.is_dir():
            raise wrong("is no file. Name a task file.")
        text = file.read_bytes().decode("utf-8-sig")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        raise wrong("no such task file.") from None
    except UnicodeDecodeError as error:
        raise wrong(f"is not UTF-8 text: {error}. Save it as UTF-8.") from None
    except ValueError as error:  # TOMLDecodeError, or int() of too many digits
        raise wrong(f"is not TOML: {error}.") from None
    except RecursionError:
        raise TaskError([Problem(display(file), "is nested too deeply.")]) from None
    except OSError as error:
        raise wrong(f"cannot be read: {error.strerror}.") from None


def _parent(base: object, file: Path, origin: Origin) -> Path:
    """The file that `extends` names, which was written at `origin`."""
    what = "must be the path of one task file."
    if isinstance(base, str):
        try:
            if base.isprintable():
                found = _extended(base, file)
                if len(found) == 1:
                    return found[0]
                name = Path(base).name
                what = (
                    f"{base!r} is a file beside this one and a built-in task. Write "
                    f'"{base}.toml" for the file, "tasks/{base}" for the built-in task {name}.'
                )
            else:
                what = f"{base!r} is no path: it holds control characters."
        except (ValueError, RuntimeError, OSError) as error:
            what = f"{base!r} is no path: {error}."
    raise TaskError([Problem(f"{origin}: extends", what)])


def _extended(base: str, file: Path) -> list[Path]:
    """The files that a task in `file` may mean: what lies beside it, or else a built-in task.

    A name without `.toml` may mean both, but never the file that extends it: one's own
    `refusal.toml` extends the built-in one by `extends = "refusal"`.
    """
    beside = (file.parent / base).resolve()
    if beside.is_file():
        return [beside]
    named = (file.parent / f"{base}.toml").resolve()
    own = [named] if base and named.is_file() and named != file else []
    builtin = builtin_tasks().get(_builtin_name(base))
    ours = [builtin.resolve()] if builtin is not None and builtin.resolve() not in own else []
    return [*own, *ours] or [beside]


def _builtin_name(text: str) -> str:
    """A built-in task's name, out of what people write for it: `tasks/refusal.toml`."""
    return text.removeprefix("tasks/").removesuffix(".toml")


def leaves(value: Any, at: Parts = ()) -> Iterator[tuple[Parts, Any]]:
    """Every value that is neither a table nor a list, with the path at which it stands.

    Nothing below `DEEPEST` levels is gone into: what stands there is a leaf, whatever it is.
    """
    if len(at) > DEEPEST or not isinstance(value, (dict, list)):
        yield at, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(inner, (*at, key))


def _too_deep(values: Mapping[str, Any]) -> list[Parts]:
    """Where tables or lists are nested too deeply."""
    return [at[:3] for at, _ in leaves(values) if len(at) > DEEPEST]


def _merge(
    base: Mapping[str, Any],
    base_origins: Mapping[KeyPath, Origin],
    over: Mapping[str, Any],
    over_origins: Mapping[KeyPath, Origin],
) -> tuple[dict[str, Any], dict[KeyPath, Origin]]:
    origins = dict(base_origins)

    def forget(path: KeyPath) -> None:
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]

    def merge(below: Mapping[str, Any], above: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        merged = dict(below)
        for key, value in above.items():
            here = (*path, key)
            old = merged.get(key)
            if isinstance(old, Mapping) and isinstance(value, Mapping):
                merged[key] = merge(old, value, here)
            elif isinstance(old, Mapping) and value is False:
                del merged[key]
                forget(here)
            else:
                merged[key] = value
                forget(here)
        return merged

    values = merge(base, over, ())
    return values, {**origins, **over_origins}


def _value(text: str) -> Any:
    """The TOML value that a text stands for, or else the text itself: paths need no quotes."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return found["value"] if len(found) == 1 else text


def _split(dotted_key: str) -> Iterator[str]:
    for part in re.findall(_BARE_OR_QUOTED, dotted_key):
        # tomllib knows the escapes of a quoted key.
        yield next(iter(tomllib.loads(f"{part} = 0"))) if part[0] in "\"'" else part


def _lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """The line of every table header and key that stands at the start of a line.

    tomllib gives no positions. Keys inside inline tables are found through the key around them.
    """
    table: KeyPath = ()
    depth = 0
    closing = ""
    for number, line in enumerate(text.split("\n"), 1):
        if not closing and not depth:
            if header := _HEADER.match(line):
                table = tuple(_split(header[1]))
                yield table, number
                continue
            if key := _KEY.match(line):
                yield (*table, *_split(key[1])), number
        depth, closing = _follow(line, depth, closing)


def _follow(line: str, depth: int, closing: str) -> tuple[int, str]:
    """The depth of brackets, and the quotes that close an open multi-line string, after a line."""
    position = 0
    while position < len(line):
        if closing:
            end = _CLOSING[closing].match(line, position)
            if end is None:
                return depth, closing
            position, closing = end.end(), ""
            continue
        char = line[position]
        if char == "#":
            break
        if line[position : position + 3] in ('"""', "'''"):
            closing = line[position : position + 3]
            position += 3
            continue
        if char in "\"'":
            string = re.compile(r'"(?:[^"\\]|\\.)*"' if char == '"' else r"'[^']*'")
            match = string.match(line, position)
            position = match.end() if match else len(line)
            continue
        depth += (char in "[{") - (char in "]}")
        position += 1
    return max(depth, 0), closing


def tables(values: Mapping[str, Any], table: str) -> Iterator[tuple[str, Any]]:
    """The entries of a table of a task as it was written; nothing where it is no table."""
    entries = values.get(table)
    if isinstance(entries, dict):
        yield from entries.items()


def plain(value: Any) -> Any:
    """The same values without those that are None, which TOML cannot hold."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def dotted(path: Sequence[str | int]) -> str:
    """A key path as TOML writes it: `directions.refusal.sweep[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


def display(file: Path) -> str:
    """A path for messages: relative to the working folder where it lies inside it."""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(file)


def task_folders() -> list[Path]:
    """The folder of the built-in tasks: the checkout's `tasks/`, or the copy in the wheel."""
    package = Path(__file__).parents[1]
    checkout = package.parent / "tasks"
    return [folder for folder in (checkout, package / "_tasks") if folder.is_dir()][:1]


def builtin_tasks() -> dict[str, Path]:
    """Built-in tasks by name: `refusal`, `papers/feature_drift/refusal_gemma-2-2b`."""
    found: dict[str, Path] = {}
    for folder in task_folders():
        # Those of the first folder come first: they run anywhere.
        for file in sorted(folder.rglob("*.toml"), key=lambda file: (len(file.parts), file)):
            name = file.relative_to(folder).with_suffix("").as_posix()
            if not name.startswith("organism/"):
                found[name] = file
    return found


def is_builtin(file: Path) -> bool:
    """Whether a file is one of the built-in tasks, or a part of one."""
    return any(
        len(file.parts) > len(folder.parts) and file.parts[: len(folder.parts)] == folder.parts
        for folder in task_folders()
    )


def find_task(text: str) -> Path:
    """Finds a task file by its path, or by the name of a built-in task.

    Raises UsageError for a name that is neither.
    """
    path = Path(text)
    try:
        if path.is_file():
            return path
    except OSError:
        pass  # a name too long for a file is no file
    names = builtin_tasks()
    bare = _builtin_name(text)
    if bare in names:
        return names[bare]
    if len(text) < 1000 and path.is_dir():
        raise UsageError(f"{text}: is a folder. Name a task file in it.")
    raise UsageError(
        f"{text}: no such task. Give a file, or one of: {listed(names)}.{suggestion(bare, names)}"
    )
