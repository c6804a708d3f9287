"""What a person asks for when the harness is to write a task, and what it is to read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.contract import JSON, ModelFacts, SaeFacts, Site
from harness.errors import UsageError

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class Asked:
    """The words of a command line, or the answers to questions, as they were given."""

    base: str
    """The model before: a folder, a file or a hub id."""
    tuned: str | None = None
    """The model after; or else `adapter`."""
    adapter: str | None = None
    """An adapter that is put on the base."""
    data: str | None = None
    """A file with text; without it, passages that come with the harness are read."""
    column: str | None = None
    """The column with the text; without it, it is guessed."""
    saes: tuple[str, ...] = ()
    """SAEs of the base: a folder or file, or a release, each with or without `@site`."""
    limit: int | None = None
    """At most so many rows of the text."""
    every: Mapping[str, JSON] | None = None
    """Keys that both models get, such as `device`."""


@dataclass(frozen=True)
class DraftModel:
    """A model of the task that is drafted."""

    name: str
    """What people call it: the last part of its place."""
    keys: Mapping[str, JSON]
    """What the task writes in its table."""
    facts: ModelFacts
    names: tuple[str, ...] = ()
    """What its files call it; SAEs are found by that."""
    folder: Path | None = None
    """Where it lies, if it is on this machine."""
    partial: bool = False
    """Whether it is an adapter that is put on the other one."""


@dataclass(frozen=True)
class DraftSae:
    """An SAE of the task that is drafted."""

    name: str
    """Its name in the task."""
    format: str
    keys: Mapping[str, JSON]
    facts: SaeFacts
    site: Site | None = None
    """Where it reads, by what the person or its files say."""
    release: str = ""
    """The collection that it belongs to; empty for one on this machine."""

    @property
    def of_pair(self) -> bool:
        """Whether it reads both models at once, so that the task names their pair for it."""
        return self.facts.of_pair

    @property
    def two_rows(self) -> bool:
        """Whether each of its features has a decoder row for either model."""
        return self.of_pair and self.facts.join == "concatenated" and not self.facts.one_sided


@dataclass(frozen=True)
class DraftText:
    """What both models read."""

    file: Path
    column: str
    form: str
    """`text`, `instruction` or `turns`: what the column holds."""
    limit: int
    """At most so many rows are read."""
    neutral: bool = False
    """Whether these are the harness' own passages."""


def located(text: str, what: str) -> tuple[str, Path | None]:
    """A place as a task writes it: an absolute path with that path, or a hub id and None.

    UsageError, which `what` begins, for a path where nothing is.
    """
    try:
        path = Path(text).expanduser().resolve()
        if path.exists():
            return str(path), path
        beside = Path(text.partition("/")[0] or "/").exists()
    except (OSError, ValueError, RuntimeError):
        beside = True
    if not beside and _HUB_ID.fullmatch(text) and not text.endswith((".gguf", ".safetensors")):
        return text, None
    raise UsageError(
        f"{what} {text!r}: no such file or folder. Allowed: a folder, a GGUF file, or a hub id "
        "such as google/gemma-2-2b. Check the path."
    )


def called(place: str) -> str:
    """What people call a place: its last part, without the ending of a file."""
    last = place.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return last.removesuffix(".gguf") or place


def word(name: str, longest: int = 40) -> str:
    """A name as the task language takes one: `SmolLM2-135M.Q4` stays, `a b` becomes `a_b`."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")
    return plain[:longest].strip("_.-") or "model"
