"""SAEs of dictionary_learning: the options, and what config.json and the pickle say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.contract import SaeFacts, Site
from harness.errors import ModelError, unknown
from harness_saes.core.checks import count, refuse_unknown, text, words, wrong
from harness_saes.core.config import Config
from harness_saes.core.stored import Inspected, Stored, check_layout
from harness_saes.files.configuration import read_json
from harness_saes.files.places import FolderOptions, last_match
from harness_saes.files.pt_file import read_pt
from harness_saes.formats.dictionary_learning.classes import CLASSES, OLD_NAMES, DictClass

CONFIG = "config.json"
_DECIDING = frozenset({"dict_class", "activation_dim", "dict_size", "k", "group_sizes"})
_TRAINING = words("""
    anneal_end anneal_start auxk_alpha bandwidth decay_start device group_fractions group_weights
    initial_k initial_sparsity_penalty l1_penalty lambda_warm_steps layer lm_name lr
    n_sparsity_updates norm_factor p_end p_start resample_steps seed sparsity_function
    sparsity_penalty sparsity_queue_length sparsity_warmup_steps steps submodule_name target_l0
    temperature threshold_beta threshold_start_step top_k_aux trainer_class wandb_name warmup_steps
    weights_temperature
""")
"""What the library's trainers note. `norm_factor` is in the biases of a finished file already."""
_SUBMODULE = re.compile(r"(resid_post|mlp_out|attn_out|attention_out)_layer_(\d+)")
_FOLDER = re.compile(rf"(?:^|/){_SUBMODULE.pattern}(?:_checkpoints)?(?=/)")
_SITES = {"resid_post": "resid_post", "mlp_out": "mlp_raw"}


class DictionaryLearningOptions(FolderOptions):
    """An SAE in the form of dictionary_learning: `ae.pt` beside `config.json`."""

    choice: ClassVar[str] = "trainer"
    usual: ClassVar[tuple[str, ...]] = (CONFIG, "ae.pt")
    trainer: str | None = None
    """The SAE's folder in a repository with several: `resid_post_layer_15/trainer_1`."""
    file: str = "ae.pt"
    """The weights in that folder: `checkpoints/ae_1000.pt` is one of an earlier step."""

    def names(self) -> tuple[str, ...]:
        """The configuration and the weights."""
        return CONFIG, self.file

    def inspect(self, place: Path) -> Dictionary:
        """What config.json and the pickle in the weights say; ModelError where they disagree."""
        file = place / self.file
        contents = read_pt(file)
        found = read_config(place / CONFIG, file, contents.tensors)
        if "step" in contents.plain or any(name.startswith("ae.") for name in contents.tensors):
            raise ModelError(
                f"{file}: is the state of a training run, not a finished SAE: its biases are in "
                "the space of normalised activations. Finish the run, or save the state_dict of "
                "its SAE after scale_biases(norm_factor)."
            )
        what = f"activation_dim {found.config.d_in} and dict_size {found.config.d_sae} in {CONFIG}"
        check_layout(contents.tensors, found.layout, str(file), what)
        return found

    def facts_by_name(self) -> SaeFacts:
        """Where it reads, by the folder of its submodule: `resid_post_layer_15/trainer_1`."""
        match = last_match(_FOLDER, f"{self.path}/{self.trainer or ''}/")
        return SaeFacts(site=_site_of(match) if match else None)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether config.json names a class, as the library's does."""
        trainer = read_json(folder / CONFIG).get("trainer")
        return isinstance(trainer, dict) and "dict_class" in trainer


@dataclass(frozen=True)
class Dictionary(Inspected):
    """What config.json and header say, with what loading checks the weights against."""

    kind: DictClass
    k: int | None
    """As it was trained; the file may have it too."""


def read_config(file: Path, weights: Path, found: Mapping[str, Stored]) -> Dictionary:
    """What a config.json says of weights with these tensors; ModelError names file and key."""
    data, where = read_json(file), str(file)
    trainer, buffer = data.get("trainer"), data.get("buffer") or {}
    if not isinstance(trainer, Mapping) or not isinstance(buffer, Mapping):
        raise ModelError(
            f"{where}: has no object trainer, which names the class. Expected a config.json of "
            "dictionary_learning."
        )
    refuse_unknown(data, {"trainer"}, {"buffer"}, where)
    refuse_unknown(trainer, _DECIDING, _TRAINING, f"{where}: trainer")
    name = text(trainer, "dict_class", where) or "none"
    name = OLD_NAMES.get(name, name)
    if name not in CLASSES:
        raise ModelError(f"{where}: {unknown('dict_class', name, CLASSES)}")
    kind = CLASSES[name]
    d_in, d_sae = count(trainer, "activation_dim", where), count(trainer, "dict_size", where)
    most = d_sae if kind.per_token else None
    stated = kind.per_token or "k" in trainer
    k = count(trainer, "k", where, most=most, most_is="dict_size") if stated else None
    config = Config(
        architecture=kind.architecture,
        d_in=d_in,
        d_sae=d_sae,
        k=k if kind.per_token else None,
        apply_b_dec_to_input=kind.subtracts,
        site=_site(trainer, buffer, where),
        model=text(trainer, "lm_name", where),
    )
    # A Matryoshka SAE's file counts its groups itself where config.json does not.
    sizes = found.get("group_sizes")
    groups = _groups(trainer, d_sae, where) or (math.prod(sizes.shape) if sizes else 1)
    return Dictionary(weights, config, kind.layout(d_in, d_sae, groups), kind, k)


def _groups(trainer: Mapping[str, Any], d_sae: int, where: str) -> int | None:
    """The number of groups of a Matryoshka SAE: they have to share out all latents."""
    sizes = trainer.get("group_sizes")
    if sizes is None:
        return None
    whole = isinstance(sizes, list) and all(type(size) is int and size > 0 for size in sizes)
    if not whole or sum(sizes) != d_sae:
        raise wrong(where, "group_sizes", sizes, f"whole numbers that add up to dict_size, {d_sae}")
    return len(sizes)


def _site(trainer: Mapping[str, Any], buffer: Mapping[str, Any], where: str) -> Site | None:
    """Where it belongs, as the training scripts name the module; None for other names."""
    side = buffer.get("io", "out")
    if side == "in_and_out":
        raise wrong(where, "io", side, "in, out: transcoders of dictionary_learning are not read")
    match = _SUBMODULE.fullmatch(text(trainer, "submodule_name", where) or "")
    return None if match is None or side != "out" else _site_of(match)


def _site_of(match: re.Match[str]) -> Site:
    """The site of a submodule, as the training scripts name it."""
    return Site(_SITES.get(match[1], "attn_raw"), int(match[2]))
