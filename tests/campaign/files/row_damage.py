"""Files of rows: values, columns, lines, forms and packing made wrong."""

from __future__ import annotations

import bz2
import copy
import csv
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.files.byte_damage import byte_damage, text_damage
from campaign.files.json_damage import junk
from campaign.files.told import Told, shown

Rows = list[dict[str, Any]]


def pack(content: bytes, ending: str) -> bytes:
    """The bytes as the ending of a file's name says that they are packed."""
    if ending == ".zst":
        import pyarrow

        packed: bytes = pyarrow.compress(content, "zstd", asbytes=True)
        return packed
    how: dict[str, Callable[[bytes], bytes]] = {
        ".gz": lambda data: gzip.compress(data, mtime=0), ".bz2": bz2.compress, ".xz": lzma.compress
    }  # fmt: skip
    return how[ending](content) if ending in how else content


def unpack(content: bytes, ending: str) -> bytes:
    """The inverse of `pack`."""
    if ending == ".zst":
        import pyarrow

        stream = pyarrow.CompressedInputStream(pyarrow.BufferReader(content), "zstd")
        unpacked: bytes = stream.read()
        return unpacked
    how: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress
    }  # fmt: skip
    return how[ending](content) if ending in how else content


def written(rows: Rows, form: str) -> bytes:
    """Rows as a file of a form; a value that the form has not is written as its text."""
    if form == ".parquet":
        return _parquet(rows)
    if form in (".csv", ".tsv"):
        out = io.StringIO()
        columns = [*dict.fromkeys(key for row in rows for key in row)]
        dialect = "excel" if form == ".csv" else "excel-tab"
        writer = csv.DictWriter(out, columns, dialect=dialect, restval="")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode("utf-8", "surrogatepass")
    if form == ".txt":
        return "\n\n".join(str(row.get("text")) for row in rows).encode("utf-8", "surrogatepass")
    if form == ".json":
        return json.dumps(rows, default=str).encode()
    return b"".join(json.dumps(row, default=str).encode() + b"\n" for row in rows)


def _parquet(rows: Rows) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    try:
        table = pyarrow.Table.from_pylist(rows)
        pyarrow.parquet.write_table(table, out)
    except (pyarrow.ArrowException, TypeError, OverflowError, UnicodeError):
        plain = [{key: str(value).encode("utf-8", "replace") for key, value in row.items()}
                 for row in rows]  # fmt: skip
        out = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(plain), out)
    return out.getvalue()


def row_damage(rows: Rows) -> Callable[[Path, random.Random], Told]:
    """Damage of a file that holds these rows: of the rows, of its text, or of its bytes."""

    def damage(file: Path, chance: random.Random) -> Told:
        packed = next(
            (end for end in (".gz", ".bz2", ".xz", ".zst") if file.name.endswith(end)), ""
        )
        form = Path(file.name.removesuffix(packed)).suffix
        luck = chance.random()
        if luck < 0.5:
            new = copy.deepcopy(rows)
            what = chance.choice(_CHANGES)(new, chance)
            file.write_bytes(pack(written(new, form), packed))
            return Told(what)
        if luck < 0.6:
            other = chance.choice([".jsonl", ".csv", ".tsv", ".json", ".parquet", ".txt"])
            file.write_bytes(pack(written(rows, other), packed))
            return Told(f"it is a {other} file")
        if packed and luck < 0.7:
            other = chance.choice((".gz", ".bz2", ".xz", ".zst", ""))
            content = pack(written(rows, form), packed)
            file.write_bytes(pack(content if chance.random() < 0.5 else written(rows, form), other))
            return Told(f"it is packed with {other or 'nothing'}, perhaps twice")
        if packed and luck < 0.8:
            size = chance.choice((10**6, 2 * 10**9 if packed in (".gz", ".zst") else 10**8))
            return _bomb(file, packed, size, chance)
        if form == ".parquet" or luck > 0.9:
            return byte_damage(file, chance)
        inner = file.with_name("inner")
        inner.write_bytes(written(rows, form))
        told = text_damage(inner, chance)
        file.write_bytes(pack(inner.read_bytes(), packed))
        inner.unlink()
        return told

    return damage


def _bomb(file: Path, packed: str, size: int, chance: random.Random) -> Told:
    """A small file that is large unpacked: one line, or very many blank ones."""
    piece = chance.choice((b"a", b"\n", b"  \n")) * 10**5
    times = size // len(piece)
    if packed == ".gz":  # members, one behind the other, are one file
        file.write_bytes(gzip.compress(piece * 10, mtime=0) * (times // 10))
    elif packed == ".zst":
        file.write_bytes(pack(piece * 10, ".zst") * (times // 10))
    else:
        file.write_bytes(pack(piece * times, packed))
    return Told(f"{size} bytes of {piece[:14]!r} packed into {file.stat().st_size}")


Change = Callable[[Rows, random.Random], str]


def _value(rows: Rows, chance: random.Random) -> str:
    row = chance.choice(rows)
    key = chance.choice([*row])
    row[key] = new = junk(chance)
    return f"{key} of a row is {shown(new)}"


def _column(rows: Rows, chance: random.Random) -> str:
    key = chance.choice([*rows[0]])
    new = junk(chance)
    for row in rows:
        row[key] = new
    return f"{key} of all rows is {shown(new)}"


def _without(rows: Rows, chance: random.Random) -> str:
    key = chance.choice([*rows[0]])
    for row in rows if chance.random() < 0.5 else rows[:1]:
        row.pop(key, None)
    return f"without {key}"


def _called(rows: Rows, chance: random.Random) -> str:
    key = chance.choice([*rows[0]])
    new = chance.choice(
        ("Text", f"{key} ", f"\ufeff{key}", "", "a" * 3000, "\u202e", f"{key}\0", "{x}")
    )
    for row in rows:
        row[new] = row.pop(key)
    return f"{key} is called {new[:30]!r}"


def _turns(rows: Rows, chance: random.Random) -> str:
    """Conversations of all kinds in the place of a text."""
    turn = {"role": "user", "content": "Bake"}
    forms: list[Any] = [
        [turn], [turn, turn], [{"role": "assistant", "content": "x"}], [], [[]], [turn, None],
        [{"role": junk(chance), "content": "Bake"}], [{"role": "user", "content": junk(chance)}],
        [{"role": "user"}], [{"content": "Bake"}], [{**turn, "tool_calls": junk(chance)}],
        [{"from": "human", "value": "Bake"}], [turn] * 3000, {"role": "user", "content": "x"},
        [{"role": "user", "content": [{"type": "text", "text": junk(chance)}]}],
        [{"role": "user", "content": None, "tool_calls": [{"function": {"name": "f"}}]}],
    ]  # fmt: skip
    form = chance.choice(forms)
    for row in rows if chance.random() < 0.5 else rows[:1]:
        row["text"] = copy.deepcopy(form)
    return f"text is {shown(form)}"


def _texts(rows: Rows, chance: random.Random) -> str:
    """Texts that cost much, cannot be seen, or mean something to a tokenizer or a template."""
    forms = [
        "a" * 200_000, "\n" * 1000, "\0", "\ud800", "\u202e", "🧨" * 100, "<|eos|>", "<|bos|>" * 9,
        "<|user|>\nx<|eot|>", "{{ 7 * 7 }}", "{text}", "{% for i in range(9) %}", " ", "\u200b",
        "é" * 500, "\x1b[2J", "<script>alert(1)</script>", "a b " * 2000, "\r", "\ufeff",
    ]  # fmt: skip
    form = chance.choice(forms)
    for row in rows if chance.random() < 0.5 else rows[:1]:
        row["text"] = form
    return f"text is {shown(form)}"


def _count(rows: Rows, chance: random.Random) -> str:
    match chance.randrange(4):
        case 0:
            rows.clear()
            return "no rows"
        case 1:
            rows[:] = rows[:1]
            return "one row"
        case 2:
            rows[:] = rows[:1] * len(rows)
            return "the same row each time"
    rows[:] = rows * 1000
    return f"{len(rows)} rows"


def _other_rows(rows: Rows, chance: random.Random) -> str:
    """Rows of other columns than the first one."""
    rows[chance.randrange(len(rows))] = chance.choice(({}, {"x": 1}, {"text": None}, {"": ""}))
    return "a row with other columns"


_CHANGES: list[Change] = [
    _value, _value, _value, _column, _without, _called, _turns, _turns, _texts, _texts, _count,
    _other_rows,
]  # fmt: skip
