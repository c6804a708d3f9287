"""Options that say where an SAE's files are: a local folder or file, or a hub repository."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from harness.contract import Location, Needs, SaeFacts, SaeOptions, TokensLeftOut
from harness.errors import ModelError, listed, suggestion
from harness_saes.cards import stated
from harness_saes.core.stored import Inspected
from harness_saes.files.hub_files import cached, fetch, is_hub_id
from harness_saes.files.pt_file import read_pt

_DEPTH = 3
"""Levels of folders in which SAEs are searched for, to list them in messages."""


class PlacedOptions(SaeOptions):
    """Options of a format whose files are a local path, or in a repository on the hub."""

    path: Location
    """A local folder or file, or a hub repository (owner/name)."""
    revision: str | None = None
    """Branch, tag or commit of a hub repository."""
    dtype: Literal["float32", "float64"] = "float32"
    """Numbers to compute in, however the weights are stored: half precision is not offered,
    because it changes which latents are active."""

    @property
    def where(self) -> str:
        """How messages name this SAE."""
        return f"SAE {self.path}"

    @property
    def carded(self) -> TokensLeftOut | None:
        """Which tokens the card of its repository says that it was not trained on."""
        place = Path(self.path).expanduser()
        return stated(place.absolute().as_posix() if place.exists() else self.path)

    @abstractmethod
    def patterns(self) -> Sequence[str]:
        """The files to fetch of a hub repository."""

    @abstractmethod
    def within(self, root: Path) -> Path:
        """The SAE's own folder or file in a local folder or a repository's snapshot."""

    @abstractmethod
    def inspect(self, place: Path) -> Inspected:
        """What the SAE's own folder or file says, without a weight; ModelError if it disagrees."""

    def describe(self) -> SaeFacts:
        """Facts from configuration and header; of an SAE that is not cached, from its names."""
        place = self.found()
        facts = self.facts_by_name() if place is None else self.inspect(place).config.facts
        return replace(facts, not_trained_on=facts.not_trained_on or self.carded)

    def facts_by_name(self) -> SaeFacts:
        """The facts that names tell where no file is here: none, unless a format knows better."""
        return SaeFacts()

    def found(self) -> Path | None:
        """The SAE's folder or file without a network; None where the hub's is not cached."""
        if (local := self._local()) is not None:
            return self.within(local)
        snapshot = cached(self.path, self.revision)
        try:
            return self.within(snapshot) if snapshot is not None else None
        except ModelError:  # not all of it was fetched
            return None

    def fetched(self) -> Path:
        """The SAE's folder or file, downloaded where needed; ModelError says what is missing."""
        if (local := self._local()) is not None:
            return self.within(local)
        return self.within(fetch(self.path, self.patterns(), self.revision, self.where))

    def needs(self) -> Needs:
        """What is to be downloaded, None if all is here, and the bytes of a number."""
        download = self.path if self.found() is None else None
        return Needs(download, number_bytes=8 if self.dtype == "float64" else 4)

    def several(self, what: str, names: Sequence[str], option: str) -> ModelError:
        """The error for a place with several SAEs; an option chooses one of them."""
        return ModelError(
            f"{self.where}: holds {len(names)} {what}: {listed(names)}. "
            f'Choose one: {option} = "{min(names)}".'
        )

    def _local(self) -> Path | None:
        place = Path(self.path).expanduser()
        if not place.exists():
            if is_hub_id(self.path):
                return None
            raise ModelError(
                f"{self.where}: no such folder or file. Allowed: a local path, or a hub "
                "repository (owner/name)."
            )
        if self.revision is not None:
            raise ModelError(
                f"{self.where}: revision is set, but path is local. Remove revision; only the "
                "hub has one."
            )
        return place


class FolderOptions(PlacedOptions):
    """Options of a format whose SAE is a folder with certain files."""

    choice: ClassVar[str]
    """The option that names the SAE's folder in a larger one."""

    usual: ClassVar[tuple[str, ...]]
    """The files in an SAE's folder, as the format's own library names them."""

    def names(self) -> tuple[str, ...]:
        """The files in this SAE's folder."""
        return self.usual

    @property
    def chosen(self) -> str | None:
        """The value of the option `choice`."""
        value: str | None = getattr(self, self.choice)
        return value

    def patterns(self) -> Sequence[str]:
        """The SAE's files, in the folder that is chosen."""
        return [f"{self.chosen}/{name}" if self.chosen else name for name in self.names()]

    def within(self, root: Path) -> Path:
        """The SAE's folder; where it is not clear which, the message lists those to choose from."""
        names, chosen = self.names(), self.chosen
        folder = root / chosen if chosen else root
        lacking = [name for name in names if not (folder / name).is_file()]
        if not lacking:
            return folder
        others = [str(f.relative_to(root)) for f in folders_with(root, names) if f != root]
        if not others:
            what = "is a file" if folder.is_file() else f"has no {' and no '.join(lacking)}"
            raise ModelError(
                f"{self.where}{f' {chosen}' if chosen else ''}: {what}. Expected a folder with "
                f"{' and '.join(names)}."
            )
        if chosen:
            raise ModelError(
                f"{self.where}: {self.choice} {chosen!r} has no SAE. Allowed: {listed(others)}."
                f"{suggestion(chosen, others)}"
            )
        raise self.several("SAEs in folders", others, self.choice)

    def fetched(self) -> Path:
        """The SAE's folder; a message about a repository without one says how to choose."""
        try:
            return super().fetched()
        except ModelError as error:
            if self.chosen is not None or Path(self.path).exists():
                raise
            raise ModelError(f"{error} Choose the SAE's folder with {self.choice}.") from error

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is a folder with the usual files in this format, or with folders of them.

        Files that cannot be read are claimed by their names, so that loading says what is wrong.
        """
        for folder in folders_with(Path(path), cls.usual):
            try:
                return cls.recognises(folder)
            except ModelError:
                return True
        return False

    @classmethod
    @abstractmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the usual files in a folder are in this format; ModelError if unreadable."""


class FileOptions(PlacedOptions):
    """Options of a format whose SAE is one file."""

    suffixes: ClassVar[tuple[str, ...]] = (".pt", ".pth")
    tensors: ClassVar[Mapping[str, str]]
    """The tensors that every file of the format has, and no file of another one: those of
    `LinearSae` by their names in the file."""
    file: str | None = None
    """The SAE's file in a folder or repository with several."""

    @classmethod
    def recognises(cls, file: Path) -> bool:
        """Whether a file is in this format: whether it has the tensors' names."""
        if file.suffix not in cls.suffixes:
            return False
        try:
            return read_pt(file).tensors.keys() >= cls.tensors.keys()
        except ModelError:
            return False

    def patterns(self) -> Sequence[str]:
        """The SAE's file."""
        if self.file is None:
            raise ModelError(
                f"{self.where}: which file of the repository is the SAE? Give its path there: "
                'file = "…".'
            )
        return [self.file]

    def within(self, root: Path) -> Path:
        """The SAE's file; where it is not clear which, a message lists those to choose from."""
        if root.is_file():
            if self.file is not None:
                raise ModelError(f"{self.where}: is a file itself. Remove the option file.")
            return root
        if self.file is not None and (root / self.file).is_file():
            return root / self.file
        files = sorted(f.name for f in root.iterdir() if f.is_file() and self.recognises(f))
        if self.file is not None:
            raise ModelError(
                f"{self.where}: has no file {self.file!r}. Allowed: {listed(files)}."
                f"{suggestion(self.file, files)}"
            )
        if not files:
            raise ModelError(
                f"{self.where}: no file in it is such an SAE. Expected one "
                f"({', '.join(self.suffixes)}), or its name in the option file."
            )
        if len(files) > 1:
            raise self.several("SAEs", files, "file")
        return root / files[0]

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is a file in this format, or a folder with one."""
        place = Path(path)
        if place.is_file():
            return cls.recognises(place)
        return place.is_dir() and any(cls.recognises(f) for f in place.iterdir() if f.is_file())


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Where a pattern matches last: of the folders in a path, the one nearest to the file."""
    found = list(pattern.finditer(text))
    return found[-1] if found else None


def folders_with(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """The folders at or below `root` that hold all these files, down to a few levels."""
    for depth in range(_DEPTH + 1):
        for file in sorted(root.glob("/".join(["*"] * depth + [names[0]]))):
            if all((file.parent / name).is_file() for name in names):
                yield file.parent
