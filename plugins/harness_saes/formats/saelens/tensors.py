"""Which tensors each architecture has, and whether a file has exactly those."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import ModelError, listed
from harness_saes.core.config import BATCHTOPK, JUMPRELU, SKIP, Config
from harness_saes.core.stored import Entry, Stored, check_layout
from harness_saes.formats.saelens.rules import OWN

SCALING = "scaling_factor"
"""Of fine-tuned SAEs, and for a while written by all: then all ones, which changes nothing."""


def expected(config: Config) -> dict[str, tuple[int, ...]]:
    """The tensors that an SAE must have, with their shapes."""
    d, n, out = config.d_in, config.d_sae, config.width_out
    if config.architecture in OWN:
        return OWN[config.architecture].shapes(d, n, config.rules)
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d, n), "W_dec": (n, out), "b_dec": (out,)}
    if config.architecture == "gated":
        return shapes | {"b_gate": (n,), "b_mag": (n,), "r_mag": (n,)}
    shapes |= {"b_enc": (n,)}
    if config.architecture in JUMPRELU:
        shapes |= {"threshold": (n,)}
    if config.architecture in BATCHTOPK:
        shapes |= {"topk_threshold": ()}
    if config.architecture in SKIP:
        shapes |= {"W_skip": (out, d)}
    return shapes


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
