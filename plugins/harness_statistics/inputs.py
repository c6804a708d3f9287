"""What several statistics take from the inputs that the harness gives them."""

from __future__ import annotations

from harness.contract import Direction, Inputs, Site, Undefined
from harness.errors import ModelError


def width(inputs: Inputs, sae: str) -> int:
    """The number of features of an SAE; 0 where it is not known."""
    loaded = inputs.saes.get(sae)
    return (loaded.facts.d_sae if loaded else None) or 0


def site_axis(inputs: Inputs, sae: str) -> dict[str, str]:
    """The axis `site` of records about an SAE; empty where its site is not known."""
    site = inputs.sae_sites.get(sae)
    return {} if site is None else {"site": str(site)}


def components(inputs: Inputs, name: str, site: Site, what: str) -> Direction | Undefined:
    """The direction `name`, whose vectors are principal components at `site`.

    Raises ModelError where it lives at another site; `what` says there what is done at `site`.
    """
    found = inputs.directions[name]
    if isinstance(found, Direction) and found.site != site:
        raise ModelError(
            f"directions.{name} lives at {found.site}, and {what} at {site}. "
            "Allowed: components of the same site. Give both the same site, or the same sweep"
        )
    return found


def block(site: Site, inputs: Inputs) -> Site:
    """The site with a fraction of depth made a block; a fraction where no model tells its depth."""
    depths = (facts.layers for facts in inputs.facts.values() if facts.layers)
    layers = next(depths, None)
    return site if layers is None else site.at(layers)
