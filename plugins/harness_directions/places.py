"""Sites of directions: as blocks of a model, and where an SAE's decoder rows belong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from harness.contract import Inputs, ModelFacts, Sae, SaeFacts, Site
from harness.errors import ModelError


def located(site: Site, *models: ModelFacts | None) -> Site:
    """The site with a fraction of depth made a block, of the first model of known depth.

    Raises ModelError where there is none.
    """
    if site.fraction is None:
        return site
    for facts in models:
        if facts is not None and facts.layers is not None:
            return site.at(facts.layers)
    raise ModelError(
        f"site {site}: the model does not say how many blocks it has, so a fraction of depth "
        "means nothing. Allowed: a block, such as resid_post.15. Write the block"
    )


def decoder_site(name: str, inputs: Inputs) -> Site | None:
    """Where an SAE's decoder rows live: where it writes, or else where it reads."""
    facts = inputs.saes[name].facts
    site = facts.site_out or inputs.sae_sites.get(name) or facts.site
    return None if site is None else located(site, *inputs.facts.values())


def decoder_rows(sae: Sae, features: Sequence[int]) -> Float[np.ndarray, "k d"]:
    """Decoder rows of some features, in float64 on the CPU."""
    rows = sae.rows(torch.tensor(list(features), dtype=torch.int64))
    array: np.ndarray = rows.detach().cpu().double().numpy()
    return array


def row_of(facts: SaeFacts, side: str | None) -> slice:
    """The part of a decoder row that one side of a pair has; all of it where `side` is None."""
    if side is None:
        return slice(None)
    return facts.columns()[[one.side for one in facts.inputs].index(side)]
