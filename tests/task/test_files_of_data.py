"""Files of data as they come: packed, with a byte order mark, of another kind than their name."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import tomllib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from fakes.files import JSONL, ROWS, parquet, texts
from harness.errors import DataError, listed, suggestion
from harness.task.data import load_data
from harness.task.data_spec import DataSpec
from harness.task.file import read_source

Load = Callable[..., list[Any]]

ROOT = Path(__file__).parents[2]
TEXTS = [row["text"] for row in ROWS]
CSV = "label,text\n" + "".join(f"{row['label']},{row['text']}\n" for row in ROWS)
BOM = codecs.BOM_UTF8
WEB = b64decode(
    "KLUv/WCZANUCAJQCeyJ0ZXh0IjogImhlbGxvIDAifQoxMjM0NTY3ODkxMTExMTExMTE5"
    "In0TAFSjZWr0SY1mUaMFavQ9jWZOo6VpNDDNdyBhIBGQHEgYSAQkBxIGEgHJdchkAg=="
)
"""`web.jsonl.zst` of the cases, as the program zstd wrote it: hello 0 to hello 19."""


def zstd(content: bytes) -> bytes:
    return bytes(pyarrow.compress(content, codec="zstd", asbytes=True))


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
FORMS = {
    ".jsonl": JSONL.encode(),
    ".json": json.dumps(ROWS).encode(),
    ".csv": CSV.encode(),
    ".tsv": CSV.replace(",", "\t").encode(),
    ".txt": "\n\n".join(TEXTS).encode(),
    ".parquet": parquet(ROWS),
}


@pytest.mark.parametrize("packed", ["", *PACK])
@pytest.mark.parametrize("form", FORMS)
def test_packed_files_are_read(load: Load, form: str, packed: str) -> None:
    """CASES row 32: they were an unknown ending."""
    content = PACK.get(packed, bytes)(FORMS[form])
    plain = load(FORMS[form], f"d{form}")
    assert texts(plain) == TEXTS
    for name in (f"d{form}{packed}", f"my.data{form.upper()}{packed.upper()}", f"d{form}"):
        found = load(content, name)  # the bytes tell how it is packed
        assert texts(found) == TEXTS
        assert [one.id for one in found] == [one.id for one in plain]


def test_what_the_program_zstd_writes_is_read(load: Load) -> None:
    assert texts(load(WEB, "web.jsonl.zst")) == [f"hello {n}" for n in range(20)]
    for form, pack in PACK.items():  # files put together, as by cat
        found = load(pack(f"{JSONL}\n".encode()) * 2, f"d.jsonl{form}")
        assert texts(found) == TEXTS * 2


@pytest.mark.parametrize("packed", PACK)
def test_a_packed_file_that_breaks_off_is_said_to(load: Load, packed: str) -> None:
    content = PACK[packed]("".join(f'{{"text": "{n} {n * n}"}}\n' for n in range(999)).encode())
    for broken in (content[: len(content) // 2], content[:-3]):
        with pytest.raises(DataError, match=r"data\.d: .* cannot be read: "):
            load(broken, f"d.jsonl{packed}")


@pytest.mark.parametrize("form", [form for form in FORMS if form != ".parquet"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (BOM, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_a_byte_order_mark_is_no_text(load: Load, form: str, mark: bytes, encoding: str) -> None:
    """CASES row 32: `bom.csv` had a column with an invisible character."""
    content = mark + FORMS[form].decode().encode(encoding)
    for name, bytes_ in ((f"d{form}", content), (f"d{form}.gz", gzip.compress(content))):
        found = load(bytes_, name)
        assert texts(found) == TEXTS
        assert [one.id for one in found] == [one.id for one in load(FORMS[form], f"p{form}")]


def test_the_marked_files_of_the_cases(load: Load) -> None:
    assert texts(load(BOM + b"text,label\nhello there,1\n", "bom.csv")) == ["hello there"]
    assert texts(load(BOM + b'{"text": "hello there"}\n', "bom.jsonl")) == ["hello there"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.zip", b"PK\x03\x04rest", "unknown ending; it is a zip archive or an Excel sheet"),
        ("d.jsonl", b"PK\x03\x04rest", "it is a zip archive or an Excel sheet: unpack it"),
        ("d.jsonl.gz", gzip.compress(b"PK\x03\x04rest", mtime=0), "it is a zip archive"),
        ("d.csv", parquet(ROWS), r"it is a Parquet file: give its name the ending \.parquet"),
        ("d.arrow", b"ARROW1\0\0", "unknown ending; it is an Arrow file: write it as Parquet"),
        ("d.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
        ("d.json", b"\n<!doctype html>\n<html>", "a page of a web site, not the file"),
        (
            "d.gz",
            gzip.compress(b"a", mtime=0),
            r"unknown ending\. Allowed: .* and with \.bz2, \.gz",
        ),
        ("d.jsonl", gzip.compress(b'{"text": "\xff"}', mtime=0), "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_by_what_it_is(
    load: Load, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(DataError, match=rf"data\.d: (.|\n)*{said}"):
        load(content, name)


def test_long_fields_of_a_table_are_read(load: Load) -> None:
    long = "word " * 50_000
    assert texts(load(f"text\n{long}\n", "d.csv")) == [long]


def test_a_text_that_only_begins_like_a_web_page_is_text(load: Load) -> None:
    assert texts(load('{"text": "<html>"}')) == ["<html>"]


# ── Task files ───────────────────────────────────────────────────────────────────────────────────


def test_a_task_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    """CASES row 32."""
    text = 'title = "Größe"\n[models.base]\npath = "x"\n'
    for name, content in (("plain.toml", b""), ("marked.toml", BOM)):
        (tmp_path / name).write_bytes(content + text.encode())
    plain, marked = (read_source(tmp_path / name) for name in ("plain.toml", "marked.toml"))
    assert marked.values == plain.values
    assert marked.origin(("models", "base", "path")).line == 3
    assert marked.origin(("title",)).line == plain.origin(("title",)).line == 1
    (tmp_path / "over.toml").write_bytes(BOM + b'extends = "marked.toml"\n')
    assert read_source(tmp_path / "over.toml").values == plain.values


# ── Names in messages ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\ufefftext", r"'\\ufefftext'"),
        ("te\u200bxt", r"'te\\u200bxt'"),
        ("text\xa0", r"'text\\xa0'"),
        ("text ", "'text '"),
        ("texte", "texte"),
    ],
)
def test_a_suggestion_shows_what_cannot_be_seen(load: Load, name: str, shown: str) -> None:
    """CASES row 32: "did you mean text?", which is what was written."""
    with pytest.raises(DataError, match=rf"It has: {shown}\. Did you mean {shown}\?"):
        load(json.dumps({name: "a"}))


def test_names_that_can_be_seen_stay_as_they_are() -> None:
    assert listed(["b", "Größe", "a b", "日本"]) == "Größe, a b, b, 日本"
    assert suggestion("Grösse", ["Größe"]) == " Did you mean Größe?"


@pytest.mark.slow
def test_the_hub_reads_what_is_packed_with_zstd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES row 32: "check the id, log in", where the library lacked a package.

    The folder is laid out as SlimPajama is on the hub: splits, chunks, jsonl.zst in two frames.
    """
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "prepared")
    place = tmp_path / "SlimPajama-627B"
    for split in ("train", "validation"):
        for chunk in (1, 2):
            folder = place / split / f"chunk{chunk}"
            folder.mkdir(parents=True)
            rows = [{"text": f"{split} {chunk} {n}", "meta": {"redpajama_set_name": "RedPajamaC4"}}
                    for n in range(6)]  # fmt: skip
            lines = [json.dumps(row).encode() + b"\n" for row in rows]
            frames = zstd(b"".join(lines[:4])) + zstd(b"".join(lines[4:]))
            (folder / f"example_{chunk}.jsonl.zst").write_bytes(frames)
    every = [f"validation {chunk} {n}" for chunk in (1, 2) for n in range(6)]
    for spec in (
        DataSpec(hub=str(place), split="validation"),
        DataSpec(hub=str(place), split="validation", limit=5),
        DataSpec(hub=str(place), split="validation", stream=True),
        DataSpec(hub=str(place), split="validation", stream=True, shuffle=0),
    ):
        found = texts(load_data("d", spec, tmp_path))
        if spec.shuffle is None:
            assert found == every[: spec.most]
        else:
            assert found != every
            assert sorted(found) == every


def test_what_unpacks_zstd_for_the_hub_is_installed_with_the_harness() -> None:
    """Issue 14, part 5: `datasets` names no package for it, and says "check the id" without one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.match(r"[\w-]+", text)[0] for text in project["dependencies"]}  # type: ignore[index]
    assert "zstandard" in names


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.jsonl", b'{"text": "' + b"a" * 300 + b'"}', "line 1 has more than 200 characters"),
        ("d.jsonl.zst", zstd(b'"a"\n' + b"a" * 300), "line 2 has more than 200 characters"),
        ("d.jsonl.gz", gzip.compress(b" " * 300), "line 1 has more than 200 characters"),
        ("d.csv", b"text\n" + b"a" * 300, "line 2 has more than 200 characters"),
        ("d.csv", b'text\n"' + b"aaaaaaaa\n" * 30 + b'"', "field larger than field limit"),
        ("d.tsv.bz2", bz2.compress(b"a" * 300), "line 1 has more than 200 characters"),
        ("d.txt", b"aaaaaaaa\n" * 30, "a paragraph has more than 200 characters"),
        (
            "d.json.gz",
            gzip.compress(b'"a",' * 2000),
            "packed, and holds more than 500 bytes",
        ),
        ("d.parquet.gz", gzip.compress(parquet(ROWS)), "packed, and holds more than 500 bytes"),
        ("d.json.zst", zstd(b'"a",' * 2000), "packed, and holds more than 500 bytes"),
        ("d.jsonl.xz", lzma.compress(b'"a"\n' * 2000), "packed, and holds more than 500 bytes"),
        ("d.jsonl", b"\n" * 60, "line 51 follows more than 50 blank ones"),
        ("d.csv", b"text\n" + b"\n" * 60, "line 52 follows more than 50 blank ones"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_small_file_cannot_fill_the_memory(
    load: Load, name: str, content: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two gigabytes of one line, packed into 100 kB, were a MemoryError with a traceback."""
    monkeypatch.setattr("harness.task.rows.LONGEST", 200)
    monkeypatch.setattr("harness.task.rows._SMALL", 500)
    monkeypatch.setattr("harness.task.rows._UNPACKED", 0)
    monkeypatch.setattr("harness.task.rows._BLANK", 50)
    before = csv.field_size_limit()
    with pytest.raises(DataError, match=re.escape(says)):
        load(content, name)
    assert csv.field_size_limit() == before, "it is the limit of the whole process"


def test_a_parquet_file_whose_checksums_do_not_fit(load: Load) -> None:
    out = io.BytesIO()
    table = pyarrow.Table.from_pylist([{"text": "abcdefghijklmnop"}])
    how = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pyarrow.parquet.write_table(table, out, write_page_checksum=True, **how)
    assert texts(load(out.getvalue(), "d.parquet")) == ["abcdefghijklmnop"]
    with pytest.raises(DataError, match=r"cannot be read: .*[Cc]hecksum|CRC"):
        load(out.getvalue().replace(b"abcdefgh", b"abcdefgi"), "d.parquet")
