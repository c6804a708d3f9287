"""Axes by which analyses find the records and arrays that belong together."""

from __future__ import annotations

from collections.abc import Container

from harness.contract import JSON, Axes

AxesKey = tuple[tuple[str, JSON], ...]
"""Axes as a key of a dict: sorted by name."""


def without(axes: Axes, names: Container[str]) -> dict[str, JSON]:
    """The axes but those named."""
    return {name: value for name, value in axes.items() if name not in names}


def axes_key(axes: Axes) -> AxesKey:
    """The axes as a key, the same in whatever order they come."""
    return tuple(sorted(axes.items()))
