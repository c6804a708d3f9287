"""Weights of few bits: how a model can be rounded when it is loaded, and what a folder of weights
that are rounded already needs. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Literal, get_args

from harness.errors import ModelError

Scheme = Literal[
    "bnb-4bit", "bnb-4bit-double", "bnb-8bit", "quanto-int8", "quanto-int4", "torchao-int8"
]
"""How weights are rounded when a model is loaded."""


@dataclass(frozen=True)
class Library:
    """A package that computes with such weights."""

    module: str
    """What is imported."""
    pip: str
    """What is installed."""

    def require(self, where: str, why: str) -> None:
        """ModelError, which `where` begins, where it is not installed."""
        if not _there(self.module):
            raise ModelError(
                f"{where}: {why} needs the package {self.pip}, which is not installed. Install it"
                f" (pip install {self.pip}), or give a model in plain weights."
            )


_BNB = Library("bitsandbytes", "bitsandbytes")
_QUANTO = Library("optimum.quanto", "optimum-quanto")
_TORCHAO = Library("torchao", "torchao")


@dataclass(frozen=True)
class Way:
    """One of the schemes."""

    library: Library
    stored_bytes: float
    """Bytes of one weight, with its share of the scales."""
    says: str
    """What is done, for people."""


_NF4 = "4-bit NormalFloat, a scale for each 64 weights"
WAYS: Mapping[Scheme, Way] = MappingProxyType(
    {
        "bnb-4bit": Way(_BNB, 0.5 + 4 / 64, _NF4),
        "bnb-4bit-double": Way(_BNB, 0.5 + 1 / 64, f"{_NF4}, rounded to 8 bits themselves"),
        "bnb-8bit": Way(_BNB, 1.0, "8-bit integers, a scale for each row"),
        "quanto-int8": Way(_QUANTO, 1.0, "8-bit integers, a scale for each row"),
        "quanto-int4": Way(_QUANTO, 0.5 + 8 / 128, "4-bit integers, a scale for each 128 weights"),
        "torchao-int8": Way(_TORCHAO, 1.0, "8-bit integers, a scale for each row"),
    }
)
assert set(WAYS) == set(get_args(Scheme))

LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        "bitsandbytes": _BNB,
        "quanto": _QUANTO,
        "torchao": _TORCHAO,
        "gptq": Library("gptqmodel", "gptqmodel"),
        "awq": Library("gptqmodel", "gptqmodel"),
        "hqq": Library("hqq", "hqq"),
        "aqlm": Library("aqlm", "aqlm"),
        "vptq": Library("vptq", "vptq"),
        "auto-round": Library("auto_round", "auto-round"),
        "compressed-tensors": Library("compressed_tensors", "compressed-tensors"),
    }
)
"""What transformers needs for files whose config.json has this `quant_method`."""


def stored(config: Mapping[str, Any]) -> str | None:
    """How config.json says that a model's files are rounded already; None where it does not."""
    told = config.get("quantization_config")
    if not told:
        return None
    method = told.get("quant_method") if isinstance(told, Mapping) else None
    return str(method or "quantization_config")


def bits(config: Mapping[str, Any]) -> int | None:
    """Bits of a weight in files that are rounded already; None where config.json does not say."""
    told = config.get("quantization_config")
    if not isinstance(told, Mapping):
        return None
    groups = told.get("config_groups")
    inner = [one.get("weights") for one in groups.values()] if isinstance(groups, Mapping) else []
    first = next((one for one in inner if isinstance(one, Mapping)), {})
    named = re.search(r"\d+$", str(told.get("weights") or told.get("quant_method") or ""))
    given = (told.get("bits"), told.get("w_bit"), told.get("nbits"), first.get("num_bits"))
    loaded = (4 if told.get("load_in_4bit") else None, 8 if told.get("load_in_8bit") else None)
    found = [one for one in (*given, *loaded) if isinstance(one, int) and 0 < one <= 16]
    return found[0] if found else int(named[0]) if named and int(named[0]) in range(1, 17) else None


def stays(config: Mapping[str, Any]) -> bool:
    """Whether weights that are rounded already stay so on every device."""
    return stored(config) in LIBRARIES


def check_stored(config: Mapping[str, Any], where: str, *, again: bool, adapted: bool) -> None:
    """ModelError where the files are rounded already and something is asked for that they lack.

    `again`: they are to be rounded again; `adapted`: an adapter is to be merged into them.
    """
    method = stored(config)
    if method is None:
        return
    if again:
        raise ModelError(
            f"{where}: its files are quantised already ({method} in config.json), and quantization"
            " rounds plain weights. Allowed: one of them. Leave quantization out, or name the model"
            " that these files were made from."
        )
    if method in LIBRARIES:
        LIBRARIES[method].require(where, f"reading its weights ({method} in config.json)")
    if adapted and stays(config):
        raise ModelError(f"{where}: {no_merge(method)}")


def no_merge(method: str) -> str:
    """Why an adapter is not merged into weights that stay rounded, and what to do."""
    return (
        f"its weights are quantised ({method}), and an adapter is merged into plain ones: into"
        " rounded ones it would be rounded, too. Allowed: an adapter on plain weights. Name the"
        " model that these were made from; or merge the adapter into that (merge_and_unload), save"
        " it (save_pretrained), and give its folder as path."
    )


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False
