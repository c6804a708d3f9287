"""*Strings*: hostile text through everything that shows or keeps text.

A try is one text, in all places at once: prompts, the completions of a model whose vocabulary holds
it, labels, judges' answers, ids, axes, names, files, metadata, messages of plugins. What commands,
pages, tables and exports make of it is held against what is promised.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from campaign.strings import browser
from campaign.strings.hostile import Hostile, drawn
from campaign.trial import Tried, Tries, Try


@dataclass(frozen=True)
class StringsCampaign:
    """Hostile text runs nowhere, says nothing to a terminal, and is kept as it is."""

    about: str = "hostile text, from prompts to pages"

    together: int = 12
    """Texts in one world: each is in places of its own."""

    @contextmanager
    def ready(self, place: Path) -> Iterator[Try]:
        """An empty place that commands write to, a world for each text."""
        with self.several(place) as tries:
            yield lambda chance: tries([chance])[0]

    @contextmanager
    def several(self, place: Path) -> Iterator[Tries]:
        """The same, with a world for all texts that are tried at once."""
        with away(place):
            yield lambda chances: together(place / "scene", [drawn(chance) for chance in chances])


def together(place: Path, texts: Sequence[Hostile]) -> list[Tried]:
    """Some texts in one world, each judged by what it does."""
    broken = tried(place, texts)
    seen = "in a browser" if browser.browser() else "parsed"
    return [
        Tried("all places, completions too", f"harmless, {seen}" if not mine else "broken",
              repr(one.text)[:500], "\n".join(mine)[:5000])
        for one in texts
        for mine in [broken[one.mark]]
    ]  # fmt: skip


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
            for mark, fault in _opened(seen, place, site):
                found[mark].append(fault)
    shutil.rmtree(place)
    return found


def _opened(seen: tour.Seen, place: Path, site: served.Site) -> Iterator[tuple[str, str]]:
    """What runs in the pages, or is asked for by them, in a browser."""
    before = len(site.asked)
    title = browser.ran([*seen.pages.values()], place, site.url)
    asked = site.asked[before:]
    if title != browser.QUIET:
        mine = [one.mark for one in site.strings if str(one.number) in title]
        for mark in mine or [site.strings[0].mark]:
            yield mark, f"ran in a browser: the title is {title!r}"
    for one in site.strings:
        if any(one.mark in path for path in asked):
            yield one.mark, f"a browser asked for its address: {asked[:9]}"


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
