"""Task files whose text is damaged: lines, brackets, encodings, single bytes."""

from __future__ import annotations

import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]


def damaged(text: bytes, chance: random.Random) -> bytes:
    """The text after one to five damages of its lines or bytes."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        text = chance.choice(DAMAGES)(text, chance)
    return text


def _flip(text: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(text) + 1)
    flipped = bytes([text[place] ^ (1 << chance.randrange(8))]) if place < len(text) else b"?"
    return text[:place] + flipped + text[place + 1 :]


def _insert(text: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(PIECES) + text[place:]


def _random(text: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.randbytes(chance.randrange(1, 9)) + text[place:]


def _delete(text: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(text) + 1)
    return text[:start] + text[start + chance.choice((1, 1, 2, 5, 40)) :]


def _truncate(text: bytes, chance: random.Random) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _lines(text: bytes, chance: random.Random) -> bytes:
    lines = text.split(b"\n")
    one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            lines.insert(two, lines[one])  # twice
        case 1:
            del lines[one]
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
        case _:
            lines[one] += lines.pop(two) if one < two else b""
    return b"\n".join(lines)


def _nest(text: bytes, chance: random.Random) -> bytes:
    depth = chance.choice((5, 50, 90, 150, 250, 400, 900, 3000))
    opened, closed = chance.choice(((b"[", b"]"), (b"{a=", b"}"), (b"[", b"")))
    key = chance.choice((b"seed", b"models.base.path", b"x", b"title"))
    return key + b" = " + opened * depth + b"1" + closed * depth + b"\n" + text


def _dots(text: bytes, chance: random.Random) -> bytes:
    depth = chance.choice((5, 90, 250, 900, 3000))
    path = b".".join([b"a"] * depth)
    return chance.choice((b"[" + path + b"]\n" + text, text + b"\n" + path + b" = 1\n"))


def _encode(text: bytes, chance: random.Random) -> bytes:
    readable = text.decode("utf-8", "replace")
    encoding = chance.choice(("utf-16", "utf-32", "utf-7", "utf-8-sig", "cp037"))
    return readable.encode(encoding, "replace")


PIECES = [
    b"\x00", b"\xff", b"\xfe\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\x1b[2J", b"\r", b"\x7f", b"\n",
    b'"', b"'", b'"""', b"'''", b"[", b"]", b"[[", b"]]", b"{", b"}", b"=", b".", b",", b"#", b"\\",
    b"\\u0000", b"\\ud800", b"-", b"_", b"nan", b"inf", b"1e999", b"9" * 30, b"9" * 5000, b"0x",
    b"\xe2\x88\x9e", b"\xf0\x9f\xa7\xa8", b"\xe2\x80\xae", b"\nname = 1\n", b"\n[models]\n",
    b"\n[[models]]\n", b'\nextends = "mutant.toml"\n', b"1979-05-27T07:32:00Z", b"true",
    b" " * 4000, b"\n" * 200,
]  # fmt: skip
DAMAGES: list[Damage] = [
    _flip, _flip, _flip, _insert, _insert, _insert, _random, _delete, _delete, _truncate, _lines,
    _lines, _nest, _dots, _encode,
]  # fmt: skip
