"""Hooks of TransformerLens that transcoders read and write, as sites and norms."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.contract.sites import Site, nearest_to_hook, site_from_hook_name
from harness.errors import ModelError
from harness_saes.core.config import Norm

NORMALISED = "ln2.hook_normalized"
"""What the norm before the MLP gives before its gain: no site, but made of one that is."""
_EPSILONS = {"gemma-2": 1e-6, "gemma-3": 1e-6}
"""What the RMS norms of these models add, by the beginning of a model's name."""
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Through:
    """The model's norm that an encoder reads through, before its gain."""

    norm: Norm
    epsilon: float


@dataclass(frozen=True)
class Read:
    """Where an encoder reads: a site, and through which norm if any."""

    site: Site
    through: Through | None = None


def norm_of(model: str | None) -> Through | None:
    """The norm before the MLP of a model, by its name; None where the name does not tell."""
    name = (model or "").rsplit("/", 1)[-1].lower()
    found = [epsilon for start, epsilon in _EPSILONS.items() if name.startswith(start)]
    return Through("rms", found[0]) if found else None


def read_hook(hook: str, through: Through | None, where: str) -> Read:
    """Where a hook such as `blocks.4.hook_resid_mid` reads; ModelError for one that is unknown.

    `through` is the model's norm before the MLP, needed where the hook is what that norm gives
    before its gain: it is then the stream after attention, divided as the norm divides it.
    """
    match = _BLOCK.fullmatch(hook)
    if match and match[2] == NORMALISED:
        if through is None:
            raise ModelError(
                f"{where}: reads {hook}, what the norm before the MLP gives before its gain, and "
                'no file says which norm that is. Write norm = "rms" or "layer", and '
                "norm_epsilon, the rms_norm_eps or layer_norm_eps of the model's configuration."
            )
        return Read(Site("resid_mid", int(match[1])), through)
    site = site_from_hook_name(hook)
    if site is None:
        raise _unknown(hook, where)
    return Read(site)


def written_hook(hook: str, where: str) -> Site:
    """Where a hook such as `blocks.4.hook_mlp_out` writes; ModelError for one that is unknown."""
    match = _BLOCK.fullmatch(hook)
    if match and match[2] == "mlp.hook_out":
        return Site("mlp_raw", int(match[1]))
    site = site_from_hook_name(hook)
    if site is None:
        raise _unknown(hook, where)
    return site


def _unknown(hook: str, where: str) -> ModelError:
    near = nearest_to_hook(hook)
    told = f" ({near})" if near else ""
    return ModelError(
        f"{where}: the hook {hook[:120]!r} is not known{told}. Allowed: blocks.N. and one of "
        "hook_resid_pre, hook_resid_mid, hook_resid_post, mlp.hook_in, hook_mlp_out, mlp.hook_out, "
        f"hook_attn_out, attn.hook_z and {NORMALISED}."
    )
