"""Says at which depth a change enters, and where it grows most."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Results, Site
from harness.results.answer.profile import Profile, percent, profiles
from harness.results.answer.sentence import Sentence


def how_deep(results: Results) -> Iterator[Sentence]:
    """One sentence for each pair that differs somewhere on the residual stream."""
    for profile in profiles(results):
        if profile.first is not None and len(profile.steps) > 1:
            records = tuple(step.size for step in profile.steps)
            yield Sentence(_text(profile), 1.0, records)


def _text(profile: Profile) -> str:
    first, before = profile.first, profile.before
    assert first is not None
    if profile.enters_late:
        assert before is not None
        nothing = "nothing" if before.equal else "nothing but rounding"
        return (
            f"The change enters {_between(before.site, first.site)}: {nothing} differs up to "
            f"{before.site}, then {percent(first.size.value)} at {first.site}{_later(profile)}."
        )
    if first.site.layer is None:
        start = "The change begins in the token embeddings"
    elif before is None:
        start = f"The first site measured, {first.site}, differs already"
    else:
        start = f"The change begins {_between(before.site, first.site)}"
    grows = profile.steepest
    if grows is None or grows[1] is first:
        most = f"where it grows most (to {percent(first.size.value)} at {first.site})"
        return f"{start}, {most}; every block's output differs."
    old, step = grows
    return (
        f"{start}, and every block's output differs; it grows most "
        f"{_before(profile, step.site)}, from {percent(old)} to {percent(step.size.value)} "
        f"({step.site})."
    )


def _later(profile: Profile) -> str:
    """Where it goes on to grow after it has entered, if it grows much."""
    first = profile.first
    most = max(profile.steps, key=lambda step: step.size.value or 0.0)
    if first is None or most is first or (most.size.value or 0) < 1.5 * (first.size.value or 0):
        return ""
    return f", and {percent(most.size.value)} at {most.site}"


def _before(profile: Profile, site: Site) -> str:
    """The block, or blocks, between a site and the one measured before it."""
    sites = [step.site for step in profile.steps]
    place = sites.index(site)
    return _between(sites[place - 1], site) if place else f"at {site}"


def _between(before: Site, after: Site) -> str:
    """`in block 4`, or `in blocks 4 to 7` where no site between is measured."""
    low, high = _done(before), _done(after)
    if high - low <= 1:
        return f"in block {high - 1}"
    return f"in blocks {low} to {high - 1}"


def _done(site: Site) -> int:
    """How many blocks lie before a site of the residual stream."""
    if site.layer is None:
        return 0
    return site.layer + (site.kind == "resid_post")
