"""Installed packages with a plugin: what each says of itself, read once.

`importlib.metadata` reads and parses a package's METADATA, with its whole README, at every look at
its name, its version or what it requires. With thirty plugins that is most of what finding them
costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint


@dataclass(frozen=True)
class Candidate:
    """An entry point, and the package that it comes with."""

    point: EntryPoint
    package: str
    """The name of its distribution; where there is none, what the entry point names."""
    version: str
    requires: tuple[str, ...]
    """What the package requires, as it writes it."""


def candidates_of(points: Iterable[EntryPoint]) -> list[Candidate]:
    """The entry points with their packages, by name, and by package where two have one name."""
    read: dict[Distribution, tuple[str, str, tuple[str, ...]]] = {}
    found = []
    for point in points:
        if point.dist is None:
            found.append(Candidate(point, point.value, "unknown", ()))
            continue
        if point.dist not in read:
            read[point.dist] = _read(point.dist)
        found.append(Candidate(point, *read[point.dist]))
    return sorted(found, key=lambda one: (one.point.name, one.package))


def _read(package: Distribution) -> tuple[str, str, tuple[str, ...]]:
    about = package.metadata
    requires = about.get_all("Requires-Dist")
    if requires is None:  # a package of the old form keeps them in a file of their own
        requires = package.requires
    return str(about["Name"]), str(about["Version"]), tuple(requires or ())
