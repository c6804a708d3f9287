"""Holds what was shown and written against what is promised of hostile text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import harness
from campaign.strings.hostile import Hostile
from campaign.strings.scene import Scene
from campaign.strings.tour import Screen, Seen
from harness.text import for_terminal
from harness_exports.csv.samples import csv_tables
from harness_exports.latex.strict import read_tables

Fault = tuple[str, str]
"""The mark of the text, and which promise it broke."""
CODES = {0, 1, 2, 3}
"""Exit codes that a command may end with here."""
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_STYLE = re.compile(r"\x1b\[[\d;]*m|\x1b\[(?:2K|1A|\?25[lh])|\r")
"""What rich writes to a terminal: colours, and a line that is drawn again."""
TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "div",
    "strong", "ul", "li", "nav", "main", "section", "figure", "script", "details", "summary",
    "span", "table", "caption", "thead", "tbody", "tr", "th", "td", "footer", "code",
    "button", "label", "select", "input", "kbd", "ol",
    "svg", "rect", "text", "path", "line", "circle",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "href", "id", "aria-label",
    "aria-labelledby", "aria-describedby", "role", "tabindex", "scope", "type",
    "hidden", "open", "colspan", "rel", "autocomplete", "spellcheck", "focusable", "viewbox",
    "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "d", "width", "height", "transform",
    "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray",
    "stroke-linejoin", "font-size", "font-weight", "text-anchor",
}  # fmt: skip
_LINK = re.compile(r"#[\w-]+|results\.json|\./[\w.~/%-]+", re.ASCII)
_OURS = "text-align:left"
"""The one style that we write into an attribute."""


def faults(scene: Scene, seen: Seen) -> Iterator[Fault]:
    """Every promise that was broken, of each text on its own."""
    for screen in seen.screens:
        yield from _screen(screen, scene)
    if not seen.pages:
        yield scene.first.mark, f"the run did not end: {seen.screens[-1].text[-2000:]}"
        return
    for name, page in seen.pages.items():
        yield from _page(name, page, scene)
    yield from _shown(scene, seen)
    yield from _figures(scene, seen)
    for suite in seen.suites:
        ElementTree.parse(suite)
    yield from _exports(scene, seen)
    yield from _tables(scene, seen)


# ── The terminal ─────────────────────────────────────────────────────────────────────────────────


def _screen(screen: Screen, scene: Scene) -> Iterator[Fault]:
    text = _STYLE.sub("", screen.text) if screen.styled else screen.text
    where = f"{screen.command}{' on a terminal' if screen.styled else ''}"
    if screen.code not in CODES or "Traceback (most recent call last)" in text:
        yield scene.first.mark, f"{where}: exit {screen.code}\n{text[-2000:]}"
        return
    for place, char in enumerate(text):
        if char != "\n" and unicodedata.category(char) in _HIDDEN:
            around = text[max(0, place - 200) : place + 200]
            found = [one.mark for one in scene.strings if one.mark in around]
            for mark in found or [scene.first.mark]:
                yield mark, f"{where}: writes {char!r}: {around!r}"
            return
    if not screen.styled and not text.startswith("{"):
        for one in scene.strings:
            yield from _unread(where, text, one)


def _unread(where: str, text: str, one: Hostile) -> Iterator[Fault]:
    """Markup stands where its text stands."""
    keeps = for_terminal(one.keeps)
    for match in re.finditer(re.escape(one.mark) if keeps else "(?!)", text):
        before = "".join(text[max(0, match.start() - 200) : match.start()].split())
        whole = before.endswith("".join(keeps.split())) or before.endswith("\\".join(keeps.split()))
        if not whole:
            yield one.mark, f"{where}: reads its markup: {before[-60:]!r}{one.mark}"
            return


# ── Pages ────────────────────────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """What a browser would make of a page, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str]]]] = []
        self.data: list[str] = []
        self.words: list[str] = []
        self.comments: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [(name, value or "") for name, value in attrs]))
        kind = dict(attrs).get("type", "")
        self._inside = f"{tag} {kind}".strip()
        if tag == "script" and kind:
            self.data.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script application/json":
            self.data[-1] += data
        elif self._inside not in ("script", "style"):
            self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def _page(name: str, text: str, scene: Scene) -> Iterator[Fault]:
    """No element, attribute or address comes of a text, and no figure has markup of it."""
    page, mark = Page(text), scene.first.mark
    for tag, attributes in page.tags:
        if tag not in TAGS:
            yield mark, f"{name}: an element <{tag}> {attributes}"
        for key, value in attributes:
            ours = key in ATTRIBUTES or (key, value) == ("style", _OURS)
            if not ours or (key == "href" and not _LINK.fullmatch(value)):
                yield mark, f"{name}: an attribute {key}={value!r} of <{tag}>"
            for one in scene.strings:
                if one.mark in value and key != "href":
                    yield one.mark, f"{name}: in the attribute {key}={value!r} of <{tag}>"
    if page.comments:
        yield mark, f"{name}: a comment {page.comments[0][:200]!r}"
    for drawn in map(json.loads, page.data):
        # Plotly reads a little markup; our own scripts write texts as what they are.
        ours = isinstance(drawn, dict) and bool(drawn.keys() & {"spots", "rows"})
        for shown in () if ours else _texts(drawn):
            if "<" in shown or re.search(r"&(?!(?:lt|gt|amp|quot|#x27|#39);)", shown):
                yield mark, f"{name}: a figure with markup: {shown[:200]!r}"
    if hidden := [c for word in page.words for c in word if _hides(c)]:
        yield mark, f"{name}: shows {hidden[:5]!r}"


def _hides(char: str) -> bool:
    joins = char in "\n\t\u200d"  # families of emoji are one sign in a page
    return not joins and unicodedata.category(char) in _HIDDEN


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _shown(scene: Scene, seen: Seen) -> Iterator[Fault]:
    """Each text did get to the page, and to the terminal: else nothing was tried."""
    words = "".join(Page(seen.pages[seen.run.name]).words)
    screens = "".join(screen.text for screen in seen.screens)
    for one in scene.strings:
        near = one.text.find(one.mark) < 100  # else it is where a long text is cut
        if near and one.mark not in words:
            yield one.mark, "is not in the report"
        if near and one.mark not in screens:
            yield one.mark, "is not on the terminal"


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def _figures(scene: Scene, seen: Seen) -> Iterator[Fault]:
    """Figures are sound XML without a script, a handler or an address of a text."""
    for file in seen.figures:
        if file.suffix != ".svg":
            json.loads(file.read_text(encoding="utf-8"))
            continue
        for element in ElementTree.parse(file).iter():
            tag = str(element.tag).rpartition("}")[2]
            if tag in ("script", "foreignObject", "a", "image", "iframe", "animate", "set"):
                yield scene.first.mark, f"{file.name}: an element <{tag}>"
            for key, value in element.attrib.items():
                short = key.rpartition("}")[2]
                far = short == "href" and not value.startswith("#")
                if short.startswith("on") or far or any(o.mark in value for o in scene.strings):
                    yield scene.first.mark, f"{file.name}: an attribute {key}={value!r} of <{tag}>"


def _exports(scene: Scene, seen: Seen) -> Iterator[Fault]:
    """A spreadsheet runs nothing of a text, and TeX reads nothing of it as a command."""
    if not (seen.spreadsheets and seen.papers):
        yield scene.first.mark, "a form was not exported"
        return
    try:
        csv_tables({str(file): file.read_bytes() for file in seen.spreadsheets})
        read_tables({file.name: file.read_bytes() for file in seen.papers})
    except ValueError as error:
        yield scene.first.mark, f"an export is broken: {error}"


def _tables(scene: Scene, seen: Seen) -> Iterator[Fault]:
    """What is read back from the run's folder is the very text."""
    results = harness.load_results(seen.run)
    columns = {
        "completions": ("completion", results.tables["completions"]),
        "what an analysis found": ("said", results.tables["loud.loud"]),
        "labels of a file": ("description", results.tables["labels.file"]),
        "labels of a server": ("description", results.tables["labels.neuronpedia"]),
    }
    columns |= {"clusters of labels": ("cluster", columns["labels of a file"][1])}
    said = {what: {row[column] for row in rows} for what, (column, rows) in columns.items()}
    said["axes"] = {r.axes["said"] for r in results.records if r.id == "loud.value@1"}
    said["a column of the frame"] = set(results.frame["said"].dropna())
    said["claims"] = {claim.text for claim in results.claims}
    prompts = [str(row["text"]) for row in columns["completions"][1]]
    notes = [str(row["verdicts"]["harmbench"].get("note")) for row in columns["completions"][1]]
    for one in scene.strings:
        for what, found in said.items():
            same = one.written.strip()[:2000] if "labels" in what else one.written
            if same.strip() not in {text.strip() for text in found}:
                yield one.mark, f"{what}: hold another text: {sorted(found)[:3]!r}"
        if not any(one.written in prompt for prompt in prompts):
            yield one.mark, "prompts: hold another text"
        told = any(one.mark in note for note in notes) or one is scene.first
        if not told and one.text.find(one.mark) < 30:
            yield one.mark, "the judge's answer is not in its note"
    if scene.first.written not in results.tables["loud.loud"][0]:
        yield scene.first.mark, "the name of a column is another one"
