"""*Strings*: hostile text through everything that shows or keeps text.

A try is one text, in all places at once: prompts, the completions of a model whose vocabulary holds
it, labels, judges' answers, ids, axes, names, files, metadata, messages of plugins. What commands,
pages, tables and exports make of it is held against what is promised.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from campaign.strings import browser
from campaign.strings.hostile import Hostile, drawn
from campaign.trial import Tried, Try


@dataclass(frozen=True)
class StringsCampaign:
    """Hostile text runs nowhere, says nothing to a terminal, and is kept as it is."""

    about: str = "hostile text, from prompts to pages"

    @contextmanager
    def ready(self, place: Path) -> Iterator[Try]:
        """An empty place that commands write to, a world for each text."""
        with away(place):
            yield lambda chance: one(place, chance)


def one(place: Path, chance: random.Random) -> Tried:
    """One text, in a world of its own."""
    text = drawn(chance)
    broken = tried(place / "scene", [text])[text.mark]
    seen = "in a browser" if browser.browser() else "parsed"
    return Tried("all places, completions too", f"harmless, {seen}" if not broken else "broken",
                 repr(text.text)[:500], "\n".join(broken)[:5000])  # fmt: skip


def tried(place: Path, strings: Sequence[Hostile], opened: bool = True) -> dict[str, list[str]]:
    """The promises that were broken, by the mark of the text that broke them."""
    from campaign.strings import judged, scene, served, tour

    shutil.rmtree(place, ignore_errors=True)
    found: dict[str, list[str]] = defaultdict(list)
    with served.serving() as site:
        site.strings = strings
        world = scene.write(place, strings, site.url)
        seen = tour.toured(world)
        for mark, fault in judged.faults(world, seen):
            found[mark].append(fault)
        if opened and browser.browser():
            for fault in _opened(seen, place, site):
                found[strings[0].mark].append(fault)
    shutil.rmtree(place)
    return found


def _opened(seen: tour.Seen, place: Path, site: served.Site) -> Iterator[str]:
    """What runs in the pages, or is asked for by them, in a browser."""
    before = len(site.asked)
    title = browser.ran([*seen.pages.values()], place, site.url)
    if title != browser.QUIET:
        yield f"ran in a browser: the title is {title!r}"
    marks = [one.mark for one in site.strings]
    if asked := [path for path in site.asked[before:] if any(mark in path for mark in marks)]:
        yield f"a browser asked for {asked[:5]}"


@contextmanager
def away(place: Path) -> Iterator[None]:
    """An environment in which nothing is written but into `place`, on a wide terminal."""
    place.mkdir(parents=True, exist_ok=True)
    given = {
        "HARNESS_CACHE": "", "HARNESS_CONFIG": "", "COLUMNS": "2000", "TERM": "xterm-256color",
        "XDG_CACHE_HOME": str(place / "cache"), "XDG_STATE_HOME": str(place / "state"),
        "HF_HUB_OFFLINE": "", "HARNESS_OBSERVE": "",
    }  # fmt: skip
    (place / "here").mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, given))
        stack.enter_context(patch("sys.dont_write_bytecode", True))
        stack.enter_context(chdir(place / "here"))
        yield


CAMPAIGN = StringsCampaign()
