"""What `pyproject.toml` allows: which packages, from which version on, on which Pythons."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

EXTRA = "dev"
"""The extra that the suite needs."""


@dataclass(frozen=True)
class Allowed:
    """The packages that the project and its tests name, and the Pythons that it says it runs on."""

    packages: tuple[Requirement, ...]
    pythons: tuple[str, ...]
    """As `3.11`, the lowest first."""

    def lowest(self) -> tuple[str, ...]:
        """A constraint for each package with a lower bound: that version and no other.

        What those packages need in turn is not held down: the project says nothing of it.
        """
        return tuple(
            f"{canonicalize_name(one.name)}=={low}"
            for one in self.packages
            if (low := lower(one)) is not None
        )


def lower(package: Requirement) -> Version | None:
    """The lowest version that a requirement allows; None where it has no lower bound."""
    found = [
        Version(one.version) for one in package.specifier if one.operator in (">=", "==", "~=")
    ]
    return max(found, default=None)


def allowed(pyproject: Path) -> Allowed:
    """Reads it. Of a package that is named twice the higher bound counts."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    named: dict[str, Requirement] = {}
    for line in (*project["dependencies"], *project["optional-dependencies"][EXTRA]):
        one = Requirement(line)
        name = canonicalize_name(one.name)
        before = named.get(name)
        if before is None or (lower(before) or Version("0")) < (lower(one) or Version("0")):
            named[name] = one
    prefix = "Programming Language :: Python :: "
    words = [one.removeprefix(prefix) for one in project["classifiers"] if one.startswith(prefix)]
    pythons = sorted(Version(word) for word in words if "." in word)
    return Allowed(tuple(named.values()), tuple(map(str, pythons)))
