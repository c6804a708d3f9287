"""Sites of directions: which of them are the same, and where an SAE's decoder rows belong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from harness.contract import Inputs, ModelFacts, Sae, Site
from harness.errors import ModelError


def located(site: Site, facts: ModelFacts | None) -> Site:
    """The site with a fraction of depth made a block. Raises ModelError where depth is unknown."""
    if site.fraction is None:
        return site
    if facts is None or facts.layers is None:
        raise ModelError(
            f"site {site}: the model does not say how many blocks it has, so a fraction of depth "
            "means nothing. Allowed: a block, such as resid_post.15. Write the block"
        )
    return site.at(facts.layers)


def same_place(left: Site, right: Site) -> bool:
    """Whether two sites hold the same activation: the output of a block enters the next one."""
    return _plain(left) == _plain(right)


def decoder_site(name: str, inputs: Inputs) -> Site | None:
    """Where an SAE's decoder rows live: where it writes, or else where it reads."""
    facts = inputs.saes[name].facts
    site = facts.site_out or inputs.sae_sites.get(name) or facts.site
    if site is None or site.fraction is None:
        return site
    known = [one for one in inputs.facts.values() if one.layers is not None]
    return located(site, known[0] if known else None)


def decoder_rows(sae: Sae, features: Sequence[int]) -> Float[np.ndarray, "k d"]:
    """Decoder rows of some features, in float64 on the CPU."""
    rows = sae.rows(torch.tensor(list(features), dtype=torch.int64))
    array: np.ndarray = rows.detach().cpu().double().numpy()
    return array


def _plain(site: Site) -> Site:
    if site.kind == "embed":
        return Site("resid_pre", 0)
    if site.kind == "resid_post" and site.layer is not None:
        return Site("resid_pre", site.layer + 1)
    return site
