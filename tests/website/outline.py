"""The blocks of a page in numbers: how many headings, lists, tables and pieces of code it has."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

from markdown_it import MarkdownIt

BLOCKS = frozenset(("h1", "h2", "h3", "h4", "h5", "ul", "ol", "li", "table", "tr", "td", "pre",
                    "img", "blockquote"))  # fmt: skip


class _Counted(HTMLParser):
    def __init__(self, within: str | None) -> None:
        super().__init__()
        self.within = within
        self.inside = within is None
        self.found: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside |= tag == self.within
        if self.inside and tag in BLOCKS:
            self.found[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != self.within


def of_html(text: str, within: str | None = None) -> Counter[str]:
    """The blocks of HTML, or of one element of it."""
    counted = _Counted(within)
    counted.feed(text)
    return counted.found


def of_markdown(text: str) -> Counter[str]:
    """The blocks of Markdown as GitHub reads it: CommonMark and tables."""
    return of_html(MarkdownIt("commonmark").enable("table").render(text))
