"""Reads a folder of HTML pages: where each link leads, and what is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MET_ELSEWHERE = ("404.html",)
"""A page that servers show in place of any other: its links start at the root."""


@dataclass
class Page(HTMLParser):
    """What a page has: places that links may lead to, links, and what a browser loads for it."""

    places: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if "src" in found:
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon"):
            self.loaded.append(found["href"])


def read(file: Path) -> Page:
    page = Page()
    page.feed(file.read_text(encoding="utf-8"))
    return page


def broken(folder: Path) -> Iterator[str]:
    """Each link within the folder that leads to no file, or to no place of a page, and whatever a
    page loads from elsewhere or does not find."""
    pages = {file: read(file) for file in sorted(folder.rglob("*.html"))}
    for file, page in pages.items():
        here = file.relative_to(folder)
        if str(here) in MET_ELSEWHERE:
            continue
        for link in page.loaded:
            if urlsplit(link).scheme != "data" and not _file(file, link).is_file():
                yield f"{here}: loads {link}"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = _file(file, link)
            if not target.is_file():
                yield f"{here}: {link}"
            elif target in pages and unquote(parts.fragment) not in pages[target].places | {""}:
                yield f"{here}: {link}: no such place"


def _file(page: Path, link: str) -> Path:
    """The file that a relative link of a page means; the page itself for one without a path."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return page.parent / "elsewhere" / parts.netloc
    return (page.parent / unquote(parts.path)).resolve() if parts.path else page
