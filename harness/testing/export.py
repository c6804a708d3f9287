"""Laws that every export keeps."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from harness.contract import Export, ExportedRun, ExportFile, LeftOut
from harness.errors import DataError
from harness.store.names import clash, unsafe
from harness.testing.support.changed_runs import (
    arms,
    empty_run,
    hostile_run,
    invalid_run,
    with_values,
)
from harness.testing.support.given import written
from harness.testing.support.laws import law, raises_nothing, untried

Read = Callable[[Mapping[str, bytes]], object]
_NO_NUMBER = re.compile(r"(?<![\w.-])[-+]?(nan|inf|infinity)(?![\w.-])", re.IGNORECASE)


def check_export(export: Export, run: ExportedRun, *, read: Read | None = None) -> None:
    """Raises AssertionError, naming the law, where an export breaks one.

    `run` has what the export puts into its form (`small_run` makes one). `read` reads the files, by
    path, as the other tool does, and raises where they are not of its form.

    Laws: something is exported · files or what is left out, with a reason · every path is safe, and
    no two are the same · the same files twice · the run is left as it is · the files can be read ·
    hostile text breaks no file and no path · a number that is undefined is not written as 0 or
    NaN · an invalid run says so · a score under an intervention does not look like one of the model
    as it is · a run with nothing in it gives files, or a DataError in one sentence.
    """
    before = _state(run)
    first = _files(export, run)
    law(bool(first), "something is exported", "no file is made of the sample's run")
    law(_files(export, run) == first, "the same files twice", "a second time they are others")
    law(_state(run) == before, "the run is left as it is", "its folder or results have changed")
    if read is None:
        untried("the sample gives no `read`", "the files can be read")
    else:
        with raises_nothing("the files can be read"):
            read(_bytes(first))
    _hostile(export, run, read)
    _undefined(export, run)
    _invalid(export, run, first)
    _intervened(export, run)
    _empty(export, run, read)


Files = dict[str, str | bytes]


def _files(export: Export, run: ExportedRun) -> Files:
    """The files of a run by path, after the laws of each have been tried."""
    found: Files = {}
    for one in export.files(run):
        name = "files or what is left out, with a reason"
        law(isinstance(one, (ExportFile, LeftOut)), name, f"it gives {one!r:.200}")
        if isinstance(one, LeftOut):
            law(bool(one.what.strip() and one.why.strip()), name, f"{one!r:.200}")
            continue
        law(isinstance(one.content, (str, bytes)), name, f"{one.path!r} holds {one.content!r:.100}")
        why, name = unsafe(one.path), "every path is safe, and no two are the same"
        law(not why, name, f"{one.path!r:.200}: {why}")
        why = clash(one.path, (*found, "export.json"))
        law(not why, name, f"{why} (export.json is the index of the folder)")
        found[one.path] = one.content
    return found


def _tried(export: Export, run: ExportedRun) -> Files:
    """The files of a changed run; none where it has nothing any more that the form is about."""
    try:
        return _files(export, run)
    except DataError:
        return {}


def _hostile(export: Export, run: ExportedRun, read: Read | None) -> None:
    name = "hostile text breaks no file and no path"
    with raises_nothing(name):
        found = _tried(export, hostile_run(run))
        for path, content in found.items():
            if isinstance(content, str):
                hidden = {char for char in set(content) if _hides(char)}
                law(not hidden, name, f"{path} holds {sorted(map(ascii, hidden))[:5]}")
        if read is not None and found:
            read(_bytes(found))


def _hides(char: str) -> bool:
    """Whether a character does something to who reads a file: it may stand there escaped alone."""
    return char not in "\n\r\t\u200d" and unicodedata.category(char) in ("Cc", "Cf", "Cs")


def _undefined(export: Export, run: ExportedRun) -> None:
    name = "a number that is undefined is not written as 0 or NaN"
    half, zero = (_tried(export, with_values(run, value)) for value in (0.5, 0.0))
    if half == zero:
        untried("the files hold no number of a record or a figure", name)
        return
    none = _tried(export, with_values(run, None))
    law(none != zero, name, "files of numbers that are 0, and of undefined ones, are the same")
    for path, content in none.items():
        if isinstance(content, str):
            found = _NO_NUMBER.search(content)
            law(found is None, name, f"{path} holds {found and found[0]!r}")


def _invalid(export: Export, run: ExportedRun, first: Files) -> None:
    name = "an invalid run says so"
    found = _tried(export, invalid_run(run))
    texts = [content for content in found.values() if isinstance(content, str)]
    law(found != first, name, "the files are those of a run that is complete")
    if texts:
        law(any("invalid" in text.lower() for text in texts), name, "no file has the word invalid")


def _intervened(export: Export, run: ExportedRun) -> None:
    name = "a score under an intervention does not look like one of the model as it is"
    both = arms(run)
    if both is None:
        untried("the sample has no score with and without an intervention", name)
        return
    plain, edited = (_tried(export, one) for one in both)
    if not edited or plain == _tried(export, with_values(both[0], 0.125)):
        untried("the files hold no score under an intervention", name)
        return
    law(plain != edited, name, "with the same number in both, their files are the same")


def _empty(export: Export, run: ExportedRun, read: Read | None) -> None:
    name = "a run with nothing in it gives files, or a DataError in one sentence"
    with raises_nothing(name):
        try:
            found = _files(export, empty_run(run))
        except DataError as error:
            law(bool(str(error)) and "\n" not in str(error), name, f"it says {str(error)!r:.300}")
        else:
            if read is not None and found:
                read(_bytes(found))


def _bytes(files: Files) -> dict[str, bytes]:
    return {
        path: content.encode() if isinstance(content, str) else content
        for path, content in files.items()
    }


def _state(run: ExportedRun) -> object:
    """What an export is given, and what lies in the folder of the run."""
    files = {
        str(file.relative_to(run.folder)): sha256(file.read_bytes()).hexdigest()
        for file in sorted(Path(run.folder).rglob("*"))
        if file.is_file()
    }
    results = run.results
    tables = {name: [dict(row) for row in rows] for name, rows in results.tables.items()}
    held = [results.task, results.provenance, results.records, results.claims, results.families]
    return written([files, tables, held, list(run.panels)])
