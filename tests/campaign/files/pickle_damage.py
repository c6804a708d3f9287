"""Archives of torch.save and numpy: what their zip and their pickle say. Nothing is unpickled."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

from campaign.files.byte_damage import byte_damage
from campaign.files.told import Told

Members = dict[str, bytes]


def archive_damage(file: Path, chance: random.Random) -> Told:
    """One member of the archive changed, gone, more, or packed so that it is large unpacked."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = chance.choice(sorted(members))
    except (OSError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile):
        return byte_damage(file, chance)
    what = chance.choice(_CHANGES)(members, name, chance)
    packed = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    file.write_bytes(out.getvalue())
    return what


Change = Callable[[Members, str, random.Random], Told]


def _content(members: Members, name: str, chance: random.Random) -> Told:
    old = members[name]
    at = chance.randrange(len(old) + 1)
    news = (old[:at], b"", old + b"\0" * 8, old[:at] + chance.randbytes(3) + old[at + 3 :])
    members[name] = chance.choice(news)
    return Told(f"{name} has other bytes, at {at}")


def _gone(members: Members, name: str, chance: random.Random) -> Told:
    del members[name]
    return Told(f"no {name}")


def _moved(members: Members, name: str, chance: random.Random) -> Told:
    stem = name.rpartition("/")[2]
    new = chance.choice(("../../outside", f"/{stem}", f"{name}\\..\\x", f"x/{stem}", name.upper()))
    members[new] = members.pop(name)
    return Told(f"{name} is called {new}")


def _more(members: Members, name: str, chance: random.Random) -> Told:
    new, size = chance.choice(("x/data.pkl", "more.npy", "../up", "a" * 3000)), 0
    members[new] = members[name] if chance.random() < 0.7 else bytes(size := 50_000_000)
    return Told(f"{new[:40]} beside {name}" + f", of {size} zeros" * bool(size))


def _code(members: Members, name: str, chance: random.Random) -> Told:
    """A pickle that would run a command: in the place of the tensors' names, or before them."""
    call = b"cposix\nsystem\n(X\x16\x00\x00\x00touch stranger_was_here" + b"tR0"
    call = chance.choice((call, b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR0",
                          b"ctorch\nload\n(X\x01\x00\x00\x00xtR0", b"cos\nsystem\n0"))  # fmt: skip
    pickled = next((one for one in members if one.endswith(".pkl")), name)
    old = members[pickled]
    start = 2 if old[:1] == b"\x80" else 0
    members[pickled] = old[:start] + call + old[start:]
    return Told(f"{pickled} calls something", "a refusal" if ".pkl" in pickled else "nothing")


def _opcodes(members: Members, name: str, chance: random.Random) -> Told:
    pickled = next((one for one in members if one.endswith(".pkl")), name)
    old = bytearray(members[pickled])
    for _ in range(chance.choice((1, 1, 4))):
        old[chance.randrange(len(old))] = chance.choice(b"0()]}tRsu.NJK\x80\xffqhctb")
    members[pickled] = bytes(old)
    return Told(f"{pickled} has other operations")


def _numbers(members: Members, name: str, chance: random.Random) -> Told:
    """A small whole number of the pickle, such as a size, a stride or an offset."""
    pickled = next((one for one in members if one.endswith(".pkl")), name)
    old = bytearray(members[pickled])
    places = [i + 1 for i, byte in enumerate(old[:-1]) if byte == ord("K")]
    if places:
        old[chance.choice(places)] = new = chance.choice((0, 1, 2, 7, 31, 33, 255))
        members[pickled] = bytes(old)
        return Told(f"{pickled} has the number {new} somewhere")
    return _opcodes(members, name, chance)


_CHANGES: list[Change] = [_content, _gone, _moved, _more, _code, _opcodes, _numbers, _numbers]
