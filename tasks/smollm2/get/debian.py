"""Prose out of Debian's documentation packages: downloaded and unpacked, never installed."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from documents import split
from fetching import GetError

_COMMON = frozenset(("the", "of", "and", "to", "a", "in", "is"))
SEED = 0
_PYTHON = "usr/share/doc/python3.11/html"


@dataclass(frozen=True)
class Package:
    """One package: the folders to read in it, how many characters to draw, its licence."""

    name: str
    folders: tuple[str, ...]
    characters: int
    licence: str


PACKAGES = (
    Package("anarchism", ("usr/share/doc/anarchism/html",), 400_000, "GPL-2"),
    Package(
        "debian-handbook",
        ("usr/share/doc/debian-handbook/html/en-US",),
        300_000,
        "GPL-2+ or CC BY-SA 3.0",
    ),
    Package("developers-reference", ("usr/share/developers-reference",), 120_000, "GPL-2+"),
    Package("debian-reference-en", ("usr/share/debian-reference",), 80_000, "GPL-2+"),
    Package(
        "python3.11-doc",
        tuple(
            f"usr/share/doc/python3.11/html/{f}" for f in ("tutorial", "howto", "faq", "whatsnew")
        ),
        250_000,
        "PSF-2",
    ),
)
LIBRARY = f"{_PYTHON}/library"  # of python3.11-doc: what the domain LoRA reads


def is_prose(passage: str) -> bool:
    """Whether a passage reads like English: more than 12 words in 100 are the commonest ones."""
    words = passage.lower().split()
    return sum(word in _COMMON for word in words) > 0.12 * len(words)


def drawn(folders: list[Path], characters: int) -> list[str]:
    """Passages of prose in a random order, up to so many characters."""
    found = [passage for passage in split(folders)[0] if is_prose(passage)]
    random.Random(SEED).shuffle(found)
    chosen, total = [], 0
    for passage in found:
        if total > characters:
            break
        chosen.append(passage)
        total += len(passage)
    return chosen


def unpacked(package: str, folder: Path) -> None:
    """Download a package and unpack it into a folder.

    Raises:
        GetError: apt-get does not know it, or there is no apt-get.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            download = ["apt-get", "download", "-q", package]
            subprocess.run(download, cwd=scratch, check=True, capture_output=True)
            file = next(Path(scratch).glob("*.deb"))
            subprocess.run(["dpkg-deb", "-x", file, folder], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError, StopIteration) as error:
            raise GetError(
                f"{package}: apt-get could not download it. It needs Debian 12 and the network; "
                "on another system give text files of your own to the build's --text."
            ) from error


def write_debian(out: Path, root: Path | None = None) -> None:
    """Write each package's passages as `NAME.jsonl`, and Python's library for the domain LoRA.

    `root` is a folder in which the packages are unpacked already.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for package in PACKAGES:
            if root is None:
                unpacked(package.name, Path(scratch))
            folders = [(root or Path(scratch)) / folder for folder in package.folders]
            for folder in folders:
                if not folder.is_dir():
                    raise GetError(
                        f"{folder}: there is no such folder. Unpack {package.name} of Debian 12 "
                        "into the folder of --debian, or leave its ROOT out to download."
                    )
            _write(out / f"{package.name}.jsonl", drawn(folders, package.characters))
        training, held_out = split([(root or Path(scratch)) / LIBRARY])
        order = random.Random(SEED)
        order.shuffle(training)
        _write(out / "domain.jsonl", [p for p in training if is_prose(p)][:600])
        _write(out / "domain_heldout.jsonl", [p for p in held_out if is_prose(p)][:120])


def _write(file: Path, passages: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({"text": p}) + "\n" for p in passages), encoding="utf-8")
    print(f"{file.name}: {len(passages)}")
