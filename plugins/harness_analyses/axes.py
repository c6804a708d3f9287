"""Axes by which analyses find the records and arrays that belong together."""

from __future__ import annotations

from collections.abc import Container

from harness.contract import JSON, Axes

AxesKey = tuple[tuple[str, JSON], ...]
"""Axes as a key of a dict: sorted by name."""


def without(axes: Axes, names: Container[str]) -> dict[str, JSON]:
    """The axes whose names are not in `names`."""
    return {name: value for name, value in axes.items() if name not in names}


def axes_key(axes: Axes) -> AxesKey:
    """The axes as a key of a dict; it does not depend on their order."""
    return tuple(sorted(axes.items()))
