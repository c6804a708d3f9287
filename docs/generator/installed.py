"""The built-in components, whatever else is installed."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from harness.registry import DISTRIBUTION, GROUP, Registry, discover, normalized


@cache
def built_in() -> Registry:
    """A registry of the plugins that come with the harness."""
    points = entry_points(group=GROUP)
    ours = [one for one in points if one.dist and normalized(one.dist.name) == DISTRIBUTION]
    found = discover(candidates=ours)
    broken = [f"{one.name}: {one.reason}" for one in found.plugins if one.status != "ready"]
    assert not broken, "; ".join(broken)
    return found
