"""A subject: sound files that one task reads, of which a try makes one wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from campaign.files.byte_damage import byte_damage, place_damage, text_damage
from campaign.files.gguf_damage import gguf_damage
from campaign.files.header_damage import header_damage
from campaign.files.json_damage import json_damage
from campaign.files.pickle_damage import archive_damage
from campaign.files.template_damage import template_damage
from campaign.files.tensor_damage import npz_tensors, pt_tensors, safetensors_tensors
from campaign.files.told import Damage, Told

TASK = "task.toml"


@dataclass(frozen=True)
class Subject:
    """A folder with a task and what it reads. Models that stay sound lie beside all subjects, in
    `../../models`."""

    name: str
    """Such as `sae gemma_scope 0`; the first word is the group that it is counted in."""
    folder: Path
    files: tuple[str, ...]
    """Those that may be made wrong, relative to the folder."""
    table: str
    """The table of the task that names the files, such as `saes.s`: messages may name that."""
    own: Mapping[str, tuple[Damage, ...]] = field(default_factory=dict)
    """By file, damages that only this subject knows; they take the place of the usual ones."""

    def damage(self, copy: Path, chance: random.Random) -> tuple[tuple[str, ...], Told]:
        """Makes one file of a copy of the folder wrong, seldom two; which, and what was done."""
        name = chance.choice(self.files)
        told = self._one(copy, name, chance)
        if chance.random() < 0.08:
            other = chance.choice(self.files)
            if (copy / other).is_file():  # what stood owed may be undone by a second damage
                more = self._one(copy, other, chance)
                return (name, other), Told(f"{told.what}; {other}: {more.what}")
        return (name,), told

    def _one(self, copy: Path, name: str, chance: random.Random) -> Told:
        file = copy / name
        luck = chance.random()
        if luck < 0.05:
            return place_damage(file, chance)
        if luck < 0.15:
            return byte_damage(file, chance)
        usual = self.own.get(name) or _BY_ENDING.get(file.suffix, (byte_damage,))
        return chance.choice(usual)(file, chance)


_BY_ENDING: dict[str, tuple[Damage, ...]] = {
    ".json": (json_damage, json_damage, json_damage, text_damage),
    ".safetensors": (safetensors_tensors, safetensors_tensors, header_damage, header_damage),
    ".pt": (pt_tensors, pt_tensors, archive_damage),
    ".npz": (npz_tensors, npz_tensors, archive_damage),
    ".gguf": (gguf_damage, gguf_damage, gguf_damage, byte_damage),
    ".jinja": (template_damage,),
    ".toml": (text_damage,),
    ".txt": (text_damage,),
}
"""By the ending of a file, what can be done to it; each as likely as the others."""
