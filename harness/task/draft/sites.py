"""At which sites a draft measures, and at which of those an SAE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from harness.contract import Site

MOST_SITES = 32
"""Sites of a profile over depth; one forward gives all of them, memory is what they cost."""
FEW = 3
"""SAEs that are chosen out of many: early, in the middle, late."""
_KEPT = 6
"""So many SAEs, each at a site of its own, are all taken."""
_PARTS = (0.25, 0.5, 0.75)
T = TypeVar("T")


def profile(layers: int | None, measured: Iterable[Site]) -> list[Site]:
    """The embedding and the output of each block, without those that are `measured` anyway.

    In a deep model every second or third block, always with the first and the last; in one whose
    depth is not known yet, fractions of it.
    """
    if layers is None:
        return [Site("embed"), *(Site("resid_post", None, part / 8) for part in range(9))]
    blocks = range(layers)
    if layers > MOST_SITES:
        step = (layers - 1) / (MOST_SITES - 1)
        blocks_ = dict.fromkeys(round(number * step) for number in range(MOST_SITES))
        sites = [Site("resid_post", block) for block in blocks_]
    else:
        sites = [Site("resid_post", block) for block in blocks]
    known = set(measured)
    return [site for site in (Site("embed"), *sites) if site not in known]


def over_depth(found: Sequence[tuple[Site, T]], layers: int | None) -> list[T]:
    """One for each site, a handful over depth; the first of those at one site.

    With few sites all of them; else those nearest to a quarter, half and three quarters of the
    model. Without known layers the deepest site stands for the end.
    """
    first: dict[Site, T] = {}
    for site, one in found:
        first.setdefault(site, one)
    ordered = sorted(first, key=lambda site: (site.layer or 0, site.kind))
    if len(ordered) <= _KEPT:
        return [first[site] for site in ordered]
    depth = layers or 1 + max(site.layer or 0 for site in ordered)
    wanted = [part * depth for part in _PARTS]
    chosen = [min(ordered, key=lambda s: (abs((s.layer or 0) - where), s.kind)) for where in wanted]
    return [first[site] for site in dict.fromkeys(chosen)]
