"""Whether a direction fits a model: what every intervention asks first."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from harness.contract import Direction, ModelFacts, Site
from harness.errors import ModelError


def layers_of(name: str, facts: ModelFacts) -> int:
    """Number of blocks. Raises ModelError where the model does not say."""
    if facts.layers is None:
        raise ModelError(
            f"arm {name!r}: the model does not say how many blocks it has. Allowed: a model of "
            "known depth. Write expect = { layers = … } in its table"
        )
    return facts.layers


def site_of(name: str, direction: Direction, facts: ModelFacts) -> Site:
    """The direction's site, as a block of this model.

    Raises ModelError where the model has no such block or another width there.
    """
    site = direction.site
    if site.fraction is not None:
        site = site.at(layers_of(name, facts))
    if site.layer is not None and facts.layers is not None and site.layer >= facts.layers:
        raise ModelError(
            f"arm {name!r}: the direction lives at {site}, but the model has {facts.layers} "
            f"blocks. Allowed: blocks 0 to {facts.layers - 1}. "
            "Use a direction of a model of this depth"
        )
    width = facts.width(site)
    if width is not None and direction.vectors.shape[-1] != width:
        raise ModelError(
            f"arm {name!r}: the direction has {direction.vectors.shape[-1]} numbers, but the model "
            f"has {width} at {site}. Allowed: a direction of a model of this width. "
            "Find it with the model that is edited, or with its base"
        )
    return site


def vectors_of(name: str, direction: Direction) -> Float[np.ndarray, "rank d_site"]:
    """The vectors. Raises ModelError where one is not finite or all are 0."""
    vectors = direction.vectors
    if not np.isfinite(vectors).all() or not vectors.any():
        what = "of length 0" if np.isfinite(vectors).all() else "not finite"
        raise ModelError(
            f"arm {name!r}: the direction is {what}. Allowed: finite vectors that point "
            "somewhere. Return Undefined from the direction finder instead"
        )
    return vectors


def read_as_it_is(name: str, direction: Direction) -> Direction:
    """The same direction. Raises ModelError where its coordinates are not read with its vectors."""
    if direction.readers is not None:
        raise ModelError(
            f"arm {name!r}: the direction is read with other vectors than its own, as those of "
            "leace are, and taking out the part along its vectors would take out something else. "
            "Allowed: concept_erasure, and what only adds, such as addition. Use concept_erasure"
        )
    return direction


def behind(site: Site, facts: ModelFacts) -> Site | None:
    """Where the next block reads what this one hands on; None where no block does."""
    if site.kind != "resid_post" or site.layer is None:
        return None
    last = facts.layers is None or site.layer + 1 >= facts.layers
    return None if last else Site("resid_pre", site.layer + 1)
