"""Options of formats whose SAEs lie in a repository: on the hub, in a local copy, or one file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.contract import Needs
from harness.errors import ModelError, listed, suggestion
from harness_saes.files.hub_files import cached, fetch
from harness_saes.files.places import PlacedOptions


class RepositoryOptions(PlacedOptions):
    """An SAE that lies with others in a repository.

    A format names the file with the weights by its suffix: with `/params.npz`, the SAE
    `layer_20/width_16k` is the file `layer_20/width_16k/params.npz`.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """What a weights file's path has after the SAE's id; the first that exists counts."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Files that an SAE may have beside its weights, in the folder that its id names."""
    depth: ClassVar[int] = 3
    """Folders between a repository and its SAEs, at most."""

    id: str | None = None
    """Which SAE of the repository: its folder there."""
    neuronpedia: str | None = None
    """The SAE's id on Neuronpedia, where its name does not tell."""

    @property
    def where(self) -> str:
        """How messages name this SAE."""
        return f"SAE {self.path}" + (f" {self.id}" if self.id else "")

    def patterns(self) -> Sequence[str]:
        """The weights file; all of the SAE's folder where the format has several names for it."""
        name = self._name()
        if len(self.suffixes) > 1:
            return [f"{name}/*"]
        return [f"{name}{self.suffixes[0]}"]

    def within(self, root: Path) -> Path:
        """The weights file; a message names the SAEs that there are to choose from."""
        if root.is_file():
            if self.id is not None:
                raise ModelError(f"{self.where}: path is a file itself. Remove id.")
            if not self._is_named(root):
                raise ModelError(f"{self.where}: is no weights file. Expected {self._forms()}.")
            return root
        if self.id is None and (own := self._file(root, "")) is not None:
            return own
        known = self.below(root)
        if not known:
            raise ModelError(
                f"{self.where}: holds no {self._forms()}. Expected a folder with one, or with "
                "folders that have one."
            )
        if self.id is None and len(known) > 1:
            raise self.several("SAEs", known, "id")
        name = known[0] if self.id is None else self._name()
        file = self._file(root, name)
        if file is None:
            raise ModelError(
                f"{self.where}: id {self.id!r} has no SAE. Allowed: {listed(known)}."
                f"{suggestion(name, known)}"
            )
        return file

    def found(self) -> Path | None:
        """The weights file without a network; None where the hub's is not cached."""
        self._require_id()
        here = super().found()
        local = self._local() is not None
        return here if here is None or local or self.complete(here) else None

    def fetched(self) -> Path:
        """The weights file, downloaded where needed with what belongs to it."""
        if (here := self.found()) is not None:
            return here
        beside = [f"{self._name()}/{companion}" for companion in self.companions]
        folder = fetch(self.path, self.patterns(), self.revision, self.where, optional=beside)
        return self.within(folder)

    def named(self) -> str:
        """The names of repository, folders and file as one path; layer and site are in them."""
        if self._local() is None:
            return f"{self.path}/{self._name()}"
        # Not resolved: a cache of the hub links to files without names.
        return (self.found() or Path(self.path)).absolute().as_posix()

    def needs(self) -> Needs:
        """Which SAE of the repository is to be downloaded, if any, and the bytes of a number."""
        needs = super().needs()
        download = f"{self.path} {self._name()}" if needs.download else None
        return Needs(download, number_bytes=needs.number_bytes)

    @classmethod
    def complete(cls, weights: Path) -> bool:
        """Whether the other files that loading needs lie in the cache beside a weights file."""
        return True

    @classmethod
    def below(cls, folder: Path) -> list[str]:
        """Ids of the SAEs in a folder and below it, sorted; "" is the folder itself."""
        found = set()
        for suffix in cls.suffixes:
            # A suffix of a folder is whole names after a slash; one of a file ends its name.
            last = suffix.removeprefix("/") if suffix.startswith("/") else f"*{suffix}"
            for level in range(cls.depth + 1):
                for file in folder.glob("*/" * level + last):
                    found.add(file.relative_to(folder).as_posix()[: -len(suffix)])
        return sorted(found)

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is a weights file of this format, or has one in it or below.

        A file that cannot be read is claimed by its name, so that loading says what is wrong.
        """
        file = cls._first(path)
        try:
            return file is not None and cls.recognises(file)
        except ModelError:
            return True

    @classmethod
    @abstractmethod
    def recognises(cls, weights: Path) -> bool:
        """Whether a file with the right name has the format's tensors; ModelError if unreadable."""

    @classmethod
    def _first(cls, path: str) -> Path | None:
        """A file at or below a local path that has the name of weights."""
        place = Path(path).expanduser()
        if place.is_file():
            return place if cls._is_named(place) else None
        for name in cls.below(place):
            return cls._file(place, name)
        return None

    @classmethod
    def _is_named(cls, file: Path) -> bool:
        return any(file.absolute().as_posix().endswith(suffix) for suffix in cls.suffixes)

    @classmethod
    def _file(cls, folder: Path, name: str) -> Path | None:
        for suffix in cls.suffixes:
            file = folder / f"{name}{suffix}".lstrip("/")
            if file.is_file():
                return file
        return None

    def _name(self) -> str:
        """The SAE's id, also where somebody wrote the file's whole path."""
        name = (self.id or "").strip("/")
        for suffix in self.suffixes:
            name = name.removesuffix(suffix)
        return name

    def _require_id(self) -> None:
        if self.id is not None or self._local() is not None:
            return
        snapshot = cached(self.path, self.revision)
        known = self.below(snapshot) if snapshot is not None else []
        there = f" In the local cache: {listed(known)}." if known else ""
        raise ModelError(
            f"{self.where}: is a repository of many SAEs. Choose one: id = its folder there.{there}"
        )

    def _forms(self) -> str:
        return " or ".join(
            suffix.removeprefix("/") if suffix.startswith("/") else f"*{suffix}"
            for suffix in self.suffixes
        )
