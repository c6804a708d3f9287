"""What finding plugins costs: each package says who it is once, however many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path

import pytest

from harness.registry import discover
from harness.registry.packages import candidates_of

ONE = """
from harness.contract import Component, hookimpl
@hookimpl
def harness_components():
    return [Component("metric", "{0}", "x", "{0}:X", "{0}:X")]
"""


def test_the_metadata_of_a_package_are_read_once(
    fake_dist: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them parses a whole README. It was done four times for each entry point."""
    for number in range(5):
        name = f"acme_{number}"
        fake_dist(f"acme-{number}", ONE.format(name), requires=("torch", "sae-harness>=0.1"))
    read: Counter[str] = Counter()
    metadata = Distribution.metadata

    def counted(self: Distribution) -> object:
        found = metadata.fget(self)  # type: ignore[attr-defined]
        read[found["Name"]] += 1
        return found

    monkeypatch.setattr(Distribution, "metadata", property(counted))
    registry = discover()
    mine = {plugin.distribution for plugin in registry.plugins if plugin.name.startswith("acme")}
    assert mine == {f"acme-{number}" for number in range(5)}
    assert {read[name] for name in (*mine, "sae-harness")} == {1}


def test_a_package_of_the_old_form_keeps_what_it_requires_elsewhere(tmp_path: Path) -> None:
    info = tmp_path / "acme_old.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: acme-old\nVersion: 2.0\n")
    (info / "requires.txt").write_text("sae-harness>=99\n\n[dev]\npytest\n")
    (info / "entry_points.txt").write_text("[harness]\nacme_old = acme_old\n")
    points = [one for one in PathDistribution(info).entry_points if one.group == "harness"]
    (found,) = candidates_of(points)
    assert (found.package, found.version, found.requires[0]) == (
        "acme-old",
        "2.0",
        "sae-harness>=99",
    )
    (plugin,) = discover(candidates=points).plugins
    assert (plugin.status, plugin.reason[:23]) == ("failed", "wants sae-harness>=99, ")


def test_an_entry_point_without_a_package_has_its_own_name() -> None:
    (found,) = candidates_of([EntryPoint("x", "nowhere", "harness")])
    assert (found.package, found.version, found.requires) == ("nowhere", "unknown", ())
