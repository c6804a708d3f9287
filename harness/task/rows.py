"""Reads the rows of a file: its format by its name, how it is packed and encoded by its bytes."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from harness.errors import DataError, listed

Row = Mapping[str, Any]
PACKED = (".bz2", ".gz", ".xz", ".zst")
"""Endings of compressed files, after the one of the format; `.jsonl.zst` is an example."""

_HEAD = 64
_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz"}
_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_TEXT = {
    b"PK\x03\x04": "a zip archive or an Excel sheet: unpack it, or save it as CSV",
    b"PAR1": "a Parquet file: give its name the ending .parquet",
    b"ARROW1": "an Arrow file: write it as Parquet",
    b"\xff\xff\xff\xff": "an Arrow stream: write it as Parquet",
    b"\x89HDF": "an HDF5 file: write it as Parquet",
    b"SQLite format 3": "a SQLite database: write it as CSV",
    b"%PDF": "a PDF document: write its text into a .txt file",
    b"version https://git-lfs": "a pointer of Git LFS, not the file: run git lfs pull",
    b"<!DOCTYPE html": "a page of a web site, not the file: download the file itself",
    b"<html": "a page of a web site, not the file: download the file itself",
}
LONGEST = 2**26
"""Characters of a line, a field or a paragraph: a small packed file can hold any number of them."""
_SMALL = 2**26
"""Bytes that any packed file may hold."""
_UNPACKED = 200
"""How many times as large as on disk a larger one may be when it is unpacked. Text is packed to a
fourth; one letter, a million times, to less than a thousandth."""
_BLANK = 10**6
"""Blank lines, one behind the other."""
_REASON = 300
"""Characters of what a library says of a file."""
_BROKEN = (OSError, EOFError, ValueError, RecursionError, csv.Error, zlib.error, lzma.LZMAError)


def ending(name: str) -> str:
    """The ending of a file's name: its format, and how it is packed, such as `.jsonl.zst`."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    packed = suffixes[-1:] if suffixes[-1:] and suffixes[-1] in PACKED else []
    return "".join(suffixes[-1 - len(packed) :])


def rows_of(file: Path, suffix: str, where: str) -> Iterator[Row]:
    """The rows of a file whose name ends in `suffix`, in order.

    Raises DataError, which `where` begins, for an unknown ending and a file that cannot be read.
    """
    form = next((suffix.removesuffix(end) for end in PACKED if suffix.endswith(end)), suffix)
    if form not in _READERS:
        raise DataError(
            f"{where}: {file.name} has an unknown ending{_is(file)}. "
            f"Allowed: {listed(_READERS)}, and with {listed(PACKED)} after it."
        )
    return _read(file, _READERS[form], where)


def _is(file: Path) -> str:
    """What a file is, where its first bytes tell."""
    try:
        with file.open("rb") as content:
            what = _no_text(content.read(_HEAD))
    except OSError:
        return ""
    return f"; it is {what}" if what else ""


def _read(file: Path, reader: Callable[[Path], Iterator[Row]], where: str) -> Iterator[Row]:
    try:
        if file.stat().st_size == 0:
            raise DataError(f"{where}: {file} is empty. Allowed: a row or more.")
        yield from reader(file)
    except _BROKEN as error:
        # Libraries write several lines, and end them as they like.
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
        raise DataError(
            f"{where}: {file} cannot be read: {reason[:_REASON] or type(error).__name__}. Allowed:"
            f" {_allowed(reader)}. Mend what is named, or copy the file again."
        ) from error


def _allowed(reader: Callable[[Path], Iterator[Row]]) -> str:
    return _FORMS[next(end for end, one in _READERS.items() if one is reader)]


def _no_text(head: bytes) -> str:
    start = head.lstrip()
    return next((what for magic, what in _NO_TEXT.items() if _begins(start, magic)), "")


def _begins(head: bytes, magic: bytes) -> bool:
    return (
        head[: len(magic)].lower() == magic.lower()
        if magic[:1] == b"<"
        else (head.startswith(magic))
    )


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where they are packed, whatever its name says."""
    with file.open("rb") as content:
        head = content.peek(8)
        packed = next((end for magic, end in _MAGIC.items() if head.startswith(magic)), "")
        with _unpacked(content, packed) as unpacked:
            yield unpacked


def _unpacked(content: io.BufferedReader, packed: str) -> IO[bytes]:
    if not packed:
        return content
    most = max(_SMALL, _UNPACKED * os.fstat(content.fileno()).st_size)
    return io.BufferedReader(_Bounded(_stream(content, packed), most), 2**18)


def _stream(content: io.BufferedReader, packed: str) -> IO[bytes]:
    if packed == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=content))
    if packed == ".bz2":
        return bz2.BZ2File(content)
    if packed == ".xz":
        return lzma.LZMAFile(content)
    import pyarrow

    stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(content, mode="r"), "zstd")
    return io.BufferedReader(stream)


class _Bounded(io.RawIOBase):
    """A stream that ends with a ValueError where it holds more than a packed file may."""

    def __init__(self, inner: IO[bytes], most: int) -> None:
        self._inner = inner
        self._most = most
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._inner.read(len(buffer))
        buffer[: len(read)] = read
        self._left -= len(read)
        if self._left < 0:
            raise ValueError(
                f"it is packed, and holds more than {self._most:,} bytes: that is no text. Unpack"
                " it first if it is"
            )
        return len(read)


@contextmanager
def _text(file: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """The text of a file, without the mark that its encoding may begin with.

    Raises ValueError for a file that is known to be no text.
    """
    with _opened(file) as content:
        head = content.read(_HEAD)
    encoding = next((name for mark, name in _ENCODINGS.items() if head.startswith(mark)), "utf-8")
    if encoding == "utf-8" and (what := _no_text(head)):
        raise ValueError(f"it is {what}")
    with _opened(file) as content:
        yield io.TextIOWrapper(content, encoding=encoding, newline=newline)


def _lines(text: IO[str]) -> Iterator[str]:
    """The lines of a text, none of which fills the memory; ValueError says which would."""
    number = blank = 0
    while line := text.readline(LONGEST + 1):
        number += 1
        blank = blank + 1 if line.isspace() else 0
        if blank > _BLANK:
            raise ValueError(f"line {number} follows more than {_BLANK:,} blank ones")
        if len(line) > LONGEST:
            raise ValueError(f"line {number} has more than {LONGEST:,} characters")
        yield line


def _jsonl(file: Path) -> Iterator[Row]:
    with _text(file) as text:
        for number, line in enumerate(_lines(text), 1):
            if line.strip():
                try:
                    yield _table_row(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"line {number}: {error}") from error


def _json(file: Path) -> Iterator[Row]:
    with _text(file) as content:
        values = json.loads(content.read())
    if not isinstance(values, list):
        raise ValueError("it must hold a list of rows")
    yield from map(_table_row, values)


def _table_row(value: object) -> Row:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise ValueError(f"a row must be an object, not {type(value).__name__}")
    return value


def _csv(file: Path, dialect: str = "excel") -> Iterator[Row]:
    with _text(file, newline="") as text:
        rows = csv.DictReader(_lines(text), dialect=dialect)
        number = 0
        while (row := _next(rows)) is not None:
            number += 1
            if None in row:
                raise ValueError(f"row {number} has more fields than the header")
            yield row


def _next(rows: Iterator[Row]) -> Row | None:
    """The next row, with fields longer than the 131,072 characters that Python allows: a limit of
    the whole process, which is put back before anybody else reads."""
    before = csv.field_size_limit(LONGEST)
    try:
        return next(rows, None)
    finally:
        csv.field_size_limit(before)


def _tsv(file: Path) -> Iterator[Row]:
    return _csv(file, "excel-tab")


def _parquet(file: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with _opened(file) as unpacked:
            # Parquet is read from its end, and a packed stream has only one direction.
            whole = isinstance(unpacked, io.BufferedReader) and unpacked.seekable()
            content = pyarrow.parquet.ParquetFile(
                unpacked if whole else _held(unpacked), page_checksum_verification=True
            )
            for batch in content.iter_batches(1024):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error


def _held(content: IO[bytes]) -> IO[bytes]:
    return io.BytesIO(content.read())


def _txt(file: Path) -> Iterator[Row]:
    """Plain text: paragraphs, separated by empty lines."""
    with _text(file) as content:
        for _, paragraph in groupby(_lines(content), key=lambda line: line == "\n"):
            if text := "".join(_bounded(paragraph)).strip():
                yield {"text": text}


def _bounded(paragraph: Iterable[str]) -> Iterator[str]:
    """Its lines, as long as they are not too many together."""
    held = 0
    for line in paragraph:
        held += len(line)
        if held > LONGEST:
            raise ValueError(f"a paragraph has more than {LONGEST:,} characters")
        yield line


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".txt": _txt,
}
_FORMS: Mapping[str, str] = {
    ".jsonl": "a JSON object in every line, in UTF-8",
    ".json": "a JSON list of objects, in UTF-8",
    ".csv": "a line of column names and lines of as many fields, in UTF-8",
    ".tsv": "a line of column names and lines of as many fields, in UTF-8",
    ".parquet": "a whole Parquet file",
    ".txt": "text in UTF-8",
}
"""By ending, what a file must be."""
