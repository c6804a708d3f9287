"""Writes the files of an export into a folder: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.contract import ExportFile, LeftOut
from harness.errors import DataError, PluginError, UsageError, spelled
from harness.export.index import INDEX, Index, Left, Written, hashed, read_index, write_index
from harness.store.files import whole
from harness.store.names import clash, unsafe
from harness.text import visible, well_formed

_LONGEST = 400


@dataclass(frozen=True)
class Exported:
    """What an export has written, and what is not in it."""

    folder: Path
    files: tuple[str, ...]
    """The paths in the folder, in the order in which they were made."""
    left_out: tuple[LeftOut, ...]
    kept: tuple[str, ...] = ()
    """Files of an earlier export that this one does not make, and that somebody has changed since:
    they stay."""


def write_export(
    folder: Path, owner: str, made: Iterable[ExportFile | LeftOut], about: Written
) -> Exported:
    """Writes what an export makes, and the index; `about` says what the index holds beside files.

    Files of an earlier export of the same `owner` are replaced, or removed where they are no longer
    made. Nothing is written where the export raises. Raises UsageError where a file of somebody
    else is in the way, DataError where nothing was made, PluginError for a path that is not safe.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file. Choose a folder with --out.")
    if folder.is_symlink() and not folder.exists():
        raise UsageError(f"{folder}: is a link to nothing. Choose a folder with --out.")
    index = read_index(folder)
    before = index.exports.get(owner, about)
    place = _Place(folder, owner, index, before)
    with ExitStack() as stack:
        new = stack.enter_context(_new_folders())
        files, left_out = _write_beside(made, place, stack, new)
        if not files:
            why = "".join(f" {one.what}: {one.why}." for one in left_out[:3])
            raise DataError(
                f"{owner} makes no file of this run.{visible(why, 1000)} Choose another form."
            )
        now = about.model_copy(
            update={
                "files": files,
                "left_out": tuple(
                    Left(what=visible(one.what, _LONGEST), why=visible(one.why, _LONGEST))
                    for one in left_out
                ),
            }
        )
        _keep(folder, index, owner, now.model_copy(update={"replacing": before.known}))
    kept = _remove_old(folder, before, set(files))
    _keep(folder, index, owner, now)
    return Exported(folder, tuple(files), tuple(left_out), kept)


@dataclass(frozen=True)
class _Place:
    """A folder, and what is known of the files in it."""

    folder: Path
    owner: str
    index: Index
    before: Written

    def refuse(self, path: str, content: str) -> None:
        """Raises where a file with this path and hash of its content must not be written."""
        file = self.folder / path
        for parent in list(Path(path).parents)[:-1]:
            at = self.folder / parent
            if at.is_symlink() or (at.exists() and not at.is_dir()):
                raise self._in_the_way(at, "is a link or a file, where a folder is needed")
        others = [name for name, one in self.index.exports.items()
                  if name != self.owner and path in one.paths]  # fmt: skip
        if others:
            raise self._in_the_way(file, f"was written by the export {others[0]}")
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise self._in_the_way(file, "is a link or a folder")
        if not file.exists():
            return
        there = hashed(file.read_bytes())
        if there != content and not self.before.has(path, there):
            changed = path in self.before.paths
            what = "was changed since it was exported" if changed else "is there already"
            raise self._in_the_way(file, f"{what}, and would be replaced")

    def _in_the_way(self, file: Path, what: str) -> UsageError:
        return UsageError(f"{file}: {what}. Choose another folder with --out, or remove it.")


def _write_beside(
    made: Iterable[ExportFile | LeftOut], place: _Place, stack: ExitStack, new: list[Path]
) -> tuple[dict[str, str], list[LeftOut]]:
    """Writes each file beside its place, where it goes when the stack is left without an error."""
    files: dict[str, str] = {}
    left_out: list[LeftOut] = []
    taken = {INDEX}
    for one in made:
        if isinstance(one, LeftOut):
            left_out.append(one)
            continue
        if not isinstance(one, ExportFile):
            raise _broken(place.owner, f"it makes {type(one).__name__}, no ExportFile or LeftOut")
        if why := unsafe(one.path):
            raise _broken(place.owner, f"{spelled(one.path)} is no safe path: {why}")
        if why := clash(one.path, taken):
            raise _broken(place.owner, why)
        taken.add(one.path)
        text = one.content
        content = well_formed(text).encode() if isinstance(text, str) else bytes(text)
        place.refuse(one.path, hashed(content))
        file = place.folder / one.path
        new += [folder for folder in reversed(file.parents) if not folder.exists()]
        partial = stack.enter_context(whole(file))
        partial.write_bytes(content)
        files[one.path] = hashed(content)
    return files, left_out


def _broken(owner: str, what: str) -> PluginError:
    return PluginError(f"export {owner}: {what}. Report it to the plugin's author.")


@contextmanager
def _new_folders() -> Iterator[list[Path]]:
    """A list for folders that are made in the block; where it raises, they are removed again."""
    new: list[Path] = []
    try:
        yield new
    except BaseException:
        for folder in reversed(new):
            with suppress(OSError):  # somebody else's files are in it
                folder.rmdir()
        raise


def _remove_old(folder: Path, before: Written, made: set[str]) -> tuple[str, ...]:
    """Removes what an earlier export has left and this one does not make; what somebody has changed
    since stays, and is named."""
    kept = []
    for path in sorted(before.paths - made):
        file = folder / path
        if unsafe(path) or not file.is_file() or file.is_symlink():
            continue
        if any((folder / parent).is_symlink() for parent in list(Path(path).parents)[:-1]):
            continue
        if not before.has(path, hashed(file.read_bytes())):
            kept.append(path)
            continue
        file.unlink()
        for parent in list(Path(path).parents)[:-1]:
            with suppress(OSError):  # somebody else's files are in it
                (folder / parent).rmdir()
    return tuple(kept)


def _keep(folder: Path, index: Index, owner: str, now: Written) -> None:
    exports = {**index.exports, owner: now}
    write_index(folder, index.model_copy(update={"exports": dict(sorted(exports.items()))}))
