"""Where the fork's files are: the folder of a training run, or a copy on the hub."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from harness.contract import SaeFacts, SaeInput, Site
from harness.errors import ModelError
from harness_saes.core.checks import count_or, text, wrong
from harness_saes.core.stored import Inspected, Stored, canonical
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.files.hub_files import fetch
from harness_saes.files.places import FolderOptions
from harness_saes.files.pt_file import read_pt

CONFIG, TRAINING = "config.json", "trainer_config.json"
RUN, HUB = "model_final.pt", "model.safetensors"
COMPILED = "_orig_mod."
"""What the names of tensors begin with where the model was compiled while it was saved."""
_SUBMODULE = re.compile(r"(?:layer_(\d+)_out|resid_post_layer_(\d+))")
Sides = tuple[Literal["left", "right"], Literal["left", "right"]]


@dataclass(frozen=True)
class Found(Inspected):
    """What configuration and header say of an SAE that reads a pair."""

    facts: SaeFacts
    settings: Mapping[str, Any]
    """The configuration: of the training run and, on the hub, what the class was built with."""

    def canonical(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """All tensors by their names in the layout, transposed where the file has them so."""
        return canonical(plain_names(tensors), self.layout)


class ForkOptions(FolderOptions):
    """An SAE of the fork: `config.json` beside `model_final.pt` or `model.safetensors`."""

    choice: ClassVar[str] = "run"
    usual: ClassVar[tuple[str, ...]] = (CONFIG, RUN)
    run: str | None = None
    """The SAE's folder in a larger one."""
    file: str | None = None
    """The weights in that folder, such as `checkpoint_10000.pt`; without it the finished ones."""
    sides: Sides = ("left", "right")
    """Which side of the pair the first model of the files is, and the second. The first one is
    the base model as a rule; a difference is the second minus the first."""

    @field_validator("sides")
    @classmethod
    def _each_once(cls, sides: Sides) -> Sides:
        if sides[0] == sides[1]:
            raise ValueError('each side once: ["left", "right"] or ["right", "left"]')
        return sides

    def names(self) -> tuple[str, ...]:
        """The configuration and the weights, as a copy on the hub or a run has them."""
        return CONFIG, self.file or RUN

    def within(self, root: Path) -> Path:
        """The SAE's folder, where its weights may be in either form."""
        folder = root / self.run if self.run else root
        if self.file is None and all((folder / name).is_file() for name in (CONFIG, HUB)):
            return folder
        return super().within(root)

    def fetched(self) -> Path:
        """The SAE's folder, downloaded where needed."""
        if (here := self.found()) is not None:
            return here
        inside = f"{self.run}/" if self.run else ""
        names = [f"{inside}{name}" for name in (CONFIG, self.file or HUB)]
        beside = [f"{inside}{TRAINING}"]
        return self.within(fetch(self.path, names, self.revision, self.where, optional=beside))

    def describe(self) -> SaeFacts:
        """What the files say; where they are not here, that it reads both sides."""
        place = self.found()
        return self.facts_by_name() if place is None else self.inspect(place).facts

    @abstractmethod
    def inspect(self, place: Path) -> Found:
        """What the SAE's own folder says, without a weight; ModelError if it disagrees."""

    def weights(self, folder: Path) -> Path:
        """The file of weights in the SAE's folder."""
        return folder / (self.file or (HUB if (folder / HUB).is_file() else RUN))

    def inputs(self, width: int | None = None) -> tuple[SaeInput, ...]:
        """Both sides, in the order of the files."""
        return tuple(SaeInput(side, width=width) for side in self.sides)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether config.json names one of the classes of this format."""
        return settings_of(folder).get("dict_class") in cls.classes()

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether `path` is a folder of this format, of a run or from the hub."""
        folder = Path(path)
        if all((folder / name).is_file() for name in (CONFIG, HUB)):
            try:
                return cls.recognises(folder)
            except ModelError:
                return False
        return super().claims(path)

    @classmethod
    def classes(cls) -> frozenset[str]:
        """The classes of the fork that this format reads, and claims by their names."""
        return frozenset()


def stored_in(weights: Path) -> dict[str, Stored]:
    """The tensors of a file of weights, without what a compiler put before their names."""
    found = (
        read_header(weights) if weights.suffix == ".safetensors" else dict(read_pt(weights).tensors)
    )
    return plain_names(found)


def plain_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors without what `torch.compile` put before their names."""
    return {name.removeprefix(COMPILED): value for name, value in tensors.items()}


def settings_of(folder: Path) -> dict[str, Any]:
    """What the configuration files of an SAE say, in one table; ModelError where none is right.

    A run's config.json has it under `trainer`; a copy on the hub has what the class was built with,
    and the run's configuration beside it.
    """
    data = read_json(folder / CONFIG)
    beside = folder / TRAINING
    training = read_json(beside) if beside.is_file() else {}
    found: dict[str, Any] = {}
    for one in (data, training):
        trainer = one.get("trainer", one)
        if not isinstance(trainer, Mapping):
            raise wrong(str(folder / CONFIG), "trainer", trainer, "an object")
        found |= trainer
    return found


def check_sizes(settings: Mapping[str, Any], sizes: Mapping[str, int], where: str) -> None:
    """Refuses a configuration whose sizes are not those of the weights."""
    for key, size in sizes.items():
        told = count_or(settings, key, None, where)
        if told is not None and told != size:
            raise ModelError(
                f"{where}: {key} is {told}, but the weights have {size}. They must agree: copy "
                "both files again."
            )


def site_of(settings: Mapping[str, Any], where: str) -> Site | None:
    """The site, where the training named the output of a block: `layer_13_out`."""
    match = _SUBMODULE.fullmatch(text(settings, "submodule_name", where) or "")
    return Site("resid_post", int(match[1] or match[2])) if match else None
