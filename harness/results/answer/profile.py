"""How far two models are apart, site by site: what the sentences on a difference are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract import Record, Results, Site
from harness.contract.sites import parse_site
from harness.results.records import by_axis, named

ROUNDING = 1e-5
"""A change of less than this share of the length is what rounding in float32 makes of two equal
blocks that are computed in another order, as with a hidden layer of another width."""


@dataclass(frozen=True)
class Step:
    """The change of a pair at one site of the residual stream."""

    site: Site
    size: Record
    """`displacement.per_token`: ‖Δx‖/‖x‖, the mean over tokens."""
    moved: Record
    """`displacement.moved`: the share of tokens that differ at all."""

    @property
    def equal(self) -> bool:
        """Whether no token differs in any number, bit for bit."""
        return self.moved.value == 0

    @property
    def differs(self) -> bool:
        """Whether tokens differ by more than rounding."""
        return (self.size.value or 0.0) > ROUNDING


@dataclass(frozen=True)
class Profile:
    """The change of one pair over depth, the first site first."""

    pair: str
    left: str
    """What people call the model before."""
    right: str
    steps: tuple[Step, ...]

    @property
    def first(self) -> Step | None:
        """The first site that differs by more than rounding; None where none does."""
        return next((step for step in self.steps if step.differs), None)

    @property
    def before(self) -> Step | None:
        """The last site before it, at which nothing differs yet, or nothing but rounding."""
        first = self.first
        place = self.steps.index(first) if first is not None else 0
        return self.steps[place - 1] if place else None

    @property
    def enters_late(self) -> bool:
        """Whether the output of a whole block is still the same before anything differs."""
        return self.before is not None and self.before.site.layer is not None

    @property
    def steepest(self) -> tuple[float, Step] | None:
        """Where the change grows most from one site to the next, and what it was before."""
        sizes = [step.size.value or 0.0 for step in self.steps]
        grown = [now - before for before, now in zip([0.0, *sizes], sizes, strict=False)]
        if not grown or max(grown) <= 0:
            return None
        place = grown.index(max(grown))
        return (sizes[place - 1] if place else 0.0), self.steps[place]

    @property
    def focus(self) -> Step | None:
        """The site to look at first: where the change enters, or else where it grows most."""
        if self.enters_late:
            return self.first
        return self.steepest[1] if self.steepest else self.first


def depth(site: Site) -> float:
    """A place in the residual stream as a number: -1 for the embedding, 3 after block 3."""
    if site.layer is None:
        return -1.0
    return site.layer - 0.5 if site.kind == "resid_pre" else float(site.layer)


def percent(share: float | None) -> str:
    """A share in percent with two digits: `34%`, `0.051%`; from 99.5% on whole numbers."""
    value = share or 0.0
    return f"{100 * value:.2g}%" if value < 0.995 else f"{value:.0%}"


def site_of(axes: Mapping[str, Any]) -> Site | None:
    """The site that an axis or a column names."""
    try:
        return parse_site(str(axes.get("site")))
    except ValueError:
        return None


def profiles(results: Results) -> Iterator[Profile]:
    """The profile of each pair whose change was measured; sites off the residual stream are not
    in it, and a site with several SAEs is there once."""
    sizes = by_axis(named(results.records, "displacement.per_token"), "pair")
    moved = by_axis(named(results.records, "displacement.moved"), "pair")
    for pair, mine in sizes.items():
        shares = {record.axes.get("site"): record for record in moved.get(pair, [])}
        steps = {
            site: Step(site, record, shares[record.axes.get("site")])
            for record in mine
            if "domain" not in record.axes
            and (site := site_of(record.axes)) is not None
            and site.in_residual
            and record.axes.get("site") in shares
        }
        ordered = sorted(steps.values(), key=lambda step: depth(step.site))
        left, right = _names(results.task, str(pair))
        yield Profile(str(pair), left, right, tuple(ordered))


def _names(task: Mapping[str, Any], pair: str) -> tuple[str, str]:
    """What people call the two models of a pair: the names of their folders or adapters."""
    names = []
    for side in ("left", "right"):
        view = task.get("pairs", {}).get(pair, {}).get(side, side)
        model = task.get("views", {}).get(view, {}).get("model", view)
        keys = task.get("models", {}).get(model, {})
        files = [one for one in keys.values() if isinstance(one, str) and one.endswith(".gguf")]
        place = next(filter(None, (keys.get("adapter"), keys.get("path"), *files)), model)
        names.append(str(place).rstrip("/").rpartition("/")[2].removesuffix(".gguf"))
    return (names[0], names[1]) if names[0] != names[1] else (f"{names[0]} (before)", names[1])
