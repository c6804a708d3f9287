"""Which tensors each architecture has, and whether a file has exactly those."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import ModelError, listed
from harness_saes.core.config import BATCHTOPK, JUMPRELU, SKIP, Config
from harness_saes.core.stored import Entry, Stored, check_layout, shapes_of
from harness_saes.formats.saelens.rules import OWN

SCALING = "scaling_factor"
"""Of fine-tuned SAEs, and for a while written by all: then all ones, which changes nothing."""
_OF_SOME = {"threshold": JUMPRELU, "topk_threshold": BATCHTOPK, "W_skip": SKIP}


def expected(config: Config) -> dict[str, tuple[int, ...]]:
    """The tensors that an SAE must have, with their shapes."""
    if config.architecture in OWN:
        return OWN[config.architecture].shapes(config.d_in, config.d_sae, config.rules)
    biases = {"b_gate", "b_mag", "r_mag"} if config.architecture == "gated" else {"b_enc"}
    names = {"W_enc", "W_dec", "b_dec"} | biases
    names |= {name for name, having in _OF_SOME.items() if config.architecture in having}
    known = shapes_of(config.d_in, config.d_sae, config.d_out)
    return {name: shape for name, shape in known.items() if name in names}


def check_tensors(found: Mapping[str, Stored], config: Config, where: str) -> None:
    """Refuses a file with a missing, additional or misshapen tensor, or one of no real numbers.

    Old jumprelu checkpoints hold `log_threshold` in place of `threshold`.
    """
    shapes = expected(config)
    if "threshold" in shapes and "log_threshold" in found:
        shapes["log_threshold"] = shapes.pop("threshold")
    if missing := shapes.keys() - found.keys():
        raise ModelError(
            f"{where}: {listed(missing)} not found. Expected for {config.architecture}: "
            f"{listed(shapes)}; found: {listed(found)}. Is the architecture in cfg.json right?"
        )
    if extra := found.keys() - shapes.keys() - {SCALING}:
        raise ModelError(
            f"{where}: {listed(extra)} is one tensor too many. Expected for "
            f"{config.architecture}: {listed(shapes)}. Is the architecture in cfg.json right?"
        )
    layout = {name: Entry(shape) for name, shape in shapes.items()}
    layout[SCALING] = Entry((config.d_sae,), optional=True)
    what = f"d_in {config.d_in}, d_sae {config.d_sae} in cfg.json"
    check_layout(found, layout, where, what)
